"""``python -m ciguard.testing.model --script MODULE:NAME``: serves a script until it is interrupted.

Prints the service's address as its first line. The credentials that it accepts are read, separated by commas, from the
environment variable ``MODEL_API_KEYS``.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib
import os
import signal
import sys
from collections.abc import Sequence

from ciguard.errors import CiguardError, UsageError
from ciguard.testing.model import LoopbackModel, Script

KEYS = "MODEL_API_KEYS"


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until SIGINT or SIGTERM."""
    parser = argparse.ArgumentParser(prog="python -m ciguard.testing.model", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="0, the default, takes a free one")
    parser.add_argument("--script", required=True, metavar="MODULE:NAME", help="the function that answers")
    options = parser.parse_args(arguments)
    try:
        keys = [key for key in os.environ.get(KEYS, "").split(",") if key]
        if not keys:
            raise UsageError(f"{KEYS} is empty", f"set {KEYS} to the credentials that the model is to accept")
        asyncio.run(_serve(_script(options.script), keys, options.port))
    except CiguardError as error:
        print(f"error: {error.cause}\nhelp: {error.remedy}", file=sys.stderr)
        return error.exit_code
    return 0


def _script(name: str) -> Script:
    module, _, function = name.partition(":")
    try:
        script: Script = getattr(importlib.import_module(module), function)
    except (ImportError, AttributeError, ValueError) as error:
        raise UsageError(f"there is no script {name!r}: {error}", "name it as MODULE:FUNCTION") from error
    return script


async def _serve(script: Script, keys: list[str], port: int) -> None:
    stopped = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    async with LoopbackModel(script, api_keys=keys, port=port) as model:
        print(model.url, flush=True)
        await stopped.wait()


if __name__ == "__main__":
    sys.exit(main())

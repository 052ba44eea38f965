"""``isolation.limits.disk_bytes``: the session ends when the agent adds more."""

from __future__ import annotations

import asyncio
import json
import socket
import sys
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import ciguard
from ciguard.errors import GuardFailure
from ciguard.sandbox.levels import launcher_environment

MEASURE = "import sys; sys.path.insert(0, sys.argv[1]); from ciguard.sandbox.disk import main; main()"
REMEDY = "let the job's user read what is in the workspace, or leave isolation.limits.disk_bytes out"


@asynccontextmanager
async def disk_limited(
    folders: Sequence[Path], most: int, launcher: int, environ: Mapping[str, str], over: Callable[[str], None]
) -> AsyncIterator[None]:
    """Measure below ``folders`` from now on; ``over`` is told in words when ``most`` is exceeded or cannot be told.

    ``launcher`` is the process below which the agent is. Raises GuardFailure when there is no measure at all.
    """
    ours, theirs = socket.socketpair()
    with theirs:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-I", "-S", "-B", "-c", MEASURE, str(Path(ciguard.__file__).parents[1])),
            stdin=theirs.fileno(),
            stdout=theirs.fileno(),
            env=launcher_environment(environ),
        )
    told, asked = await asyncio.open_connection(sock=ours)
    order = {"folders": [str(folder) for folder in folders], "most": most, "launcher": launcher}
    asked.write(json.dumps(order).encode() + b"\n")
    try:
        said = (await told.readline()).decode()
        if said != "ready\n":
            raise GuardFailure(f"the disk cannot be measured: {_why(said)}", REMEDY)
        watching = asyncio.create_task(_watch(told, most, over))
        try:
            yield
        finally:
            watching.cancel()
    finally:
        asked.close()
        await process.wait()


async def _watch(told: asyncio.StreamReader, most: int, over: Callable[[str], None]) -> None:
    said = (await told.readline()).decode()
    if said.startswith("over "):
        added = said.split()[1]
        over(f"the agent added {added} bytes on the disk, more than isolation.limits.disk_bytes ({most})")
    else:
        over(f"what the agent adds on the disk cannot be measured any more: {_why(said)}")


def _why(said: str) -> str:
    return said.removeprefix("lost ").strip() or "the process that measures it ended"

"""A very small coding agent: for demonstrations and tests on machines that have no real one.

    python -m ciguard.testing.scripted_agent "fix the failing test"

It sends the prompt to the Anthropic Messages API at ``ANTHROPIC_BASE_URL``, runs the ``Bash`` calls it gets and sends
their results back, until there is none. Left out: everything else that an agent has, streaming and retries too.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Sequence

from ciguard.operation import Json

TOOL: Json = {
    "name": "Bash",
    "description": "Runs a shell command.",
    "input_schema": {"type": "object", "properties": {"command": {"type": "string"}}},
}


def main(arguments: Sequence[str]) -> int:
    """Work on the prompt ``arguments[0]`` and return an exit status."""
    messages: list[Json] = [{"role": "user", "content": arguments[0]}]
    while True:
        try:
            blocks = _ask(messages)
        except urllib.error.HTTPError as error:
            print(f"API Error: {error.code} {json.load(error)['error']['message']}")
            return 1
        messages.append({"role": "assistant", "content": list(blocks)})
        results: list[Json] = []
        for block in blocks:
            if isinstance(block, dict) and block["type"] == "text":
                print(block["text"])
            elif isinstance(block, dict) and block["type"] == "tool_use":
                results.append({"type": "tool_result", "tool_use_id": block["id"], "content": _run(block["input"])})
        if not results:
            return 0
        messages.append({"role": "user", "content": results})


def _ask(messages: Sequence[Json]) -> Sequence[Json]:
    body: Json = {"model": "claude-demo", "max_tokens": 1024, "messages": list(messages), "tools": [TOOL]}
    request = urllib.request.Request(  # noqa: S310 - the address is the guard's
        f"{os.environ['ANTHROPIC_BASE_URL']}/v1/messages",
        json.dumps(body).encode(),
        {
            "x-api-key": os.environ["ANTHROPIC_API_KEY"],
            "anthropic-version": "2023-06-01",
            "content-type": "application/json",
        },
    )
    with urllib.request.urlopen(request) as answer:  # noqa: S310 - the address is the guard's
        content: Sequence[Json] = json.load(answer)["content"]
        return content


def _run(asked: Json) -> str:
    command = asked["command"] if isinstance(asked, dict) else ""
    done = subprocess.run(["bash", "-c", str(command)], capture_output=True, text=True)
    return done.stdout + done.stderr


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))

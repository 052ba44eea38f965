"""Prompts to measure with: code as agents send it, in JSON without white space, and never the same line twice."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

_MARK = "@" * 8
_SOURCES = Path(argparse.__file__).parent


def _code(size: int) -> str:
    """At least ``size`` characters of the standard library's source, with a mark at the end of every line."""
    lines: list[str] = []
    length = 0
    for path in sorted(_SOURCES.glob("*.py")):
        for line in path.read_text(encoding="utf-8").splitlines():
            lines.append(f"{line}  # {_MARK}\n")
            length += len(lines[-1])
            if length >= size:
                return "".join(lines)
    raise ValueError(f"the standard library has less than {size} characters of source")


def _asked(messages: list[dict[str, str]], **fields: object) -> bytes:
    system = "You are a coding agent. Answer in one sentence."
    body = {"model": "claude-sonnet-4-6", "max_tokens": 1024, "system": system, "messages": messages, **fields}
    return json.dumps(body, separators=(",", ":")).encode()


def new_prompts(size: int, **fields: object) -> Callable[[], bytes]:
    """A source of requests of about ``size`` bytes in which every line is new."""
    code = _code(size)[: max(size - 200, 100)]
    numbers = count()

    def prompt() -> bytes:
        text = code.replace(_MARK, f"{next(numbers):08d}")
        return _asked([{"role": "user", "content": text}], **fields)

    return prompt


def resent_conversation(history: int, new: int) -> Callable[[], Iterator[bytes]]:
    """Makes one agent's requests: each resends ``history`` bytes and all that came since, and adds ``new`` bytes."""
    turns = 20
    lines = _code(history)
    texts = [lines[at : at + history // turns] for at in range(0, history, history // turns)]
    added = _code(new)[:new]
    conversations = count()

    def requests() -> Iterator[bytes]:
        conversation = next(conversations)
        messages = [
            {"role": "assistant" if index % 2 else "user", "content": text.replace(_MARK, f"{conversation:08d}")}
            for index, text in enumerate(texts[: turns - turns % 2])
        ]
        for number in count():
            messages.append({"role": "user", "content": added.replace(_MARK, f"{conversation:04d}{number:04d}")})
            yield _asked(messages)
            messages.append({"role": "assistant", "content": f"The function {number} returns early."})

    return requests


def growing_conversation(added: int) -> Iterator[bytes]:
    """One agent's requests from the beginning on: each resends all that was said and adds ``added`` bytes."""
    code = _code(added)[: added - 100]
    messages = []
    for number in count():
        messages.append({"role": "user", "content": code.replace(_MARK, f"{number:08d}")})
        yield _asked(messages)
        messages.append({"role": "assistant", "content": f"The function {number} returns early."})

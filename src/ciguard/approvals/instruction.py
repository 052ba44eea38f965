"""What a comment tells the guard to do, if anything.

An instruction is the whole first line of a comment, from its very beginning, so that it is neither quoted nor in a
code block and nobody gives one by accident: ``/ciguard approve REFERENCE`` or ``/ciguard deny REFERENCE [REASON]``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum


class Answer(StrEnum):
    """What a reviewer can say."""

    APPROVE = "approve"
    DENY = "deny"


@dataclass(frozen=True, slots=True)
class Instruction:
    """An answer, and the reason that was given with it."""

    answer: Answer
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Unclear:
    """A comment that speaks of the request and is no instruction: why not."""

    why: str


NOT_FIRST = "the line to reply with must be the whole first line of the comment, neither quoted nor in a code block"
MORE = "the comment holds more than one instruction"
OTHER_CONTENT = "it names another content than what this request is about"

_LINE = re.compile(
    r"(?P<prefix>/?ciguard) (?P<answer>approve|deny) (?P<id>\S+)-(?P<digest>[0-9a-f]+)(?: +(?P<rest>.*))?"
)


def reference(body: str, *, prefix: str) -> str:
    """The request that the first line of ``body`` answers, whichever it is; empty when it is no instruction."""
    found = _LINE.fullmatch(body.replace("\r\n", "\n").partition("\n")[0].rstrip(" "))
    return f"{found['id']}-{found['digest']}" if found and found["prefix"] == prefix else ""


def read(body: str, request: str, digest: str, *, prefix: str = "/ciguard") -> Instruction | Unclear | None:
    """What ``body`` says about the request with the id ``request`` and ``digest``; None when it is about another thing.

    ``prefix`` is how an instruction begins on the forge.
    """
    first, *others = body.replace("\r\n", "\n").split("\n")
    found = _LINE.fullmatch(first.rstrip(" "))
    if found is None or found["prefix"] != prefix:
        spoken_of = f"{request}-" in body and "ciguard" in body
        return Unclear(NOT_FIRST) if spoken_of else None
    if found["id"] != request:
        return None
    if found["digest"] != digest:
        return Unclear(OTHER_CONTENT)
    if any(line.lstrip("> \t").startswith(f"{prefix} ") for line in others):
        return Unclear(MORE)
    answer = Answer(found["answer"])
    if answer is Answer.APPROVE and found["rest"]:
        return Unclear(NOT_FIRST)
    return Instruction(answer, found["rest"] or "")

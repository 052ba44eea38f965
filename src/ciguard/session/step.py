"""One step of a verification and what came of it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Outcome(StrEnum):
    """What one step found."""

    HOLDS = "holds"
    FAILED = "failed"
    INCOMPLETE = "incomplete"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Step:
    """One step: what was checked, what came of it, and in words what holds or the first thing that does not."""

    number: int
    name: str
    outcome: Outcome
    detail: str


class FailedError(Exception):
    """The first thing that is wrong in a step; a whole sentence without its full stop."""


class IncompleteError(Exception):
    """All that there is holds, but it is not all: what is missing, in words."""


class NothingError(Exception):
    """There is nothing for a step to check; why, in words."""


def inert(text: str) -> str:
    """``text``, which may be anybody's, as printable ASCII of at most 200 characters."""
    return ascii(text)[1:-1][:200]

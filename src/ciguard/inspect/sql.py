"""SQL statements anywhere in a text (first form, by patterns)."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Statement:
    """A statement that begins at ``start`` and ends before ``end`` (characters of the text)."""

    kind: str
    has_where: bool
    start: int
    end: int


def find_statements(text: str) -> list[Statement]:
    """Every statement found in ``text``, in order."""
    raise NotImplementedError(text)

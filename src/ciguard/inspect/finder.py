"""Where in a text a set of expressions may have matched: one pass for all of them.

Two engines stand behind :class:`Finder`. Hyperscan (https://intel.github.io/hyperscan/dev-reference/) searches for all
expressions at once. Where it is not to be had, RE2 tells which expressions occur, and whoever asks searches for itself.
They give different hints and never different results: whatever a hint leads to is confirmed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from ciguard.inspect.compiled import compiled

Hint = tuple[int, int, int]
"""The number of an expression, and the first and last offset between which it ended; or may have, somewhere."""

RE2_MEMORY = 256 * 1024 * 1024
"""Bytes that RE2 may take for the union of all expressions."""


class Finder(Protocol):
    """Searches for a fixed set of expressions over bytes."""

    def hints(self, data: bytes) -> list[Hint]:
        """At least one hint for every place where an expression ends in ``data``."""


def finder(expressions: Sequence[bytes]) -> Finder:
    """The fastest finder that this platform has; which one makes no difference to what is found."""
    if not expressions:
        return Nothing()
    try:
        return HyperscanFinder(expressions)
    except ImportError:
        return Re2Finder(expressions)


class Nothing:
    """Searches for nothing."""

    def hints(self, data: bytes) -> list[Hint]:
        """See :class:`Finder`."""
        return []


class HyperscanFinder:
    """Searches with Hyperscan, or its portable continuation Vectorscan."""

    def __init__(self, expressions: Sequence[bytes]) -> None:
        self._database = compiled(expressions)

    def hints(self, data: bytes) -> list[Hint]:
        """See :class:`Finder`."""
        found: list[Hint] = []
        self._database.scan(data, _matched, 0, found)
        return found


def _matched(number: int, _start: int, end: int, _flags: int, found: Any) -> None:
    found.append((number, end, end))


class Re2Finder:
    """Searches with RE2: first for any of the expressions, then for each."""

    def __init__(self, expressions: Sequence[bytes]) -> None:
        self._any = _search(b"|".join(b"(?:" + one + b")" for one in expressions))
        self._each = [_search(one) for one in expressions]

    def hints(self, data: bytes) -> list[Hint]:
        """See :class:`Finder`."""
        if self._any(data) is None:
            return []
        return [(number, 0, len(data)) for number, one in enumerate(self._each) if one(data) is not None]


def _search(expression: bytes) -> Callable[[bytes], Any]:
    import re2

    options = re2.Options()
    options.encoding = re2.Options.Encoding.LATIN1
    options.max_mem = RE2_MEMORY
    search: Callable[[bytes], Any] = re2.compile(expression, options).search
    return search

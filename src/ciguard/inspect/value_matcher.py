"""Recognising secrets by value, in any common form, also when they were cut.

All is reduced to literals (see :func:`~ciguard.inspect.known_value.literals`) that one pass finds. What begins like the
value is masked from its first character where a word begins. Else a literal is masked from its fourth character on: a
cut value can begin with any of its characters, and a stream would have to hold back nearly every text for its last one.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby

from ciguard.inspect.finder import Finder, Hint, finder
from ciguard.inspect.known_value import KnownValue
from ciguard.inspect.pattern import rendered_set
from ciguard.inspect.projection import projected
from ciguard.inspect.span import Span

LEFT = 3
"""Characters at the beginning of a literal that are left where it does not begin a word."""

HEAD = LEFT + 1
"""Characters of a literal with which it counts as begun."""

PRIORITY = -1
"""A known value goes before what rules find at the same place."""

_WORD = frozenset(b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz")


@dataclass(frozen=True, slots=True)
class _Literal:
    text: str = field(repr=False)
    data: bytes = field(repr=False)
    begins: bool
    known: KnownValue

    def masked_from(self, data: bytes, start: int) -> int:
        """Where masking begins for this literal at ``start`` of ``data``."""
        begins = self.begins and not (start and data[start - 1] in _WORD)
        return start if begins else start + LEFT


class ValueMatcher:
    """A :class:`~ciguard.inspect.matching.Matcher` for literals of known values."""

    def __init__(
        self,
        literals: Iterable[tuple[str, bool, KnownValue]],
        finder_of: Callable[[Sequence[bytes]], Finder] = finder,
    ) -> None:
        """``literals`` are texts, whether each begins a value, and whose they are."""
        unique: dict[str, _Literal] = {}
        for text, begins, known in literals:
            if text not in unique or (begins and not unique[text].begins):
                unique[text] = _Literal(text, projected(text), begins, known)
        self._literals = sorted(unique.values(), key=lambda one: one.data)
        heads = [(head, list(same)) for head, same in groupby(self._literals, key=lambda one: one.data[:HEAD])]
        self._headed = [same for _, same in heads]
        self._finder = finder_of([_escaped(head) for head, _ in heads])
        self._opened: tuple[bytes, list[Hint]] = b"", []
        beginnings = {one.data[:length] for one in self._literals if one.begins for length in range(1, HEAD)}
        self._beginnings = tuple(beginnings)
        self._longest = max((len(one.data) for one in self._literals), default=0)

    def hints(self, data: bytes) -> Sequence[Hint]:
        """See :class:`~ciguard.inspect.matching.Matcher`."""
        opened, hints = self._opened
        if opened is data:
            return hints
        hints = self._finder.hints(data)
        # Ordinary words begin like a piece of a value: few of them go on like it.
        return [hint for hint in hints if any(self._found(data, 0, (hint,)))] if hints else hints

    def find(self, text: str, data: bytes, begin: int, hints: Sequence[Hint]) -> Collection[Span]:
        """See :class:`~ciguard.inspect.matching.Matcher`."""
        return [
            Span(one.masked_from(data, start), start + len(one.data), one.known.kind, one.known.value, start, PRIORITY)
            for one, start in self._found(data, begin, hints)
            if text.startswith(one.text, start)
        ]

    def _found(self, data: bytes, begin: int, hints: Sequence[Hint]) -> Iterator[tuple[_Literal, int]]:
        for number, first, last in hints:
            head = self._headed[number]
            for start in _occurrences(head[0].data[:HEAD], data, max(begin, first - HEAD), last):
                for one in head:
                    if data.startswith(one.data, start):
                        yield one, start

    def open_from(self, data: bytes) -> tuple[int, int] | None:
        """See :class:`~ciguard.inspect.matching.Matcher`."""
        hints = self._finder.hints(data)
        # A stream reads the same text for what is whole in it next.
        self._opened = data, hints
        if not hints and not data.endswith(self._beginnings):
            return None
        length = len(data)
        # A literal that is masked from its fourth character on may have begun without being held for it.
        masked, origin = length, max(1, length - LEFT)
        low = max(1, length - self._longest + 1)
        for number, first, last in hints:
            head = self._headed[number]
            for start in _occurrences(head[0].data[:HEAD], data, max(low, first - HEAD), last):
                for one in head:
                    if len(one.data) > length - start and one.data.startswith(data[start:]):
                        masked = min(masked, one.masked_from(data, start))
                        origin = min(origin, start)
        for count in range(1, min(HEAD, length)):
            if data[-count:] in self._beginnings and data[-count - 1] not in _WORD:
                masked, origin = min(masked, length - count), min(origin, length - count)
        return masked, min(origin, masked)


def _occurrences(literal: bytes, data: bytes, low: int, high: int) -> Iterator[int]:
    """Where ``literal`` stands in ``data`` between ``low`` and ``high``."""
    start = data.find(literal, low, high)
    while start >= 0:
        yield start
        start = data.find(literal, start + 1, high)


def _escaped(data: bytes) -> bytes:
    return b"".join(rendered_set(1 << byte) for byte in data)

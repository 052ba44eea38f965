"""Reading request bodies of which most was read before.

An agent resends its whole conversation with every request and adds to its end. What a body has in common with an
earlier one, from the first byte on, is JSON that was read already: the items of the conversation that end within it are
taken over as they are, and only what follows is read, as if those items had never been there. What stands around the
conversation, such as the definitions of tools, is mostly that of an earlier body too: then only the conversation is
read. The outcome is that of :func:`ciguard.codecs.document.split`: the same parts, byte for byte, and the same bodies
refused.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections import deque

import msgspec

from ciguard.codecs.document import BEFORE_VALUE, Document, Part, refuse_many, split, split_items

KEPT = 4
"""Earlier bodies that a new one is compared with, one for each conversation: an agent may lead several at a time."""

LONGEST_KEPT = 8 * 1024 * 1024
"""Bytes of a body that is kept."""

LONGEST_FRAME = 1024 * 1024
"""Bytes around a conversation that are kept."""

_BETWEEN = re.compile(rb"[ \t\n\r]*,[ \t\n\r]*(?=[^ \t\n\r\],])")
_SPACE = re.compile(rb"[ \t\n\r,]*")
_CHUNK = 65_536


class _Read(msgspec.Struct, frozen=True, eq=False):
    """A body that was read: where its list begins (behind the bracket), where each item ends, and the parts before."""

    raw: bytes
    parts: tuple[Part, ...]
    begin: int
    ends: tuple[int, ...]
    before: int


class _Frame(msgspec.Struct, frozen=True, eq=False):
    """What stands around the items of a list: the bytes up to the first one and from the last one on, and the parts.

    Whatever is read as the items of a list alone is read alike between them: a parser has come to the same place.
    """

    head: bytes
    tail: bytes
    before: tuple[Part, ...]
    after: tuple[Part, ...]


class Rereader:
    """Reads the bodies of one connection; ``listed`` is the key of the conversation."""

    def __init__(self, listed: str) -> None:
        self._listed = listed
        self._kept: deque[_Read] = deque(maxlen=KEPT)
        self._frames: deque[_Frame] = deque(maxlen=KEPT)

    def split(self, raw: bytes) -> Document:
        """See :func:`ciguard.codecs.document.split`."""
        earlier, items = self._most_in_common(raw)
        resumed = None if earlier is None else self._resumed(raw, earlier, items)
        if resumed is None:
            document, begin = self._split(raw)
            read = _read(raw, document.parts, begin)
        else:
            document, read = resumed
        if read is not None and len(raw) <= LONGEST_KEPT:
            if earlier is not None and items >= len(earlier.ends) - 2:
                self._kept.remove(earlier)  # the same conversation, which goes on
            self._kept.appendleft(read)
        return document

    def _split(self, raw: bytes) -> tuple[Document, int | None]:
        """``raw`` read, and where its list begins if it has items and that can be told."""
        for frame in self._frames:
            if (document := self._within(raw, frame)) is not None:
                return document, len(frame.head)
        document = split(raw, self._listed)
        items = [place for place, part in enumerate(document.parts) if part.item]
        if not items:
            return document, None
        before, after = document.parts[: items[0]], document.parts[items[-1] + 1 :]
        begin = _list_begin(raw, before)
        if begin is not None:
            *_, end = _ends(raw, begin, [document.parts[place].raw for place in items])
            if begin + len(raw) - end <= LONGEST_FRAME:
                self._frames.appendleft(_Frame(raw[:begin], raw[end:], before, after))
        return document, begin

    def _within(self, raw: bytes, frame: _Frame) -> Document | None:
        """``raw`` with only what is within ``frame`` read; None when that is not there, or not the items of a list."""
        if not (raw.startswith(frame.head) and raw.endswith(frame.tail)):
            return None
        within = split_items(b"[" + raw[len(frame.head) : len(raw) - len(frame.tail)] + b"]", self._listed)
        if within is None:
            return None
        items, values = within
        parts = (*frame.before, *items, *frame.after)
        refuse_many(len(parts) + 1)  # the list itself is one of the fields
        return Document(raw, parts, values, len(frame.before))

    def _most_in_common(self, raw: bytes) -> tuple[_Read | None, int]:
        """The earlier body of which most items can be taken over into ``raw``, if any can, and how many."""
        best, most = None, 0
        for read in self._kept:
            # What ends an item must be common too: 1 is the beginning of 12. The last one in common is read once more,
            # so that an item follows those that are taken over, as one followed them before.
            items = bisect_left(read.ends, _common(read.raw, raw)) - 1
            if items > most:
                best, most = read, items
        return best, most

    def _resumed(self, raw: bytes, best: _Read, most: int) -> tuple[Document, _Read] | None:
        """``raw`` with the first ``most`` items of ``best`` taken over; None when no item follows them."""
        between = _BETWEEN.match(raw, best.ends[most - 1])
        if between is None:
            return None
        rest, _ = self._split(raw[: best.begin] + raw[between.end() :])
        new = rest.parts[best.before :]
        parts = (*best.parts[: best.before + most], *new)
        refuse_many(len(parts) + 1)  # the list itself is one of the fields
        ends = _ends(raw, between.end(), [part.raw for part in new if part.item])
        read = _Read(raw, parts, best.begin, (*best.ends[:most], *ends), best.before)
        first = max(rest.first, best.before)
        return Document(raw, parts, rest.values[first - rest.first :], first + most), read


def _read(raw: bytes, parts: tuple[Part, ...], begin: int | None) -> _Read | None:
    """Where the items of a body with these ``parts`` are; None when it has so few that none can be taken over."""
    items = [part.raw for part in parts if part.item]
    if len(items) < 2 or begin is None:
        return None
    before = next(place for place, part in enumerate(parts) if part.item)
    return _Read(raw, parts, begin, tuple(_ends(raw, begin, items)), before)


def _list_begin(raw: bytes, before: tuple[Part, ...]) -> int | None:
    """The index behind the bracket that opens the list; None where it is not behind the values ``before``."""
    place = 0
    for value in (*(part.raw for part in before), b"["):
        name = BEFORE_VALUE.match(raw, place)
        if name is None or not raw.startswith(value, name.end()):
            return None
        place = name.end() + len(value)
    return place


def _ends(raw: bytes, place: int, items: list[bytes]) -> list[int]:
    """Where each of ``items``, which stand one after the other from ``place`` on, ends in ``raw``."""
    ends: list[int] = []
    for item in items:
        between = _SPACE.match(raw, place)
        place = (between.end() if between else place) + len(item)
        ends.append(place)
    return ends


def _common(left: bytes, right: bytes) -> int:
    """How many bytes both begin with."""
    other = memoryview(right)
    length = min(len(left), len(right))
    start = 0
    while start < length and left.startswith(other[start : start + _CHUNK], start):
        start += _CHUNK
    low, high = min(start, length), min(start + _CHUNK, length)
    while low < high:
        middle = (low + high + 1) // 2
        if left.startswith(other[low:middle], low):
            low = middle
        else:
            high = middle - 1
    return low

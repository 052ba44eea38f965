"""What the events of one text have in common: the bytes around what differs from one to the next.

Theory of operation. Most events of a stream are the one before with another text; some also count, or bring padding.
Where two events differ in nothing but whole JSON strings and integers, what they have in common is a *mould*, and what
differs are its *holes*. A mould is proven before it is used: with other strings and numbers in its holes, it reads as
the same event with just these in the places that may differ, so it is there that JSON strings and numbers begin and
end. What has the same bytes around a string or an integer for each hole is then the same event with other content, and
need not be read: what else is in it was looked at before.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from ciguard.codecs.document import parse
from ciguard.codecs.error import WireError
from ciguard.codecs.held_event import HeldEvent
from ciguard.codecs.sse import interpreted
from ciguard.operation import Json

Path = tuple[str | int, ...]

_Reading = Callable[[bytes], str | None]

LONGEST = 16 * 1024
"""Bytes of an event for which a mould is made."""

MOST_DIGITS = 15
"""Digits of integers that every reader of JSON takes exactly."""

_CHARACTERS = rb'(?:[^"\\\x00-\x1f]++|\\["\\/bfnrt]|\\u[0-9A-Fa-f]{4})*+'
"""What can stand between the quotes of a JSON string (RFC 8259, section 7)."""

_STRING = re.compile(_CHARACTERS)
_TOKEN = re.compile(b'"' + _CHARACTERS + rb'"|[0-9]+|[^"0-9]+|"')


@dataclass(frozen=True, slots=True)
class Mould:
    """``before`` is what events begin with; to each hole belong what reads its content and what follows it.

    ``text`` and ``paddings`` are the places of the holes that hold strings: the text, which ``path`` leads to in an
    event's data, and those that only their own masking concerns.
    """

    before: bytes
    holes: tuple[tuple[_Reading, bytes], ...]
    text: int
    paddings: tuple[int, ...]
    path: Path

    def strings(self, raw: bytes) -> tuple[str, list[str]] | None:
        """The text and the paddings of the event ``raw``; None when it is not of this mould."""
        if not raw.startswith(self.before):
            return None
        start = len(self.before)
        found = []
        for read, after in self.holes:
            end = raw.find(after, start)
            if end < 0 or (content := read(raw[start:end])) is None:
                return None
            found.append(content)
            start = end + len(after)
        if start != len(raw):
            return None
        return found[self.text], [found[place] for place in self.paddings] if self.paddings else []

    def event_of(self, raw: bytes) -> tuple[HeldEvent, dict[str, Json]]:
        """The event ``raw``, which is of this mould, and the object in it that has the text."""
        event = _read(raw)
        holder: Any = event.data
        for step in self.path[:-1]:
            holder = holder[step]
        return event, holder


def mould_of(event: HeldEvent, text: Path, raw: bytes, varying: Collection[str]) -> Mould | None:
    """The mould of ``event`` and the event ``raw``; None if they have none in common.

    They have to differ in the text, to which the path ``text`` leads, and otherwise only below the top-level keys
    ``varying``. And they have to end with a line feed, so that they are known to be whole whatever follows.
    """
    if max(len(event.raw), len(raw)) > LONGEST or not raw.endswith(b"\n"):
        return None
    pieces, others = _TOKEN.findall(event.raw), _TOKEN.findall(raw)
    if len(pieces) != len(others):
        return None
    fixed, readings, probes = [b""], list[_Reading](), list[str | int]()
    for piece, other in zip(pieces, others, strict=True):
        if piece == other:
            fixed[-1] += piece
        elif piece.isdigit():
            readings.append(_number)
            probes.append(90170 + len(probes))
            fixed.append(b"")
        elif len(piece) > 1 and piece.startswith(b'"'):
            readings.append(_string)
            probes.append(f"another text 9d1f0c7e {len(probes)}")
            fixed[-1] += b'"'
            fixed.append(b'"')
        else:
            return None
    probed = b"".join(part + str(probe).encode() for part, probe in zip(fixed, [*probes, ""], strict=True))
    paths = _paths(probes, event, probed)
    if text not in paths or any(path[0] not in varying for path in paths if path != text):
        return None
    paddings = (place for place, read in enumerate(readings) if read is _string and paths[place] != text)
    mould = Mould(fixed[0], tuple(zip(readings, fixed[1:], strict=True)), paths.index(text), tuple(paddings), text)
    return mould if mould.strings(event.raw) and mould.strings(raw) else None


def _paths(probes: Sequence[str | int], event: HeldEvent, probed: bytes) -> list[Path]:
    """Where the event ``probed`` has each of ``probes``, if it is ``event`` but for these; else nothing."""
    try:
        read = _read(probed)
    except WireError:
        return []
    differences = list(_differences(event.data, read.data, ()))
    found = [(type(value), value) for _, value in differences]
    if read.name != event.name or found != [(type(probe), probe) for probe in probes]:
        return []
    return [path for path, _ in differences]


def _differences(one: Json, other: Json, path: Path) -> Iterator[tuple[Path, Json]]:
    """Where ``other`` is not like ``one``, in the order in which it is written, and what it has there."""
    if isinstance(one, dict) and isinstance(other, dict) and one.keys() == other.keys():
        for key, value in one.items():
            yield from _differences(value, other[key], (*path, key))
    elif isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        for place, value in enumerate(one):
            yield from _differences(value, other[place], (*path, place))
    elif type(one) is not type(other) or one != other:
        yield path, other


def _read(raw: bytes) -> HeldEvent:
    """Raises :class:`WireError` when the data is no JSON object."""
    read = interpreted(raw, raw.decode("utf-8"))
    data = parse(read.data)
    if not isinstance(data, dict):
        raise WireError("an event of the stream is not a JSON object")
    return HeldEvent(raw, read.name, data)


def _string(raw: bytes) -> str | None:
    """The JSON string that ``raw`` is between its quotes; None if it is none."""
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        return None
    # What is printable has no control characters.
    if text.isprintable() and '"' not in text and "\\" not in text:
        return text
    return str(parse(b'"' + raw + b'"')) if _STRING.fullmatch(raw) else None


def _number(raw: bytes) -> str | None:
    """The digits of an integer; None if ``raw`` is none, or too long."""
    if not raw.isdigit() or len(raw) > MOST_DIGITS or (raw.startswith(b"0") and raw != b"0"):
        return None
    return raw.decode()

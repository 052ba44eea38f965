"""The latest event of a stream, by which the next is known when it is the same with another text, as most events are.

Theory of operation. The bytes of an event around its text are a *mould*. It is proven before it is used: with some
other text in it, it reads as the same event with that text in the same place, so it is there that a JSON string begins
and ends. What has the same bytes around characters that stand for themselves in JSON and end no line is then the same
event with another text, and need not be read: what else is in it was looked at before.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any

from ciguard.codecs.document import parse
from ciguard.codecs.error import WireError
from ciguard.codecs.held_event import HeldEvent
from ciguard.codecs.sse import interpreted
from ciguard.operation import Json

_PLAIN = re.compile(rb'[^"\\\x00-\x1f]*')
_PROBE = "another text 9d1f0c7e"

_Path = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Mould:
    """What events have before and after their text, and where that is in their data: the path to an object."""

    before: bytes
    after: bytes
    path: _Path

    def text_of(self, raw: bytes) -> str | None:
        """The text of the event ``raw``; None when it is not of this mould."""
        start, end = len(self.before), len(raw) - len(self.after)
        if not (raw.startswith(self.before) and raw.endswith(self.after) and _PLAIN.fullmatch(raw, start, end)):
            return None
        try:
            return raw[start:end].decode("utf-8")
        except UnicodeDecodeError:
            return None

    def event_of(self, raw: bytes) -> tuple[HeldEvent, Any]:
        """The event ``raw``, which is of this mould, and the object in it that has the text."""
        read = interpreted(raw, raw.decode("utf-8"))
        data: Any = parse(read.data)
        holder = data
        for step in self.path:
            holder = holder[step]
        return HeldEvent(raw, read.name, data), holder


@dataclass(slots=True)
class Latest:
    """An event that is a piece of a text and nothing else: ``holder[name]``, of ``block`` in the passage ``key``.

    ``more`` takes the text of another such event in. ``has_left`` says that the event left at once, as it came.
    """

    event: HeldEvent
    key: tuple[Hashable, ...]
    block: Hashable
    holder: dict[str, Json]
    name: str
    more: Callable[[str], None]
    has_left: bool = False
    _mould: Mould | None = None

    def text_of(self, raw: bytes) -> str | None:
        """The text of the event ``raw`` when it is this event with that text; else None."""
        if self._mould is None and self.has_left:
            self._mould = _mould(self.event, self.holder, self.name, raw)
        return None if self._mould is None else self._mould.text_of(raw)

    def event_of(self, raw: bytes) -> tuple[HeldEvent, dict[str, Json]]:
        """Such an event, and the object that has its text."""
        if self._mould is None:
            raise AssertionError(self)
        return self._mould.event_of(raw)


def _mould(event: HeldEvent, holder: dict[str, Json], name: str, raw: bytes) -> Mould | None:
    """The mould of ``event`` around ``holder[name]``, a string, if that has one and ``raw`` is of it."""
    text = holder[name]
    before, found, after = event.raw.partition(f'"{text}"'.encode("utf-8", "surrogatepass"))
    mould = Mould(before + b'"', b'"' + after, _path(event.data, holder))
    if not found or mould.text_of(raw) is None or _PROBE.encode() in event.raw:
        return None
    holder[name] = _PROBE
    try:
        probed, _ = mould.event_of(mould.before + _PROBE.encode() + mould.after)
        return mould if (probed.name, probed.data) == (event.name, event.data) else None
    except (WireError, LookupError, TypeError):
        return None
    finally:
        holder[name] = text


def _path(data: Json, holder: dict[str, Json]) -> _Path:
    """The way from ``data`` to the object ``holder`` in it."""
    pending: list[tuple[_Path, Json]] = [((), data)]
    while True:
        path, here = pending.pop()
        if here is holder:
            return path
        if isinstance(here, dict):
            pending += [((*path, key), inner) for key, inner in here.items()]
        elif isinstance(here, list):
            pending += [((*path, place), inner) for place, inner in enumerate(here)]

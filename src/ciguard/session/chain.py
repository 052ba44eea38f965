"""The log format: canonical JSON lines, each carrying the SHA-256 of the line before it.

Theory of operation. A log is a sequence of lines. A line is one JSON object in canonical form: UTF-8, keys sorted
by code point, no space outside strings, no escapes but those JSON requires, no fractions. It carries ``seq`` (0, 1,
2, ...), ``time`` (RFC 3339, UTC, milliseconds), ``type``, and ``previous``: the SHA-256 in hex of the bytes of the
line before it without its newline, or 64 zeros in the first line. Changing, removing, inserting or moving a line
therefore breaks the chain at the next line at the latest, and the hash of the last line (the head) fixes the whole
log. ``link`` makes the next line of a log; ``ChainReader`` reads lines back and names the first thing that is wrong.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import TypeAlias

import msgspec

from ciguard.operation import Json
from ciguard.session.canonical import canonical, spell
from ciguard.session.event import Event, EventType, event_from

GENESIS = "0" * 64
"""What the first line names as its predecessor."""

MAX_LINE_BYTES = 16 * 1024 * 1024
"""A line longer than this is not read."""

CHAIN_KEYS = frozenset({"seq", "time", "type", "previous"})
"""The keys that the chain itself gives to every event."""

Clock: TypeAlias = Callable[[], int]
"""Tells the time in nanoseconds since 1970 began in UTC, as ``time.time_ns`` does."""

_TYPES = tuple(EventType)
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")


class Position(msgspec.Struct, frozen=True, gc=False):
    """How many lines a log has, and the hash of its last line."""

    count: int = 0
    head: str = GENESIS


@dataclass(frozen=True, slots=True)
class Damage:
    """The first thing that is wrong with a log: at which line (from 1), which ``seq`` belongs there, and what."""

    line: int
    seq: int
    what: str

    def __str__(self) -> str:
        return f"line {self.line} (event {self.seq}): {self.what}"


def timestamp(moment: int) -> str:
    """What a ``Clock`` told as the log spells it, such as ``2026-11-21T09:30:00.125Z``."""
    return _spelt(moment // 1_000_000)


# Of the events of one request most fall into the same second, and many into the same millisecond.
@lru_cache(maxsize=1)
def _spelt(milliseconds: int) -> str:
    second, rest = divmod(milliseconds, 1000)
    return f"{_second_spelt(second)}.{rest:03}Z"


@lru_cache(maxsize=1)
def _second_spelt(second: int) -> str:
    return datetime.fromtimestamp(second, UTC).replace(tzinfo=None).isoformat()


def link(position: Position, event: Event) -> tuple[bytes, Position]:
    """The line (without newline) that says ``event`` after ``position``, and where the log stands with it.

    ``event``, which has its time already, gets its place. Raises ``ValueError`` for a line too long or with too deep
    values.
    """
    event.seq = position.count
    event.previous = position.head
    line = spell(event)
    if len(line) > MAX_LINE_BYTES:
        raise ValueError(f"the event is longer than {MAX_LINE_BYTES} bytes")
    return line, Position(position.count + 1, hashlib.sha256(line).hexdigest())


class ChainReader:
    """Reads the lines of a log in order. ``damage`` is the first thing wrong, ``position`` the end of what holds."""

    def __init__(self) -> None:
        self.position = Position()
        self.damage: Damage | None = None
        self._line = 0

    def feed(self, line: bytes) -> dict[str, Json] | None:
        """The event of the next line (bytes without newline), or None when it is not a whole event; see ``damage``.

        Lines after the first damage are still parsed, so that they can be shown, but nothing vouches for them.
        """
        self._line += 1
        event, what = _parse(line)
        malformed = what or _malformed(event)
        if self.damage is None:
            what = malformed or _misplaced(event, self.position)
            if what:
                self.report(what)
            else:
                self.position = Position(self.position.count + 1, hashlib.sha256(line).hexdigest())
        return None if malformed else event

    def report(self, what: str) -> None:
        """Note ``what`` is wrong with the line at hand, unless something was wrong before."""
        if self.damage is None:
            self.damage = Damage(max(self._line, 1), self.position.count, what)


def _parse(line: bytes) -> tuple[dict[str, Json], str]:
    """The event, and what is wrong with its spelling; an empty event when it cannot be read at all."""
    if len(line) > MAX_LINE_BYTES:
        return {}, f"the line is longer than {MAX_LINE_BYTES} bytes"
    try:
        event = json.loads(line.decode())
    except (ValueError, RecursionError):
        return {}, "the line is not JSON"
    if not isinstance(event, dict):
        return {}, "the line is not a JSON object"
    try:
        spelt = canonical(event)
    except ValueError as error:
        return event, str(error)
    return event, "" if spelt == line else "the line is not in canonical form"


def _malformed(event: Mapping[str, Json]) -> str:
    if type(event.get("seq")) is not int:
        return "seq is not an integer"
    if event.get("type") not in _TYPES:
        return f"the event type {_brief(event.get('type'))} is not known"
    time = event.get("time")
    if not isinstance(time, str) or not _is_time(time):
        return "time is not an RFC 3339 time in UTC with milliseconds"
    try:
        event_from(event)
    except ValueError as error:
        return f"the fields are not those of {event['type']}: {ascii(str(error))[1:-1][:200]}"
    return ""


def _misplaced(event: Mapping[str, Json], position: Position) -> str:
    if event["seq"] != position.count:
        return f"seq is {_brief(event['seq'])}, expected {position.count}: events were removed, inserted or moved"
    if event.get("previous") != position.head:
        return "previous is not the hash of the line before: an event was changed, removed, inserted or moved"
    return ""


def _is_time(text: str) -> bool:
    if not _TIME.fullmatch(text) or not text.isascii():
        return False
    try:
        datetime.fromisoformat(text)
    except ValueError:
        return False
    return True


def _brief(value: Json) -> str:
    return ascii(value)[:60]

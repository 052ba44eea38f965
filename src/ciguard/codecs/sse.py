"""Server-sent events, as the model APIs use them.

Source: WHATWG HTML, section 9.2.6, "Interpreting an event stream".
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from ciguard.codecs.error import WireError

LONGEST_EVENT = 32 * 1024 * 1024
"""Bytes that one event may have."""

_BLANK_LINE = re.compile(rb"\r\r|(?:\r\n|\n)(?:\r\n|\n|\r(?=[^\n]))")
"""An empty line with the line end before it.

A carriage return that ends it is complete only when the next byte is known not to be a line feed.
"""


@dataclass(frozen=True, slots=True)
class ServerSentEvent:
    """One event: its exact bytes with the blank line that ends it, its name, its data (lines joined), and the rest.

    ``other`` holds the lines that are neither: comments, ``id``, ``retry``, and fields nobody knows.
    """

    raw: bytes
    name: str
    data: str
    other: str = ""


class EventParser:
    """Cuts a byte stream into events; bytes may be cut anywhere, inside a UTF-8 sequence or a line end too.

    ``held`` is what came of an event that is not complete.
    """

    def __init__(self) -> None:
        self.held = bytearray()
        self._searched = 0
        self._first = True

    def feed(self, chunk: bytes) -> list[ServerSentEvent]:
        """Take bytes and return the events that they complete.

        Raises :class:`WireError` when an event is longer than :data:`LONGEST_EVENT` or not UTF-8.
        """
        return [self.read(raw) for raw in self.cut(chunk)]

    def cut(self, chunk: bytes) -> list[bytes]:
        """The same events as they came, for :meth:`read` to read in their order."""
        if not self.held and chunk.endswith(b"\n\n") and b"\r" not in chunk and b"\n\n\n" not in chunk:
            # Whole events, as nearly all chunks are.
            return [one + b"\n\n" for one in chunk[:-2].split(b"\n\n")]
        self.held += chunk
        events: list[bytes] = []
        while True:
            end = self._end_of_event()
            if end < 0:
                break
            events.append(bytes(self.held[:end]))
            del self.held[:end]
            self._searched = 0
        if len(self.held) > LONGEST_EVENT:
            raise WireError("an event of the stream is too long")
        self._searched = max(0, len(self.held) - 3)
        return events

    def read(self, raw: bytes) -> ServerSentEvent:
        """The event ``raw``. Raises :class:`WireError` when it is not UTF-8."""
        try:
            text = raw.decode("utf-8")
        except UnicodeDecodeError:
            raise WireError("the stream is not UTF-8") from None
        if self._first:
            text = text.removeprefix("\ufeff")
            self._first = False
        return interpreted(raw, text)

    def _end_of_event(self) -> int:
        match = _BLANK_LINE.search(self.held, self._searched)
        return match.end() if match else -1


def interpreted(raw: bytes, text: str) -> ServerSentEvent:
    """The event that ``text`` is, which came as ``raw``."""
    name = ""
    data: list[str] = []
    other: list[str] = []
    for line in text.replace("\r\n", "\n").replace("\r", "\n").split("\n"):
        key, _, value = line.partition(":")
        match key:
            case "data":
                data.append(value.removeprefix(" "))
            case "event":
                name = value.removeprefix(" ")
            case _:
                other.append(line)
    return ServerSentEvent(raw, name, "\n".join(data), "\n".join(other).strip())


def encode(name: str, data: str) -> bytes:
    """One event; ``name`` is left out when empty, ``data`` holds no line ends (JSON has none)."""
    return (f"event: {name}\n" if name else "").encode() + f"data: {data}\n\n".encode()

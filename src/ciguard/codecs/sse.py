"""Server-sent events, as the model APIs use them.

Source: WHATWG HTML, section 9.2.6, "Interpreting an event stream".
"""

from __future__ import annotations

from dataclasses import dataclass

from ciguard.codecs.error import WireError

LONGEST_EVENT = 32 * 1024 * 1024
"""Bytes that one event may have."""

_BLANK_LINES = (b"\n\n", b"\r\n\r\n", b"\r\r")


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
    """Cuts a byte stream into events; bytes may be cut anywhere, inside a UTF-8 sequence or a line end too."""

    def __init__(self) -> None:
        self._held = bytearray()
        self._searched = 0

    def feed(self, chunk: bytes) -> list[ServerSentEvent]:
        """Take bytes and return the events that they complete.

        Raises :class:`WireError` when an event is longer than :data:`LONGEST_EVENT` or not UTF-8.
        """
        self._held += chunk
        events: list[ServerSentEvent] = []
        while True:
            end = self._end_of_event()
            if end < 0:
                break
            events.append(_event(bytes(self._held[:end])))
            del self._held[:end]
            self._searched = 0
        if len(self._held) > LONGEST_EVENT:
            raise WireError("an event of the stream is too long")
        self._searched = max(0, len(self._held) - 3)
        return events

    def finish(self) -> bytes:
        """The stream has ended: return the bytes after the last whole event, which form no event."""
        rest = bytes(self._held)
        self._held.clear()
        return rest

    def _end_of_event(self) -> int:
        ends = [place + len(blank) for blank in _BLANK_LINES if (place := self._held.find(blank, self._searched)) >= 0]
        return min(ends, default=-1)


def _event(raw: bytes) -> ServerSentEvent:
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        raise WireError("the stream is not UTF-8") from None
    name = ""
    data: list[str] = []
    other: list[str] = []
    for line in text.replace("\r\n", "\n").replace("\r", "\n").split("\n"):
        key, _, value = line.removeprefix("\ufeff").partition(":")
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

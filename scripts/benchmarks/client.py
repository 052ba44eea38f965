"""A load client of one blocking socket: it costs little, so that what it times is the other side."""

from __future__ import annotations

import re
import select
import socket
import time
from dataclasses import dataclass
from urllib.parse import urlsplit

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_CHUNKED = re.compile(rb"\r\ntransfer-encoding: *chunked", re.IGNORECASE)
_CLOSE = re.compile(rb"\r\nconnection: *close", re.IGNORECASE)
_CHUNKED_END = b"0\r\n\r\n"


@dataclass(frozen=True, slots=True)
class Heard:
    """One answer: when its head was there and when all of it was, in seconds after the request's first byte was sent,
    and what arrived when, in nanoseconds of the monotonic clock."""

    first: float
    last: float
    arrivals: tuple[tuple[int, bytes], ...]


class Client:
    """Talks to one server over one connection that is kept; ``headers`` go with every request.

    Errors call the server ``name``.
    """

    def __init__(self, name: str, url: str, headers: dict[str, str]) -> None:
        self._name = name
        parts = urlsplit(url)
        self._address = (parts.hostname or "", parts.port or 80)
        lines = [f"POST {parts.path}/v1/messages HTTP/1.1", f"host: {parts.netloc}", "content-type: application/json"]
        lines += ["anthropic-version: 2023-06-01", *(f"{name}: {value}" for name, value in headers.items())]
        self._head = "\r\n".join(lines).encode()
        self._socket = self._connected()
        self._closing = False

    def _connected(self) -> socket.socket:
        made = socket.create_connection(self._address, timeout=60)
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return made

    def _renew(self) -> None:
        """Connect again if the server has closed the connection or said so; the time for that does not count."""
        if self._closing or select.select([self._socket], [], [], 0)[0]:
            self._socket.close()
            self._socket = self._connected()
            self._closing = False

    def close(self) -> None:
        """Drop the connection."""
        self._socket.close()

    def ask(self, body: bytes) -> Heard:
        """Post ``body`` and read the whole answer; anything but status 200 is an error."""
        request = b"%s\r\ncontent-length: %d\r\n\r\n%s" % (self._head, len(body), body)
        self._renew()
        arrivals: list[tuple[int, bytes]] = []
        received = bytearray()
        start = time.monotonic_ns()
        self._socket.sendall(request)
        while not _is_whole(received):
            data = self._socket.recv(262144)
            if not data:
                raise ConnectionError(
                    f"{self._name}: the answer broke off after {len(received)} bytes, {bytes(received[-500:])!r}"
                )
            arrivals.append((time.monotonic_ns(), data))
            received += data
        if not received.startswith(b"HTTP/1.1 200 "):
            raise ConnectionError(f"{self._name}: the answer was {bytes(received[:2000])!r}")
        self._closing = _CLOSE.search(received, 0, received.find(b"\r\n\r\n") + 2) is not None
        return Heard((arrivals[0][0] - start) / 1e9, (arrivals[-1][0] - start) / 1e9, tuple(arrivals))


def _is_whole(received: bytearray) -> bool:
    end = received.find(b"\r\n\r\n")
    if end < 0:
        return False
    length = _LENGTH.search(received, 0, end + 2)
    if length:
        return len(received) >= end + 4 + int(length[1])
    if _CHUNKED.search(received, 0, end + 2):
        return received.endswith(_CHUNKED_END)
    raise ConnectionError("the answer has neither a length nor chunks")

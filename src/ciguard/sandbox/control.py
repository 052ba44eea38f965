"""Messages between the guard and the launcher, over a stream of unix sockets: a length, a JSON object, descriptors.

The launcher runs on the bare standard library; so does everything that it imports.
"""

from __future__ import annotations

import json
import os
import socket
import struct
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

_HEAD = struct.Struct(">I")
MOST_DESCRIPTORS = 8
LONGEST = 64 * 1024 * 1024
"""Bytes of a message; the kernel takes no more than 6 MB of arguments and environment."""


class Closed(Exception):
    """The other side is gone."""


def packed(message: Mapping[str, Any]) -> bytes:
    """The bytes of a message without descriptors."""
    body = json.dumps(message).encode("ascii")
    return _HEAD.pack(len(body)) + body


def send(channel: socket.socket, message: dict[str, Any], descriptors: Sequence[int] = ()) -> None:
    """Send one message. Raises Closed."""
    data = packed(message)
    try:
        # The descriptors ride on the first bytes, which are there whenever they are.
        sent = socket.send_fds(channel, [data[: _HEAD.size]], list(descriptors)) if descriptors else 0
        channel.sendall(data[sent:])
    except (BrokenPipeError, ConnectionResetError):
        raise Closed from None


def receive(channel: socket.socket) -> tuple[dict[str, Any], list[int]]:
    """Wait for one message and its descriptors, which are not inheritable. Raises Closed, also on a broken message."""
    try:
        head, descriptors, _, _ = socket.recv_fds(channel, _HEAD.size, MOST_DESCRIPTORS)
        for descriptor in descriptors:
            # recv_fds takes flags and does not use them.
            os.set_inheritable(descriptor, False)
        head += _exactly(channel, _HEAD.size - len(head)) if head else b""
        if not head:
            raise Closed
        return _parsed(_exactly(channel, _length(head))), descriptors
    except ConnectionResetError:
        raise Closed from None


class Incoming:
    """Messages without descriptors, from their bytes as they come."""

    def __init__(self) -> None:
        self._bytes = bytearray()

    def feed(self, data: bytes) -> Iterator[dict[str, Any]]:
        """Take what was received; yields each message that is complete. Raises Closed at the end, or a broken one."""
        if not data:
            raise Closed
        self._bytes += data
        while len(self._bytes) >= _HEAD.size:
            end = _HEAD.size + _length(self._bytes[: _HEAD.size])
            if len(self._bytes) < end:
                return
            body = bytes(self._bytes[_HEAD.size : end])
            del self._bytes[:end]
            yield _parsed(body)


def _length(head: bytes | bytearray) -> int:
    (length,) = _HEAD.unpack(head)
    if length > LONGEST:
        raise Closed
    return int(length)


def _parsed(body: bytes) -> dict[str, Any]:
    try:
        message = json.loads(body)
    except ValueError:
        raise Closed from None
    if not isinstance(message, dict):
        raise Closed
    return message


def _exactly(channel: socket.socket, count: int) -> bytes:
    received = bytearray()
    while len(received) < count:
        chunk = channel.recv(min(count - len(received), 1 << 20))
        if not chunk:
            raise Closed
        received += chunk
    return bytes(received)

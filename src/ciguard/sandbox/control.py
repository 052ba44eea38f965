"""Messages between the guard and the launcher, over a stream of unix sockets: a length, a JSON object, descriptors.

The launcher runs on the bare standard library; so does everything that it imports.
"""

from __future__ import annotations

import json
import os
import socket
import struct
from collections.abc import Sequence
from typing import Any

_HEAD = struct.Struct(">I")
MOST_DESCRIPTORS = 8
LONGEST = 64 * 1024 * 1024
"""Bytes of a message; the kernel takes no more than 6 MB of arguments and environment."""


class Closed(Exception):
    """The other side is gone."""


def send(channel: socket.socket, message: dict[str, Any], descriptors: Sequence[int] = ()) -> None:
    """Send one message. Raises Closed."""
    body = json.dumps(message).encode("ascii")
    try:
        # The descriptors ride on the head, whose first byte is there whenever they are.
        sent = socket.send_fds(channel, [_HEAD.pack(len(body))], list(descriptors))
        channel.sendall(_HEAD.pack(len(body))[sent:] + body)
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
        (length,) = _HEAD.unpack(head)
        if length > LONGEST:
            raise Closed
        message = json.loads(_exactly(channel, length))
    except (ConnectionResetError, ValueError):
        raise Closed from None
    if not isinstance(message, dict):
        raise Closed
    return message, descriptors


def _exactly(channel: socket.socket, count: int) -> bytes:
    received = bytearray()
    while len(received) < count:
        chunk = channel.recv(min(count - len(received), 1 << 20))
        if not chunk:
            raise Closed
        received += chunk
    return bytes(received)

"""Messages between the guard and the launcher, as bytes and over a socket."""

from __future__ import annotations

import json
import os
import socket
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ciguard.sandbox.control import LONGEST, Closed, Incoming, receive, send

MESSAGES = st.lists(st.dictionaries(st.text(max_size=5), st.integers() | st.text(max_size=20), max_size=3), max_size=5)


def packed(message: Any) -> bytes:
    """The bytes of a message."""
    body = json.dumps(message).encode()
    return struct.pack(">I", len(body)) + body


@given(MESSAGES, st.integers(1, 40))
def test_messages_are_the_same_however_their_bytes_come(messages: list[dict[str, Any]], size: int) -> None:
    data = b"".join(map(packed, messages))
    incoming = Incoming()
    pieces = (data[at : at + size] for at in range(0, len(data), size))
    assert [message for piece in pieces for message in incoming.feed(piece)] == messages


@pytest.mark.parametrize(
    "data",
    [b"", packed([]), packed("x"), struct.pack(">I", 2) + b"{]", struct.pack(">I", LONGEST + 1), b"\xff\xff\xff\xff"],
)
def test_what_is_no_message_ends_it(data: bytes) -> None:
    with pytest.raises(Closed):
        list(Incoming().feed(data))


def test_what_came_before_a_broken_message_is_heard() -> None:
    incoming = Incoming().feed(packed({"exited": 0}) + packed([]))
    assert next(incoming) == {"exited": 0}
    with pytest.raises(Closed):
        next(incoming)


@pytest.mark.parametrize("count", [0, 1, 3])
def test_descriptors_come_with_their_message(count: int) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        send(ours, {"first": 1}, [0] * count)
        send(ours, {"second": "x" * 1000})
        message, descriptors = receive(theirs)
        for descriptor in descriptors:
            assert not os.get_inheritable(descriptor)
            os.close(descriptor)
        assert (message, len(descriptors)) == ({"first": 1}, count)
        assert receive(theirs) == ({"second": "x" * 1000}, [])
        ours.close()
        with pytest.raises(Closed):
            receive(theirs)

"""A model service that does no work: fixed bytes for every request, so that what is measured is the way to it.

Run as a program it prints its port. A request whose JSON says ``"stream": true`` gets ``EVENTS`` server-sent events,
one every ``PACE`` seconds; the text of each says when it was sent, in nanoseconds of the monotonic clock.
"""

from __future__ import annotations

import asyncio
import json
import re
import time
from typing import cast

import uvloop

EVENTS = 500
PACE = 0.002

_USAGE = {"input_tokens": 10, "output_tokens": 10}
_MESSAGE = {"id": "msg_01", "type": "message", "role": "assistant", "model": "claude-sonnet-4-6", "stop_sequence": None}
_WORDS = {"type": "text", "text": "The function returns early when the list is empty, so nothing is written. " * 5}
_WHOLE = json.dumps({**_MESSAGE, "content": [_WORDS], "stop_reason": "end_turn", "usage": _USAGE}).encode()
_ANSWER = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%s" % (len(_WHOLE), _WHOLE)
_STREAM_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
_STREAMED = re.compile(rb'"stream": ?true')
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_CHUNKED_END = b"\r\n0\r\n\r\n"


def _event(name: str, **fields: object) -> bytes:
    data = f"event: {name}\ndata: {json.dumps({'type': name, **fields})}\n\n".encode()
    return b"%x\r\n%s\r\n" % (len(data), data)


_FIRST = _event("message_start", message={**_MESSAGE, "content": [], "stop_reason": None, "usage": _USAGE})
_OPENING = _event("content_block_start", index=0, content_block={"type": "text", "text": ""})
_CLOSING = _event("content_block_stop", index=0)
_ENDING = _event("message_delta", delta={"stop_reason": "end_turn", "stop_sequence": None}, usage=_USAGE)
_LAST = _event("message_stop") + b"0\r\n\r\n"


class Service(asyncio.Protocol):
    """One connection, one request at a time."""

    def __init__(self) -> None:
        self._received = bytearray()
        self._transport: asyncio.Transport | None = None
        self._stream: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        if self._stream is not None:
            self._stream.cancel()

    def data_received(self, data: bytes) -> None:
        self._received += data
        end = self._received.find(b"\r\n\r\n")
        if end < 0 or self._transport is None:
            return
        length = _LENGTH.search(self._received, 0, end + 2)
        whole = len(self._received) >= end + 4 + int(length[1]) if length else self._received.endswith(_CHUNKED_END)
        if not whole:
            return
        streamed = _STREAMED.search(self._received) is not None
        self._received.clear()
        if streamed:
            self._stream = asyncio.create_task(self._send(self._transport))
        else:
            self._transport.write(_ANSWER)

    async def _send(self, transport: asyncio.Transport) -> None:
        transport.write(_STREAM_HEAD + _FIRST)
        for number in range(1, EVENTS):
            await asyncio.sleep(PACE)
            transport.write(_numbered(number))


def _numbered(number: int) -> bytes:
    """The event after ``number`` others; the first is not among them."""
    match EVENTS - number:
        case 3:
            return _CLOSING
        case 2:
            return _ENDING
        case 1:
            return _LAST
        case _ if number == 1:
            return _OPENING
        case _:
            delta = {"type": "text_delta", "text": f"at={time.monotonic_ns()} "}
            return _event("content_block_delta", index=0, delta=delta)


async def _serve() -> None:
    server = await asyncio.get_running_loop().create_server(Service, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(_serve())

"""An answer in one piece is, on the wire, what aiohttp makes of it."""

from __future__ import annotations

import pytest
from aiohttp.web_request import BaseRequest
from aiohttp.web_response import Response, StreamResponse

from ciguard.guard.whole_answer import WholeAnswer
from tests.unit.guard.listening import listening

JSON = [("Content-Type", "application/json")]
DATE = ("Date", "Mon, 02 Nov 2026 10:00:00 GMT")


@pytest.mark.parametrize(
    ("status", "headers", "body"),
    [
        (200, JSON, b"{}"),
        (200, [], b""),
        (200, [*JSON, DATE, ("X-A", "b"), ("x-a", "c")], b'{"a": "\xc3\xa9"}'),
        (201, [("content-type", "application/json; charset=utf-8")], b"{}" * 100_000),
        (400, JSON, b"{}"),
        (529, [*JSON, ("retry-after", "1")], b"{}"),
        (999, JSON, b"{}"),
    ],
)
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST"])
@pytest.mark.parametrize("version", ["HTTP/1.0", "HTTP/1.1"])
@pytest.mark.parametrize("connection", ["close", "keep-alive"])
@pytest.mark.parametrize("closing", [False, True])
async def test_it_is_what_aiohttp_makes_of_it(
    status: int, headers: list[tuple[str, str]], body: bytes, method: str, version: str, connection: str, closing: bool
) -> None:
    async def handle(request: BaseRequest) -> StreamResponse:
        kind = Response if request.raw_path == "/theirs" else WholeAnswer
        answer: StreamResponse = kind(status=status, headers=headers, body=body)
        if closing:
            answer.force_close()
        return answer

    asked = f"{version}\r\nHost: x\r\nConnection: {connection}\r\n\r\n"
    came: list[bytes] = []
    async with listening(handle) as serving:
        for target in ("/ours", "/theirs"):
            async with serving.connected() as (reader, writer):
                writer.write(f"{method} {target} {asked}".encode())
                came.append(await reader.readuntil(b"\r\n\r\n"))
                came.append(await reader.readexactly(0 if method == "HEAD" else len(body)))
                if closing or connection == "close":
                    assert await reader.read() == b""
    our_head, our_body, their_head, their_body = came
    assert without(our_head, b"Date") == without(their_head, b"Date", b"Server")
    assert (DATE in headers) == (DATE[1].encode() in our_head)
    assert our_body == their_body


def without(head: bytes, *names: bytes) -> list[bytes]:
    """The lines of ``head``, but not these headers."""
    return [line for line in head.split(b"\r\n") if not line.startswith(tuple(name + b":" for name in names))]

"""What the agent gets is on disk before, framed as the head says, and no faster than it takes it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
from aiohttp import web
from aiohttp.web_response import StreamResponse

from ciguard.errors import RecordingFailed
from ciguard.guard.delivery import Delivery
from ciguard.session.recorder import Spool
from tests.unit.session import sample

PIECES = [b"x", b"one\r\n", b"0\r\n\r\n", b"y" * 15, b"y" * 16, b"z" * 70_000]


class Transport:
    """Remembers what it is given, and what was on disk by then."""

    def __init__(self, partial: Path) -> None:
        self.got: list[tuple[bytes, bytes]] = []
        self.closing = False
        self._partial = partial

    def write(self, data: bytes) -> None:
        """See ``asyncio.Transport``."""
        [file] = self._partial.iterdir()
        self.got.append((data, file.read_bytes()))

    def is_closing(self) -> bool:
        """See ``asyncio.Transport``."""
        return self.closing

    def get_write_buffer_size(self) -> int:
        """See ``asyncio.Transport``."""
        return 0


def _delivery(folder: Path, *, chunked: bool = True, gone: bool = False) -> tuple[Delivery, Spool, Transport]:
    recorder = sample.start(folder / "session")
    spool = recorder.spool()
    transport = Transport(folder / "session" / "partial")
    request = cast("web.BaseRequest", SimpleNamespace(transport=None if gone else transport))
    response = StreamResponse(headers={"Transfer-Encoding": "chunked"} if chunked else {})
    return Delivery(request, response, spool), spool, transport


async def test_what_the_agent_sees_is_on_disk_before(tmp_path: Path) -> None:
    delivery, _, transport = _delivery(tmp_path)
    for data in (b"one", b"two"):
        await delivery.send(data)
    assert transport.got == [(b"3\r\none\r\n", b"one"), (b"3\r\ntwo\r\n", b"onetwo")]


async def test_a_body_without_chunks_goes_as_it_is(tmp_path: Path) -> None:
    delivery, _, transport = _delivery(tmp_path, chunked=False)
    await delivery.send(b"one")
    assert transport.got == [(b"one", b"one")]


async def test_what_cannot_be_written_is_not_sent(tmp_path: Path) -> None:
    delivery, spool, transport = _delivery(tmp_path)
    spool.close()
    with pytest.raises(RecordingFailed):
        await delivery.send(b"one")
    assert transport.got == []


async def test_nothing_is_sent_to_an_agent_that_has_gone(tmp_path: Path) -> None:
    delivery, _, transport = _delivery(tmp_path)
    transport.closing = True
    with pytest.raises(ConnectionError):
        await delivery.send(b"one")
    (tmp_path / "other").mkdir()
    gone, _, _ = _delivery(tmp_path / "other", gone=True)
    with pytest.raises(ConnectionError):
        await gone.send(b"one")
    assert transport.got == []


@asynccontextmanager
async def _serving(
    folder: Path, send: Callable[[Delivery], Awaitable[None]]
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A connection to a server whose answers ``send`` delivers."""
    recorder = sample.start(folder / "session")

    async def answer(request: web.BaseRequest) -> StreamResponse:
        response = StreamResponse()
        await response.prepare(request)
        await send(Delivery(request, response, recorder.spool()))
        await response.write_eof()
        return response

    server = web.Server(answer)
    listening = await asyncio.get_running_loop().create_server(server, "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection(*listening.sockets[0].getsockname())
    try:
        yield reader, writer
    finally:
        writer.close()
        await writer.wait_closed()
        listening.close()
        await server.shutdown(1)


@pytest.mark.parametrize("version", ["1.1", "1.0"])
async def test_an_agent_reads_what_was_sent(tmp_path: Path, version: str) -> None:
    async def send(delivery: Delivery) -> None:
        for piece in PIECES:
            await delivery.send(piece)

    async with _serving(tmp_path, send) as (reader, writer):
        writer.write(f"GET / HTTP/{version}\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        head, _, body = (await reader.read()).partition(b"\r\n\r\n")
    assert (b"chunked" in head) is (version == "1.1")
    got = []
    while version == "1.1":
        length, _, rest = body.partition(b"\r\n")
        got.append(rest[: int(length, 16)])
        assert rest[int(length, 16) :][:2] == b"\r\n"
        body = rest[int(length, 16) + 2 :]
        if not got[-1]:
            assert body == b""
            break
    assert b"".join(got) + body == b"".join(PIECES)


async def test_a_slow_agent_is_waited_for(tmp_path: Path) -> None:
    sent = 0
    stuck = asyncio.Event()

    async def send(delivery: Delivery) -> None:
        nonlocal sent
        for _ in range(300):
            asyncio.get_running_loop().call_later(0.5, stuck.set)
            await delivery.send(bytes(100_000))
            sent += 1
            await asyncio.sleep(0)

    async with _serving(tmp_path, send) as (reader, writer):
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        await stuck.wait()
        # What the kernel and both ends' buffers hold went; the rest waits.
        assert sent < 200
        total = 0
        while data := await reader.read(1 << 20):
            total += len(data)
        assert sent == 300
        assert total > 30_000_000

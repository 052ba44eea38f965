"""A listener in this process that answers as a test wants it to, and what comes back on a connection to it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from aiohttp.web_request import BaseRequest
from aiohttp.web_response import StreamResponse

from ciguard.guard.listener import Listener
from ciguard.guard.whole_answer import WholeAnswer

Handle = Callable[[BaseRequest], Awaitable[StreamResponse]]


@dataclass
class Listening:
    """A listener that serves on ``port``."""

    listener: Listener
    port: int

    @asynccontextmanager
    async def connected(self) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
        """A connection to it."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            async with asyncio.timeout(10):
                yield reader, writer
        finally:
            writer.close()

    async def sent(self, data: bytes) -> bytes:
        """All that comes back for ``data`` until the listener closes the connection."""
        async with self.connected() as (reader, writer):
            writer.write(data)
            return await reader.read()


@asynccontextmanager
async def listening(handle: Handle) -> AsyncIterator[Listening]:
    """A listener for as long as the block runs."""
    listener = Listener(handle, lambda status: WholeAnswer(status, body=b"refused"))
    server = await asyncio.get_running_loop().create_server(listener, "127.0.0.1", 0)
    try:
        yield Listening(listener, server.sockets[0].getsockname()[1])
    finally:
        server.close()
        await listener.stop(0)
        await server.wait_closed()

"""Byte streams of the proxy: a socket, or TLS that the guard ends itself on top of another stream."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol, TypeVar

PIECE = 65_536
"""Bytes that are read at a time."""

_Result = TypeVar("_Result")


class Stream(Protocol):
    """Bytes in both directions. Everything raises ``OSError`` (``ConnectionError``) when the peer is gone."""

    async def read(self) -> bytes:
        """Some bytes; none at the end."""
        ...

    async def write(self, data: bytes) -> None:
        """Send ``data``; returns when there is room for more."""
        ...

    async def end(self) -> None:
        """Say that nothing more will be sent."""
        ...


class SocketStream:
    """A stream over a connected socket."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def read(self) -> bytes:
        """See :class:`Stream`."""
        return await self._reader.read(PIECE)

    async def write(self, data: bytes) -> None:
        """See :class:`Stream`."""
        self._writer.write(data)
        await self._writer.drain()

    async def end(self) -> None:
        """See :class:`Stream`."""
        if self._writer.can_write_eof():
            self._writer.write_eof()

    @property
    def ended(self) -> bool:
        """Whether the peer said that it sends nothing more."""
        return self._reader.at_eof()

    def close(self) -> None:
        """Let go of the socket at once; what was not sent yet is not sent."""
        self._writer.transport.abort()


class TlsServerStream:
    """The server's side of TLS over ``below``, of which ``begun`` was read already."""

    def __init__(self, below: Stream, context: ssl.SSLContext, begun: bytes) -> None:
        self._below = below
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._incoming.write(begun)
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side=True)

    async def handshake(self) -> None:
        """Begin; raises ``ssl.SSLError`` when the agent does not accept the certificate, or speaks no TLS."""
        await self._done(self._tls.do_handshake)

    async def read(self) -> bytes:
        """See :class:`Stream`."""
        try:
            return await self._done(lambda: self._tls.read(PIECE))
        except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
            return b""

    async def write(self, data: bytes) -> None:
        """See :class:`Stream`."""
        await self._done(lambda: self._tls.write(data))

    async def end(self) -> None:
        """See :class:`Stream`."""
        # The agent's own farewell is not waited for.
        with suppress(ssl.SSLError):
            self._tls.unwrap()
        await self._flush()
        await self._below.end()

    async def _done(self, step: Callable[[], _Result]) -> _Result:
        """The result of ``step``, once everything that it needs has been received, and what it makes has been sent."""
        while True:
            try:
                result = step()
            except ssl.SSLWantReadError:
                await self._flush()
                data = await self._below.read()
                if data:
                    self._incoming.write(data)
                else:
                    self._incoming.write_eof()
                continue
            except ssl.SSLError:
                # What is left to send is the alert that says why.
                await self._flush()
                raise
            await self._flush()
            return result

    async def _flush(self) -> None:
        if self._outgoing.pending:
            await self._below.write(self._outgoing.read())

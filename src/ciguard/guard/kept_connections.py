"""Connections to one upstream, which are kept between calls.

aiohttp's connector opens them. It would keep them, too, but asks more of a connection when it is given back than when
it is taken: what came on it unasked in between would be read as the answer to the next call.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, cast

import aiohttp
from aiohttp.connector import BaseConnector, Connection

if TYPE_CHECKING:
    from aiohttp.client_proto import ResponseHandler

KEPT = 15.0
"""Seconds after which a connection is not used again: servers close idle ones, and may while a call is on its way."""

CONNECT_TIMEOUT = 30.0
"""Seconds until an upstream must have accepted a connection."""


class KeptConnections:
    """Connections to ``destination``; ``connector`` opens them, and closes them in the end."""

    def __init__(self, connector: BaseConnector, destination: aiohttp.ClientRequest) -> None:
        self._loop = asyncio.get_running_loop()
        self._connector = connector
        self._destination = destination
        self._timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_TIMEOUT)
        self._idle: deque[tuple[Connection, float]] = deque()

    async def take(self) -> Connection:
        """One on which nothing is under way. Raises what aiohttp's connector does."""
        while self._idle:
            connection, since = self._idle.pop()
            protocol = protocol_of(connection)
            if self._loop.time() - since <= KEPT and protocol.is_connected() and not protocol.should_close:
                return connection
            connection.close()
        connection = await self._connector.connect(self._destination, [], self._timeout)
        protocol_of(connection).set_response_params(read_until_eof=True, auto_decompress=False)
        return connection

    def give_back(self, connection: Connection) -> None:
        """Keep it when the request went out whole and so did the answer come; else close it."""
        transport = connection.transport
        if transport is None or transport.get_write_buffer_size() or protocol_of(connection).should_close:
            connection.close()
            return
        now = self._loop.time()
        self._idle.append((connection, now))
        while now - self._idle[0][1] > KEPT:
            self._idle.popleft()[0].close()

    def close(self) -> None:
        """Close those that are kept."""
        for connection, _ in self._idle:
            connection.close()
        self._idle.clear()


def protocol_of(connection: Connection) -> ResponseHandler:
    """What reads and writes; a connection has none only when it was closed."""
    return cast("ResponseHandler", connection.protocol)

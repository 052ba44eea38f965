"""Calling upstreams: connections that are kept for the session, bodies as they come, decompressed.

Theory of operation. A call needs little of what aiohttp's client session does for every request (cookies, redirects,
proxies, defaults, a task that sends the body), so it is made of the parts below it: the connector, which opens and
keeps connections, the writer of heads and the parser of answers. Head and body go out in one piece before the answer
is waited for; what the upstream does not take at once waits in the transport.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

import aiohttp
from aiohttp.connector import Connection
from aiohttp.http import HttpProcessingError, StreamWriter
from multidict import CIMultiDict, CIMultiDictProxy, MultiMapping
from yarl import URL

from ciguard.guard.certificates import trusted
from ciguard.guard.connection import Route
from ciguard.guard.headers import NOT_DOWNSTREAM, NOT_UPSTREAM, Crossing
from ciguard.guard.kept_connections import KeptConnections, protocol_of
from ciguard.guard.upstream_body import UpstreamBody, UpstreamError
from ciguard.inspect.masking import Masker

SILENCE_TIMEOUT = 900.0
"""Seconds that an upstream may send nothing; models think long before their first byte."""


@dataclass(frozen=True, slots=True)
class UpstreamAnswer:
    """An answer whose body has not been read yet; ``headers`` are those that the agent may have, secrets masked."""

    status: int
    headers: list[tuple[str, str]]
    body: UpstreamBody = field(repr=False)
    _said: CIMultiDictProxy[str] = field(repr=False)
    _connection: Connection = field(repr=False)
    _connections: KeptConnections = field(repr=False)

    @property
    def content_type(self) -> str:
        """The media type, without parameters; empty when the upstream names none."""
        return self._said.get("Content-Type", "").partition(";")[0].strip().lower()

    def close(self) -> None:
        """Nothing is read any more: the connection is kept or closed (:meth:`KeptConnections.give_back`)."""
        self.body.close()
        self._connections.give_back(self._connection)


@dataclass(frozen=True, slots=True)
class _Address:
    """Where a connection of the policy leads: the connections there, and how every request begins."""

    connections: KeptConnections
    host: tuple[str, str]
    base: str


class Upstreams:
    """The upstream side of one session. Redirects are not followed: a credential goes to the declared host only."""

    def __init__(self, masker: Masker) -> None:
        self._upstream = Crossing(NOT_UPSTREAM, masker)
        self._downstream = Crossing(NOT_DOWNSTREAM, masker)
        self._loop = asyncio.get_running_loop()
        self._connector = aiohttp.TCPConnector(limit=0)
        self._addresses: dict[str, _Address] = {}

    async def call(self, route: Route, headers: MultiMapping[str], body: bytes | None) -> UpstreamAnswer:
        """Call the route's endpoint with the connection's credential, and what may pass of the agent's ``headers``.

        Raises :class:`UpstreamError`.
        """
        address = self._address(route)
        try:
            status, said, answered, connection = await self._exchange(address, route, headers, body)
        except TimeoutError:
            raise UpstreamError(504, "the upstream did not answer in time") from None
        except (aiohttp.ClientError, HttpProcessingError, OSError):
            raise UpstreamError(502, "the upstream cannot be reached") from None
        if 300 <= status < 400:
            connection.close()
            raise UpstreamError(502, "the upstream answered with a redirect, which is not followed")
        return UpstreamAnswer(status, self._downstream.passed(said), answered, said, connection, address.connections)

    async def _exchange(
        self, address: _Address, route: Route, headers: MultiMapping[str], body: bytes | None
    ) -> tuple[int, CIMultiDictProxy[str], UpstreamBody, Connection]:
        """Send the request and wait for the head of its answer."""
        credential = route.codec.credential_headers(route.connection.credential)
        passed = self._upstream.passed(headers)
        framing = [] if body is None else [("Content-Length", str(len(body)))]
        sent = CIMultiDict([address.host, *passed, ("Accept-Encoding", "identity"), *credential.items(), *framing])
        target = address.base + route.path + (f"?{route.query}" if route.query else "")
        connection = await address.connections.take()
        try:
            protocol = protocol_of(connection)
            writer = StreamWriter(protocol, self._loop)
            await writer.write_headers(f"{route.endpoint.method} {target} HTTP/1.1", sent)
            await writer.write(body or b"", drain=False)
            protocol.read_timeout = SILENCE_TIMEOUT
            protocol.start_timeout()
            while True:
                head, content = await protocol.read()
                if head.code >= 200 or head.code == 101:
                    encoding = head.headers.get("Content-Encoding", "identity")
                    coming = UpstreamBody(content, protocol, encoding, SILENCE_TIMEOUT)
                    return head.code, head.headers, coming, connection
        except BaseException:
            # Also when the call is cancelled because the agent has gone: half an exchange is left on the connection.
            connection.close()
            raise

    def _address(self, route: Route) -> _Address:
        connection = route.connection
        if (known := self._addresses.get(connection.name)) is not None:
            return known
        url = URL(connection.declared.upstream, encoded=True)
        destination = aiohttp.ClientRequest("POST", url, ssl=trusted() if url.scheme == "https" else True)
        connections = KeptConnections(self._connector, destination)
        host = ("Host", destination.headers["Host"])
        address = self._addresses[connection.name] = _Address(connections, host, url.raw_path.rstrip("/"))
        return address

    async def close(self) -> None:
        """Close all connections."""
        for address in self._addresses.values():
            address.connections.close()
        await self._connector.close()

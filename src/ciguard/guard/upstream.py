"""Calling upstreams: connections that are kept for the session, bodies as they come, decompressed.

Theory of operation. A call needs little of what aiohttp's client session does for every request (cookies, redirects,
proxies, defaults, a task that sends the body), so it is made of the parts below it: the connector, which opens and
keeps connections, the writer of heads and the parser of answers. Head and body go out in one piece before the answer
is waited for; what the upstream does not take at once waits in the transport.
"""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, cast

import aiohttp
from aiohttp.connector import Connection
from aiohttp.http import HttpProcessingError, StreamWriter
from multidict import CIMultiDict, CIMultiDictProxy, MultiMapping
from yarl import URL

from ciguard.guard.certificates import trusted
from ciguard.guard.connection import Route
from ciguard.guard.headers import NOT_DOWNSTREAM, NOT_UPSTREAM, Crossing
from ciguard.inspect.masking import Masker

if TYPE_CHECKING:
    from aiohttp.client_proto import ResponseHandler

CONNECT_TIMEOUT = 30.0
"""Seconds until an upstream must have accepted a connection."""

SILENCE_TIMEOUT = 900.0
"""Seconds that an upstream may send nothing; models think long before their first byte."""

LONGEST_WHOLE_ANSWER = 64 * 1024 * 1024
"""Bytes of an answer that is not streamed."""


LONGEST_PIECE = 1024 * 1024
"""Bytes that a compressed answer is inflated to at a time."""


class UpstreamError(Exception):
    """The upstream could not be reached or broke off; ``status`` is what the agent is answered with."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class _Inflater(Protocol):
    def decompress(self, data: bytes, max_length: int = 0, /) -> bytes: ...
    @property
    def unconsumed_tail(self) -> bytes: ...
    @property
    def unused_data(self) -> bytes: ...
    @property
    def eof(self) -> bool: ...


@dataclass(frozen=True, slots=True)
class UpstreamAnswer:
    """An answer whose body has not been read yet; ``headers`` are those that the agent may have, secrets masked."""

    status: int
    headers: list[tuple[str, str]]
    _said: CIMultiDictProxy[str] = field(repr=False)
    _content: aiohttp.StreamReader = field(repr=False)
    _connection: Connection = field(repr=False)

    @property
    def content_type(self) -> str:
        """The media type, without parameters; empty when the upstream names none."""
        return self._said.get("Content-Type", "").partition(";")[0].strip().lower()

    async def chunks(self) -> AsyncIterator[bytes]:
        """The body as it comes, decompressed. Raises :class:`UpstreamError`."""
        inflater = _inflater(self._said.get("Content-Encoding", "identity"))
        try:
            while chunk := await self._content.readany():
                if inflater is None:
                    yield chunk
                    continue
                rest = chunk
                while rest:
                    yield inflater.decompress(rest, LONGEST_PIECE)
                    rest = inflater.unconsumed_tail
                if inflater.unused_data:
                    raise UpstreamError(502, "the upstream's answer goes on behind its end")
            if inflater is not None and not inflater.eof:
                raise UpstreamError(502, "the upstream broke off its answer")
        except zlib.error:
            raise UpstreamError(502, "the upstream's answer is not compressed as it says") from None
        except TimeoutError:
            raise UpstreamError(504, "the upstream fell silent") from None
        except aiohttp.ClientError:
            raise UpstreamError(502, "the upstream broke off its answer") from None

    async def body(self) -> bytes:
        """The whole body, decompressed. Raises :class:`UpstreamError`, also when it is too large."""
        if self._content.is_eof() and self._content.exception() is None and "Content-Encoding" not in self._said:
            # It came with its head.
            return self._content.read_nowait()
        body = bytearray()
        async for chunk in self.chunks():
            body += chunk
            if len(body) > LONGEST_WHOLE_ANSWER:
                raise UpstreamError(502, "the upstream's answer is too large")
        return bytes(body)

    def close(self) -> None:
        """Keep the connection when the request went out whole and so did the answer come; else close it."""
        transport = self._connection.transport
        if transport is not None and transport.get_write_buffer_size():
            self._connection.close()
        else:
            self._connection.release()


def _inflater(encoding: str) -> _Inflater | None:
    match encoding.strip().lower():
        case "identity" | "":
            return None
        case "gzip" | "x-gzip" | "deflate":
            return zlib.decompressobj(zlib.MAX_WBITS | 32)
        case _:
            raise UpstreamError(502, "the upstream compressed its answer in a way that was not asked for")


@dataclass(frozen=True, slots=True)
class _Address:
    """Where a connection of the policy leads: what aiohttp's connector wants to know, and how every target begins."""

    destination: aiohttp.ClientRequest
    host: tuple[str, str]
    base: str


class Upstreams:
    """The upstream side of one session. Redirects are not followed: a credential goes to the declared host only."""

    def __init__(self, masker: Masker) -> None:
        self._upstream = Crossing(NOT_UPSTREAM, masker)
        self._downstream = Crossing(NOT_DOWNSTREAM, masker)
        self._connector = aiohttp.TCPConnector(limit=0)
        self._connecting = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_TIMEOUT)
        self._addresses: dict[str, _Address] = {}

    async def call(self, route: Route, headers: MultiMapping[str], body: bytes | None) -> UpstreamAnswer:
        """Call the route's endpoint with the connection's credential, and what may pass of the agent's ``headers``.

        Raises :class:`UpstreamError`.
        """
        try:
            status, said, content, connection = await self._exchange(route, headers, body)
        except TimeoutError:
            raise UpstreamError(504, "the upstream did not answer in time") from None
        except (aiohttp.ClientError, HttpProcessingError, OSError):
            raise UpstreamError(502, "the upstream cannot be reached") from None
        if 300 <= status < 400:
            connection.close()
            raise UpstreamError(502, "the upstream answered with a redirect, which is not followed")
        return UpstreamAnswer(status, self._downstream.passed(said), said, content, connection)

    async def _exchange(
        self, route: Route, headers: MultiMapping[str], body: bytes | None
    ) -> tuple[int, CIMultiDictProxy[str], aiohttp.StreamReader, Connection]:
        """Send the request and wait for the head of its answer."""
        address = self._address(route)
        credential = route.codec.credential_headers(route.connection.credential)
        passed = self._upstream.passed(headers)
        framing = [] if body is None else [("Content-Length", str(len(body)))]
        sent = CIMultiDict([address.host, *passed, ("Accept-Encoding", "identity"), *credential.items(), *framing])
        target = address.base + route.path + (f"?{route.query}" if route.query else "")
        connection = await self._connector.connect(address.destination, [], self._connecting)
        try:
            # It has none only when it was given back.
            protocol = cast("ResponseHandler", connection.protocol)
            writer = StreamWriter(protocol, asyncio.get_running_loop())
            await writer.write_headers(f"{route.endpoint.method} {target} HTTP/1.1", sent)
            await writer.write(body or b"", drain=False)
            protocol.set_response_params(read_until_eof=True, auto_decompress=False, read_timeout=SILENCE_TIMEOUT)
            protocol.start_timeout()
            while True:
                head, content = await protocol.read()
                if head.code >= 200 or head.code == 101:
                    return head.code, head.headers, content, connection
        except BaseException:
            connection.close()
            raise

    def _address(self, route: Route) -> _Address:
        connection = route.connection
        if (known := self._addresses.get(connection.name)) is not None:
            return known
        url = URL(connection.declared.upstream, encoded=True)
        destination = aiohttp.ClientRequest("POST", url, ssl=trusted() if url.scheme == "https" else True)
        host = ("Host", destination.headers["Host"])
        address = self._addresses[connection.name] = _Address(destination, host, url.raw_path.rstrip("/"))
        return address

    async def close(self) -> None:
        """Close all connections."""
        await self._connector.close()

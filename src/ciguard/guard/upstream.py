"""Calling upstreams: one client for the session, bodies as they come, decompressed."""

from __future__ import annotations

import zlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Protocol

import aiohttp
from yarl import URL

from ciguard.guard.certificates import trusted
from ciguard.guard.connection import Route

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
    """An answer whose body has not been read yet."""

    status: int
    headers: list[tuple[str, str]]
    content_type: str
    _response: aiohttp.ClientResponse

    async def chunks(self) -> AsyncIterator[bytes]:
        """The body as it comes, decompressed. Raises :class:`UpstreamError`."""
        inflater = _inflater(self._response.headers.get("Content-Encoding", "identity"))
        try:
            async for chunk in self._response.content.iter_any():
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
        body = bytearray()
        async for chunk in self.chunks():
            body += chunk
            if len(body) > LONGEST_WHOLE_ANSWER:
                raise UpstreamError(502, "the upstream's answer is too large")
        return bytes(body)

    def close(self) -> None:
        """Give up the rest of the answer; the upstream sees the connection close."""
        self._response.close()


def _inflater(encoding: str) -> _Inflater | None:
    match encoding.strip().lower():
        case "identity" | "":
            return None
        case "gzip" | "x-gzip" | "deflate":
            return zlib.decompressobj(zlib.MAX_WBITS | 32)
        case _:
            raise UpstreamError(502, "the upstream compressed its answer in a way that was not asked for")


class Upstreams:
    """The upstream side of one session. Redirects are not followed: a credential goes to the declared host only."""

    def __init__(self) -> None:
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_TIMEOUT, sock_read=SILENCE_TIMEOUT)
        self._client = aiohttp.ClientSession(
            timeout=timeout,
            auto_decompress=False,
            connector=aiohttp.TCPConnector(limit=0),
            cookie_jar=aiohttp.DummyCookieJar(),
            skip_auto_headers=("User-Agent", "Accept", "Content-Type"),
        )

    async def call(self, route: Route, headers: list[tuple[str, str]], body: bytes | None) -> UpstreamAnswer:
        """Call the route's endpoint with the connection's credential. Raises :class:`UpstreamError`."""
        connection = route.connection
        target = connection.declared.upstream.rstrip("/") + route.path + (f"?{route.query}" if route.query else "")
        credential = route.codec.credential_headers(connection.credential)
        url = URL(target, encoded=True)
        try:
            response = await self._client.request(
                route.endpoint.method,
                url,
                headers=[*headers, ("Accept-Encoding", "identity"), *credential.items()],
                data=body,
                allow_redirects=False,
                ssl=trusted() if url.scheme == "https" else True,
            )
        except TimeoutError:
            raise UpstreamError(504, "the upstream did not answer in time") from None
        except (aiohttp.ClientError, OSError):
            raise UpstreamError(502, "the upstream cannot be reached") from None
        if 300 <= response.status < 400:
            response.close()
            raise UpstreamError(502, "the upstream answered with a redirect, which is not followed")
        return UpstreamAnswer(response.status, list(response.headers.items()), response.content_type.lower(), response)

    async def close(self) -> None:
        """Close all connections."""
        await self._client.close()

"""Reading a call's body within its limits."""

from __future__ import annotations

import asyncio
import zlib

from aiohttp import web

SLOWEST_PAUSE = 60.0
"""Seconds that an agent may let pass within a body."""


class BodyError(Exception):
    """The body cannot be taken; ``status`` is what to answer with."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


async def read_body(request: web.BaseRequest, most: int) -> bytes:
    """The body, decompressed (gzip, deflate or zstd), of at most ``most`` bytes.

    Raises :class:`BodyError` for a body that is too large, too slow, or not compressed as it says.
    """
    encoding = request.headers.get("Content-Encoding", "identity").strip().lower()
    if request.content_type != "application/json":
        raise BodyError(415, "the body must be application/json")
    if request.content_length is not None and request.content_length > most:
        raise BodyError(413, f"the body is larger than {most} bytes")
    body = bytearray()
    while True:
        try:
            async with asyncio.timeout(SLOWEST_PAUSE):
                chunk = await request.content.readany()
        except TimeoutError:
            raise BodyError(408, "the body came too slowly") from None
        if not chunk:
            break
        body += chunk
        if len(body) > most:
            raise BodyError(413, f"the body is larger than {most} bytes")
    return _decompressed(bytes(body), encoding, most)


def _decompressed(body: bytes, encoding: str, most: int) -> bytes:
    try:
        match encoding:
            case "identity" | "":
                return body
            case "gzip" | "deflate":
                inflater = zlib.decompressobj(zlib.MAX_WBITS | 32)
                plain = inflater.decompress(body, most + 1)
                whole = inflater.eof and not inflater.unused_data
            case "zstd":
                import zstandard

                with zstandard.ZstdDecompressor(max_window_size=1 << 27).stream_reader(body) as reader:
                    plain = reader.read(most + 1)
                whole = True
            case _:
                raise BodyError(415, "the body is compressed in a way that is not served: use gzip, deflate or zstd")
    except (zlib.error, EOFError):
        raise BodyError(400, "the body is not compressed as it says") from None
    if len(plain) > most:
        raise BodyError(413, f"the body is larger than {most} bytes")
    if not whole:
        raise BodyError(400, "the body is not compressed as it says")
    return plain

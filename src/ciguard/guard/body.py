"""Reading a call's body within its limits."""

from __future__ import annotations

import asyncio
import zlib

import aiohttp
from aiohttp.web_protocol import RequestPayloadError
from aiohttp.web_request import BaseRequest

JSON = "application/json"

SLOWEST_PAUSE = 60.0
"""Seconds that an agent may let pass within a body."""


_WIDEST_WINDOW = 1 << 27
_ZSTD_STEP = 256


class BodyError(Exception):
    """The body cannot be taken; ``status`` is what to answer with."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


async def read_body(request: BaseRequest, most: int) -> bytes:
    """The body, decompressed (gzip, deflate or zstd), of at most ``most`` bytes.

    Raises :class:`BodyError` for a body that is too large, too slow, or not compressed as it says.
    """
    if request.headers.get("Content-Type") != JSON and not _is_json(request):
        raise BodyError(415, "the body must be application/json, in UTF-8")
    length = request.content_length
    if length is not None and length > most:
        raise BodyError(413, f"the body is larger than {most} bytes")
    body = await _received(request.content, most)
    if len(body) > most:
        raise BodyError(413, f"the body is larger than {most} bytes")
    return decompressed(body, request.headers.get("Content-Encoding", "identity").strip().lower(), most)


def _is_json(request: BaseRequest) -> bool:
    return request.content_type == JSON and (request.charset or "utf-8").lower() == "utf-8"


async def _received(content: aiohttp.StreamReader, most: int) -> bytes:
    """What comes until the end of the body or until it is more than ``most`` bytes."""
    chunks: list[bytes] = []
    size = 0
    try:
        if content.is_eof():
            # Most bodies are there with their heads: nothing is waited for.
            return content.read_nowait()
        async with asyncio.timeout(SLOWEST_PAUSE) as patience:
            while size <= most and (chunk := await content.readany()):
                chunks.append(chunk)
                size += len(chunk)
                patience.reschedule(asyncio.get_running_loop().time() + SLOWEST_PAUSE)
    except TimeoutError:
        raise BodyError(408, "the body came too slowly") from None
    except RequestPayloadError:
        raise BodyError(400, "the body is not framed as HTTP wants it") from None
    return b"".join(chunks)


def decompressed(body: bytes, encoding: str, most: int) -> bytes:
    """``body`` without its content coding: gzip, deflate or zstd; at most ``most`` bytes. Raises BodyError."""
    try:
        match encoding:
            case "identity" | "":
                return body
            case "gzip" | "deflate":
                inflater = zlib.decompressobj(zlib.MAX_WBITS | 32)
                plain = inflater.decompress(body, most + 1)
                whole = inflater.eof and not inflater.unused_data
            case "zstd":
                plain, whole = _unpacked_zstd(body, most + 1)
            case _:
                raise BodyError(415, "the body is compressed in a way that is not served: use gzip, deflate or zstd")
    except zlib.error:
        raise BodyError(400, "the body is not compressed as it says") from None
    if len(plain) > most:
        raise BodyError(413, f"the body is larger than {most} bytes")
    if not whole:
        raise BodyError(400, "the body is not compressed as it says")
    return plain


def _unpacked_zstd(body: bytes, most: int) -> tuple[bytes, bool]:
    """The first ``most`` bytes in ``body``, and whether it is one whole frame."""
    import zstandard

    inflater = zstandard.ZstdDecompressor(max_window_size=_WIDEST_WINDOW).decompressobj()
    plain = bytearray()
    try:
        # A few bytes can stand for a block of 128 KiB, so only a few are taken at a time.
        for start in range(0, len(body), _ZSTD_STEP):
            if inflater.eof or len(plain) >= most:
                break
            plain += inflater.decompress(body[start : start + _ZSTD_STEP])
    except zstandard.ZstdError:
        return b"", False
    return bytes(plain[:most]), inflater.eof and not inflater.unused_data

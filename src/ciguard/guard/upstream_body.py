"""The body of an upstream's answer, piece by piece as it comes: decompressed, and given up when no more comes."""

from __future__ import annotations

import asyncio
import zlib
from typing import Protocol

import aiohttp
from aiohttp.client_proto import ResponseHandler

LONGEST_WHOLE_ANSWER = 64 * 1024 * 1024
"""Bytes of an answer that is not streamed."""

LONGEST_PIECE = 1024 * 1024
"""Bytes that a compressed body is inflated to at a time."""

LOOKS = 8
"""How often it is looked, in the time that an upstream may be silent, whether it still is."""


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


class UpstreamBody:
    """Reads ``content``, which comes over ``connection`` with the content coding ``encoding``.

    An upstream that sends nothing for ``patience`` seconds, or up to an eighth more, is given up: one timer looks now
    and then, since one that begins anew with every piece costs more than passing the piece on. Only time in which
    somebody waits for the upstream counts.
    """

    def __init__(
        self, content: aiohttp.StreamReader, connection: ResponseHandler, encoding: str, patience: float
    ) -> None:
        """Raises :class:`UpstreamError` for a coding that was not asked for."""
        self._content = content
        self._connection = connection
        self._patience = patience
        self._inflater = _inflater(encoding)
        self._packed = b""
        self._waiting = False
        self._timer: asyncio.TimerHandle | None = None
        self._seen = -1
        self._silent = 0

    async def read(self) -> bytes:
        """The next piece; empty at the end. Raises :class:`UpstreamError`."""
        if self._timer is None:
            self._connection.read_timeout = None
            self._look_later()
        while True:
            if self._inflater is not None and (piece := self._inflated(self._inflater)):
                return piece
            self._waiting = True
            try:
                received = await self._content.readany()
            except TimeoutError:
                raise UpstreamError(504, "the upstream fell silent") from None
            except aiohttp.ClientError:
                raise UpstreamError(502, "the upstream broke off its answer") from None
            self._waiting = False
            if self._inflater is None:
                return received
            if not received:
                if self._inflater.eof:
                    return b""
                raise UpstreamError(502, "the upstream broke off its answer")
            self._packed = received

    async def whole(self) -> bytes:
        """All of it. Raises :class:`UpstreamError`, also when it is too large."""
        if self._content.is_eof() and self._content.exception() is None and self._inflater is None:
            # It came with its head.
            return self._content.read_nowait()
        body = bytearray()
        while piece := await self.read():
            body += piece
            if len(body) > LONGEST_WHOLE_ANSWER:
                raise UpstreamError(502, "the upstream's answer is too large")
        return bytes(body)

    def close(self) -> None:
        """Nothing is read any more."""
        if self._timer is not None:
            self._timer.cancel()

    def _look_later(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(self._patience / LOOKS, self._look)

    def _look(self) -> None:
        received = self._content.total_bytes
        self._silent = self._silent + 1 if self._waiting and received == self._seen else 0
        self._seen = received
        if self._silent == LOOKS:
            self._content.set_exception(TimeoutError())
        else:
            self._look_later()

    def _inflated(self, inflater: _Inflater) -> bytes:
        """The next piece of what came; empty once there is no more in it."""
        while self._packed:
            try:
                piece = inflater.decompress(self._packed, LONGEST_PIECE)
            except zlib.error:
                raise UpstreamError(502, "the upstream's answer is not compressed as it says") from None
            self._packed = inflater.unconsumed_tail
            if inflater.unused_data:
                raise UpstreamError(502, "the upstream's answer goes on behind its end")
            if piece:
                return piece
        return b""


def _inflater(encoding: str) -> _Inflater | None:
    match encoding.strip().lower():
        case "identity" | "":
            return None
        case "gzip" | "x-gzip" | "deflate":
            return zlib.decompressobj(zlib.MAX_WBITS | 32)
        case _:
            raise UpstreamError(502, "the upstream compressed its answer in a way that was not asked for")

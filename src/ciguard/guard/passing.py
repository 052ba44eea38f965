"""A streamed answer on its way from the upstream to the agent, item by item, also while some of it is held."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

from ciguard.codecs.answer import SETTLE_ALL
from ciguard.codecs.codec import AnswerStream
from ciguard.guard.holding import Holding
from ciguard.guard.settling import Settling


class Passing:
    """Passes answers through ``stream`` and on to ``send``, which takes what the agent gets next."""

    def __init__(
        self, stream: AnswerStream, settling: Settling, holding: Holding, send: Callable[[bytes], Awaitable[None]]
    ) -> None:
        self.stream = stream
        self._settling = settling
        self._holding = holding
        self._send = send

    async def on(self, chunks: AsyncIterator[bytes]) -> None:
        """Pass one answer of the upstream on, to the end of ``chunks``."""
        reading: asyncio.Task[bytes | None] | None = None
        try:
            while True:
                if reading or self._holding.pending:
                    # What was decided meanwhile goes on without waiting for the upstream.
                    reading = reading or asyncio.create_task(_next(chunks))
                    await self._holding.until(reading)
                    chunk: bytes | None = b""
                    if reading.done():
                        chunk, reading = reading.result(), None
                else:
                    chunk = await _next(chunks)
                if chunk is None:
                    return
                if self.stream.goes_on(chunk):
                    await self._deliver()
                    continue
                for item in self.stream.feed(chunk):
                    if item is SETTLE_ALL:
                        await self._deliver()
                    await self._settling.settle(item, self._holding)
                await self._deliver()
        finally:
            if reading:
                reading.cancel()
                await asyncio.gather(reading, return_exceptions=True)

    async def _deliver(self) -> None:
        if data := self.stream.take():
            await self._send(data)
            self._holding.sent()


async def _next(chunks: AsyncIterator[bytes]) -> bytes | None:
    """The next of ``chunks``; None at their end."""
    return await anext(chunks, None)

"""A streamed answer on its way from the upstream to the agent, item by item, also while some of it is held."""

from __future__ import annotations

import asyncio

from ciguard.codecs.answer import SETTLE_ALL
from ciguard.codecs.codec import AnswerStream
from ciguard.guard.delivery import Delivery
from ciguard.guard.holding import Holding
from ciguard.guard.settling import Settling
from ciguard.guard.upstream_body import UpstreamBody


class Passing:
    """Passes answers through ``stream`` and on to the agent."""

    def __init__(self, stream: AnswerStream, settling: Settling, holding: Holding, delivery: Delivery) -> None:
        self.stream = stream
        self._settling = settling
        self._holding = holding
        self._delivery = delivery

    async def on(self, body: UpstreamBody) -> None:
        """Pass one answer of the upstream on, to the end of ``body``."""
        reading: asyncio.Task[bytes] | None = None
        try:
            while True:
                chunk = b""
                if reading or self._holding.pending:
                    # What was decided meanwhile goes on without waiting for the upstream.
                    reading = reading or asyncio.create_task(body.read())
                    await self._holding.until(reading)
                    if reading.done():
                        chunk, reading = reading.result(), None
                else:
                    chunk = await body.read()
                if not (chunk or reading):
                    return
                if not self.stream.goes_on(chunk):
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
            await self._delivery.send(data)
            self._holding.sent()

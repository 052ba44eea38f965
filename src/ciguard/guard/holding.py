"""Waiting for humans within one call of the agent, while signs of life go to it.

Every held operation is asked about in a task of its own, so that people can decide in any order and the answer goes on
being read. All that is written to the agent is written by the one task that waits here.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Self, TypeVar

T = TypeVar("T")

SIGN_OF_LIFE = 15.0
"""Seconds without a byte to the agent before it gets a sign of life; the least patient client waits for 60."""


class Holding:
    """What is held in one call. ``async with Holding(...) as holding``: on leaving, nobody asked by ``begin`` is waited
    for any more.

    ``alive`` gives the agent a sign of life, and is called when it got nothing for ``interval`` seconds; what it raises
    ends the wait.
    """

    def __init__(self, alive: Callable[[], Awaitable[None]], interval: float) -> None:
        self._alive = alive
        self._interval = interval
        self._last = time.monotonic()
        self._asked: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._asked:
            await _end(self._asked)

    @property
    def pending(self) -> bool:
        """Whether a decision is waited for."""
        return bool(self._asked)

    def sent(self) -> None:
        """The agent got something."""
        self._last = time.monotonic()

    def begin(self, asking: Coroutine[Any, Any, None]) -> None:
        """Ask about one held operation. What ``asking`` raises is raised where the decision is waited for."""
        self._asked.add(asyncio.create_task(asking))

    async def all(self) -> None:
        """Wait until everything is decided."""
        while self._asked:
            await self._until(set())

    async def run(self, work: Coroutine[Any, Any, T]) -> T:
        """The result of ``work``, which waits for humans itself."""
        task = asyncio.create_task(work)
        try:
            while not task.done():
                await self._until({task})
            return task.result()
        finally:
            await _end({task})

    async def until(self, event: asyncio.Future[Any]) -> None:
        """Wait until ``event`` is done or one more decision is there."""
        await self._until({event})

    async def _until(self, events: set[asyncio.Future[Any]]) -> None:
        while True:
            left = max(self._last + self._interval - time.monotonic(), 0)
            waited = {*self._asked, *events}
            done, _ = await asyncio.wait(waited, timeout=left, return_when=asyncio.FIRST_COMPLETED)
            decided = self._asked & done
            self._asked -= decided
            for task in decided:
                task.result()
            if done:
                return
            await self._alive()
            self.sent()


async def _end(tasks: set[asyncio.Task[Any]]) -> None:
    """Cancel what is not done, and let it bring its affairs in order."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)

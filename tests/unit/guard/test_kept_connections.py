"""Which connections are used again; what calls make of them is in test_upstream.py."""

from __future__ import annotations

import asyncio

import aiohttp
from yarl import URL

from ciguard.guard.kept_connections import KeptConnections
from ciguard.guard.whole_answer import WholeAnswer
from tests.unit.guard.listening import listening


async def test_one_that_is_being_closed_is_not_used() -> None:
    async def never(_: object) -> WholeAnswer:
        raise AssertionError

    async with listening(never) as serving, aiohttp.TCPConnector() as connector:
        url = URL(f"http://127.0.0.1:{serving.port}")
        kept = KeptConnections(connector, aiohttp.ClientRequest("POST", url, loop=asyncio.get_running_loop()))
        first = await kept.take()
        kept.give_back(first)
        assert await kept.take() is first
        kept.give_back(first)
        assert first.transport is not None
        first.transport.close()
        second = await kept.take()
        assert second is not first
        kept.give_back(second)
        kept.close()
        assert second.closed

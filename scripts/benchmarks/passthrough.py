"""A reverse proxy of aiohttp, with the guard's use of memory: what the guard's stack costs before it guards anything.

``python -m scripts.benchmarks.passthrough UPSTREAM`` prints its port.
"""

from __future__ import annotations

import asyncio
import sys

import aiohttp
import uvloop
from aiohttp import web

from ciguard.guard.allocation import keep_freed_memory

HOP_BY_HOP = frozenset({"connection", "host", "transfer-encoding", "content-length", "keep-alive"})


async def _serve(upstream: str) -> None:
    keep_freed_memory()
    session = aiohttp.ClientSession(auto_decompress=False)

    async def forward(request: web.BaseRequest) -> web.StreamResponse:
        body = await request.content.read()
        headers = [(name, value) for name, value in request.headers.items() if name.lower() not in HOP_BY_HOP]
        url = upstream + request.path_qs
        async with session.request(request.method, url, data=body, headers=headers) as answer:
            response = web.StreamResponse(status=answer.status)
            for name, value in answer.headers.items():
                if name.lower() not in HOP_BY_HOP:
                    response.headers.add(name, value)
            response.content_length = answer.content_length
            await response.prepare(request)
            async for data in answer.content.iter_any():
                await response.write(data)
            await response.write_eof()
            return response

    handler = web.Server(forward, access_log=None)
    server = await asyncio.get_running_loop().create_server(handler, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(_serve(sys.argv[1]))

"""The HTTP server that the agent talks to: on loopback, for holders of the session's token only."""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Self

from aiohttp import web

from ciguard.codecs.codec import Codec
from ciguard.errors import GuardFailure, RecordingFailed
from ciguard.guard.connection import NoRoute, OpenConnection, Route, find_route
from ciguard.guard.exchange import NOT_AGAIN, Exchange, Guarding, TurnedAway
from ciguard.guard.headers import carries_token
from ciguard.session.event import EventType

ADDRESS = "127.0.0.1"
MOST_REFUSED_CALLS = 1000
"""Calls turned away that are recorded one by one; a job that makes more is flooding the log."""

GRACE = 2.0
"""Seconds that answers under way get to finish when the server stops."""


class GuardServer:
    """Serves the connections of one session while it is entered: ``async with GuardServer(...) as server``."""

    def __init__(self, guarding: Guarding, connections: Mapping[str, OpenConnection], token: str) -> None:
        self._guarding = guarding
        self._connections = dict(connections)
        self._token = token
        self._turned_away = 0
        self._server = web.Server(self._handle, handler_cancellation=True, access_log=None)
        self._listener: asyncio.Server | None = None
        self.port = 0

    async def __aenter__(self) -> Self:
        self._listener = await asyncio.get_running_loop().create_server(self._server, ADDRESS, 0)
        self.port = self._listener.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._listener is not None:
            self._listener.close()
            await self._server.shutdown(GRACE)
            await self._listener.wait_closed()
        await self._guarding.upstreams.close()

    def url(self, connection: str) -> str:
        """The base URL of a connection, without a trailing slash."""
        return f"http://{ADDRESS}:{self.port}/{connection}"

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        route = find_route(self._connections, request.method, request.raw_path)
        codec = None if isinstance(route, NoRoute) else route.codec
        exchange: Exchange | None = None
        try:
            if not carries_token(request.headers, self._token):
                return self._turn_away(request, route, 401, "the session's token is missing or wrong")
            if isinstance(route, NoRoute):
                return self._turn_away(request, route, route.status, route.message)
            exchange = Exchange(self._guarding, route, request)
            return await exchange.run()
        except TurnedAway as turned_away:
            return _error(codec, turned_away.status, str(turned_away))
        except RecordingFailed as failure:
            self._guarding.on_failure(failure)
            return self._broken(request, exchange, codec, f"ciguard: {failure.cause}")
        except ConnectionError:
            return self._broken(request, exchange, codec, "")
        except Exception as error:  # noqa: BLE001 - the last resort: whatever goes wrong here, nothing passes
            self._guarding.on_failure(
                GuardFailure(f"the guard failed on a call ({_place(error)})", "report this as a bug of ciguard")
            )
            return self._broken(request, exchange, codec, "ciguard: the guard failed on this call")

    def _broken(
        self, request: web.BaseRequest, exchange: Exchange | None, codec: Codec | None, message: str
    ) -> web.StreamResponse:
        """The answer to a call that cannot be answered properly; one that was begun is cut off."""
        if exchange is not None and exchange.begun and request.transport is not None:
            request.transport.abort()
        return _error(codec, 500, message)

    def _turn_away(self, request: web.BaseRequest, route: Route | NoRoute, status: int, message: str) -> web.Response:
        connection = route.connection
        self._turned_away += 1
        if self._turned_away <= MOST_REFUSED_CALLS:
            last = self._turned_away == MOST_REFUSED_CALLS
            self._guarding.recorder.record(
                EventType.REFUSED,
                reason=f"{message}; further calls that are turned away are not recorded" if last else message,
                connection=connection.name if connection else "",
                method=self._guarding.masker.mask(request.method).text[:20],
                path=self._guarding.masker.mask(request.raw_path).text[:200],
                status=status,
            )
        return _error(connection.codecs[0] if connection else None, status, f"ciguard: {message}")


def _place(error: BaseException) -> str:
    """Where an unexpected error was raised, without its message, which may quote anything."""
    frames = traceback.extract_tb(error.__traceback__)
    last = frames[-1]
    return f"{type(error).__name__} at {Path(last.filename).name}:{last.lineno}"


def _error(codec: Codec | None, status: int, message: str) -> web.Response:
    body = codec.error(status, message) if codec else b'{"error":{"message":"ciguard: no such connection"}}'
    again = status in (408, 502, 504)
    return web.Response(status=status, body=body, content_type="application/json", headers=None if again else NOT_AGAIN)

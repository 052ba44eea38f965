"""The HTTP server that the agent talks to: on loopback, for holders of the session's token only."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Mapping
from functools import lru_cache, partial
from typing import Self
from urllib.parse import unquote_plus

from aiohttp.web_request import BaseRequest
from aiohttp.web_response import StreamResponse

from ciguard.codecs.codec import Codec
from ciguard.codecs.document import dump
from ciguard.errors import RecordingFailed
from ciguard.guard.connection import NoRoute, OpenConnection, Route, find_route
from ciguard.guard.exchange import NOT_AGAIN, Exchange, Guarding, TurnedAway
from ciguard.guard.failure import unexpected
from ciguard.guard.headers import carries_token
from ciguard.guard.listener import Listener
from ciguard.guard.refused_calls import RefusedCalls
from ciguard.guard.whole_answer import WholeAnswer

ADDRESS = "127.0.0.1"
BACKLOG = 128
GRACE = 2.0
"""Seconds that answers under way get to finish when the server stops."""

REMEMBERED_ADDRESSES = 256
"""Calls, by method and target, of which it is remembered where they lead."""


def open_loopback() -> socket.socket:
    """A listening socket of the machine's loopback, on a port of the kernel's choosing."""
    return socket.create_server((ADDRESS, 0), backlog=BACKLOG)


class GuardServer:
    """Serves the connections of one session while it is entered: ``async with GuardServer(...) as server``."""

    def __init__(
        self,
        guarding: Guarding,
        connections: Mapping[str, OpenConnection],
        token: str,
        listening: socket.socket,
    ) -> None:
        """Serve on ``listening``, a socket of the loopback that the agent has: the machine's, or its sandbox's own."""
        self._listening = listening
        self._guarding = guarding
        self._route = lru_cache(REMEMBERED_ADDRESSES)(partial(find_route, dict(connections)))
        self._token = token.encode()
        self._refused = RefusedCalls(guarding.recorder, guarding.masker)
        self._server = Listener(self._handle, self._not_http)
        self._listener: asyncio.Server | None = None
        self.port: int = listening.getsockname()[1]

    async def __aenter__(self) -> Self:
        self._listener = await asyncio.get_running_loop().create_server(self._server, sock=self._listening)
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._listener is not None:
            self._listener.close()
            await self._server.stop(GRACE)
            await self._listener.wait_closed()
        await self._guarding.upstreams.close()

    def url(self, connection: str) -> str:
        """The base URL of a connection, without a trailing slash."""
        return f"http://{ADDRESS}:{self.port}/{connection}"

    async def _handle(self, request: BaseRequest) -> StreamResponse:
        route = self._route(request.method, request.raw_path)
        call = Exchange(self._guarding, route, request) if isinstance(route, Route) else route
        try:
            return await self._answer(request, route, call)
        except RecordingFailed as failure:
            self._guarding.on_failure(failure)
            return _broken(request, route, call, f"ciguard: {failure.cause}")
        except ConnectionError:
            return _broken(request, route, call, "")
        except Exception as error:  # noqa: BLE001 - the last resort: whatever goes wrong here, nothing passes
            self._guarding.on_failure(unexpected(error))
            return _broken(request, route, call, "ciguard: the guard failed on this call")

    async def _answer(self, request: BaseRequest, route: Route | NoRoute, call: Exchange | NoRoute) -> StreamResponse:
        if not carries_token(request.headers, self._token):
            return self._turn_away(request, route, 401, "the session's token is missing or wrong")
        if isinstance(call, NoRoute):
            return self._turn_away(request, route, call.status, call.message)
        if self._guarding.masker.mask(unquote_plus(request.raw_path)).kinds:
            return self._turn_away(request, route, 400, "there is a secret in the address")
        try:
            return await call.run()
        except TurnedAway as turned_away:
            if not call.recorded:
                refused = self._turn_away(request, route, turned_away.status, str(turned_away))
                return await call.broken_off(f"ciguard: {turned_away}") or refused
            if call.begun:
                ended = await call.broken_off(str(turned_away))
                return ended or _broken(request, route, call, str(turned_away))
            return _error(route.codec, turned_away.status, str(turned_away))

    def _not_http(self, status: int) -> WholeAnswer:
        """The answer to what cannot be read as a call."""
        message = "this is not a sound HTTP request"
        try:
            self._refused.record(status, message)
        except RecordingFailed as failure:
            self._guarding.on_failure(failure)
        return _error(None, status, f"ciguard: {message}")

    def _turn_away(self, request: BaseRequest, route: Route | NoRoute, status: int, message: str) -> WholeAnswer:
        connection = route.connection.name if route.connection else ""
        self._refused.record(status, message, connection=connection, method=request.method, path=request.raw_path)
        return _error(route.codec, status, f"ciguard: {message}")


def _broken(request: BaseRequest, route: Route | NoRoute, call: Exchange | NoRoute, message: str) -> WholeAnswer:
    """The answer to a call that cannot be answered properly; one that was begun is cut off."""
    if isinstance(call, Exchange) and call.begun and request.transport is not None:
        request.transport.abort()
    return _error(route.codec, 500, message)


def _error(codec: Codec | None, status: int, message: str) -> WholeAnswer:
    body = codec.error(status, message) if codec else dump({"error": {"message": message}})
    again = status in (408, 429) or status >= 502
    headers = {"Content-Type": "application/json"} | ({} if again else NOT_AGAIN)
    return WholeAnswer(status, headers.items(), body)

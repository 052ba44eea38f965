"""Connections from the agent, as aiohttp serves them but for two things.

What cannot be read as HTTP is a refused call like any other; aiohttp would print it to the job's log with a traceback,
unmasked. And bodies come as they are on the wire: the guard unpacks them itself, within its limits.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp.web_protocol import RequestHandler
from aiohttp.web_request import BaseRequest
from aiohttp.web_response import Response, StreamResponse
from aiohttp.web_server import Server

_silent = logging.getLogger(__name__)
_silent.addHandler(logging.NullHandler())
_silent.propagate = False

LINGERING = 1.0
"""Seconds in which the rest of a refused body is read, so that its sender gets to the answer."""


class Listener(Server):
    """Serves calls by ``handle``; ``refuse`` makes the answer, with the status it is given, to what is not HTTP."""

    def __init__(
        self,
        handle: Callable[[BaseRequest], Awaitable[StreamResponse]],
        refuse: Callable[[int], Response],
    ) -> None:
        super().__init__(handle, handler_cancellation=True)
        self._refuse = refuse

    def __call__(self) -> RequestHandler:
        """See :class:`aiohttp.web.Server`."""
        return _Connection(
            self,
            self._refuse,
            loop=self._loop,
            access_log=None,
            auto_decompress=False,
            lingering_time=LINGERING,
            logger=_silent,
        )


class _Connection(RequestHandler):
    __slots__ = ("_refuse",)

    def __init__(self, listener: Listener, refuse: Callable[[int], Response], **options: Any) -> None:
        super().__init__(listener, **options)
        self._refuse = refuse

    def handle_error(
        self,
        request: BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> StreamResponse:
        """See :class:`aiohttp.web.RequestHandler`."""
        response = self._refuse(status)
        response.force_close()
        return response

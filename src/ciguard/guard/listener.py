"""Connections from the agent, as aiohttp serves them but for three things.

What cannot be read as HTTP is a refused call like any other; aiohttp would print it to the job's log with a traceback,
unmasked. Bodies come as they are on the wire: the guard unpacks them itself, within its limits. And calls are answered
in the connection's own task: aiohttp makes one for each call, so that what is put into a context variable stays with
the call; the guard has none, and a task costs two more rounds of the event loop.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any, cast

from aiohttp.http import StreamWriter
from aiohttp.http_parser import HttpRequestParser
from aiohttp.streams import StreamReader
from aiohttp.web_protocol import ERROR, RequestHandler, _ErrInfo
from aiohttp.web_request import BaseRequest
from aiohttp.web_response import StreamResponse
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
        refuse: Callable[[int], StreamResponse],
    ) -> None:
        super().__init__(handle, handler_cancellation=True)
        self._refuse = refuse

    def __call__(self) -> RequestHandler:
        """See :class:`aiohttp.web.Server`."""
        return _Connection(self, self._refuse, loop=self._loop, access_log=None, auto_decompress=False, logger=_silent)

    async def stop(self, patience: float) -> None:
        """Close all connections: at once where no call is under way, and after ``patience`` seconds at the latest."""
        self.pre_shutdown()
        await self.shutdown(patience)


class _Connection(RequestHandler):
    __slots__ = ("_handle", "_refuse")

    def __init__(self, listener: Listener, refuse: Callable[[int], StreamResponse], **options: Any) -> None:
        super().__init__(listener, **options)
        self._handle = listener.request_handler
        self._refuse = refuse

    async def start(self) -> None:
        """Answer one call after another until the connection is to be closed, and close it.

        When the connection is lost, aiohttp cancels this task, and with it the call under way; a failure that ended the
        task counts as seen by that, and is not printed.
        """
        try:
            while await self._answer_next():
                self._next_keepalive_close_time = close_time = self._loop.time() + self._keepalive_timeout
                if self._keepalive_handle is None:
                    self._keepalive_handle = self._loop.call_at(close_time, self._process_keepalive)
        finally:
            self.force_close()

    async def _answer_next(self) -> bool:
        """Wait for a call and answer it; returns whether the connection can carry another."""
        if not self._messages:
            self._waiter = self._loop.create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        message, payload = self._messages.popleft()
        # Both are there while the connection is.
        cast("HttpRequestParser", self._parser).message_consumed()
        task = cast("asyncio.Task[None]", self._task_handler)
        if self._buffer_paused and len(self._messages) <= self._msg_queue_resume_size:
            self._resume_reading_if_drained()
        handle = self._handle
        if isinstance(message, _ErrInfo):
            handle, message = self._make_error_handler(message), ERROR
        request = BaseRequest(message, payload, self, StreamWriter(self, self._loop), task, self._loop)
        response, gone = await self._handle_request(request, None, handle)
        if not payload.is_eof():
            await self._linger(payload)
        return not gone and not self._close and bool(response.keep_alive)

    async def _linger(self, payload: StreamReader) -> None:
        """Read what still comes of a refused body, and close the connection when that takes too long."""
        try:
            async with asyncio.timeout(LINGERING):
                while not payload.is_eof():
                    await payload.readany()
        except TimeoutError:
            self.close()

    def resume_reading(self, resume_parser: bool = True) -> None:
        """See :class:`aiohttp.base_protocol.BaseProtocol`; aiohttp asks for it with every body, paused or not."""
        if self._reading_paused:
            super().resume_reading(resume_parser)

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

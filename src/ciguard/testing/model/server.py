"""The loopback server: receives requests, asks the service, and writes the answer with its faults."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Collection
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

from aiohttp import web

from ciguard.operation import Json
from ciguard.testing.model.answer import Abort, Answer, HangUp, Wait, Write
from ciguard.testing.model.conversation import Script
from ciguard.testing.model.dialect import ReceivedRequest, id_source
from ciguard.testing.model.faults import Faults, apply
from ciguard.testing.model.service import REQUEST_LIMIT, Service, dialect_of


def no_faults(_: ReceivedRequest) -> tuple[()]:
    """Everything goes well."""
    return ()


class LoopbackModel:
    """A model service on loopback that answers by ``script``; an async context manager.

    ``api_keys`` are the credentials that it accepts, ``faults`` chooses what goes wrong with an answer, ``chunk`` is
    the default length of a stream delta in characters, ``port`` 0 takes a free one. ``requests`` holds every request
    in order of arrival, refused ones too; ``abandoned`` those whose client left before the answer was whole. An
    exception that the script raises is raised again when the context ends.
    """

    def __init__(
        self,
        script: Script,
        *,
        api_keys: Collection[str],
        faults: Faults = no_faults,
        chunk: int = 12,
        port: int = 0,
    ) -> None:
        self.requests: list[ReceivedRequest] = []
        self.abandoned: list[ReceivedRequest] = []
        self.url = ""
        self._service = Service(script, frozenset(api_keys), chunk, id_source())
        self._faults = faults
        self._port = port
        self._left = asyncio.Event()
        self._failures: list[Exception] = []
        self._runner = web.ServerRunner(
            web.Server(self._serve, handler_cancellation=True, auto_decompress=False, access_log=None),
            shutdown_timeout=0.1,
        )

    async def __aenter__(self) -> Self:
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self._port).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._runner.cleanup()
        if self._failures and kind is None:
            raise self._failures[0]

    async def until_abandoned(self) -> ReceivedRequest:
        """Wait until a client has left before its answer was whole, and say which request that was."""
        await self._left.wait()
        return self.abandoned[-1]

    async def _serve(self, request: web.BaseRequest) -> web.StreamResponse:
        dialect = dialect_of(urlsplit(request.path_qs), request.headers)
        body = await _body(request)
        presented = dialect.credentials(request.headers, urlsplit(request.path_qs))
        received = ReceivedRequest(
            method=request.method,
            path=request.raw_path,
            headers=request.headers,
            body=body,
            parsed=_parsed(body),
            credential=presented[0] if presented else "",
        )
        self.requests.append(received)
        try:
            answer = self._service.answer(received, dialect, int(time.time()))
            for fault in self._faults(received):
                answer = apply(fault, answer, dialect, self._service.new_id)
        except Exception as failure:
            self._failures.append(failure)
            raise
        try:
            return await _write(request, answer)
        except (asyncio.CancelledError, ConnectionError):
            self.abandoned.append(received)
            self._left.set()
            raise


async def _body(request: web.BaseRequest) -> bytes:
    """The body as on the wire, or as much of it as shows that it is too long."""
    body = bytearray()
    async for data in request.content.iter_any():
        body += data
        if len(body) > REQUEST_LIMIT:
            break
    return bytes(body)


def _parsed(body: bytes) -> Json:
    """The body's JSON value; null when it is none."""
    try:
        value: Json = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return value


async def _write(request: web.BaseRequest, answer: Answer) -> web.StreamResponse:
    await asyncio.sleep(answer.delay)
    response = web.StreamResponse(status=answer.status)
    for name, value in answer.headers:
        response.headers.add(name, value)
    match answer.steps:
        case () | (Write(),):
            response.content_length = len(answer.body)
        case _:
            response.enable_chunked_encoding()
    await response.prepare(request)
    for step in () if request.method == "HEAD" else answer.steps:
        match step:
            case Write(data):
                await response.write(data)
            case Wait(seconds):
                await asyncio.sleep(seconds)
            case HangUp():
                break
            case Abort():
                if request.transport is not None:
                    request.transport.abort()
                break
    else:
        await response.write_eof()
    return response

"""HTTP/1.1 on the streams of the proxy: the server's side towards the agent, the client's towards upstreams.

The framing is h11's, which is strict; every message is written anew, so that nothing of the agent's framing survives.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Coroutine, Sequence
from typing import Any, TypeVar

import h11

from ciguard.guard.body import BodyError
from ciguard.guard.egress.stream import Stream

LONGEST_HEAD = 65_536
"""Bytes of a request line or status line with its headers."""

SLOWEST_PAUSE = 60.0
"""Seconds that the agent may let pass within a request."""

IDLE = 120.0
"""Seconds that the agent may let pass between requests."""

SILENCE = 300.0
"""Seconds that an upstream may send nothing."""

_UNPRINTABLE = re.compile(r"[^ -~]")

Headers = list[tuple[str, str]]
_Result = TypeVar("_Result")


class NotHttpError(Exception):
    """What came is no sound HTTP/1.1; the text says of which side."""


def text_headers(headers: Sequence[tuple[bytes, bytes]]) -> Headers:
    """Headers as text; bytes that are no UTF-8 become surrogates, as aiohttp has them."""
    return [(name.decode("ascii"), value.decode("utf-8", "surrogateescape")) for name, value in headers]


def _wire(headers: Headers) -> list[tuple[bytes, bytes]]:
    return [(name.encode("ascii"), value.encode("utf-8", "surrogateescape")) for name, value in headers]


class AgentHttp:
    """The agent's requests on ``stream``, of which ``begun`` was read already."""

    def __init__(self, stream: Stream, begun: bytes = b"") -> None:
        self._stream = stream
        self._http = h11.Connection(h11.SERVER, max_incomplete_event_size=LONGEST_HEAD)
        if begun:
            self._http.receive_data(begun)

    async def request(self) -> h11.Request | None:
        """The next request; None when the agent has no more. Raises :class:`NotHttpError`, ``TimeoutError``."""
        event = await self._next(IDLE)
        return event if isinstance(event, h11.Request) else None

    async def body(self, most: int) -> bytes:
        """The body of the request. Raises :class:`BodyError` beyond ``most`` bytes, and :class:`NotHttpError`."""
        body = bytearray()
        while isinstance(event := await self._next(SLOWEST_PAUSE), h11.Data):
            body += event.data
            if len(body) > most:
                raise BodyError(413, f"the body is larger than {most} bytes")
        if not isinstance(event, h11.EndOfMessage):
            raise NotHttpError("the request breaks off")
        return bytes(body)

    async def answer(self, status: int, message: str, headers: Headers | None = None) -> None:
        """Answer with ``message`` in the words of the guard: as the body, and where clients show no body, as reason."""
        body = f"ciguard: {message}\n".encode()
        said: Headers = [
            ("Content-Type", "text/plain; charset=utf-8"),
            ("Content-Length", str(len(body))),
            *(headers or []),
        ]
        reason = _UNPRINTABLE.sub("?", f"ciguard: {message}")[:300]
        await self.begin(status, reason, said)
        await self.send(body)
        await self.finish()

    async def begin(self, status: int, reason: str, headers: Headers) -> None:
        """Send the head of the answer."""
        await self._send(
            h11.Response(status_code=status, reason=reason.encode("latin-1", "replace"), headers=_wire(headers))
        )

    async def send(self, data: bytes) -> None:
        """Send a piece of the answer's body, unless the request was one for the head only."""
        if data:
            await self._send(h11.Data(data=data))

    async def finish(self) -> None:
        """The answer is complete."""
        await self._send(h11.EndOfMessage())

    async def switch(self) -> bytes:
        """Accept CONNECT; what the agent sent after it already."""
        if not isinstance(await self._next(SLOWEST_PAUSE), h11.EndOfMessage):
            raise NotHttpError("CONNECT has no body")
        await self._send(h11.Response(status_code=200, reason=b"Connection established", headers=[]))
        data, _ = self._http.trailing_data
        return data

    def next(self) -> bool:
        """Whether another request may follow on the stream."""
        if self._http.our_state is not h11.DONE or self._http.their_state is not h11.DONE:
            return False
        self._http.start_next_cycle()
        return True

    @property
    def begun(self) -> bool:
        """Whether an answer was begun."""
        return self._http.our_state not in (h11.IDLE, h11.SEND_RESPONSE)

    async def meanwhile(self, work: Coroutine[Any, Any, _Result]) -> _Result:
        """Do ``work``; raises ``ConnectionResetError``, and gives it up, when the agent hangs up before it is done."""
        working = asyncio.ensure_future(work)
        reading = asyncio.ensure_future(self._stream.read())
        try:
            await asyncio.wait({working, reading}, return_when=asyncio.FIRST_COMPLETED)
            if reading.done():
                data = reading.result()
                self._http.receive_data(data)
                if not data and not working.done():
                    raise ConnectionResetError
            return await working
        finally:
            for task in (working, reading):
                task.cancel()
            await asyncio.gather(working, reading, return_exceptions=True)

    async def _next(self, pause: float) -> type[h11.NEED_DATA | h11.PAUSED] | h11.Event:
        while True:
            try:
                event = self._http.next_event()
                if event is not h11.NEED_DATA:
                    return event
                if self._http.they_are_waiting_for_100_continue:
                    await self._send(h11.InformationalResponse(status_code=100, headers=[]))
                async with asyncio.timeout(pause):
                    data = await self._stream.read()
                self._http.receive_data(data)
            except h11.RemoteProtocolError:
                raise NotHttpError("this is not a sound HTTP request") from None

    async def _send(self, event: h11.Event) -> None:
        await self._stream.write(self._http.send(event) or b"")


class UpstreamHttp:
    """Requests to one upstream on ``stream``."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._http = h11.Connection(h11.CLIENT, max_incomplete_event_size=LONGEST_HEAD)

    async def send(self, method: str, resource: str, headers: Headers, body: bytes) -> None:
        """Send a request; ``headers`` must frame ``body``."""
        request = h11.Request(method=method, target=resource, headers=_wire(headers))
        data = (self._http.send(request) or b"") + (self._http.send(h11.Data(data=body)) or b"" if body else b"")
        await self._stream.write(data + (self._http.send(h11.EndOfMessage()) or b""))

    async def head(self) -> h11.Response:
        """The head of the answer; those that only announce it are left out. Raises :class:`NotHttpError`."""
        while not isinstance(event := await self._next(), h11.Response):
            if not isinstance(event, h11.InformationalResponse):
                raise NotHttpError("the upstream broke off before it answered")
        return event

    async def pieces(self) -> AsyncIterator[bytes]:
        """The body of the answer as it comes. Raises :class:`NotHttpError`."""
        while isinstance(event := await self._next(), h11.Data):
            yield bytes(event.data)
        if not isinstance(event, h11.EndOfMessage):
            raise NotHttpError("the upstream broke off its answer")

    def next(self) -> bool:
        """Whether another request may follow on the stream."""
        if self._http.our_state is not h11.DONE or self._http.their_state is not h11.DONE:
            return False
        self._http.start_next_cycle()
        return True

    async def _next(self) -> type[h11.NEED_DATA | h11.PAUSED] | h11.Event:
        while True:
            try:
                event = self._http.next_event()
                if event is not h11.NEED_DATA:
                    return event
                async with asyncio.timeout(SILENCE):
                    data = await self._stream.read()
                self._http.receive_data(data)
            except h11.RemoteProtocolError:
                raise NotHttpError("the upstream's answer is not sound HTTP") from None
            except TimeoutError:
                raise NotHttpError("the upstream fell silent") from None

"""What is sent to upstreams, which connections are kept, and what becomes of answers that are none."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest
from multidict import CIMultiDict

from ciguard.guard import kept_connections
from ciguard.guard import upstream as module
from ciguard.guard.connection import OpenConnection, Route, find_route
from ciguard.guard.upstream import Upstreams
from ciguard.guard.upstream_body import UpstreamError
from ciguard.inspect.masking import Masker
from ciguard.inspect.placeholder import Placeholders
from ciguard.policy.sections.connection import Connection

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
PAUSE = b"|"
CLOSED = b"closed"
"""A piece of an answer: the service closes the connection."""

LARGE = b" " * (32 << 20)


@dataclass
class Service:
    """A service that answers each request with the next of ``answers``, piece by piece; an empty one is the end."""

    answers: list[bytes]
    port: int = 0
    heads: list[list[str]] = field(default_factory=list)
    connections: int = 0
    asked: asyncio.Event = field(default_factory=asyncio.Event)
    closed: asyncio.Event = field(default_factory=asyncio.Event)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        self.connections += 1
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")[:-2]
                self.heads.append(head)
                self.asked.set()
                length = next((int(line.split(": ")[1]) for line in head if line.startswith("Content-Length")), 0)
                if length < len(LARGE):
                    await reader.readexactly(length)
                answer = self.answers.pop(0)
                if not answer:
                    return
                for piece in answer.split(PAUSE):
                    if piece == CLOSED:
                        self.closed.set()
                        return
                    writer.write(piece)
                    await asyncio.sleep(0.01)
        except (asyncio.IncompleteReadError, ConnectionError):
            self.closed.set()
        finally:
            writer.close()


Call = Callable[[bytes | None], Awaitable[module.UpstreamAnswer]]


@asynccontextmanager
async def calling(*answers: bytes, target: str = "/v1/messages", base: str = "") -> AsyncIterator[tuple[Service, Call]]:
    """A service, and what calls it."""
    service = Service(list(answers))
    server = await asyncio.start_server(service.serve, "127.0.0.1", 0)
    service.port = server.sockets[0].getsockname()[1]
    url = f"http://127.0.0.1:{service.port}{base}"
    declared = Connection.model_validate({"type": "anthropic", "credential": {"env": "KEY"}, "upstream": url})
    method = "POST" if target.startswith("/v1/messages") else "GET"
    route = find_route({"c": OpenConnection("c", declared, "the-credential")}, method, f"/c{target}")
    assert isinstance(route, Route)
    upstreams = Upstreams(Masker([], Placeholders(b"key")))

    async def call(body: bytes | None) -> module.UpstreamAnswer:
        return await upstreams.call(route, CIMultiDict([("X-Name", "agent"), ("x-api-key", "token")]), body)

    try:
        yield service, call
    finally:
        await upstreams.close()
        server.close()
        await server.wait_closed()


@pytest.mark.parametrize(
    ("target", "base", "line"),
    [
        ("/v1/messages?beta=true", "", "POST /v1/messages?beta=true HTTP/1.1"),
        ("/v1/messages", "/base/%41", "POST /base/%41/v1/messages HTTP/1.1"),
        ("/v1/models?limit=3", "", "GET /v1/models?limit=3 HTTP/1.1"),
    ],
)
async def test_what_is_sent(target: str, base: str, line: str) -> None:
    async with calling(ANSWER, target=target, base=base) as (service, call):
        body = b"{}" if line.startswith("POST") else None
        answer = await call(body)
        assert (answer.status, answer.content_type, await answer.body.whole()) == (200, "application/json", b"{}")
        answer.close()
    framing = ["Content-Length: 2"] if body else []
    said = ["X-Name: agent", "Accept-Encoding: identity", "x-api-key: the-credential", *framing]
    assert service.heads == [[line, f"Host: 127.0.0.1:{service.port}", *said]]


UNFRAMED = ANSWER.replace(b"Content-Length: 2\r\n", b"") + PAUSE + CLOSED


@pytest.mark.parametrize(
    "answer", [ANSWER, UNFRAMED, ANSWER.replace(b"{", b"|{|"), PAUSE.join(b"%c" % byte for byte in ANSWER)]
)
async def test_however_an_answer_comes_it_is_the_same(answer: bytes) -> None:
    async with calling(answer) as (_, call):
        came = await call(b"{}")
        assert (came.status, came.headers, await came.body.whole()) == (
            200,
            [("Content-Type", "application/json")],
            b"{}",
        )
        came.close()


async def test_a_connection_is_kept_when_both_sides_have_said_everything() -> None:
    async with calling(ANSWER, ANSWER) as (service, call):
        for _ in range(2):
            answer = await call(b"{}")
            assert await answer.body.whole() == b"{}"
            answer.close()
        assert service.connections == 1


async def test_a_connection_is_closed_when_the_answer_goes_on() -> None:
    async with calling(ANSWER[:-1], ANSWER) as (service, call):
        (await call(b"{}")).close()
        async with asyncio.timeout(10):
            await service.closed.wait()
        answer = await call(b"{}")
        assert await answer.body.whole() == b"{}"
        answer.close()
        assert service.connections == 2


async def test_a_connection_is_not_kept_when_the_request_was_not_taken() -> None:
    async with calling(ANSWER, ANSWER) as (service, call):
        answer = await call(LARGE)
        assert await answer.body.whole() == b"{}"
        answer.close()
        answer = await call(b"{}")
        assert await answer.body.whole() == b"{}"
        answer.close()
        assert service.connections == 2


FRAMED = [
    ANSWER,
    ANSWER.replace(b"Content-Length: 2\r\n\r\n{}", b"Transfer-Encoding: chunked\r\n\r\n1\r\n{\r\n1\r\n}\r\n0\r\n\r\n"),
    b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + ANSWER,
    b"HTTP/1.1 200\r\nContent-Length: 2\r\nContent-Type: application/json\r\n\r\n" + PAUSE + b"{}",
]


@pytest.mark.parametrize("first", FRAMED)
@pytest.mark.parametrize("second", FRAMED)
async def test_a_kept_connection_reads_as_a_new_one(first: bytes, second: bytes) -> None:
    async with calling(first, second, first) as (service, call):
        for _ in range(3):
            answer = await call(b"{}")
            assert (answer.status, answer.headers) == (200, [("Content-Type", "application/json")])
            assert await answer.body.whole() == b"{}"
            answer.close()
        assert service.connections == 1


@pytest.mark.parametrize("unasked", [ANSWER, ANSWER[:-2], b"HTTP/1.1 100 Continue\r\n\r\n", b"no HTTP\r\n\r\n"])
async def test_what_comes_unasked_is_no_answer(unasked: bytes) -> None:
    other = ANSWER.replace(b"{}", b"[]")
    async with calling(ANSWER + PAUSE + unasked, other) as (service, call):
        answer = await call(b"{}")
        assert await answer.body.whole() == b"{}"
        answer.close()
        # It comes when the connection is kept already, and is there before the next call.
        await asyncio.sleep(0.1)
        answer = await call(b"{}")
        assert await answer.body.whole() == b"[]"
        answer.close()
        assert service.connections == 2


async def test_a_connection_that_the_upstream_closed_is_not_used() -> None:
    async with calling(ANSWER + PAUSE + CLOSED, ANSWER) as (service, call):
        (await call(b"{}")).close()
        async with asyncio.timeout(10):
            await service.closed.wait()
        await asyncio.sleep(0.1)
        answer = await call(b"{}")
        assert answer.status == 200
        answer.close()
        assert service.connections == 2


async def test_a_connection_is_not_used_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept_connections, "KEPT", 0.0)
    async with calling(ANSWER, ANSWER) as (service, call):
        (await call(b"{}")).close()
        await asyncio.sleep(0.01)
        (await call(b"{}")).close()
        assert service.connections == 2
        async with asyncio.timeout(10):
            await service.closed.wait()


async def test_connections_that_are_not_needed_any_more_are_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    async with calling(ANSWER, ANSWER, ANSWER) as (service, call):
        first, second = await call(b"{}"), await call(b"{}")
        first.close()
        await asyncio.sleep(0.1)
        monkeypatch.setattr(kept_connections, "KEPT", 0.05)
        second.close()
        async with asyncio.timeout(10):
            await service.closed.wait()
        (await call(b"{}")).close()
        assert service.connections == 2


@pytest.mark.parametrize("hint", [b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"])
async def test_what_comes_before_an_answer_is_none(hint: bytes) -> None:
    async with calling(hint + hint + ANSWER) as (_, call):
        answer = await call(b"{}")
        assert (answer.status, await answer.body.whole()) == (200, b"{}")
        answer.close()


@pytest.mark.parametrize("answer", [b"", b"\x16\x03\x01 no HTTP", b"HTTP/1.1 OK\r\n\r\n", ANSWER[:20], PAUSE])
async def test_no_answer_is_an_error(answer: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SILENCE_TIMEOUT", 0.2)
    async with calling(answer) as (_, call):
        with pytest.raises(UpstreamError) as error:
            await call(b"{}")
        assert error.value.status == (504 if answer in (ANSWER[:20], PAUSE) else 502)


async def test_the_connection_of_a_call_that_is_given_up_is_closed() -> None:
    async with calling(b"HTTP/1.1 100 Continue\r\n\r\n") as (service, call):
        called = asyncio.ensure_future(call(b"{}"))
        async with asyncio.timeout(10):
            await service.asked.wait()
            called.cancel()
            await asyncio.gather(called, return_exceptions=True)
            await service.closed.wait()

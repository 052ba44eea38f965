"""Calls of one connection are answered one after another, whatever an agent does; nothing of it is printed."""

from __future__ import annotations

import asyncio
import gc
import io
import logging

import pytest
from aiohttp.web_protocol import MAX_MSG_QUEUE_SIZE
from aiohttp.web_request import BaseRequest
from aiohttp.web_response import StreamResponse

from ciguard.guard import listener as module
from ciguard.guard.whole_answer import WholeAnswer
from tests.unit.guard.listening import listening

BODIES = [b"first", b"second", b"third"]


def call(body: bytes = b"", *lines: str, target: str = "/", length: int | None = None) -> bytes:
    """A call whose body is said to have ``length`` bytes, or as many as it has."""
    framing = f"Content-Length: {len(body) if length is None else length}"
    return "\r\n".join([f"POST {target} HTTP/1.1", "Host: x", framing, *lines, "", ""]).encode() + body


LAST = "Connection: close"


async def echo(request: BaseRequest) -> StreamResponse:
    """Answers with the body of the call."""
    return WholeAnswer(200, body=await request.content.read())


async def answered(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    """The status and body of the next answer."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
    [length] = [int(line.split(": ")[1]) for line in head if line.startswith("Content-Length")]
    return int(head[0].split()[1]), await reader.readexactly(length)


@pytest.mark.parametrize("together", [True, False])
async def test_a_connection_carries_one_call_after_another(together: bool) -> None:
    under_way: list[bytes] = []
    most: list[int] = []

    async def slow(request: BaseRequest) -> StreamResponse:
        body = await request.content.read()
        under_way.append(body)
        await asyncio.sleep(0.01)
        most.append(len(under_way))
        under_way.remove(body)
        return WholeAnswer(200, body=body)

    async with listening(slow) as serving, serving.connected() as (reader, writer):
        if together:
            writer.write(b"".join(map(call, BODIES)))
        for body in BODIES:
            if not together:
                writer.write(call(body))
            assert await answered(reader) == (200, body)
        assert len(serving.listener.connections) == 1
    assert most == [1, 1, 1]


async def test_all_calls_are_answered_however_many_come_together() -> None:
    async def place(request: BaseRequest) -> StreamResponse:
        return WholeAnswer(200, body=request.raw_path.encode())

    async with listening(place) as serving, serving.connected() as (reader, writer):
        for count in (5 * MAX_MSG_QUEUE_SIZE, 2):
            targets = [f"/{number}" for number in range(count)]
            writer.write(b"".join(f"GET {target} HTTP/1.1\r\nHost: x\r\n\r\n".encode() for target in targets))
            assert [await answered(reader) for _ in targets] == [(200, target.encode()) for target in targets]


async def test_no_call_is_answered_on_a_connection_that_was_cut() -> None:
    calls: list[str] = []

    async def cut(request: BaseRequest) -> StreamResponse:
        calls.append(request.raw_path)
        assert request.transport is not None
        request.transport.abort()
        return WholeAnswer(200)

    async with listening(cut) as serving:
        assert await serving.sent(call(target="/1") + call(target="/2")) == b""
    assert calls == ["/1"]


async def test_a_body_may_come_in_pieces() -> None:
    async with listening(echo) as serving, serving.connected() as (reader, writer):
        sent = call(b"0123456789")
        for byte in sent:
            writer.write(b"%c" % byte)
            await asyncio.sleep(0)
        assert await answered(reader) == (200, b"0123456789")


async def test_a_body_that_is_not_read_waits() -> None:
    large = bytes(range(256)) * 40_000
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def later(request: BaseRequest) -> StreamResponse:
        begun.set()
        await go_on.wait()
        pieces = bytearray()
        while piece := await request.content.readany():
            pieces += piece
        return WholeAnswer(200, body=bytes(pieces))

    async with listening(later) as serving, serving.connected() as (reader, writer):
        for _ in range(2):
            begun.clear()
            go_on.clear()
            writer.write(call(large))
            sent = asyncio.ensure_future(writer.drain())
            await begun.wait()
            # More than the connection takes in: the rest stays with the agent until it is wanted.
            await asyncio.sleep(0.1)
            assert not sent.done()
            go_on.set()
            assert await answered(reader) == (200, large)
            await sent


async def test_a_call_ends_when_the_agent_goes() -> None:
    begun, cancelled = asyncio.Event(), asyncio.Event()

    async def forever(request: BaseRequest) -> StreamResponse:
        begun.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.set()
            raise
        return WholeAnswer(200)

    async with listening(forever) as serving, serving.connected() as (_, writer):
        writer.write(call())
        await begun.wait()
        writer.close()
        await cancelled.wait()
        await asyncio.sleep(0)
        assert serving.listener.connections == []


async def test_the_rest_of_a_refused_body_is_read() -> None:
    async def refuse(request: BaseRequest) -> StreamResponse:
        return WholeAnswer(413, body=b"too large")

    async with listening(refuse) as serving, serving.connected() as (reader, writer):
        for _ in range(2):
            writer.write(call(b"a" * 10, length=20))
            assert await answered(reader) == (413, b"too large")
            writer.write(b"b" * 10)


async def test_a_refused_body_that_does_not_end_takes_its_connection_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    async def refuse(request: BaseRequest) -> StreamResponse:
        return WholeAnswer(413, body=b"too large")

    monkeypatch.setattr(module, "LINGERING", 0.05)
    async with listening(refuse) as serving:
        assert (await serving.sent(call(b"a" * 10, length=20))).endswith(b"too large")


@pytest.mark.parametrize(("line", "version"), [(LAST, b"HTTP/1.1"), ("X-A: b", b"HTTP/1.0")])
async def test_a_connection_ends_where_the_agent_wants_it_to(line: str, version: bytes) -> None:
    async with listening(echo) as serving:
        received = await serving.sent(call(b"only", line).replace(b"HTTP/1.1", version))
        assert received.startswith(version + b" 200 OK")
        assert received.endswith(b"only")


async def test_a_connection_ends_where_the_answer_says_so() -> None:
    async def last(request: BaseRequest) -> StreamResponse:
        answer = WholeAnswer(200, body=b"last")
        answer.force_close()
        return answer

    async with listening(last) as serving:
        received = await serving.sent(call() + call())
        assert received.count(b"200 OK") == 1
        assert b"Connection: close\r\n" in received


@pytest.mark.parametrize("sent", [b"no HTTP\r\n\r\n", call(b"{}") + b"\x16\x03\x01\r\n\r\n"])
async def test_what_is_not_http_is_refused_and_ends_the_connection(sent: bytes) -> None:
    async with listening(echo) as serving:
        received = await serving.sent(sent)
        assert received.count(b" 400 Bad Request\r\n") == 1
        assert received.endswith(b"refused")


async def test_a_handler_that_fails_is_answered_for(caplog: pytest.LogCaptureFixture) -> None:
    async def fail(request: BaseRequest) -> StreamResponse:
        raise ZeroDivisionError

    async with listening(fail) as serving:
        received = await serving.sent(call() + call())
        assert received.count(b" 500 Internal Server Error\r\n") == 1
        assert received.endswith(b"refused")
    assert caplog.records == []


async def test_an_answer_that_cannot_be_sent_ends_the_connection(caplog: pytest.LogCaptureFixture) -> None:
    async def split(request: BaseRequest) -> StreamResponse:
        return WholeAnswer(200, [("X-A", "b\r\nX-B: c")])

    async with listening(split) as serving:
        assert await serving.sent(call() + call()) == b""
    gc.collect()
    assert [record for record in caplog.records if record.name == "asyncio"] == []


async def test_what_follows_an_upgrade_that_is_not_made_is_a_call() -> None:
    async with listening(echo) as serving:
        upgrade = call(b"", "Connection: Upgrade", "Upgrade: websocket")
        received = await serving.sent(upgrade + call(b"next", LAST))
        assert received.count(b"200 OK") == 2
        assert received.endswith(b"next")


async def test_idle_connections_are_closed_in_the_end() -> None:
    async with listening(echo) as serving, serving.connected() as (reader, writer):
        writer.write(call(b"1"))
        assert await answered(reader) == (200, b"1")
        [connection] = serving.listener.connections
        # The time was over once, and begins anew with every answer.
        connection._next_keepalive_close_time = 0.0
        writer.write(call(b"2"))
        assert await answered(reader) == (200, b"2")
        connection._process_keepalive()
        writer.write(call(b"3"))
        assert await answered(reader) == (200, b"3")
        connection._next_keepalive_close_time = 0.0
        connection._process_keepalive()
        assert await reader.read() == b""


async def test_a_call_under_way_is_no_idle_connection() -> None:
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def wait(request: BaseRequest) -> StreamResponse:
        begun.set()
        await go_on.wait()
        return WholeAnswer(200, body=b"done")

    async with listening(wait) as serving, serving.connected() as (reader, writer):
        writer.write(call())
        await begun.wait()
        [connection] = serving.listener.connections
        connection._keepalive_timeout = 0.05
        connection._next_keepalive_close_time = 0.0
        connection._process_keepalive()
        go_on.set()
        assert await answered(reader) == (200, b"done")
        assert await reader.read() == b""


@pytest.mark.parametrize("patient", [True, False])
async def test_a_stop_waits_for_the_call_under_way(patient: bool) -> None:
    begun, go_on, done = asyncio.Event(), asyncio.Event(), list[str]()

    async def wait(request: BaseRequest) -> StreamResponse:
        begun.set()
        try:
            await go_on.wait()
        except asyncio.CancelledError:
            done.append("cancelled")
            raise
        done.append("answered")
        return WholeAnswer(200, body=b"done")

    async with listening(wait) as serving, serving.connected() as (idle, _), serving.connected() as (reader, writer):
        writer.write(call() + call())
        await begun.wait()
        stop = asyncio.ensure_future(serving.listener.stop(10 if patient else 0.05))
        assert await idle.read() == b""
        if patient:
            go_on.set()
        received = await reader.read()
        await stop
        assert received.endswith(b"done") == patient
        assert done == ["answered" if patient else "cancelled"]


async def test_what_goes_wrong_on_a_connection_is_not_printed(capfd: pytest.CaptureFixture[str]) -> None:
    printed = io.StringIO()
    job_log = logging.StreamHandler(printed)
    logging.getLogger().addHandler(job_log)
    try:
        connection = module.Listener(echo, WholeAnswer)()
        connection.log_exception("Unhandled exception", exc_info=ValueError("a secret"))
    finally:
        logging.getLogger().removeHandler(job_log)
    assert printed.getvalue() == ""
    assert capfd.readouterr() == ("", "")

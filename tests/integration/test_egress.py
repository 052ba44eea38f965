"""What the proxy lets through, and how."""

from __future__ import annotations

import asyncio
import gzip
import json
from pathlib import Path

import pytest
from aiohttp import web

from ciguard.guard.egress.session_ca import SessionCA
from ciguard.operation import OperationKind
from ciguard.session.event import EventType
from tests.integration.guarded import parsed, until
from tests.integration.proxied import (
    ALLOWED,
    CREDENTIAL,
    INSPECTED,
    SECRET,
    client_hello,
    connect_head,
    get,
    inner,
    listening,
    loopback_socket,
    private,
    proxied,
    serving,
)


@pytest.fixture
def upstream_ca(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SessionCA:
    """A certificate authority that the guard trusts for upstreams."""
    ca = SessionCA()
    (tmp_path / "roots.pem").write_text(ca.certificate)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "roots.pem"))
    return ca


async def test_plain_http_is_forwarded_and_recorded(tmp_path: Path) -> None:
    async with serving() as server, proxied(tmp_path, private(ALLOWED, server.port)) as proxy:
        host = f"{ALLOWED}:{server.port}"
        received = await proxy.raw(get(f"http://{host}/a?b=c", "ignored.example", "X-Own: 1", "Via: 1.0 x"))
        answer = parsed(received)
        assert (answer.status, answer.body) == (200, b"GET /a?b=c")
        [request] = server.requests
        assert (request.method, request.host, request.path) == ("GET", host, "/a?b=c")
        assert request.headers["X-Own"] == "1"
        assert not {"Proxy-Authorization", "Via", "Connection"} & set(request.headers)
        assert proxy.operations(OperationKind.CONNECT) == [
            ("allow", {"host": ALLOWED, "port": server.port, "address": "127.0.0.1", "inspect": False})
        ]
        assert proxy.operations(OperationKind.HTTP_REQUEST) == [
            ("allow", {"method": "GET", "url": f"http://{host}/a?b=c"})
        ]
        [transfer] = proxy.events(EventType.TRANSFER)
        assert (transfer["status"], transfer["sent"], transfer["received"], transfer["complete"]) == (200, 0, 10, True)


async def test_plain_http_within_connect_is_seen_as_well(tmp_path: Path) -> None:
    async with serving() as server, proxied(tmp_path, private(ALLOWED, server.port)) as proxy:
        host = f"{ALLOWED}:{server.port}"
        received = await proxy.connect(host, inner("/x", host, method="PUT", body=SECRET.encode()), finished=False)
        assert b"HTTP/1.1 200 OK" in received
        assert server.requests[0].body.startswith(b"[ciguard-masked:github-token:")
        assert [action for action, _ in proxy.operations(OperationKind.HTTP_REQUEST)] == ["allow"]


async def test_a_tunnel_carries_tls_that_names_the_host(tmp_path: Path, upstream_ca: SessionCA) -> None:
    async with serving(context=upstream_ca.context(ALLOWED)) as server:
        async with proxied(tmp_path, private(ALLOWED, server.port)) as proxy:
            host = f"{ALLOWED}:{server.port}"
            received = await proxy.within(host, ALLOWED, inner("/", host), trust=upstream_ca.certificate)
            assert b"GET /" in received
            assert proxy.operations(OperationKind.HTTP_REQUEST) == []
            await until(lambda: proxy.events(EventType.TRANSFER))
        [transfer] = proxy.events(EventType.TRANSFER)
        assert transfer["complete"] is True
        assert transfer["sent"] > 500
        assert transfer["received"] > 500


async def test_an_inspected_host_is_opened_with_the_sessions_certificate(
    tmp_path: Path, upstream_ca: SessionCA
) -> None:
    async with serving(context=upstream_ca.context(INSPECTED)) as server:
        entry = private(INSPECTED, server.port, ", inspect: true, methods: [GET, POST], paths: [/api/*]")
        async with proxied(tmp_path, entry) as proxy:
            host = f"{INSPECTED}:{server.port}"
            body = json.dumps({"comment": f"see {CREDENTIAL}", "n": 1}).encode()
            sent = inner("/api/comments", host, "Content-Type: application/json", method="POST", body=body)
            received = await proxy.within(host, INSPECTED, sent)
            assert received.startswith(b"HTTP/1.1 200")
            assert CREDENTIAL.encode() not in server.requests[0].body
            assert json.loads(server.requests[0].body)["comment"].startswith("see [ciguard-masked:upstream-credential:")
            [(action, recorded)] = proxy.operations(OperationKind.HTTP_REQUEST)
            assert action == "allow"
            assert recorded["url"] == f"https://{host}/api/comments"
            assert "[ciguard-masked:upstream-credential:" in recorded["body"]
            [event] = [e for e in proxy.events(EventType.OPERATION) if e["operation"] == "http_request"]
            assert event["masked"] == {"upstream-credential": 1}


async def test_bytes_in_which_nothing_is_masked_stay_as_they_are(tmp_path: Path) -> None:
    body = b'{ "a":\t"\\u00e9", "b": 1e2 }\n'
    async with serving() as server, proxied(tmp_path, private(ALLOWED, server.port)) as proxy:
        url = f"http://{ALLOWED}:{server.port}/"
        await proxy.raw(get(url, ALLOWED, "Content-Type: application/json", method="POST", body=body))
        binary = bytes(range(256)) * 300
        await proxy.raw(get(url, ALLOWED, "Content-Type: application/octet-stream", method="POST", body=binary))
        assert [request.body for request in server.requests] == [body, binary]
        recorded = [body for _, body in proxy.operations(OperationKind.HTTP_REQUEST)]
        assert recorded[0]["body"] == body.decode()
        assert recorded[1]["bytes"] == len(binary)


async def test_compressed_bodies_are_looked_through(tmp_path: Path) -> None:
    async with serving() as server, proxied(tmp_path, private(ALLOWED, server.port)) as proxy:
        body = gzip.compress(b"token=" + CREDENTIAL.encode())
        url = f"http://{ALLOWED}:{server.port}/"
        received = await proxy.raw(get(url, ALLOWED, "Content-Encoding: gzip", method="POST", body=body))
        assert received.startswith(b"HTTP/1.1 200")
        [request] = server.requests
        assert request.body.startswith(b"token=[ciguard-masked:upstream-credential:")
        assert "Content-Encoding" not in request.headers


async def test_text_answers_are_masked_however_they_are_cut(tmp_path: Path) -> None:
    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "application/json", "X-Echo": SECRET})
        await response.prepare(request)
        for byte in f'{{"token": "{SECRET}", "é": "\xff"}}'.encode():
            await response.write(bytes([byte]))
        await response.write_eof()
        return response

    async with serving(answer) as server, proxied(tmp_path, private(ALLOWED, server.port)) as proxy:
        received = await proxy.raw(get(f"http://{ALLOWED}:{server.port}/", ALLOWED))
        assert SECRET.encode() not in received
        assert received.count(b"[ciguard-masked:github-token:") == 2
        [transfer] = proxy.events(EventType.TRANSFER)
        assert transfer["masked"] == {"github-token": 1}


async def test_what_is_no_text_comes_as_it_is(tmp_path: Path) -> None:
    data = gzip.compress(b"x" * 100_000) + bytes(range(256)) * 1000

    async def answer(request: web.BaseRequest) -> web.Response:
        return web.Response(body=data, content_type="application/gzip", headers={"Content-Encoding": "x-own"})

    async with serving(answer) as server, proxied(tmp_path, private(ALLOWED, server.port)) as proxy:
        received = await proxy.raw(get(f"http://{ALLOWED}:{server.port}/", ALLOWED))
        head, _, body = received.partition(b"\r\n\r\n")
        assert body == data
        assert b"x-own" in head
        assert f"content-length: {len(data)}".encode() in head.lower()


@pytest.mark.parametrize("method", ["HEAD", "OPTIONS", "DELETE"])
async def test_other_methods(tmp_path: Path, method: str) -> None:
    async with serving() as server, proxied(tmp_path, private(ALLOWED, server.port)) as proxy:
        received = await proxy.raw(get(f"http://{ALLOWED}:{server.port}/x", ALLOWED, method=method))
        assert received.startswith(b"HTTP/1.1 200")
        assert [request.method for request in server.requests] == [method]


async def test_one_connection_carries_many_requests_and_hosts(tmp_path: Path) -> None:
    async with serving() as one, serving() as other:
        allow = f"{private(ALLOWED, one.port)}, {private('b.example', other.port)}"
        async with proxied(tmp_path, allow) as proxy:
            urls = [f"http://{ALLOWED}:{one.port}/{n}" for n in range(3)] + [f"http://b.example:{other.port}/3"]
            requests = [get(url, "x").replace(b"Connection: close\r\n", b"") for url in urls]
            received = await proxy.raw(b"".join(requests) + get(urls[0], "x"))
            assert received.count(b"HTTP/1.1 200") == 5
            assert [request.path for request in one.requests] == ["/0", "/1", "/2", "/0"]
            assert proxy.lookups == [ALLOWED, "b.example", ALLOWED]


async def test_a_client_that_waits_to_be_told_to_go_on(tmp_path: Path) -> None:
    async with serving() as server, proxied(tmp_path, private(ALLOWED, server.port)) as proxy:
        sent = get(
            f"http://{ALLOWED}:{server.port}/", ALLOWED, "Expect: 100-continue", "Content-Length: 2", method="POST"
        )
        reader, writer = await proxy.dial()
        writer.write(sent)
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 100")
        writer.write(b"ok")
        assert (await reader.read()).startswith(b"HTTP/1.1 200")
        writer.close()
        assert server.requests[0].body == b"ok"


async def test_large_transfers(tmp_path: Path, upstream_ca: SessionCA) -> None:
    size = 20_000_000

    async def answer(request: web.BaseRequest) -> web.Response:
        return web.Response(body=b"y" * size)

    async with (
        serving(answer, upstream_ca.context(ALLOWED)) as server,
        proxied(tmp_path, private(ALLOWED, server.port)) as proxy,
    ):
        host = f"{ALLOWED}:{server.port}"
        received = await proxy.within(host, ALLOWED, inner("/", host), trust=upstream_ca.certificate)
        assert received.endswith(b"y" * 100)
        assert len(received) > size


async def test_a_server_that_speaks_after_the_agent_ended_is_heard(tmp_path: Path) -> None:
    async def late(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        data = await reader.read()
        writer.write(b"heard %d" % len(data))
        writer.close()

    hello = client_hello(ALLOWED)
    async with listening(late) as port, proxied(tmp_path, private(ALLOWED, port)) as proxy:
        received = await proxy.connect(f"{ALLOWED}:{port}", hello)
        assert received.endswith(b"heard %d" % len(hello))


async def test_an_upstream_that_is_not_there(tmp_path: Path) -> None:
    with loopback_socket() as unused:
        port = unused.getsockname()[1]
    async with proxied(tmp_path, private(ALLOWED, port), hosts={"gone.example": []}) as proxy:
        for received in (
            await proxy.raw(get(f"http://{ALLOWED}:{port}/", ALLOWED)),
            await proxy.connect(f"{ALLOWED}:{port}"),
        ):
            assert received.startswith(b"HTTP/1.1 502 ciguard: The host allowed.example.com does not accept")
        assert [event["complete"] for event in proxy.events(EventType.TRANSFER)] == [False] * 3


async def test_a_name_that_does_not_resolve(tmp_path: Path) -> None:
    async with proxied(tmp_path, "gone.example", hosts={"gone.example": []}) as proxy:
        assert b"502 ciguard: The name gone.example does not resolve." in await proxy.connect("gone.example:443")


async def test_the_upstreams_certificate_must_be_valid(tmp_path: Path) -> None:
    async with (
        serving(context=SessionCA().context(INSPECTED)) as server,
        proxied(tmp_path, private(INSPECTED, server.port, ", inspect: true")) as proxy,
    ):
        host = f"{INSPECTED}:{server.port}"
        received = await proxy.within(host, INSPECTED, inner("/", host))
        assert b"HTTP/1.1 502" in received
        assert b"has a certificate that is not valid here" in received
        assert server.requests == []


async def test_an_agent_that_hangs_up_takes_its_upstream_along(tmp_path: Path) -> None:
    reached, closed = asyncio.Event(), asyncio.Event()

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.read(1000):
            reached.set()
        closed.set()
        writer.close()

    async with listening(silent) as port, proxied(tmp_path, private(ALLOWED, port)) as proxy:
        for sent in (
            get(f"http://{ALLOWED}:{port}/", ALLOWED),
            connect_head(f"{ALLOWED}:{port}") + client_hello(ALLOWED),
        ):
            reached.clear()
            closed.clear()
            _, writer = await proxy.dial()
            writer.write(sent)
            async with asyncio.timeout(10):
                await reached.wait()
                writer.transport.abort()
                await closed.wait()


async def test_nothing_is_left_open_at_the_end(tmp_path: Path) -> None:
    reached, ended = asyncio.Event(), asyncio.Event()

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.read(1000):
            reached.set()
        ended.set()
        writer.close()

    async with asyncio.timeout(20), listening(silent) as port:
        async with proxied(tmp_path, private(ALLOWED, port)) as proxy:
            reader, writer = await proxy.dial()
            writer.write(connect_head(f"{ALLOWED}:{port}") + client_hello(ALLOWED))
            await reader.readuntil(b"\r\n\r\n")
            await reached.wait()
        assert await reader.read() == b""
        await ended.wait()
        writer.close()
        with pytest.raises(ConnectionRefusedError):
            await proxy.dial()

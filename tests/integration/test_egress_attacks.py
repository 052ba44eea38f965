"""What a hostile agent tries with the proxy (threats N2, N3, and C3): refused, recorded, and nothing arrives."""

from __future__ import annotations

import asyncio
import base64
import gzip
import json
import ssl
from pathlib import Path
from urllib.parse import quote

import pytest

from ciguard.approvals.approver import Verdict
from ciguard.decision import Decision
from ciguard.guard.egress.session_ca import SessionCA
from ciguard.operation import Operation, OperationKind, Result
from ciguard.session.event import EventType
from tests.integration.guarded import parsed, until
from tests.integration.proxied import (
    ALLOWED,
    CREDENTIAL,
    INSPECTED,
    SECRET,
    TOKEN,
    LoopbackServer,
    Proxied,
    authorization,
    client_hello,
    connect_head,
    get,
    inner,
    private,
    proxied,
    serving,
)


async def refused(proxy: Proxied, received: bytes, reason: str, *, status: int = 403) -> None:
    """The agent was told, the log has a blocked attempt that says why, and the proxy still serves."""
    assert received.startswith(f"HTTP/1.1 {status} ciguard: ".encode()), received
    assert reason in received.decode()
    assert any(reason in text for text in proxy.reasons())
    assert proxy.events(EventType.OPERATION)[-1]["decision"]["action"] == "block"
    assert proxy.events(EventType.OPERATION)[-1]["effect"] == "withheld"
    assert proxy.failures == []


@pytest.mark.parametrize(
    "credentials",
    [
        "",
        authorization("wrong"),
        authorization(TOKEN[:-1]),
        authorization() + authorization(),
        f"Proxy-Authorization: Bearer {TOKEN}\r\n",
        f"Proxy-Authorization: Basic {TOKEN}\r\n",
        "Proxy-Authorization: Basic ===\r\n",
        f"Proxy-Authorization: Basic {base64.b64encode(f'other:{TOKEN}'.encode()).decode()}\r\n",
        authorization().replace("Proxy-", ""),
    ],
)
async def test_without_the_token_nothing_passes(tmp_path: Path, credentials: str) -> None:
    async with serving() as server, proxied(tmp_path, private(ALLOWED, server.port)) as proxy:
        host = f"{ALLOWED}:{server.port}"
        for line in (f"CONNECT {host}", f"GET http://{host}/"):
            received = await proxy.raw(f"{line} HTTP/1.1\r\nHost: {host}\r\n{credentials}\r\n".encode())
            assert received.startswith(b"HTTP/1.1 407 ")
            assert b'Proxy-Authenticate: Basic realm="ciguard"' in received
        assert [event["status"] for event in proxy.events(EventType.REFUSED)] == [407, 407]
        assert proxy.lookups == []
        assert server.requests == []


@pytest.mark.parametrize(
    ("authority", "reason"),
    [
        ("evil.example.com:443", "does not name evil.example.com:443"),
        ("allowed.example.com.evil.example:443", "does not name"),
        ("evilallowed.example.com:443", "does not name"),
        ("allowed.example.com:22", "does not name allowed.example.com:22"),
        ("allowed.example.com:80", "does not name"),
        ("127.0.0.1:443", "does not name"),
        ("[::ffff:127.0.0.1]:443", "does not name"),
        ("[::1]:443", "does not name"),
    ],
)
async def test_what_the_policy_does_not_name_is_not_even_looked_up(tmp_path: Path, authority: str, reason: str) -> None:
    async with proxied(tmp_path, ALLOWED) as proxy:
        await refused(proxy, await proxy.connect(authority), reason)
        assert proxy.lookups == []


@pytest.mark.parametrize(
    "authority",
    [
        *("2130706433:443", "0x7f000001:443", "0177.0.0.1:443", "127.1:443", "a%2eexample:443", "[fe80::1%25lo]:443"),
        *("user@allowed.example.com:443", "allowed.example.com", "allowed.example.com:0", "allowed.example.com:443/x"),
        "bücher.example:1",
    ],
)
async def test_hosts_in_unusual_spellings_are_refused_calls(tmp_path: Path, authority: str) -> None:
    async with proxied(tmp_path, ALLOWED) as proxy:
        received = await proxy.raw(f"CONNECT {authority} HTTP/1.1\r\nHost: x\r\n{authorization()}\r\n".encode())
        assert received.startswith(b"HTTP/1.1 400 ciguard: ")
        assert [event["status"] for event in proxy.events(EventType.REFUSED)] == [400]
        assert proxy.lookups == []


@pytest.mark.parametrize(
    "address",
    [
        *(
            "127.0.0.1",
            "10.0.0.5",
            "172.31.1.1",
            "192.168.0.1",
            "100.64.0.1",
            "169.254.169.254",
            "0.0.0.1",
            "224.0.0.1",
        ),
        *("::1", "fe80::1", "fd00:ec2::254", "fc00::1", "::ffff:127.0.0.1", "64:ff9b::a9fe:a9fe", "2002:7f00:1::"),
        *("ff02::1", "::"),
    ],
)
@pytest.mark.parametrize("others", [[], ["8.8.8.8"]])
async def test_an_allowed_name_that_leads_inside_is_refused(tmp_path: Path, address: str, others: list[str]) -> None:
    async with proxied(tmp_path, ALLOWED, hosts={ALLOWED: [*others, address]}) as proxy:
        await refused(proxy, await proxy.connect(f"{ALLOWED}:443"), f"It resolves to {address}, ")
        await refused(proxy, await proxy.raw(get(f"http://{ALLOWED}:443/", ALLOWED)), f"It resolves to {address}, ")


@pytest.mark.parametrize(
    "address", ["169.254.169.254", "100.100.100.200", "fd00:ec2::254", "fe80::1", "::", "168.63.129.16"]
)
async def test_no_policy_opens_metadata_services(tmp_path: Path, address: str) -> None:
    async with proxied(tmp_path, private(ALLOWED, 443), hosts={ALLOWED: [address]}) as proxy:
        await refused(proxy, await proxy.connect(f"{ALLOWED}:443"), "It resolves to")


async def test_a_name_is_looked_up_once_and_dialled_where_it_was_checked(tmp_path: Path) -> None:
    """DNS rebinding: a second lookup would lead elsewhere."""
    answers = iter([["127.0.0.1"], ["169.254.169.254"]])
    async with serving() as server, proxied(tmp_path, private(ALLOWED, server.port)) as proxy:

        async def rebinding(host: str, port: int) -> list[str]:
            return next(answers)

        proxy.proxy._proxying.admission._resolve = rebinding
        host = f"{ALLOWED}:{server.port}"
        requests = get(f"http://{host}/1", "x").replace(b"Connection: close\r\n", b"") + get(f"http://{host}/2", "x")
        assert (await proxy.raw(requests)).count(b"HTTP/1.1 200") == 2
        await refused(proxy, await proxy.connect(host), "It resolves to 169.254.169.254")


async def test_the_guard_itself_is_out_of_reach(tmp_path: Path) -> None:
    async with proxied(tmp_path, private(ALLOWED, 1)) as proxy:
        await refused(proxy, await proxy.connect(f"{ALLOWED}:1"), "It is the guard itself.")
    (tmp_path / "own").mkdir()
    async with proxied(tmp_path / "own", "{host: 'a.example:PORT', private: true}") as proxy:
        await refused(proxy, await proxy.connect(f"a.example:{proxy.proxy.port}"), "It is the guard itself.")


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("evil.example.com", "names another server (SNI)"),
        ("", "does not name the server"),
    ],
)
@pytest.mark.parametrize("inspect", ["", ", inspect: true"])
async def test_tls_for_another_server_is_refused(tmp_path: Path, name: str, reason: str, inspect: str) -> None:
    async with serving() as server, proxied(tmp_path, private(ALLOWED, server.port, inspect)) as proxy:
        received = await proxy.connect(f"{ALLOWED}:{server.port}", client_hello(name))
        assert received.startswith(b"HTTP/1.1 200")
        assert received.endswith(bytes.fromhex("15030100020270"))
        [allowed, (action, body)] = proxy.operations(OperationKind.CONNECT)
        assert (allowed[0], action, body["server_name"]) == ("allow", "block", name)
        assert reason in proxy.reasons()[-1]
        assert server.requests == []


@pytest.mark.parametrize(
    "first",
    [
        b"SSH-2.0-OpenSSH_9.6\r\n",
        b"\x00\x00\x00\x08\x04\xd2\x16\x2f",
        b"*1\r\n$4\r\nINFO\r\n",
        b"\x16\x03\x01\x00\x05hello",
        b"\x16\x03\x01\x00\x00",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"EHLO there\r\n\r\n",
    ],
)
async def test_other_protocols_do_not_pass_through_connect(tmp_path: Path, first: bytes) -> None:
    arrived: list[bytes] = []

    async def note(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        arrived.append(await reader.read(1000))
        writer.close()

    listener = await asyncio.start_server(note, "127.0.0.1", 0)
    port = listener.sockets[0].getsockname()[1]
    async with listener, proxied(tmp_path, private(ALLOWED, port)) as proxy:
        await proxy.connect(f"{ALLOWED}:{port}", first, finished=False)
        assert [action for action, _ in proxy.operations(OperationKind.CONNECT)] == ["allow", "block"]
        assert proxy.operations(OperationKind.HTTP_REQUEST) == []
    assert set(arrived) <= {b""}


INSPECT = ", inspect: true, methods: [GET, POST], paths: ['/api/*']"


@pytest.fixture
def upstream_ca(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SessionCA:
    ca = SessionCA()
    (tmp_path / "roots.pem").write_text(ca.certificate)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "roots.pem"))
    return ca


async def inspected(proxy: Proxied, server: LoopbackServer, sent: bytes) -> bytes:
    return await proxy.within(f"{INSPECTED}:{server.port}", INSPECTED, sent)


@pytest.mark.parametrize(
    ("path", "method", "headers", "reason"),
    [
        ("/admin", "GET", [], "does not let it GET this path"),
        ("/api/x", "DELETE", [], "does not let it DELETE this path"),
        ("/api/x", "DELETE", ["X-HTTP-Method-Override: GET"], "does not let it DELETE"),
        ("/api/../admin", "GET", [], ". or .."),
        ("/api/%2e%2e/admin", "GET", [], ". or .."),
        ("/api/%252e%252e%252fadmin", "GET", [], ". or .."),
        ("/api/..%5cadmin", "GET", [], ". or .."),
        ("/api/x#/../..", "GET", [], "characters in it that no address has"),
        ("https://evil.example/api/x", "GET", [], "no path"),
        ("*", "OPTIONS", [], "no path"),
        ("/api/socket", "GET", ["Upgrade: websocket", "Connection: Upgrade"], "in another protocol"),
        (f"/api/{CREDENTIAL}", "GET", [], "There is a secret in its address"),
        (f"/api/x?q={SECRET}", "GET", [], "There is a secret in its address"),
        (f"/api/x?q={''.join(f'%{ord(c):02x}' for c in SECRET)}", "GET", [], "There is a secret in its address"),
        (f"/api/{base64.urlsafe_b64encode(b'a' + CREDENTIAL.encode()).decode()}", "GET", [], "There is a secret"),
    ],
)
async def test_requests_that_the_policy_does_not_let_through(
    tmp_path: Path, upstream_ca: SessionCA, path: str, method: str, headers: list[str], reason: str
) -> None:
    async with (
        serving(context=upstream_ca.context(INSPECTED)) as server,
        proxied(tmp_path, private(INSPECTED, server.port, INSPECT)) as proxy,
    ):
        sent = inner(path, f"{INSPECTED}:{server.port}", *headers, method=method)
        await refused(proxy, await inspected(proxy, server, sent), reason)
        assert server.requests == []


async def test_domain_fronting_is_refused_where_the_guard_looks(tmp_path: Path, upstream_ca: SessionCA) -> None:
    async with (
        serving(context=upstream_ca.context(INSPECTED)) as server,
        proxied(tmp_path, private(INSPECTED, server.port, INSPECT)) as proxy,
    ):
        for host in ("evil.example", f"{INSPECTED}:1", f"{INSPECTED}.evil.example:{server.port}"):
            received = await inspected(proxy, server, inner("/api/x", host))
            await refused(proxy, received, "names another host than CONNECT")
        assert server.requests == []


def escaped(text: str) -> str:
    return "".join(f"\\u{ord(character):04x}" for character in text)


LEAKS = {
    "base64": (b"comment=" + base64.b64encode(b"xy" + CREDENTIAL.encode() + b"z"), "application/x-www-form-urlencoded"),
    "json": (json.dumps({"body": f"look: {CREDENTIAL}"}).encode(), "application/json"),
    "json-base64": (json.dumps({"body": base64.b64encode(CREDENTIAL.encode()).decode()}).encode(), "application/json"),
    "json-escapes": (f'{{"body": "{escaped(CREDENTIAL)}"}}'.encode(), "application/json"),
    "json-escapes-as-text": (f'{{"body": "{escaped(SECRET)}"}}'.encode(), "text/plain"),
    "hex": (CREDENTIAL.encode().hex().encode(), "text/plain"),
    "form": (quote(CREDENTIAL, safe="").encode(), "application/x-www-form-urlencoded"),
    "multipart": (
        f'--b\r\nContent-Disposition: form-data; name="f"; filename="x"\r\n\r\n{SECRET}\r\n--b--\r\n'.encode(),
        "multipart/form-data; boundary=b",
    ),
    "bytes": (b"\x00\xff\xfe" + SECRET.encode() + b"\x80", "application/octet-stream"),
    "the-token": (TOKEN.encode(), "text/plain"),
}


@pytest.mark.parametrize("name", LEAKS)
async def test_known_secrets_do_not_leave_in_a_body(tmp_path: Path, upstream_ca: SessionCA, name: str) -> None:
    body, content_type = LEAKS[name]
    async with (
        serving(context=upstream_ca.context(INSPECTED)) as server,
        proxied(tmp_path, private(INSPECTED, server.port, INSPECT)) as proxy,
    ):
        head = [f"Content-Type: {content_type}", f"X-Copy: {SECRET}", f"Authorization: Bearer {CREDENTIAL}"]
        sent = inner("/api/comments", f"{INSPECTED}:{server.port}", *head, method="POST", body=body)
        assert (await inspected(proxy, server, sent)).startswith(b"HTTP/1.1 200")
        [request] = server.requests
        assert b"[ciguard-masked:" in request.body
        assert request.headers["X-Copy"].startswith("[ciguard-masked:")
        assert request.headers["Authorization"].startswith("Bearer [ciguard-masked:")
        plain = json.loads(request.body)["body"].encode() if b'"body"' in request.body else request.body
        for secret in (CREDENTIAL, SECRET, TOKEN):
            assert secret.encode() not in plain
            assert base64.b64encode(secret.encode())[:20] not in plain
        [event] = [event for event in proxy.events(EventType.OPERATION) if event["operation"] == "http_request"]
        assert event["masked"]


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        ("".join(f"%{ord(c):02x}" for c in SECRET).encode(), ["Content-Type: application/x-www-form-urlencoded"]),
        (f'{{"a": 1, "a": "{escaped(SECRET)}"}}'.encode(), ["Content-Type: text/plain"]),
        (SECRET.encode("utf-16-le"), ["Content-Type: application/octet-stream"]),
        (b"{broken", ["Content-Type: application/vnd.api+json"]),
        (b"+AGE-", ["Content-Type: text/plain; charset=utf-7"]),
    ],
)
async def test_bodies_that_hide_something_are_refused(tmp_path: Path, body: bytes, headers: list[str]) -> None:
    async with serving() as server, proxied(tmp_path, private(ALLOWED, server.port)) as proxy:
        sent = get(f"http://{ALLOWED}:{server.port}/", ALLOWED, *headers, method="POST", body=body)
        await refused(proxy, await proxy.raw(sent), "Its body ")
        assert server.requests == []


@pytest.mark.parametrize(
    ("headers", "body", "status"),
    [
        (["Content-Encoding: gzip"], gzip.compress(b" " * 40_000_000, mtime=0), 413),
        (["Content-Encoding: gzip"], b"no gzip", 400),
        (["Content-Encoding: br"], b"x", 415),
        (["Content-Encoding: gzip, gzip"], gzip.compress(b"x", mtime=0), 415),
    ],
)
async def test_bodies_that_cannot_be_read_are_refused(
    tmp_path: Path, headers: list[str], body: bytes, status: int
) -> None:
    async with serving() as server, proxied(tmp_path, private(ALLOWED, server.port)) as proxy:
        sent = get(f"http://{ALLOWED}:{server.port}/", ALLOWED, *headers, method="POST", body=body)
        received = await proxy.raw(sent)
        assert parsed(received).status == status
        assert [event["status"] for event in proxy.events(EventType.REFUSED)] == [status]
        assert server.requests == []


async def test_a_body_beyond_the_limit_is_not_read_to_its_end(tmp_path: Path) -> None:
    async with serving() as server, proxied(tmp_path, private(ALLOWED, server.port)) as proxy:
        head = get(f"http://{ALLOWED}:{server.port}/", ALLOWED, "Transfer-Encoding: chunked", method="POST")
        received = await proxy.raw(head + b"100000\r\n%b\r\n" % (b" " * 1_048_576) * 40)
        assert received.startswith(b"HTTP/1.1 413 ")
        assert server.requests == []


@pytest.mark.parametrize(
    "sent",
    [
        b"\r\n\r\n\x00\x01",
        b"GET / HTTP/1.1\r\n\r\n",
        get("/", ALLOWED),
        get(f"https://{ALLOWED}/", ALLOWED),
        get("ftp://allowed.example.com/", ALLOWED),
        get(f"http://user@{ALLOWED}/", ALLOWED),
        b"GET http://a/ HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        b"GET http://a/ HTTP/1.1\r\nHost: a\r\nX: " + b"y" * 100_000 + b"\r\n\r\n",
        b"POST http://a/ HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx",
        b"POST http://a/ HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
        connect_head("allowed.example.com:443", "Content-Length: 3\r\n") + b"abc",
    ],
)
async def test_what_is_no_call_of_a_proxy_is_refused(tmp_path: Path, sent: bytes) -> None:
    async with proxied(tmp_path, private(ALLOWED, 443)) as proxy:
        received = await proxy.raw(sent)
        assert received[:12] in (b"HTTP/1.1 400", b"HTTP/1.1 407", b"HTTP/1.1 502")
        assert proxy.failures == []


async def test_a_request_cannot_smuggle_another(tmp_path: Path) -> None:
    async with serving() as server, proxied(tmp_path, private(ALLOWED, server.port)) as proxy:
        url = f"http://{ALLOWED}:{server.port}"
        hidden = b"GET /hidden HTTP/1.1\r\nHost: x\r\n\r\n"
        lines = ["Content-Length: 4", "Transfer-Encoding: chunked"]
        sent = get(f"{url}/seen", ALLOWED, *lines, method="POST").replace(b"Connection: close\r\n", b"")
        await proxy.raw(sent + b"0\r\n\r\n" + hidden)
        assert [request.path for request in server.requests] == ["/seen"]
        assert "Transfer-Encoding" not in server.requests[0].headers


async def test_secrets_in_a_hosts_name_are_not_looked_up(tmp_path: Path) -> None:
    name = f"{CREDENTIAL}.example.org"
    async with proxied(tmp_path, "'*.example.org'") as proxy:
        received = await proxy.connect(f"{name}:443")
        assert received.startswith(b"HTTP/1.1 403")
        assert proxy.lookups == []
        assert "There is a secret in the host's name." in proxy.reasons()


RULES = """\
rules:
  - {id: no-gists, on: [http_request], text: {regex: ['/gists']}, action: block, reason: Gists are public.}
  - {id: ask, on: [connect], text: {keywords: [asked.example]}, action: hold}
  - {id: customer, on: [http_request], text: {regex: ['C-[0-9]{8}']}, action: mask}
"""


class Releasing:
    """An approver who releases what asks for it."""

    async def ask(self, subject: Operation | Result, decision: Decision, said: str) -> Verdict:
        return Verdict(released="443" not in str(subject.body), reason="Not that one.")


async def test_rules_look_at_connections_and_requests(tmp_path: Path) -> None:
    async with serving() as server:
        allow = f"{private(ALLOWED, server.port)}, {private('asked.example', server.port)}, asked.example"
        async with proxied(tmp_path, allow, rules=RULES, approver=Releasing()) as proxy:
            url = f"http://{ALLOWED}:{server.port}"
            received = await proxy.raw(get(f"{url}/gists", ALLOWED, method="POST", body=b"x"))
            await refused(proxy, received, "Gists are public.")
            await refused(
                proxy, await proxy.raw(get(f"{url}/?c=C-12345678", ALLOWED)), "what a rule of the policy masks"
            )
            await proxy.raw(get(f"{url}/", ALLOWED, method="POST", body=b"customer C-12345678"))
            assert server.requests[-1].body.startswith(b"customer [ciguard-masked:customer:")
            assert (await proxy.raw(get(f"http://asked.example:{server.port}/", "x"))).startswith(b"HTTP/1.1 200")
            assert b"403 ciguard: this connection was refused. Not that one." in await proxy.connect(
                "asked.example:443"
            )
            assert "connect asked.example:443" in [notice.subject for notice in proxy.notices]
            assert "12345678" not in "".join(str(body) for _, body in proxy.operations(OperationKind.HTTP_REQUEST))


async def test_refused_attempts_are_recorded_up_to_a_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ciguard.guard.egress.attempts.MOST_REFUSED", 3)
    async with proxied(tmp_path, ALLOWED) as proxy:
        for number in range(6):
            assert b"403" in await proxy.connect(f"{number}.evil.example:443")
        assert len(proxy.events(EventType.OPERATION)) == 3
        assert "not recorded" in proxy.events(EventType.REFUSED)[0]["reason"]
        assert len(proxy.events(EventType.REFUSED)) == 1
        assert proxy.judge.stopped == ""


async def test_too_many_connections_are_closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ciguard.guard.egress.proxy.MOST_CONNECTIONS", 2)
    async with proxied(tmp_path, ALLOWED) as proxy:
        held = [await proxy.dial() for _ in range(2)]
        await asyncio.sleep(0.05)
        assert await proxy.raw(connect_head("allowed.example.com:443")) == b""
        assert [event["status"] for event in proxy.events(EventType.REFUSED)] == [503]
        for _, writer in held:
            writer.close()


async def test_nothing_passes_once_the_session_was_stopped(tmp_path: Path) -> None:
    async with serving() as server, proxied(tmp_path, private(ALLOWED, server.port)) as proxy:
        proxy.judge.stop("the session was stopped")
        assert b" 403 " in await proxy.connect(f"{ALLOWED}:{server.port}")
        assert proxy.lookups == []


async def test_nothing_passes_unrecorded(tmp_path: Path) -> None:
    async with serving() as server, proxied(tmp_path, private(ALLOWED, server.port)) as proxy:
        proxy.recorder._latch.shut("the disk is full")
        await proxy.raw(get(f"http://{ALLOWED}:{server.port}/", ALLOWED))
        await proxy.connect(f"{ALLOWED}:{server.port}", client_hello(ALLOWED))
        assert server.requests == []
        assert {failure.exit_code for failure in proxy.failures} == {74}


async def test_only_the_agent_trusts_the_sessions_certificate(tmp_path: Path) -> None:
    async with proxied(tmp_path, private(INSPECTED, 443, INSPECT)) as proxy:
        with pytest.raises(ssl.SSLError):
            await proxy.tls(f"{INSPECTED}:443", INSPECTED, trust=SessionCA().certificate)
        await until(lambda: proxy.events(EventType.TRANSFER))
        [transfer] = proxy.events(EventType.TRANSFER)
        assert "does not trust the session's certificate" in transfer["reason"]

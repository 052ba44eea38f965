"""An egress proxy in this process, between whatever a test sends and servers on loopback."""

from __future__ import annotations

import asyncio
import base64
import socket
import ssl
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import web

from ciguard.approvals.approver import Approver, Nobody
from ciguard.errors import CiguardError
from ciguard.guard.approved import Approved
from ciguard.guard.egress.proxy import EgressProxy
from ciguard.guard.egress.session_ca import SessionCA
from ciguard.guard.exchange import Guarding
from ciguard.guard.intake import Intake
from ciguard.guard.judge import Judge, Notice
from ciguard.guard.upstream import Upstreams
from ciguard.inspect.known_value import KnownValue
from ciguard.inspect.masking import Masker
from ciguard.inspect.placeholder import Placeholders
from ciguard.operation import OperationKind
from ciguard.policy.evaluation import Evaluator
from ciguard.policy.loading import FileSource, load_policy
from ciguard.session.event import EventType
from ciguard.session.reading import open_session
from ciguard.session.recorder import Recorder
from ciguard.session.step import Outcome
from ciguard.session.verification import verify
from tests.integration.guarded import started
from tests.unit.session import sample

TOKEN = "ciguard-session-token-for-the-tests"
CREDENTIAL = "upstream-credential-5f1e9a7c"
"""A value that the guard knows."""

SECRET = "ghp_" + "x7Qp" * 7 + "x7" + "1OYa11"
"""A secret that the rules know by its form."""

ALLOWED = "allowed.example.com"
INSPECTED = "forge.example.com"
LOOPBACK = "127.0.0.1"

Handler = Callable[[web.BaseRequest], Any]


@dataclass
class Received:
    """What a loopback server got."""

    method: str
    host: str
    path: str
    headers: Mapping[str, str]
    body: bytes


@dataclass
class LoopbackServer:
    """A server on loopback that remembers what it was asked."""

    port: int
    requests: list[Received] = field(default_factory=list)
    connections: list[str] = field(default_factory=list)


@asynccontextmanager
async def serving(
    answer: Handler | None = None, context: ssl.SSLContext | None = None
) -> AsyncIterator[LoopbackServer]:
    """A web server that answers ``answer``, or a few words."""

    async def handle(request: web.BaseRequest) -> web.StreamResponse:
        body = await request.read()
        server.requests.append(Received(request.method, request.host, request.raw_path, request.headers, body))
        if answer is None:
            return web.Response(text=f"{request.method} {request.raw_path}")
        response: web.StreamResponse = await answer(request)
        return response

    web_server = web.Server(handle)
    listener = await asyncio.get_running_loop().create_server(web_server, LOOPBACK, 0, ssl=context)
    server = LoopbackServer(listener.sockets[0].getsockname()[1])
    try:
        yield server
    finally:
        listener.close()
        await web_server.shutdown(0.1)


@asynccontextmanager
async def listening(handle: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Any]) -> AsyncIterator[int]:
    """A plain TCP server on loopback; its port."""
    server = await asyncio.start_server(handle, LOOPBACK, 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


@dataclass
class Proxied:
    """A running proxy and what it was made of."""

    proxy: EgressProxy
    ca: SessionCA
    judge: Judge
    recorder: Recorder
    directory: Path
    lookups: list[str]
    failures: list[CiguardError] = field(default_factory=list)
    notices: list[Notice] = field(default_factory=list)

    @property
    def url(self) -> str:
        """The address of the proxy, with the credentials in it."""
        return f"http://ciguard:{TOKEN}@{LOOPBACK}:{self.proxy.port}"

    def events(self, kind: EventType) -> list[dict[str, Any]]:
        """The recorded events of one type so far."""
        return [event for event in open_session(self.directory).events if event["type"] == kind]

    def operations(self, kind: OperationKind) -> list[tuple[str, Any]]:
        """The decision on each recorded operation of one kind, and its body."""
        session = open_session(self.directory)
        return [
            (event["decision"]["action"], session.content(event["body"]))
            for event in session.events
            if event["type"] == EventType.OPERATION and event["operation"] == kind
        ]

    def reasons(self) -> list[str]:
        """The texts of all reasons of all decisions, in order."""
        return [reason["text"] for event in self.events(EventType.OPERATION) for reason in event["decision"]["reasons"]]

    async def dial(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A connection to the proxy."""
        return await asyncio.open_connection(LOOPBACK, self.proxy.port)

    async def raw(self, sent: bytes, *, finished: bool = False) -> bytes:
        """Send bytes and return everything that comes until the proxy closes the connection."""
        reader, writer = await self.dial()
        try:
            writer.write(sent)
            if finished:
                writer.write_eof()
            async with asyncio.timeout(30):
                received = b""
                try:
                    while chunk := await reader.read(65536):
                        received += chunk
                except ConnectionResetError:
                    pass
                return received
        finally:
            writer.close()

    async def connect(self, authority: str, then: bytes = b"", *, finished: bool = True) -> bytes:
        """CONNECT, ``then`` in the same packet, and everything that comes."""
        return await self.raw(connect_head(authority) + then, finished=finished)

    async def tls(
        self, authority: str, name: str, *, trust: str, alpn: Sequence[str] = ()
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """TLS through CONNECT, as a client that trusts the certificate ``trust``."""
        reader, writer = await self.dial()
        writer.write(connect_head(authority))
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200"), head
        context = ssl.create_default_context(cadata=trust)
        if alpn:
            context.set_alpn_protocols([*alpn])
        await writer.start_tls(context, server_hostname=name)
        return reader, writer

    async def within(self, authority: str, name: str, sent: bytes, *, trust: str = "") -> bytes:
        """Send bytes within TLS through CONNECT, and return everything that comes; the session's CA is trusted."""
        reader, writer = await self.tls(authority, name, trust=trust or self.ca.certificate)
        try:
            writer.write(sent)
            async with asyncio.timeout(30):
                return await reader.read()
        finally:
            writer.close()


def authorization(token: str = TOKEN) -> str:
    """The header with which the agent's programs show the session's token."""
    return f"Proxy-Authorization: Basic {base64.b64encode(f'ciguard:{token}'.encode()).decode()}\r\n"


def connect_head(authority: str, more: str = "") -> bytes:
    """A CONNECT request with the session's token."""
    return f"CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n{authorization()}{more}\r\n".encode()


def get(url: str, host: str, *headers: str, method: str = "GET", body: bytes = b"", token: str = TOKEN) -> bytes:
    """A plain request to the proxy that ends the connection."""
    lines = [f"Host: {host}", *headers, "Connection: close"] + ([f"Content-Length: {len(body)}"] if body else [])
    head = f"{method} {url} HTTP/1.1\r\n{authorization(token)}" + "".join(f"{line}\r\n" for line in lines)
    return head.encode("utf-8", "surrogateescape") + b"\r\n" + body


def inner(path: str, host: str, *headers: str, method: str = "GET", body: bytes = b"") -> bytes:
    """A request within what CONNECT opened that ends the connection."""
    return get(path, host, *headers, method=method, body=body).replace(authorization().encode(), b"")


def private(host: str, port: int, more: str = "") -> str:
    """An entry of ``egress.allow`` for a server on loopback."""
    return f"{{host: '{host}:{port}', private: true{more}}}"


def client_hello(name: str) -> bytes:
    """What Python's own TLS says first to the server ``name``, or to one that it does not name."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    context = ssl.create_default_context()
    context.check_hostname = False
    tls = context.wrap_bio(incoming, outgoing, server_hostname=name or None)
    try:
        tls.do_handshake()
    except ssl.SSLWantReadError:
        return outgoing.read()
    raise AssertionError


@asynccontextmanager
async def proxied(
    folder: Path,
    allow: str,
    *,
    hosts: Mapping[str, Sequence[str]] | None = None,
    rules: str = "",
    approver: Approver | None = None,
) -> AsyncIterator[Proxied]:
    """A proxy under a policy with these entries of ``egress.allow``; names resolve to ``hosts`` and else to loopback.

    At the end the session's record must verify, and the secrets of the tests must not be in it.
    """
    directory = folder / "session"
    listener = loopback_socket()
    recorder = Recorder(directory, time.time_ns)
    (folder / "policy.yml").write_text(
        f"version: 1\nisolation: {{require: none}}\negress:\n"
        f"  allow: [{allow.replace('PORT', str(listener.getsockname()[1]))}]\n{rules}"
    )
    policy = load_policy(FileSource(folder), "policy.yml")
    placeholders = Placeholders(b"key of the tests")
    masker = Masker([KnownValue("upstream-credential", CREDENTIAL), KnownValue("session-token", TOKEN)], placeholders)
    recorder.write_policy(policy.text)
    recorder.record(sample.event(EventType.SESSION_STARTED, **started(policy.digest)))
    failures: list[CiguardError] = []
    notices: list[Notice] = []
    lookups: list[str] = []

    async def resolve(host: str, port: int) -> list[str]:
        lookups.append(host)
        return [*(hosts or {}).get(host, [LOOPBACK])]

    judge = Judge(
        Evaluator(policy),
        approver or Nobody("this is a test"),
        recorder,
        Approved(Evaluator(policy), "/workspace"),
        10,
        on_notice=notices.append,
        on_stop=lambda: None,
        on_awaiting=lambda: None,
    )
    intake = Intake(masker, placeholders, judge, recorder)
    ca = SessionCA()
    async with AsyncExitStack() as stack:
        upstreams = Upstreams(masker)
        stack.push_async_callback(upstreams.close)
        guarding = Guarding(masker, placeholders, judge, intake, recorder, upstreams, failures.append)
        proxy = EgressProxy(guarding, policy.egress, TOKEN, listener, guard_ports={1}, ca=ca, resolve=resolve)
        await stack.enter_async_context(proxy)
        yield Proxied(proxy, ca, judge, recorder, directory, lookups, failures, notices)
    if any(failure.exit_code == 74 for failure in failures):
        recorder.close()
        return
    recorder.finish("the agent ended by itself")
    session = open_session(directory)
    assert [step.name for step in verify(directory).steps if step.outcome is Outcome.FAILED] == []
    written = [file.read_bytes() for file in directory.rglob("*") if file.is_file()]
    written += [session.body(digest) for digest in session.digests()]
    for secret in (CREDENTIAL, SECRET, TOKEN):
        assert not any(secret.encode() in data for data in written)
    assert failures == []


def loopback_socket() -> socket.socket:
    """A socket as the guard hands it to the proxy."""
    listener = socket.create_server((LOOPBACK, 0))
    listener.setblocking(False)
    return listener

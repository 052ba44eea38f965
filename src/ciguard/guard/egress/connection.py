"""One connection of the agent to the proxy, from its first request to its end."""

from __future__ import annotations

import asyncio
import base64
import binascii
import hmac
import re
import ssl
from collections.abc import Awaitable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import h11

from ciguard.guard.egress.admission import Admission, Admitted, UnreachableError
from ciguard.guard.egress.attempts import AttemptRefusedError, Attempts
from ciguard.guard.egress.client_hello import NotTlsError
from ciguard.guard.egress.http import AgentHttp, NotHttpError
from ciguard.guard.egress.requests import Requests, SeenRequest
from ciguard.guard.egress.stream import SocketStream, TlsServerStream
from ciguard.guard.egress.target import absolute_target, connect_target, names_host
from ciguard.guard.egress.tunnel import FIRST_BYTES_TIMEOUT, UNRECOGNIZED_NAME, Passed, name_problem, read_hello, relay
from ciguard.guard.exchange import Guarding
from ciguard.guard.refused_calls import RefusedCalls
from ciguard.policy.hosts import HostError

if TYPE_CHECKING:
    from ciguard.guard.egress.session_ca import SessionCA

_TLS_HANDSHAKE = b"\x16"
_METHOD = re.compile(rb"[A-Z-]+(?: |\Z)")
_CLOSE = [("Connection", "close")]
_CHALLENGE = [("Proxy-Authenticate", 'Basic realm="ciguard"'), *_CLOSE]


@dataclass(frozen=True, slots=True)
class Proxying:
    """What all connections to the proxy share."""

    guarding: Guarding
    attempts: Attempts
    admission: Admission
    refused: RefusedCalls
    credentials: bytes = field(repr=False)
    ca: SessionCA | None


class AgentConnection:
    """A connection that the agent opened on ``stream``."""

    def __init__(self, proxying: Proxying, stream: SocketStream) -> None:
        self._proxying = proxying
        self._attempts = proxying.attempts
        self._admission = proxying.admission
        self._stream = stream
        self._requests = Requests(proxying.guarding, proxying.attempts, proxying.admission, proxying.refused)

    async def run(self) -> None:
        """Serve it to its end. Raises ``OSError`` when the agent is gone, ``TimeoutError`` when it is too slow."""
        agent = AgentHttp(self._stream)
        try:
            await self._answering(agent, self._calls(agent))
        finally:
            self._requests.close()

    async def _answering(self, agent: AgentHttp, work: Awaitable[None]) -> None:
        """Do ``work``, and answer for what it ends with; an answer that was begun is only cut off."""
        try:
            await work
        except (HostError, NotHttpError) as error:
            self._proxying.refused.record(400, str(error))
            status, message = 400, str(error)
        except AttemptRefusedError as refused:
            status, message = 403, f"this connection was refused. {refused}"
        except UnreachableError as error:
            status, message = 502, str(error)
        else:
            return
        if not agent.begun:
            await agent.answer(status, message, _CLOSE)

    async def _calls(self, agent: AgentHttp) -> None:
        admitted: Admitted | None = None
        while (request := await agent.request()) is not None:
            said = request.target.decode("ascii")
            if not _carries(request, self._proxying.credentials):
                problem = "the session's token is missing or wrong"
                self._proxying.refused.record(407, problem, method=request.method.decode("ascii"), path=said)
                await agent.answer(407, problem, _CHALLENGE)
                return
            if request.method == b"CONNECT":
                await self._connect(agent, await self._admission.admit(connect_target(said)))
                return
            target, resource = absolute_target(said)
            if admitted is None or admitted.target != target:
                admitted = await self._admission.admit(target)
            await self._requests.forward(agent, SeenRequest(admitted, "http", resource, request))
            if not agent.next():
                return

    async def _connect(self, agent: AgentHttp, admitted: Admitted) -> None:
        """Open what CONNECT asks for. What comes first through it says what it is: TLS, or plain HTTP."""
        upstream = None if admitted.inspect else await self._admission.dial(admitted, scheme="http")
        try:
            begun = await agent.switch()
            async with asyncio.timeout(FIRST_BYTES_TIMEOUT):
                begun = begun or await self._stream.read()
            if begun[:1] == _TLS_HANDSHAKE:
                begun = await self._checked(begun, admitted)
                if upstream is None:
                    await self._inspect(begun, admitted)
                else:
                    await self._tunnel(begun, upstream, admitted)
            elif begun:
                if upstream is not None:
                    self._requests.adopt(upstream, admitted)
                if not _METHOD.match(begun):
                    self._attempts.refuse(admitted.connect(), "What comes through CONNECT is neither TLS nor HTTP.")
                await self._serve(AgentHttp(self._stream, begun), admitted, "http")
        finally:
            if upstream is not None:
                upstream.close()

    async def _checked(self, begun: bytes, admitted: Admitted) -> bytes:
        """All that has come of a TLS connection once it has named its server, which is the right one."""
        try:
            hello, begun = await read_hello(self._stream, begun)
        except NotTlsError as error:
            self._attempts.refuse(admitted.connect(), f"What comes through CONNECT is not sound TLS: {error}.")
        problem = name_problem(hello, admitted.target)
        if problem:
            await self._stream.write(UNRECOGNIZED_NAME)
            named = self._proxying.guarding.masker.mask(hello.server_name or "").text
            self._attempts.refuse(admitted.connect(server_name=named), problem)
        return begun

    async def _tunnel(self, begun: bytes, upstream: SocketStream, admitted: Admitted) -> None:
        passed = Passed()
        try:
            await relay(self._stream, upstream, begun, passed)
        finally:
            self._attempts.transferred(admitted.seq, sent=passed.sent, received=passed.received, problem=passed.problem)

    async def _inspect(self, begun: bytes, admitted: Admitted) -> None:
        if self._proxying.ca is None:
            raise AssertionError("the policy has hosts to inspect, and the session has no CA")
        tls = TlsServerStream(self._stream, self._proxying.ca.context(admitted.target.host), begun)
        try:
            await tls.handshake()
            await self._serve(AgentHttp(tls), admitted, "https")
            await tls.end()
        except ssl.SSLError as error:
            problem = f"TLS broke off, as where a program does not trust the session's certificate ({error.reason})"
            self._attempts.transferred(admitted.seq, problem=problem)

    async def _serve(self, agent: AgentHttp, admitted: Admitted, scheme: str) -> None:
        """The requests within what CONNECT opened."""
        await self._answering(agent, self._requests_within(agent, admitted, scheme))

    async def _requests_within(self, agent: AgentHttp, admitted: Admitted, scheme: str) -> None:
        try:
            while (request := await agent.request()) is not None:
                seen = SeenRequest(admitted, scheme, request.target.decode("ascii"), request)
                if not names_host(seen.headers.get("host", ""), admitted.target, scheme):
                    self._attempts.refuse(admitted.connect(), "A request names another host than CONNECT.")
                await self._requests.forward(agent, seen)
                if not agent.next():
                    return
        except NotHttpError:
            self._attempts.refuse(admitted.connect(), "What comes through CONNECT is no sound HTTP/1.1.")


def _carries(request: h11.Request, credentials: bytes) -> bool:
    """Whether a request carries these credentials (RFC 7617), once."""
    given = [value for name, value in request.headers if name == b"proxy-authorization"]
    scheme, _, encoded = given[0].partition(b" ") if len(given) == 1 else (b"", b"", b"")
    try:
        plain = base64.b64decode(encoded.strip(), validate=True)
    except binascii.Error:
        return False
    return scheme.lower() == b"basic" and hmac.compare_digest(plain, credentials)

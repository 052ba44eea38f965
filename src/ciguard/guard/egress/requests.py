"""Requests that the guard sees: plain HTTP, and what comes within the TLS of inspected hosts.

Each is an ``http_request`` operation: masked, judged, recorded, and only then forwarded. Secrets in an address cannot
be masked, so such a request is refused.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from urllib.parse import unquote_plus

import h11

from ciguard.guard.body import BodyError, decompressed
from ciguard.guard.egress.admission import Admission, Admitted, UnreachableError
from ciguard.guard.egress.attempts import AttemptRefusedError, Attempts, blocked
from ciguard.guard.egress.content import BodyRefusedError, MaskedBody, TextAnswer, is_text, masked_body
from ciguard.guard.egress.http import AgentHttp, Headers, NotHttpError, UpstreamHttp, text_headers
from ciguard.guard.egress.stream import SocketStream
from ciguard.guard.egress.target import Target
from ciguard.guard.exchange import Guarding
from ciguard.guard.headers import HOP_BY_HOP, REFRAMED, passed_on
from ciguard.guard.mask_rules import mask_by_rules
from ciguard.guard.refused_calls import RefusedCalls
from ciguard.operation import Json, Operation, OperationKind

LONGEST_BODY = 32 * 1024 * 1024
"""Bytes of a request's body, without its content coding."""

_RESOURCE = re.compile(r"/[!-\"$-~]*")
_FROM_UPSTREAM = HOP_BY_HOP | {"alt-svc"}
_WITH_BODY = frozenset({"POST", "PUT", "PATCH"})


@dataclass(frozen=True)
class SeenRequest:
    """A request of the agent to ``admitted``: ``resource`` is its path with its query."""

    admitted: Admitted
    scheme: str
    resource: str
    request: h11.Request

    @property
    def method(self) -> str:
        """The method, in the spelling of the agent."""
        return self.request.method.decode("ascii")

    @property
    def url(self) -> str:
        """The address."""
        return self.admitted.target.url(self.scheme, self.resource)

    @cached_property
    def given(self) -> Headers:
        """The headers as they came, names in lower case."""
        return text_headers(self.request.headers)

    @cached_property
    def headers(self) -> dict[str, str]:
        """The headers by name; of several with one name the values joined (RFC 9110, section 5.3)."""
        joined: dict[str, str] = {}
        for name, value in self.given:
            joined[name] = f"{joined[name]}, {value}" if name in joined else value
        return joined


class Requests:
    """Forwards the requests that come over one connection of the agent."""

    def __init__(self, guarding: Guarding, attempts: Attempts, admission: Admission, refused: RefusedCalls) -> None:
        self._refused = refused
        self._guarding = guarding
        self._masker = guarding.masker
        self._attempts = attempts
        self._admission = admission
        self._upstream: UpstreamHttp | None = None
        self._stream: SocketStream | None = None
        self._leads_to: tuple[Target, str] | None = None

    def close(self) -> None:
        """Let go of the upstream."""
        if self._stream is not None:
            self._stream.close()
        self._stream = self._upstream = self._leads_to = None

    def adopt(self, stream: SocketStream, admitted: Admitted) -> None:
        """Use ``stream``, which is connected to an admitted target, for its plain requests."""
        self._stream, self._upstream, self._leads_to = stream, UpstreamHttp(stream), (admitted.target, "http")

    async def forward(self, agent: AgentHttp, seen: SeenRequest) -> None:
        """Answer one request.

        Raises ``OSError`` when the agent is gone or an answer that was begun breaks off, and :class:`NotHttpError`.
        """
        try:
            coding = seen.headers.get("content-encoding", "").strip().lower()
            body = decompressed(await agent.body(LONGEST_BODY), coding, LONGEST_BODY)
            masked, seq = await self._admitted(seen, body)
        except BodyError as error:
            self._refused.record(error.status, str(error), method=seen.method, path=seen.resource)
            await agent.answer(error.status, str(error), [("Connection", "close")])
        except AttemptRefusedError as refused:
            await agent.answer(403, f"this request was refused. {refused}")
        else:
            await self._forwarded(agent, seen, masked, seq)

    async def _admitted(self, seen: SeenRequest, body: bytes) -> tuple[bytes, int]:
        """The body to forward and the ``seq`` of the operation, which is recorded. Raises AttemptRefusedError."""
        problem = self._problem(seen)
        masked = MaskedBody(b"", (), {})
        try:
            masked = masked_body(body, seen.headers.get("content-type", ""), self._masker, self._by_rules)
        except BodyRefusedError as error:
            problem = problem or str(error)
        url, _ = self._by_rules(self._masker.mask(unquote_plus(seen.url) if problem else seen.url).text)
        method = self._masker.mask(seen.method).text
        operation = Operation(OperationKind.HTTP_REQUEST, {"method": method, "url": url, **masked.recorded})
        judgement = blocked(problem) if problem else await self._attempts.judge(operation)
        in_headers = (kind for _, value in seen.given for kind in self._masker.mask(value).kinds)
        return masked.raw, self._attempts.record(operation, judgement, (*masked.kinds, *in_headers))

    def _problem(self, seen: SeenRequest) -> str:
        """What cannot be forwarded whatever the policy says, in a sentence; empty when nothing is in the way."""
        if not _RESOURCE.fullmatch(seen.resource):
            return "Its address has no path, or characters in it that no address has."
        if self._masker.mask(seen.url).kinds or self._masker.mask(unquote_plus(seen.url)).kinds:
            return "There is a secret in its address."
        if self._by_rules(seen.url)[1]:
            return "Its address holds what a rule of the policy masks."
        offered = {protocol.strip().lower() for protocol in seen.headers.get("upgrade", "").split(",")} - {""}
        if offered - {"h2c"}:
            return "It asks to go on in another protocol, which the guard could not see into."
        return ""

    def _by_rules(self, value: Json) -> tuple[Json, tuple[str, ...]]:
        evaluator = self._guarding.judge.evaluator
        return mask_by_rules(value, (OperationKind.HTTP_REQUEST,), "", evaluator, self._guarding.placeholders)

    async def _forwarded(self, agent: AgentHttp, seen: SeenRequest, body: bytes, seq: int) -> None:
        passed = _Passed()
        try:
            upstream, response = await agent.meanwhile(self._asked(seen, body))
            passed.status = response.status_code
            await self._answered(agent, seen, upstream, response, passed)
            passed.problem = ""
        except (NotHttpError, UnreachableError) as error:
            self.close()
            passed.problem = str(error)
            if agent.begun:
                raise ConnectionResetError from None
            await agent.answer(502, str(error))
        finally:
            self._attempts.transferred(
                seq,
                status=passed.status,
                sent=len(body),
                received=passed.received,
                kinds=passed.kinds,
                problem=passed.problem,
            )

    async def _asked(self, seen: SeenRequest, body: bytes) -> tuple[UpstreamHttp, h11.Response]:
        """Send the request; where it went, and the head of the answer."""
        upstream = await self._connected(seen)
        headers = passed_on(seen.given, HOP_BY_HOP | REFRAMED, self._masker)
        framing = [("Content-Length", str(len(body)))] if body or seen.method in _WITH_BODY else []
        authority = seen.admitted.target.authority(seen.scheme)
        said = [("Host", authority), *headers, ("Accept-Encoding", "identity"), *framing]
        try:
            await upstream.send(seen.method, seen.resource, said, body)
            return upstream, await upstream.head()
        except OSError:
            raise NotHttpError("the upstream broke off before it answered") from None

    async def _connected(self, seen: SeenRequest) -> UpstreamHttp:
        leads_to = (seen.admitted.target, seen.scheme)
        reusable = self._stream is not None and not self._stream.ended and self._leads_to == leads_to
        if self._upstream is None or not reusable:
            self.close()
            self._stream = await self._admission.dial(seen.admitted, scheme=seen.scheme)
            self._upstream, self._leads_to = UpstreamHttp(self._stream), leads_to
        return self._upstream

    async def _answered(
        self, agent: AgentHttp, seen: SeenRequest, upstream: UpstreamHttp, response: h11.Response, passed: _Passed
    ) -> None:
        """Pass the answer on, masked where it is text."""
        given = text_headers(response.headers)
        said = dict(given)
        text = TextAnswer(self._masker) if is_text(said.get("content-type", "")) and seen.method != "HEAD" else None
        if text is not None and said.get("content-encoding", "identity").lower() != "identity":
            raise NotHttpError("the upstream compressed its answer, which was not asked for")
        if text is not None:
            passed.kinds = text.kinds
        dropped = _FROM_UPSTREAM if text is None else _FROM_UPSTREAM | {"content-length"}
        reason = self._masker.mask(response.reason.decode("latin-1")).text
        await agent.begin(response.status_code, reason, passed_on(given, dropped, self._masker))
        try:
            async for piece in upstream.pieces():
                await passed.on(agent, piece if text is None else text.feed(piece))
        except OSError:
            raise NotHttpError("the connection broke off") from None
        if text is not None:
            await passed.on(agent, text.finish())
        await agent.finish()
        if not upstream.next():
            self.close()


@dataclass(slots=True)
class _Passed:
    """What of an answer went to the agent; ``problem`` until it is complete."""

    status: int = 0
    received: int = 0
    kinds: Sequence[str] = ()
    problem: str = "the exchange was cut off"

    async def on(self, agent: AgentHttp, data: bytes) -> None:
        await agent.send(data)
        self.received += len(data)

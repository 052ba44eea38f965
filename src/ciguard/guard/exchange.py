"""One call of the agent, from its bytes to the answer: the pipeline that every connection goes through.

1. The call carries the session's token, leads to an endpoint, and is within the limits; else it is turned away.
2. Its body is taken in: masked, judged, recorded (:mod:`ciguard.guard.intake`). A refused prompt goes no further.
3. It is forwarded with the connection's credential.
4. The answer's items are judged one by one and recorded before the agent has them. When every call in an answer was
   refused, the model is asked again and told why, and what it then says is joined to the same answer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from aiohttp import web

from ciguard.codecs.answer import CallItem, Item, Tally, TextItem, masked_value, object_of
from ciguard.codecs.codec import AnswerStream, Purpose, TextRelease
from ciguard.codecs.document import Document, dump, parse, split
from ciguard.codecs.error import WireError
from ciguard.decision import ALLOWED, Action, Decision, Reason
from ciguard.errors import CiguardError
from ciguard.guard.body import BodyError, read_body
from ciguard.guard.connection import Route
from ciguard.guard.headers import request_headers, response_headers
from ciguard.guard.intake import Intake
from ciguard.guard.judge import Judge, Judgement
from ciguard.guard.mask_rules import mask_by_rules
from ciguard.guard.upstream import UpstreamAnswer, UpstreamError, Upstreams
from ciguard.inspect.masking import Masker
from ciguard.inspect.placeholder import Placeholders
from ciguard.operation import Json, Operation, OperationKind, Result, ResultKind
from ciguard.policy.evaluation import model_allowed
from ciguard.session.event import EventType
from ciguard.session.recorder import Recorder, Spool

NOT_AGAIN = {"x-should-retry": "false"}
"""Tells the official SDKs that the same call would get the same answer."""

MOST_TOKENS = 10**9
"""Tokens that one answer can have used; what an upstream says beyond it, or below 0, is no count."""


class TurnedAway(Exception):
    """The call ends here with an error in the API's own form."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True, slots=True)
class Guarding:
    """What all exchanges of a session share."""

    masker: Masker
    placeholders: Placeholders
    judge: Judge
    intake: Intake
    recorder: Recorder
    upstreams: Upstreams
    on_failure: Callable[[CiguardError], None]


class Exchange:
    """One call over ``route``; ``begun`` once the agent was sent something."""

    def __init__(self, guarding: Guarding, route: Route, request: web.BaseRequest) -> None:
        self._guarding = guarding
        self._route = route
        self._request = request
        self._connection = route.connection
        self._masker = guarding.masker
        self._recorder = guarding.recorder
        self._seq = -1
        self._tally = Tally()
        self._said = ""
        self.begun = False

    @property
    def recorded(self) -> bool:
        """Whether the log has a request event for the call."""
        return self._seq >= 0

    async def run(self) -> web.StreamResponse:
        """Answer the call. Raises :class:`TurnedAway` while nothing has been sent yet."""
        match self._route.endpoint.purpose:
            case Purpose.PING:
                return web.Response(status=200)
            case Purpose.LIST:
                return await self._list()
            case Purpose.GENERATE | Purpose.MEASURE:
                return await self._generate()

    async def _list(self) -> web.StreamResponse:
        self._refuse_used_up()
        self._connection.requests += 1
        self._seq = self._record_request(self._route.model, {"base": None, "keep": 0, "add": []}, stream=False)
        return await self._answered(None)

    async def _generate(self) -> web.StreamResponse:
        self._refuse_used_up()
        document = await self._document()
        try:
            model = self._model(document)
            stream = self._route.endpoint.stream or self._route.codec.wants_stream(document)
        except WireError as error:
            raise TurnedAway(400, str(error)) from None
        self._refuse_used_up()
        self._connection.requests += 1
        try:
            admitted = await self._guarding.intake.admit(
                self._route.codec,
                document,
                self._connection.name,
                lambda parts: self._record_request(model, parts, stream=stream),
            )
        except WireError as error:
            raise TurnedAway(400, str(error)) from None
        self._seq = admitted.seq
        if admitted.refusal:
            self._guarding.judge.count(refused=1, allowed=0)
            message = f"ciguard refused this prompt. {admitted.refusal}"
            self._finish(400, complete=True, reason=message)
            raise TurnedAway(400, message)
        return await self._answered(admitted.document)

    def _record_request(self, model: str, parts: dict[str, Json], *, stream: bool) -> int:
        query = f"?{self._route.query}" if self._route.query else ""
        return self._recorder.record(
            EventType.REQUEST,
            connection=self._connection.name,
            method=self._route.endpoint.method,
            path=self._masker.mask(self._route.path + query).text,
            model=self._masker.mask(model).text,
            stream=stream,
            parts=parts,
        )

    async def _answered(self, document: Document | None) -> web.StreamResponse:
        """Forward the recorded call and bring back its answer, which is recorded too."""
        reason = "the exchange was cut off"
        status = 0
        try:
            answer = await self._forward(document.raw if document else None)
            status = answer.status
            try:
                if document and answer.content_type == "text/event-stream" and status == 200:
                    response, reason = await self._streamed(answer, document)
                else:
                    response, reason = await self._whole(answer, document), ""
            finally:
                answer.close()
        except TurnedAway as turned_away:
            status, reason = turned_away.status, str(turned_away)
            raise
        except (asyncio.CancelledError, ConnectionError):
            reason = "the agent disconnected"
            raise
        finally:
            self._finish(status, complete=not reason, reason=reason)
        return response

    async def _document(self) -> Document:
        try:
            body = await read_body(self._request, self._connection.declared.limits.request_bytes)
            return split(body, self._route.codec.listed)
        except BodyError as error:
            raise TurnedAway(error.status, str(error)) from None
        except WireError as error:
            raise TurnedAway(400, str(error)) from None

    def _refuse_used_up(self) -> None:
        if self._guarding.judge.stopped:
            raise TurnedAway(403, self._guarding.judge.stopped)
        if exhausted := self._connection.exhausted():
            raise TurnedAway(403, f"{exhausted} for the connection {self._connection.name}")

    def _model(self, document: Document) -> str:
        named = document.value("model")
        model = self._route.model or (named if isinstance(named, str) else "")
        if not model:
            raise TurnedAway(400, "the request names no model")
        if not model_allowed(self._connection.declared, model):
            raise TurnedAway(403, f"the policy does not allow the model {self._masker.mask(model).text[:100]}")
        return model

    async def _forward(self, body: bytes | None) -> UpstreamAnswer:
        headers = request_headers(self._request.headers.items(), self._masker)
        try:
            return await self._guarding.upstreams.call(self._route, headers, body)
        except UpstreamError as error:
            raise TurnedAway(error.status, f"ciguard: {error}") from None

    async def _whole(self, answer: UpstreamAnswer, document: Document | None) -> web.StreamResponse:
        """An answer that comes at once: judged when it is a success of an endpoint that generates."""
        message, raw = await self._message(answer)
        headers = response_headers(answer.headers, self._masker)
        succeeded = 200 <= answer.status < 300
        if document is None or not succeeded or self._route.endpoint.purpose is Purpose.MEASURE:
            masked, kinds = masked_value(message, self._masker)
            body = dump(masked) if kinds else raw
            result = self._text_result(body.decode(), "document" if succeeded else "error")
            self._guarding.judge.record_result(result, Judgement(ALLOWED), self._seq, kinds)
            return web.Response(status=answer.status, headers=headers, body=body)
        final = object_of(parse(raw))
        self._guarding.intake.answered(message, self._connection.name)
        tally = await self._settle_whole(final)
        while tally.stranded and self._may_continue():
            document = self._continuation(document, message, tally)
            again = await self._forward(document.raw)
            try:
                message, raw = await self._message(again)
            finally:
                again.close()
            if again.status != 200:
                break
            further = object_of(parse(raw))
            self._guarding.intake.answered(message, self._connection.name)
            tally = await self._settle_whole(further)
            final = self._route.codec.join(final, further)
        raw = raw if final == message else dump(final)
        return web.Response(status=answer.status, headers=headers, body=raw)

    async def _message(self, answer: UpstreamAnswer) -> tuple[dict[str, Json], bytes]:
        """The JSON object of an answer, and its bytes; an error that cannot be read keeps its status."""
        status = answer.status if answer.status >= 400 else 502
        if answer.content_type != "application/json":
            raise TurnedAway(status, f"ciguard: the upstream answered {answer.status} with something that is not JSON")
        try:
            raw = await answer.body()
            message = parse(raw)
        except UpstreamError as error:
            raise TurnedAway(error.status, f"ciguard: {error}") from None
        except WireError as error:
            raise TurnedAway(status, f"ciguard: the upstream's answer is not in order: {error}") from None
        if not isinstance(message, dict):
            raise TurnedAway(status, "ciguard: the upstream's answer is not a JSON object")
        return message, raw

    async def _settle_whole(self, message: dict[str, Json]) -> Tally:
        tally = Tally()
        for item in self._route.codec.items(message, self._masker, tally):
            await self._settle(item)
        self._count(tally)
        return tally

    async def _streamed(self, answer: UpstreamAnswer, document: Document) -> tuple[web.StreamResponse, str]:
        """A streamed answer; returns the response, and why it is not complete if it is not."""
        headers = response_headers(answer.headers, self._masker)
        response = web.StreamResponse(status=200, headers=headers)
        self.begun = True
        await response.prepare(self._request)
        watched = self._guarding.judge.evaluator.watches(ResultKind.RESPONSE_TEXT, self._connection.name)
        stream = self._route.codec.stream(
            self._masker, TextRelease.WHEN_COMPLETE if watched else TextRelease.AS_IT_COMES
        )
        spool = self._recorder.spool()
        reason = ""
        try:
            await self._pass_on(answer, stream, response, spool)
            while stream.stranded and self._may_continue():
                document = self._continuation(document, stream.message(), stream.tally)
                again = await self._forward(document.raw)
                try:
                    if again.status != 200 or again.content_type != "text/event-stream":
                        break
                    stream.resume()
                    await self._pass_on(again, stream, response, spool)
                finally:
                    again.close()
            stream.close()
            await _send(stream.take(), response, spool)
            if not stream.ended:
                reason = "the upstream ended its stream too early"
        except (UpstreamError, WireError, TurnedAway) as error:
            reason = str(error).removeprefix("ciguard: ")
        finally:
            for item in stream.unfinished():
                result = self._text_result(item.text, item.part)
                self._guarding.judge.record_result(result, Judgement(ALLOWED), self._seq, item.kinds)
            spool.discard()
            self._count_tokens(stream.tally)
        if reason:
            await response.write(stream.error(f"ciguard: {reason}"))
        await response.write_eof()
        return response, reason

    def _may_continue(self) -> bool:
        """Whether the model may be asked again; counts as a request of the agent's."""
        if self._guarding.judge.stopped or self._connection.exhausted():
            return False
        self._connection.requests += 1
        return True

    def _continuation(self, document: Document, message: Json, tally: Tally) -> Document:
        """The request that tells the model what was refused; its own words go back as masked as the agent's would."""
        masked, _ = masked_value(message, self._masker)
        message = self._guarding.intake.restored(masked, self._connection.name)
        return self._route.codec.continuation(document, message, tally.refused)

    async def _pass_on(
        self, answer: UpstreamAnswer, stream: AnswerStream, response: web.StreamResponse, spool: Spool
    ) -> None:
        try:
            async for chunk in answer.chunks():
                for item in stream.feed(chunk):
                    await self._settle(item)
                await _send(stream.take(), response, spool)
        finally:
            self._guarding.judge.count(refused=len(stream.tally.refused), allowed=stream.tally.allowed)
            self._guarding.intake.answered(stream.message(), self._connection.name)

    async def _settle(self, item: Item) -> None:
        match item:
            case CallItem():
                await self._settle_call(item)
            case TextItem():
                await self._settle_text(item)

    async def _settle_call(self, item: CallItem) -> None:
        operation = Operation(
            OperationKind.TOOL_CALL, {"name": item.name, "input": item.input, "id": item.id}, self._connection.name
        )
        if item.problem:
            reason = Reason("ciguard:unreadable-call", item.problem)
            judgement = Judgement(Decision(Action.BLOCK, reasons=(reason,)), f"It cannot be judged: {item.problem}.")
        else:
            judgement = await self._guarding.judge.judge(operation, self._said)
            item.input, rules = self._mask_by_rules(item.input, OperationKind.TOOL_CALL)
            item.kinds = (*item.kinds, *rules)
        recorded = Operation(operation.kind, {**operation.body, "input": item.input}, operation.connection)
        self._guarding.judge.record_operation(recorded, judgement, self._seq, item.kinds)
        if judgement.refusal:
            item.refuse(refused_call(item.name, judgement.refusal))
            self._guarding.intake.heard(item.note, self._connection.name)
        else:
            item.allow()

    async def _settle_text(self, item: TextItem) -> None:
        judgement = await self._guarding.judge.judge(self._text_result(item.text, item.part))
        text, rules = self._mask_by_rules(item.text, ResultKind.RESPONSE_TEXT)
        text = text if isinstance(text, str) else ""
        recorded = self._text_result(text, item.part)
        self._guarding.judge.record_result(recorded, judgement, self._seq, (*item.kinds, *rules))
        if judgement.refusal:
            text = f"[ciguard] This text was withheld. {judgement.refusal}"
        if text != item.text:
            item.replace(text)
        self._guarding.intake.heard(text, self._connection.name)
        self._said = text

    def _text_result(self, text: str, part: str) -> Result:
        return Result(ResultKind.RESPONSE_TEXT, {"text": text, "part": part}, self._connection.name)

    def _mask_by_rules(self, value: Json, kind: OperationKind | ResultKind) -> tuple[Json, tuple[str, ...]]:
        return mask_by_rules(
            value, (kind,), self._connection.name, self._guarding.judge.evaluator, self._guarding.placeholders
        )

    def _count(self, tally: Tally) -> None:
        self._guarding.judge.count(refused=len(tally.refused), allowed=tally.allowed)
        self._count_tokens(tally)

    def _count_tokens(self, tally: Tally) -> None:
        self._tally.input_tokens += min(max(tally.input_tokens, 0), MOST_TOKENS)
        self._tally.output_tokens += min(max(tally.output_tokens, 0), MOST_TOKENS)

    def _finish(self, status: int, *, complete: bool, reason: str) -> None:
        self._connection.output_tokens += self._tally.output_tokens
        self._recorder.record(
            EventType.RESPONSE,
            connection=self._connection.name,
            request=self._seq,
            status=status,
            complete=complete,
            usage={"input_tokens": self._tally.input_tokens, "output_tokens": self._tally.output_tokens},
            reason=self._masker.mask(reason).text,
        )


async def _send(data: bytes, response: web.StreamResponse, spool: Spool) -> None:
    """Write to the spool, then to the agent: what it sees is on disk."""
    if data:
        spool.append(data)
        await response.write(data)


def refused_call(name: str, refusal: str) -> str:
    """What stands in an answer where a refused call was; the model reads it, and so does the agent."""
    return (
        f"[ciguard] The call of the tool {name} was refused and did not run. {refusal} "
        "Do not try the same thing in another way: choose another approach, or say that it is not permitted."
    )

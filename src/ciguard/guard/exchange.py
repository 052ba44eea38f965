"""One call of the agent, from its bytes to the answer: the pipeline that every connection goes through.

1. The call carries the session's token, leads to an endpoint, and is within the limits; else it is turned away.
2. Its body is taken in: masked, judged, recorded (:mod:`ciguard.guard.intake`). A refused prompt goes no further.
3. It is forwarded with the connection's credential.
4. The answer's items are judged one by one and recorded before the agent has them. When every call in an answer was
   refused, the model is asked again and told why, and what it then says is joined to the same answer.

While humans decide on something, in 2 or 4, the answer has begun and gets signs of life: events that say nothing in a
stream, white space before a JSON document. Only a request for a document whose prompt is held gets none, since its
status is still open: it can wait for :data:`LONGEST_SILENCE`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from aiohttp.web_request import BaseRequest
from aiohttp.web_response import StreamResponse

from ciguard.codecs.answer import Tally, TextItem, masked_items, masked_value
from ciguard.codecs.codec import AnswerStream, Purpose, TextRelease
from ciguard.codecs.document import Document, dump, parse
from ciguard.codecs.error import WireError
from ciguard.errors import CiguardError
from ciguard.guard.body import BodyError, read_body
from ciguard.guard.connection import Route
from ciguard.guard.delivery import Delivery
from ciguard.guard.holding import SIGN_OF_LIFE, Holding
from ciguard.guard.intake import Intake
from ciguard.guard.judge import Judge
from ciguard.guard.passing import Passing
from ciguard.guard.settling import Settling
from ciguard.guard.upstream import UpstreamAnswer, Upstreams
from ciguard.guard.upstream_body import UpstreamError
from ciguard.guard.whole_answer import WholeAnswer
from ciguard.inspect.masking import Masker
from ciguard.inspect.placeholder import Placeholders
from ciguard.operation import Json, ResultKind
from ciguard.policy.evaluation import model_allowed
from ciguard.session import event
from ciguard.session.recorder import Recorder

T = TypeVar("T")

NOT_AGAIN = {"x-should-retry": "false"}
"""Tells the official SDKs that the same call would get the same answer."""

MOST_TOKENS = 10**9
"""Tokens that one answer can have used; what an upstream says beyond it, or below 0, is no count."""


LONGEST_SILENCE = 570.0
"""Seconds that a call may wait without an answer begun: the official SDKs give up after 600."""


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
    sign_of_life: float = SIGN_OF_LIFE
    longest_silence: float = LONGEST_SILENCE


class Exchange:
    """One call over ``route``."""

    def __init__(self, guarding: Guarding, route: Route, request: BaseRequest) -> None:
        self._guarding = guarding
        self._route = route
        self._request = request
        self._connection = route.connection
        self._masker = guarding.masker
        self._recorder = guarding.recorder
        self._seq = -1
        self._tally = Tally()
        self._streams = False
        self._waiting_since = 0.0
        self._holding: Holding | None = None
        self._stream: AnswerStream | None = None
        self._response: StreamResponse | None = None

    @property
    def begun(self) -> bool:
        """Whether the agent was sent something."""
        return self._response is not None

    @property
    def recorded(self) -> bool:
        """Whether the log has a request event for the call."""
        return self._seq >= 0

    async def run(self) -> StreamResponse:
        """Answer the call. Raises :class:`TurnedAway` while nothing has been sent yet."""
        match self._route.endpoint.purpose:
            case Purpose.PING:
                return WholeAnswer(200)
            case Purpose.LIST:
                return await self._list()
            case Purpose.GENERATE | Purpose.MEASURE:
                return await self._generate()

    async def _list(self) -> StreamResponse:
        self._refuse_used_up()
        self._connection.requests += 1
        self._seq = self._record_request(self._route.model, event.Parts(base=None, keep=0, add=[]), stream=False)
        return await self._answered(None)

    async def _generate(self) -> StreamResponse:
        self._refuse_used_up()
        document = await self._document()
        try:
            model = self._model(document)
            stream = self._streams = self._route.endpoint.stream or self._route.codec.wants_stream(document)
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
                self._wait,
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

    def _record_request(self, model: str, parts: event.Parts, *, stream: bool) -> int:
        query = f"?{self._route.query}" if self._route.query else ""
        return self._recorder.record(
            event.Request(
                connection=self._connection.name,
                method=self._route.endpoint.method,
                path=self._masker.mask(self._route.path + query).text,
                model=self._masker.mask(model).text,
                stream=stream,
                parts=parts,
            )
        )

    async def _answered(self, document: Document | None) -> StreamResponse:
        """Forward the recorded call and bring back its answer, which is recorded too."""
        reason = "the exchange was cut off"
        status = 0
        try:
            answer = await self._forward(document.raw if document else None)
            status = answer.status
            try:
                if document and answer.content_type == "text/event-stream" and status == 200:
                    response, reason = await self._streamed(answer, document)
                elif self.begun:
                    raise TurnedAway(502, f"ciguard: the upstream answered with status {status} and no stream")
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

    async def _begin(self, headers: list[tuple[str, str]]) -> StreamResponse:
        """The response, once the agent has its head; ``headers`` come too late when it has been sent before."""
        if self._response is None:
            self._response = StreamResponse(status=200, headers=headers)
            await self._response.prepare(self._request)
        return self._response

    async def _wait(self, work: Coroutine[Any, Any, T]) -> T:
        """The result of ``work``, which waits for humans before the call is forwarded."""
        if self._holding is None:
            self._waiting_since = time.monotonic()
            alive = self._streaming_alive if self._streams else self._silent
            self._holding = Holding(alive, min(self._guarding.sign_of_life, self._guarding.longest_silence))
        return await self._holding.run(work)

    async def _streaming_alive(self) -> None:
        response = await self._begin([("Content-Type", "text/event-stream"), ("Cache-Control", "no-cache")])
        await response.write(self._answer_stream().sign_of_life())

    async def _silent(self) -> None:
        if time.monotonic() - self._waiting_since >= self._guarding.longest_silence:
            minutes = self._guarding.longest_silence / 60
            raise TurnedAway(
                403,
                f"this prompt was held for approval, and nobody decided within {minutes:g} minutes, which is as long "
                "as a request can wait that does not stream. Ask for a stream: it waits as long as the policy says.",
            )

    def _answer_stream(self) -> AnswerStream:
        if self._stream is None:
            watched = self._guarding.judge.evaluator.watches(ResultKind.RESPONSE_TEXT, self._connection.name)
            release = TextRelease.WHEN_COMPLETE if watched else TextRelease.AS_IT_COMES
            self._stream = self._route.codec.stream(self._masker, release)
        return self._stream

    async def broken_off(self, message: str) -> StreamResponse | None:
        """End an answer that was begun with an error in it; None when its form has no place for one."""
        if self._response is None or not self._streams:
            return None
        await self._response.write(self._answer_stream().error(message))
        await self._response.write_eof()
        return self._response

    async def _document(self) -> Document:
        try:
            body = await read_body(self._request, self._connection.declared.limits.request_bytes)
            return self._connection.read(body, self._route.codec.listed)
        except BodyError as error:
            raise TurnedAway(error.status, str(error)) from None
        except WireError as error:
            raise TurnedAway(400, str(error)) from None

    def _refuse_used_up(self) -> None:
        if over := self._guarding.judge.over:
            raise TurnedAway(403, over)
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
        try:
            return await self._guarding.upstreams.call(self._route, self._request.headers, body)
        except UpstreamError as error:
            raise TurnedAway(error.status, f"ciguard: {error}") from None

    async def _whole(self, answer: UpstreamAnswer, document: Document | None) -> StreamResponse:
        """An answer that comes at once: judged when it is a success of an endpoint that generates."""
        message, raw = await self._message(answer)
        succeeded = 200 <= answer.status < 300
        if document is None or not succeeded or self._route.endpoint.purpose is Purpose.MEASURE:
            masked, kinds = masked_value(message, self._masker)
            body = dump(masked) if kinds else raw
            self._settling().delivered(TextItem("document" if succeeded else "error", body.decode(), kinds))
            return WholeAnswer(answer.status, answer.headers, body)
        settling = self._settling()
        async with Holding(partial(self._document_alive, answer.headers), self._guarding.sign_of_life) as holding:
            tally = await self._settle_document(message, settling, holding)
            changed = tally.changed
            said = raw
            while tally.stranded and self._may_continue():
                document = self._continuation(document, parse(said), tally)
                again = await self._forward(document.raw)
                try:
                    further, said = await self._message(again)
                finally:
                    again.close()
                if again.status != 200:
                    break
                tally = await self._settle_document(further, settling, holding)
                message = self._route.codec.join(message, further)
        if changed:
            raw = dump(message)
        if self._response is None:
            return WholeAnswer(answer.status, answer.headers, raw)
        await self._response.write(raw)
        await self._response.write_eof()
        return self._response

    async def _document_alive(self, headers: list[tuple[str, str]]) -> None:
        """White space before a JSON document means nothing."""
        await (await self._begin(headers)).write(b" ")

    def _settling(self) -> Settling:
        guarding = self._guarding
        return Settling(guarding.judge, guarding.intake, guarding.placeholders, self._connection.name, self._seq)

    async def _message(self, answer: UpstreamAnswer) -> tuple[dict[str, Json], bytes]:
        """The JSON object of an answer, and its bytes; an error that cannot be read keeps its status."""
        status = answer.status if answer.status >= 400 else 502
        if answer.content_type != "application/json":
            raise TurnedAway(status, f"ciguard: the upstream answered {answer.status} with something that is not JSON")
        try:
            raw = await answer.body.whole()
            message = parse(raw)
        except UpstreamError as error:
            raise TurnedAway(error.status, f"ciguard: {error}") from None
        except WireError as error:
            raise TurnedAway(status, f"ciguard: the upstream's answer is not in order: {error}") from None
        if not isinstance(message, dict):
            raise TurnedAway(status, "ciguard: the upstream's answer is not a JSON object")
        return message, raw

    async def _settle_document(self, message: dict[str, Json], settling: Settling, holding: Holding) -> Tally:
        """Judge what an answer says, and change ``message`` to what the agent may have of it."""
        self._guarding.intake.answered(message, self._connection.name)
        tally = Tally()
        for item in masked_items(self._route.codec, message, self._masker, tally):
            await settling.settle(item, holding)
        self._count(tally)
        return tally

    async def _streamed(self, answer: UpstreamAnswer, document: Document) -> tuple[StreamResponse, str]:
        """A streamed answer; returns the response, and why it is not complete if it is not."""
        response = await self._begin(answer.headers)
        stream, settling = self._answer_stream(), self._settling()
        spool = self._recorder.spool()
        delivery = Delivery(self._request, response, spool)
        reason = ""

        async def alive() -> None:
            await delivery.send(stream.take() + stream.sign_of_life())

        try:
            async with Holding(alive, self._guarding.sign_of_life) as holding:
                passing = Passing(stream, settling, holding, delivery)
                await self._pass_on(answer, passing)
                while stream.stranded and self._may_continue():
                    document = self._continuation(document, stream.message(), stream.tally)
                    again = await self._forward(document.raw)
                    try:
                        if again.status != 200 or again.content_type != "text/event-stream":
                            break
                        stream.resume()
                        await self._pass_on(again, passing)
                    finally:
                        again.close()
                stream.close()
                if rest := stream.take():
                    await delivery.send(rest)
                if not stream.ended:
                    reason = "the upstream ended its stream too early"
        except (UpstreamError, WireError, TurnedAway) as error:
            reason = str(error).removeprefix("ciguard: ")
        finally:
            for item in stream.unfinished():
                settling.delivered(item)
            spool.discard()
            self._count_tokens(stream.tally)
        if reason:
            await response.write(stream.error(f"ciguard: {reason}"))
        await response.write_eof()
        return response, reason

    def _may_continue(self) -> bool:
        """Whether the model may be asked again; counts as a request of the agent's."""
        if self._guarding.judge.over or self._connection.exhausted():
            return False
        self._connection.requests += 1
        return True

    def _continuation(self, document: Document, message: Json, tally: Tally) -> Document:
        """The request that tells the model what was refused; its own words go back as masked as the agent's would."""
        masked, _ = masked_value(message, self._masker)
        message = self._guarding.intake.restored(masked, self._connection.name)
        return self._route.codec.continuation(document, message, tally.refused)

    async def _pass_on(self, answer: UpstreamAnswer, passing: Passing) -> None:
        stream = passing.stream
        try:
            await passing.on(answer.body)
        finally:
            self._guarding.judge.count(refused=len(stream.tally.refused), allowed=stream.tally.allowed)
            self._guarding.intake.answered(stream.message(), self._connection.name)

    def _count(self, tally: Tally) -> None:
        self._guarding.judge.count(refused=len(tally.refused), allowed=tally.allowed)
        self._count_tokens(tally)

    def _count_tokens(self, tally: Tally) -> None:
        self._tally.input_tokens += min(max(tally.input_tokens, 0), MOST_TOKENS)
        self._tally.output_tokens += min(max(tally.output_tokens, 0), MOST_TOKENS)

    def _finish(self, status: int, *, complete: bool, reason: str) -> None:
        self._connection.output_tokens += self._tally.output_tokens
        self._recorder.record(
            event.Response(
                connection=self._connection.name,
                request=self._seq,
                status=status,
                complete=complete,
                usage=event.Usage(input_tokens=self._tally.input_tokens, output_tokens=self._tally.output_tokens),
                reason=self._masker.mask(reason).text,
            )
        )

"""What agents see, and what they may go on with, while humans decide."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anthropic
import openai
import pytest
from google import genai

from ciguard.approvals.approver import Verdict
from ciguard.decision import Decision
from ciguard.errors import RecordingFailed
from ciguard.operation import Operation, Result
from ciguard.session.event import EventType
from ciguard.testing.model import Block, Call, Conversation, Paused, Script, Text
from tests.integration.guarded import (
    CHAT,
    GEMINI,
    MESSAGES,
    RESPONSES,
    TOKEN,
    Guarded,
    every,
    guarded,
    message,
    until,
)
from tests.integration.test_guard_judging import said_by_sdk

pytestmark = [pytest.mark.filterwarnings("ignore:Inheritance class AiohttpClientSession:DeprecationWarning")]

HOLD = "rules: [{id: ask, on: [prompt, tool_call, response_text], text: {keywords: [zebra]}, action: hold}]"
RELEASED = Verdict(released=True, reason="It was approved by @bob.")
DENIED = Verdict(released=False, reason="It was held for approval and denied by @bob.")


@dataclass
class Asked:
    """Something that humans were asked about."""

    subject: Operation | Result
    verdict: asyncio.Future[Verdict] = field(default_factory=asyncio.Future)
    withdrawn: bool = False


class People:
    """Approvers whose verdicts a test gives."""

    def __init__(self) -> None:
        self.asked: list[Asked] = []

    async def ask(self, subject: Operation | Result, decision: Decision, said: str) -> Verdict:
        """See ``Approver.ask``."""
        one = Asked(subject)
        self.asked.append(one)
        try:
            return await one.verdict
        except asyncio.CancelledError:
            one.withdrawn = True
            raise

    async def number(self, count: int) -> list[Asked]:
        """What was asked so far, once it is this many."""
        await until(lambda: len(self.asked) >= count)
        assert len(self.asked) == count
        return self.asked


def calls(*commands: str) -> Script:
    """A model that calls its shell with each of ``commands``, and says what became of that."""

    def script(conversation: Conversation) -> Sequence[Block]:
        if conversation.tool_results:
            return [Text("Then not.")]
        return [Text("I begin."), *(Call("Bash", {"command": command}) for command in commands)]

    return script


@dataclass
class Stream:
    """A streamed call that a test reads as it comes."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    got: bytes = b""

    async def read_until(self, wanted: bytes) -> None:
        """Read on until ``wanted`` has come."""
        async with asyncio.timeout(20):
            while wanted not in self.got:
                chunk = await self.reader.read(65536)
                assert chunk, self.got
                self.got += chunk

    async def rest(self) -> bytes:
        """Everything, once the guard has closed the connection."""
        async with asyncio.timeout(20):
            while chunk := await self.reader.read(65536):
                self.got += chunk
        return self.got


@asynccontextmanager
async def streaming(guard: Guarded, body: Any) -> AsyncIterator[Stream]:
    """A call at the Messages API, without waiting for its end."""
    reader, writer = await asyncio.open_connection("127.0.0.1", guard.server.port)
    data = json.dumps(body).encode()
    head = f"POST {MESSAGES} HTTP/1.1\r\nHost: localhost\r\nx-api-key: {TOKEN}\r\nanthropic-version: 2023-06-01\r\n"
    head += f"Content-Type: application/json\r\nConnection: close\r\nContent-Length: {len(data)}\r\n\r\n"
    writer.write(head.encode() + data)
    try:
        yield Stream(reader, writer)
    finally:
        writer.close()


TOOLS: Any = [{"name": "Bash", "input_schema": {"type": "object"}}]


async def test_calls_of_one_answer_are_asked_about_together_and_decided_in_any_order(tmp_path: Path) -> None:
    people = People()
    script = calls("feed the zebra", "ls", "sell the zebra")
    async with (
        guarded(tmp_path, script=script, rules=HOLD, approver=people) as guard,
        streaming(guard, message("Go.", stream=True, tools=TOOLS)) as stream,
    ):
        first, second = await people.number(2)
        await stream.read_until(b"I begin.")
        second.verdict.set_result(DENIED)
        await until(lambda: len(guard.events(EventType.OPERATION)) == 3)
        assert b"sell" not in stream.got
        assert b"tool_use" not in stream.got
        first.verdict.set_result(RELEASED)
        answer = await stream.rest()
        assert answer.index(b"feed the") < answer.index(b"denied by @bob")
        assert b"sell the" not in answer
        assert answer.count(b'"stop_reason":"tool_use"') == 1
        done = [(guard.body(event)["input"]["command"], event["effect"]) for event in calls_of(guard)]
        assert done == [("ls", "forwarded"), ("sell the zebra", "withheld"), ("feed the zebra", "forwarded")]


def calls_of(guard: Guarded) -> list[dict[str, Any]]:
    """The recorded tool calls."""
    return [event for event in guard.events(EventType.OPERATION) if event["operation"] == "tool_call"]


async def test_what_is_decided_goes_on_while_the_upstream_is_still_at_it(tmp_path: Path) -> None:
    people = People()

    def script(conversation: Conversation) -> Sequence[Block]:
        return [Call("Bash", {"command": "feed the zebra"}), Text("And so on. " * 500)]

    async with (
        guarded(tmp_path, script=script, faults=every(Paused(3000, 60)), rules=HOLD, approver=people) as guard,
        streaming(guard, message("Go.", stream=True, tools=TOOLS)) as stream,
    ):
        (asked,) = await people.number(1)
        asked.verdict.set_result(RELEASED)
        await stream.read_until(b"feed the")
        assert b"message_stop" not in stream.got


@pytest.mark.parametrize("target", [MESSAGES, RESPONSES, CHAT, GEMINI])
@pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])
async def test_the_vendors_clients_bear_signs_of_life(tmp_path: Path, target: str, *, stream: bool) -> None:
    people = People()
    script = calls("feed the zebra")
    async with guarded(tmp_path, script=script, rules=HOLD, approver=people, sign_of_life=0.02) as guard:
        asking = asyncio.create_task(said_by_sdk(guard, target, "Go.", stream=stream))
        (asked,) = await people.number(1)
        await asyncio.sleep(0.3)
        asked.verdict.set_result(DENIED)
        said = await asking
        assert "I begin." in said
        assert "denied by @bob" in said
        assert "Then not." in said


@pytest.mark.parametrize("target", [MESSAGES, RESPONSES, CHAT, GEMINI])
@pytest.mark.parametrize("verdict", [RELEASED, DENIED], ids=["released", "denied"])
async def test_a_held_prompt_keeps_a_stream_alive(tmp_path: Path, target: str, verdict: Verdict) -> None:
    people = People()
    refusals = (anthropic.APIError, openai.APIError, genai.errors.APIError)
    async with guarded(tmp_path, rules=HOLD, approver=people, sign_of_life=0.02) as guard:
        asking = asyncio.create_task(raw_stream(guard, target, "What does a zebra eat?"))
        (asked,) = await people.number(1)
        await asyncio.sleep(0.3)
        assert guard.model.requests == []
        asked.verdict.set_result(verdict)
        if verdict.released:
            assert "All is fine here." in await asking
        else:
            with pytest.raises(refusals, match=r"ciguard refused this prompt|denied by @bob"):
                await asking
            assert guard.model.requests == []
            (ended,) = guard.events(EventType.RESPONSE)
            assert "denied by @bob" in ended["reason"]


async def raw_stream(guard: Guarded, target: str, text: str) -> str:
    """What the vendor's own client makes of a stream, event by event."""
    if target != RESPONSES:
        return await said_by_sdk(guard, target, text, stream=True)
    # The client's higher interface wants the creation of a response first, which has not happened yet.
    async with openai.AsyncOpenAI(base_url=guard.url("/gpt/v1"), api_key=TOKEN) as gpt:
        said = ""
        async for event in await gpt.responses.create(model="gpt-5", input=text, stream=True):
            if event.type == "response.output_text.delta":
                said += event.delta
            elif event.type == "response.failed":
                assert event.response.error
                raise openai.APIError(event.response.error.message, None, body=None)  # type: ignore[arg-type]
        return said


async def test_a_held_prompt_holds_up_nobody_else_and_is_asked_about_once(tmp_path: Path) -> None:
    people = People()
    async with guarded(tmp_path, rules=HOLD, approver=people) as guard:
        held = [asyncio.create_task(guard.call(body=message("A zebra.", f"{n}"))) for n in range(3)]
        await people.number(1)
        assert (await guard.call(body=message("A horse."))).status == 200
        (asked,) = await people.number(1)
        asked.verdict.set_result(DENIED)
        assert [answer.status for answer in await asyncio.gather(*held)] == [400, 400, 400]
        assert len(guard.model.requests) == 1
        assert len(people.asked) == 1


async def test_a_released_prompt_is_released_for_those_who_waited(tmp_path: Path) -> None:
    people = People()
    async with guarded(tmp_path, rules=HOLD, approver=people) as guard:
        held = [asyncio.create_task(guard.call(body=message("A zebra."))) for _ in range(3)]
        (asked,) = await people.number(1)
        asked.verdict.set_result(RELEASED)
        assert [answer.status for answer in await asyncio.gather(*held)] == [200, 200, 200]
        assert len(people.asked) == 1


async def test_those_who_waited_ask_themselves_when_the_first_hangs_up(tmp_path: Path) -> None:
    people = People()
    async with guarded(tmp_path, rules=HOLD, approver=people) as guard:
        first = asyncio.create_task(guard.call(body=message("A zebra.")))
        await people.number(1)
        second = asyncio.create_task(guard.call(body=message("A zebra.")))
        first.cancel()
        _, asked = await people.number(2)
        assert people.asked[0].withdrawn
        assert guard.model.requests == []
        asked.verdict.set_result(RELEASED)
        assert (await second).status == 200


async def test_a_request_without_a_stream_waits_as_long_as_clients_do(tmp_path: Path) -> None:
    people = People()
    async with guarded(tmp_path, rules=HOLD, approver=people, longest_silence=0.05) as guard:
        answer = await guard.call(body=message("A zebra."))
        assert answer.status == 403
        assert "Ask for a stream" in answer.message
        assert answer.headers["x-should-retry"] == "false"
        assert people.asked[0].withdrawn
        assert guard.model.requests == []


async def test_a_request_without_a_stream_waits_through_many_intervals(tmp_path: Path) -> None:
    people = People()
    async with guarded(tmp_path, rules=HOLD, approver=people, sign_of_life=0.02) as guard:
        asking = asyncio.create_task(guard.call(body=message("A zebra.")))
        (asked,) = await people.number(1)
        await asyncio.sleep(0.3)
        asked.verdict.set_result(RELEASED)
        assert (await asking).status == 200


async def test_a_stream_whose_prompt_is_held_gets_signs_of_life(tmp_path: Path) -> None:
    people = People()
    async with (
        guarded(tmp_path, rules=HOLD, approver=people, sign_of_life=0.02) as guard,
        streaming(guard, message("A zebra.", stream=True)) as stream,
    ):
        (asked,) = await people.number(1)
        await stream.read_until(b"event: ping")
        assert guard.model.requests == []
        asked.verdict.set_result(RELEASED)
        assert b"message_stop" in await stream.rest()


async def test_hanging_up_withdraws_what_is_held_of_an_answer(tmp_path: Path) -> None:
    people = People()
    script = calls("feed the zebra", "sell the zebra")
    async with guarded(tmp_path, script=script, rules=HOLD, approver=people) as guard:
        async with streaming(guard, message("Go.", stream=True, tools=TOOLS)):
            await people.number(2)
        await until(lambda: all(one.withdrawn for one in people.asked))
        await until(lambda: guard.events(EventType.RESPONSE))
        assert guard.events(EventType.RESPONSE)[0]["reason"] == "the agent disconnected"
        assert calls_of(guard) == []


async def test_a_held_text_waits_and_is_withheld(tmp_path: Path) -> None:
    people = People()

    def script(conversation: Conversation) -> Sequence[Block]:
        return [Text("The zebra is striped.")]

    async with (
        guarded(tmp_path, script=script, rules=HOLD, approver=people, sign_of_life=0.02) as guard,
        streaming(guard, message("Go.", stream=True)) as stream,
    ):
        (asked,) = await people.number(1)
        await stream.read_until(b"event: ping")
        asked.verdict.set_result(DENIED)
        answer = await stream.rest()
        assert b"zebra" not in answer
        assert b"This text was withheld." in answer


async def test_a_verdict_that_cannot_be_recorded_ends_the_session(tmp_path: Path) -> None:
    people = People()
    async with (
        guarded(tmp_path, script=calls("feed the zebra"), rules=HOLD, approver=people) as guard,
        streaming(guard, message("Go.", stream=True, tools=TOOLS)) as stream,
    ):
        (asked,) = await people.number(1)
        asked.verdict.set_exception(RecordingFailed("the disk is full", "make room"))
        await until(lambda: guard.failures)
        assert b"tool_use" not in await stream.rest()

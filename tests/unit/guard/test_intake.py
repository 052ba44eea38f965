"""Requests on their way in, with whatever JSON an agent may send."""

from __future__ import annotations

import json
import re
import tempfile
import time
from collections.abc import Coroutine
from itertools import takewhile
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ciguard.approvals.approver import Nobody
from ciguard.codecs.anthropic import Anthropic
from ciguard.codecs.codec import Codec
from ciguard.codecs.document import split
from ciguard.codecs.error import WireError
from ciguard.codecs.gemini import Gemini
from ciguard.codecs.openai_chat import OpenAIChat
from ciguard.codecs.openai_responses import OpenAIResponses
from ciguard.guard.approved import Approved
from ciguard.guard.intake import REMEMBERED_REQUESTS, Admitted, Intake
from ciguard.guard.judge import Judge, Notice
from ciguard.inspect.known_value import KnownValue
from ciguard.inspect.masking import Masker
from ciguard.inspect.names import Name, Names
from ciguard.inspect.personal_data import NameKind
from ciguard.inspect.placeholder import Placeholders
from ciguard.operation import Json, strings
from ciguard.policy.evaluation import Evaluator
from ciguard.policy.loading import FileSource, load_policy
from ciguard.session.event import EventType, Parts, Request
from ciguard.session.reading import open_session, request_parts
from ciguard.session.recorder import Recorder
from ciguard.session.reference import SHORTEST
from tests.unit.session import sample

T = TypeVar("T")

SECRET = "upstream-credential-5f1e9a7c"
POLICY = """\
version: 1
connections:
  claude: {type: anthropic, credential: {env: KEY}}
  other: {type: anthropic, credential: {env: KEY}}
rules:
  - {id: no, on: [prompt], text: {keywords: [forbidden]}, action: block}
  - {id: injected, on: [tool_result], text: {keywords: [injected]}, action: block}
  - {id: heavy, on: [prompt], text: {keywords: [heavy]}, risk: 50}
  - {id: weighty, on: [prompt], text: {keywords: [weighty]}, risk: 50}
  - {id: person, on: [prompt], text: {keywords: [Alice]}, action: mask}
"""


async def at_once(work: Coroutine[Any, Any, T]) -> T:
    """Waits for humans without telling the agent."""
    return await work


class TakingIn:
    """An intake with everything around it, in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        (folder / "policy.yml").write_text(POLICY)
        self.directory = folder / "session"
        self.recorder = Recorder(self.directory, time.time_ns)
        self.recorder.write_policy(sample.POLICY)
        self.recorder.record(sample.event(EventType.SESSION_STARTED, **sample.STARTED))
        placeholders = Placeholders(b"key")
        masker = Masker([KnownValue("credential", SECRET)], placeholders)
        evaluator = Evaluator(load_policy(FileSource(folder), "policy.yml"))
        notices: list[Notice] = []
        stops: list[None] = []
        judge = Judge(
            evaluator,
            Nobody("this is a test"),
            self.recorder,
            Approved(evaluator, "/workspace"),
            1000,
            on_notice=notices.append,
            on_stop=lambda: stops.append(None),
            on_awaiting=lambda: None,
        )
        self.intake = Intake(masker, placeholders, judge, self.recorder)

    async def admit(self, body: Json | bytes, codec: Codec | None = None, connection: str = "claude") -> Admitted:
        """Take in one request."""
        codec = codec or Anthropic()
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        return await self.intake.admit(codec, split(data, codec.listed), connection, self.record, at_once)

    def record(self, parts: Parts) -> int:
        """Write the request event."""
        return self.recorder.record(
            Request(connection="claude", method="POST", path="/", model="m", stream=False, parts=parts)
        )

    def judged(self) -> list[tuple[str, list[str]]]:
        """Kind and rules of every operation and result so far."""
        return [
            (event.get("operation") or event["result"], [reason["rule"] for reason in event["decision"]["reasons"]])
            for event in open_session(self.directory).events
            if event["type"] in (EventType.OPERATION, EventType.RESULT)
        ]


def says(*texts: str) -> dict[str, Json]:
    messages: list[Json] = [{"role": "user", "content": text} for text in texts]
    return {"model": "m", "messages": messages}


async def test_a_text_is_judged_once(tmp_path: Path) -> None:
    taking = TakingIn(tmp_path)
    for _ in range(3):
        await taking.admit(says("Hello."))
    await taking.admit(says("Hello.", "More."))
    await taking.admit({"model": "m", "messages": [{"role": "user", "content": [{"type": "text", "text": "Hello."}]}]})
    assert taking.judged() == [("prompt", []), ("prompt", [])]


async def test_a_text_that_one_request_has_twice_is_judged_once(tmp_path: Path) -> None:
    taking = TakingIn(tmp_path)
    blocks: list[Json] = [{"type": "text", "text": text} for text in ("heavy", "heavy", "Heavens.")]
    await taking.admit({"model": "m", "messages": [{"role": "user", "content": blocks}]})
    (operation,) = (one for one in open_session(taking.directory).events if one["type"] == EventType.OPERATION)
    assert json.loads(open_session(taking.directory).body(operation["body"]))["texts"] == ["heavy", "Heavens."]


async def test_each_text_is_judged_for_itself_each_speaker_and_each_connection(tmp_path: Path) -> None:
    taking = TakingIn(tmp_path)
    prompt = says("Please look into the following file.")
    await taking.admit(prompt)
    await taking.admit(says("Please look into the following file, forbidden or not."))
    await taking.admit(prompt, connection="other")
    await taking.admit({**prompt, "system": "Please look into the following file."})
    assert taking.judged() == [("prompt", []), ("prompt", ["no"]), ("prompt", []), ("instructions", [])]


async def test_what_the_agent_heard_is_not_new_when_the_model_said_it(tmp_path: Path) -> None:
    taking = TakingIn(tmp_path)
    taking.intake.heard("I said it.", "claude")
    said: Json = {"role": "assistant", "content": "I said it."}
    await taking.admit({"model": "m", "messages": [said]})
    assert taking.judged() == []
    await taking.admit(says("I said it."))
    await taking.admit({"model": "m", "messages": [said]}, connection="other")
    assert taking.judged() == [("prompt", []), ("prompt", [])]


async def test_bytes_stay_unless_something_is_masked(tmp_path: Path) -> None:
    taking = TakingIn(tmp_path)
    plain = b'{ "model" :"m", "messages":[ {"role":"user","content":"caf\\u00e9"} ] }'
    for _ in range(2):
        assert (await taking.admit(plain)).document.raw == plain
    for _ in range(2):
        masked = json.loads((await taking.admit(says(f"{SECRET} of Alice"))).document.raw)
        assert "[ciguard-masked:credential:" in masked["messages"][0]["content"]
        assert "[ciguard-masked:person:" in masked["messages"][0]["content"]


async def test_only_the_guilty_texts_are_refused(tmp_path: Path) -> None:
    taking = TakingIn(tmp_path)
    assert "rule no" in (await taking.admit(says("Innocent.", "forbidden"))).refusal
    assert (await taking.admit(says("Innocent."))).refusal == ""
    assert "rule no" in (await taking.admit(says("forbidden"))).refusal


async def test_a_long_result_that_was_withheld_is_recorded_in_full(tmp_path: Path) -> None:
    taking = TakingIn(tmp_path)
    text = "injected " * SHORTEST
    result: Json = {"type": "tool_result", "tool_use_id": "t", "content": text}
    admitted = await taking.admit({"model": "m", "messages": [{"role": "user", "content": [result]}]})
    assert text.encode() not in admitted.document.raw
    session = open_session(taking.directory)
    (recorded,) = (event for event in session.events if event["type"] == EventType.RESULT)
    assert json.loads(session.body(recorded["body"]))["texts"] == [text]


@pytest.mark.parametrize("word", [SECRET, "Alice", "nobody"])
async def test_a_long_text_is_recorded_once_as_it_was_masked(tmp_path: Path, word: str) -> None:
    taking = TakingIn(tmp_path)
    admitted = await taking.admit(says(f"This is {word}. " * SHORTEST))
    session = open_session(taking.directory)
    (recorded,) = (event for event in session.events if event["type"] == EventType.OPERATION)
    (place,) = json.loads(session.body(recorded["body"]))["texts"]
    text = strings(json.loads(session.body(place["part"])))[place["string"]]
    assert text == json.loads(admitted.document.raw)["messages"][0]["content"]
    assert text.count(word) == (SHORTEST if word == "nobody" else 0)


async def test_texts_that_are_refused_together_are_all_refused(tmp_path: Path) -> None:
    taking = TakingIn(tmp_path)
    assert (await taking.admit(says("heavy", "weighty"))).refusal
    assert (await taking.admit(says("heavy"))).refusal
    assert (await taking.admit(says("weighty"))).refusal


async def test_a_part_that_cannot_be_read_leaves_nothing_judged(tmp_path: Path) -> None:
    taking = TakingIn(tmp_path)
    bad = b'{"model": "m", "messages": [{"role": "user", "content": "forbidden"}, {"a": 1, "a": 2}]}'
    with pytest.raises(WireError):
        await taking.admit(bad)
    assert "rule no" in (await taking.admit(says("forbidden"))).refusal


async def test_a_text_is_judged_again_when_its_judgement_was_cut_short(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    taking = TakingIn(tmp_path)

    def interrupted(*_: object) -> object:
        raise InterruptedError

    with monkeypatch.context() as patch:
        patch.setattr(Judge, "decide", interrupted)
        with pytest.raises(InterruptedError):
            await taking.admit(says("forbidden"))
    assert "rule no" in (await taking.admit(says("forbidden"))).refusal


async def test_unchanged_parts_are_not_kept_in_memory(tmp_path: Path) -> None:
    taking = TakingIn(tmp_path)
    await taking.admit(says("x" * 1000, f"{SECRET}"))
    kept = [part for known in taking.intake._known.values() for part in known.forwarded.values()]
    assert len(kept) == 1
    assert b"ciguard-masked" in kept[0].raw


LINES = st.lists(st.lists(st.sampled_from("abcd"), max_size=6), min_size=1, max_size=REMEMBERED_REQUESTS + 8)


@settings(max_examples=40)
@given(LINES)
async def test_every_request_can_be_read_back_in_full(conversations: list[list[str]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        taking = TakingIn(Path(folder))
        admitted = [(await taking.admit(says(*texts))).seq for texts in conversations]
        session = open_session(taking.directory)
        for seq, texts in zip(admitted, conversations, strict=True):
            parts = [(label, json.loads(session.body(digest))) for label, digest in request_parts(session.events, seq)]
            messages: list[Any] = [("messages", {"role": "user", "content": text}) for text in texts]
            assert parts == [("model", "m"), *(messages or [("messages", [])])]
        taking.recorder.close()


@settings(max_examples=40)
@given(LINES)
async def test_a_request_is_recorded_as_what_it_adds_to_the_one_that_has_most_in_common(
    conversations: list[list[str]],
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        taking = TakingIn(Path(folder))
        earlier: list[list[str]] = []
        for number, texts in enumerate(conversations):
            seq = (await taking.admit(says(*texts, f"new {number}"))).seq
            parts = open_session(taking.directory).events[seq]["parts"]
            common = [
                sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(texts, one, strict=False)))
                for one in earlier[-REMEMBERED_REQUESTS:]
            ]
            assert parts["keep"] == max([1 + count for count in common], default=0)  # the model, and texts
            earlier.append(texts)
        taking.recorder.close()


KEYS = st.sampled_from(
    (
        *("role", "content", "type", "text", "tool_use_id", "id", "parts", "functionResponse", "response", "name"),
        *("input", "output", "call_id", "tool_calls", "arguments", "function", "source", "data", "citations"),
    )
)
WORDS = st.sampled_from(
    (
        *("user", "assistant", "model", "tool", "system", "text", "tool_result", "tool_use", "function_call_output"),
        *("forbidden", "injected", SECRET, "\ud800", "\0", ""),
    )
)
JSON: st.SearchStrategy[Json] = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.floats(allow_nan=False, allow_infinity=False) | WORDS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=5),
    max_leaves=25,
)
CODECS: list[Codec] = [Anthropic(), OpenAIResponses(), OpenAIChat(), Gemini()]


@pytest.mark.parametrize("codec", CODECS, ids=lambda codec: type(codec).__name__)
@settings(max_examples=60)
@given(bodies=st.lists(JSON, min_size=1, max_size=3), other=JSON)
async def test_no_json_breaks_the_intake_or_carries_a_secret_through(
    codec: Codec, bodies: list[Json], other: Json
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        taking = TakingIn(Path(folder))
        for body in bodies:
            for value in ({codec.listed: body}, {codec.listed: [body, body], "tools": other, "system": other}):
                first = await taking.admit(value, codec)
                assert SECRET.encode() not in first.document.raw
                json.loads(first.document.raw)
                again = await taking.admit(value, codec)
                assert (again.document.raw, bool(again.refusal)) == (first.document.raw, bool(first.refusal))
        assert not open_session(taking.directory).damage
        taking.recorder.close()


async def test_signed_thinking_is_put_back_for_the_upstream_that_signed_it_and_for_no_other(tmp_path: Path) -> None:
    taking = TakingIn(tmp_path)
    written: Json = {"content": [{"type": "thinking", "thinking": f"It is {SECRET}.", "signature": "signed"}]}
    taking.intake.answered(written, "claude")
    masked: Json = [{"type": "thinking", "thinking": "It is [ciguard-masked:x:0].", "signature": "signed"}]
    body: Json = {
        "model": "m",
        "messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": masked}],
    }
    assert SECRET.encode() not in (await taking.admit(body, connection="other")).document.raw
    assert SECRET.encode() in (await taking.admit(body)).document.raw
    recorded = open_session(taking.directory)
    assert SECRET.encode() not in b"".join(map(recorded.body, recorded.digests()))


class TakingInNames(TakingIn):
    """An intake that masks Ada's name."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        placeholders = Placeholders(b"key")
        names = Names(
            lambda text: [Name(one.start(), one.end(), NameKind.PERSON) for one in re.finditer(r"Ada|Bash", text)],
            [],
            placeholders,
        )
        masker = Masker([KnownValue("credential", SECRET)], placeholders, names=names)
        self.intake = Intake(masker, placeholders, self.intake._judge, self.recorder)


async def test_names_are_masked_in_what_is_said_and_nowhere_else(tmp_path: Path) -> None:
    taking = TakingInNames(tmp_path)
    tool: Json = {"name": "Bash", "description": "Ada's tool", "input_schema": {"type": "object"}}
    call: Json = {"type": "tool_use", "id": "toolu_Ada", "name": "Bash", "input": {"command": "ls"}}
    result: dict[str, Json] = {"type": "tool_result", "tool_use_id": "toolu_Ada", "content": "Ada's file"}
    body: Json = {
        "model": "Ada",
        "system": "You are Ada.",
        "tools": [tool],
        "messages": [
            {"role": "user", "content": f"Hello Ada, {SECRET}"},
            {"role": "assistant", "content": [{"type": "text", "text": "I am Ada."}, call]},
            {"role": "user", "content": [result]},
        ],
    }
    admitted = await taking.admit(body)
    sent = json.loads(admitted.document.raw)
    [ask, answer, returned] = sent["messages"]
    person = Placeholders(b"key").placeholder("person", "Ada")
    assert (sent["model"], sent["system"], sent["tools"]) == ("Ada", "You are Ada.", [tool])
    assert ask["content"].startswith(f"Hello {person}, [ciguard-masked:credential:")
    assert answer["content"] == [{"type": "text", "text": f"I am {person}."}, call]
    assert returned["content"] == [{**result, "content": f"{person}'s file"}]
    again = await taking.admit(sent)
    assert again.document.raw == json.dumps(sent).encode()
    session = open_session(taking.directory)
    kinds = {
        event.get("operation") or event["result"]: event["masked"]
        for event in session.events
        if event["type"] in (EventType.OPERATION, EventType.RESULT) and event["masked"]
    }
    assert kinds == {"prompt": {"person": 2, "credential": 1}, "tool_result": {"person": 1}}
    assert not [digest for digest in session.digests() if b"Hello Ada" in session.body(digest)]


async def test_bytes_stay_where_there_are_no_names(tmp_path: Path) -> None:
    plain = b'{ "model" :"Ada", "messages":[ {"role":"user","content":"caf\\u00e9"} ] }'
    assert (await TakingInNames(tmp_path).admit(plain)).document.raw == plain


async def test_what_is_new_in_one_request_is_read_up_to_a_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ciguard.inspect.names.MOST_READ", 900)
    taking = TakingInNames(tmp_path)
    await taking.admit(says("A" * 400, "B" * 400))
    await taking.admit(says("A" * 400, "B" * 400, "C" * 400))
    with pytest.raises(WireError, match="names are masked"):
        await taking.admit(says("D" * 400, "E" * 400, "F" * 400))


async def test_what_is_asked_of_the_service_beside_a_name_is_judged(tmp_path: Path) -> None:
    image: Json = {"type": "image", "source": {"type": "url", "url": "https://files.example.com/a.png"}}
    said: Json = [{"type": "text", "text": "Hello Ada"}, image]
    taking = TakingInNames(tmp_path)
    admitted = await taking.admit({"model": "m", "messages": [{"role": "user", "content": said}]})
    assert "files.example.com" in admitted.refusal
    assert ("remote", ["ciguard:remote"]) in taking.judged()

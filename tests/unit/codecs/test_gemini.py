"""The Gemini codec: what is particular to parts and candidates."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ciguard.codecs.answer import Item, Side, Tally, TextItem, masked_items
from ciguard.codecs.codec import Saying, SayingKind, TextRelease
from ciguard.codecs.document import dump, parse, split
from ciguard.codecs.error import WireError
from ciguard.operation import Json
from tests.unit.codecs.driving import (
    BAD,
    GEMINI,
    KNOWN,
    NOTE,
    SECRET,
    Outcome,
    allow_all,
    events,
    feed,
    masked,
    masker,
    pieces_of,
    refuse_bad,
    sse,
)

CODEC = GEMINI.codec


def _chunk(*parts: Json, finish: str = "", index: int = 0, **more: Json) -> dict[str, Json]:
    candidate: dict[str, Json] = {"content": {"role": "model", "parts": [*parts]}, "index": index}
    if finish:
        candidate["finishReason"] = finish
    return {"candidates": [candidate], "responseId": "r", **more}


def _feed(*data: Json, size: int = 1 << 20, **more: Any) -> tuple[list[Any], Outcome]:
    outcome = feed(CODEC, pieces_of(sse(*data, named=False), size), **more)
    return [part for one in events(outcome.raw) for part in one["candidates"][0]["content"].get("parts", [])], outcome


def _items(*parts: Json) -> tuple[list[Any], Tally, list[Item]]:
    message = parse(dump(_chunk(*parts, finish="STOP")))
    assert isinstance(message, dict)
    tally = Tally()
    items = []
    for item in masked_items(CODEC, message, masker(), tally):
        items.append(item)
        refuse_bad(item)
    found: Any = message
    return found["candidates"][0]["content"]["parts"], tally, items


def _call(name: str, **args: Json) -> Json:
    return {"functionCall": {"name": name, "args": args}}


def test_a_secret_over_parts_and_chunks() -> None:
    for cut in range(1, len(SECRET)):
        first, second = SECRET[:cut], SECRET[cut:]
        parts: list[Json] = [{"text": f"a {first}"}, {"text": f"{second} b"}, {"text": KNOWN[:5], "thought": True}]
        parts.append({"text": KNOWN[5:], "thought": True})
        for data in ([_chunk(*parts, finish="STOP")], [*map(_chunk, parts), _chunk({"text": ""}, finish="STOP")]):
            got, outcome = _feed(*data)
            assert "".join(part["text"] for part in got) == f"a {masked(SECRET)} b{masked(KNOWN)}"
            assert [(one.part, one.text) for one in outcome.texts] == [
                ("text", f"a {masked(SECRET)} b"),
                ("thinking", masked(KNOWN)),
            ]
        assert "".join(part["text"] for part in _items(*parts)[0]) == f"a {masked(SECRET)} b{masked(KNOWN)}"


@pytest.mark.parametrize(
    ("part", "side"),
    [
        ({"functionCall": {"name": "x", "args": {"a": f"{BAD} {KNOWN}"}}, "thoughtSignature": "c2ln"}, Side.AGENT),
        ({"functionCall": {"id": "1", "name": "x", "args": {"a": [f"{BAD} {KNOWN}"]}}}, Side.AGENT),
        ({"function_call": {"name": "x", "args": {"a": f"{BAD} {KNOWN}"}}}, Side.AGENT),
        ({"brandNew": {"name": "x", "input": {"a": f"{BAD} {KNOWN}"}}}, Side.AGENT),
        ({"executableCode": {"language": "PYTHON", "code": f"{BAD} {KNOWN}"}}, Side.SERVICE),
        ({"toolCall": {"toolType": "X", "args": {"a": f"{BAD} {KNOWN}"}}}, Side.SERVICE),
    ],
)
def test_every_form_of_call(part: dict[str, Json], side: Side) -> None:
    data = _chunk({"text": "Hm."}, part, finish="STOP")
    got, outcome = _feed(data)
    assert got[:2] == [{"text": "Hm."}, {"text": NOTE}]
    assert outcome.calls[0].side is side
    assert bool(outcome.tally.refused) is (side is Side.AGENT)
    assert _items({"text": "Hm."}, part)[0] == got[:2]
    got, _ = _feed(data, decide=allow_all)
    assert got[:2] == json.loads(json.dumps([{"text": "Hm."}, part]).replace(KNOWN, masked(KNOWN)))
    plain = json.loads(json.dumps(data).replace(KNOWN, "x"))
    assert feed(CODEC, [sse(plain, named=False)], allow_all).raw == sse(plain, named=False)


@pytest.mark.parametrize(
    "part",
    [
        "x",
        {"functionCall": "x"},
        {"functionCall": [{"name": "a", "args": {}}]},
        {"functionCall": {"name": "a", "partialArgs": [{"jsonPath": "$.x", "stringValue": "y"}], "willContinue": True}},
        {"functionCall": {"willContinue": False}},
        {"text": "x", "functionCall": {"name": "a", "args": {}}},
        {"functionCall": {"name": "a", "args": {}}, "executableCode": {"code": "x"}},
        {"brandNew": {"inner": {"name": "a", "args": {}}}},
    ],
)
def test_parts_that_could_hide_a_call_stop_the_answer(part: Json) -> None:
    with pytest.raises(WireError):
        _feed(_chunk(part, finish="STOP"), decide=allow_all)
    with pytest.raises(WireError):
        _items(part)


def test_arguments_may_look_like_a_call() -> None:
    part = _call("batch", calls=[{"name": "a", "args": {"x": 1}}])
    raw = sse(_chunk(part, finish="STOP"), named=False)
    assert feed(CODEC, [raw], allow_all).raw == raw


def test_several_candidates_are_never_joined_with_another_answer() -> None:
    data = [_chunk(_call(BAD), finish="STOP"), _chunk({"text": "Hello."}, index=1), _chunk(finish="STOP", index=1)]
    got, outcome = _feed(*data)
    assert got[0] == {"text": NOTE}
    assert not outcome.tally.stranded
    reasons = [one["candidates"][0].get("finishReason") for one in events(outcome.raw)]
    assert sorted(reason for reason in reasons if reason) == ["STOP", "STOP"]


def test_the_end_that_also_brings_a_call_and_usage() -> None:
    usage: Json = {"promptTokenCount": 3, "candidatesTokenCount": 4, "thoughtsTokenCount": 1, "totalTokenCount": 8}
    first = sse(
        _chunk({"text": "I go."}), _chunk(_call(BAD), _call(BAD), finish="STOP", usageMetadata=usage), named=False
    )
    second = sse(_chunk({"text": "Well."}, finish="STOP", usageMetadata=usage) | {"responseId": "s"}, named=False)
    stream = CODEC.stream(masker(), TextRelease.AS_IT_COMES)
    for item in stream.feed(first):
        refuse_bad(item)
    assert stream.stranded
    document = split(GEMINI.request(stream=True), "contents")
    asked = parse(CODEC.continuation(document, stream.message(), stream.tally.refused).raw)
    assert isinstance(asked, dict)
    assert isinstance(asked["contents"], list)
    response: Json = {"functionResponse": {"name": BAD, "response": {"error": NOTE}}}
    assert asked["contents"][1:] == [
        {"role": "model", "parts": [{"text": "I go."}, _call(BAD), _call(BAD)]},
        {"role": "user", "parts": [response, response]},
    ]
    stream.resume()
    for item in stream.feed(second):
        refuse_bad(item)
    got = events(stream.take())
    assert [part["text"] for one in got for part in one["candidates"][0]["content"]["parts"]] == [
        "I go.",
        NOTE,
        NOTE,
        "Well.",
    ]
    assert [one["candidates"][0].get("finishReason") for one in got] == [None, None, "STOP"]
    assert {one["responseId"] for one in got} == {"r"}
    assert got[-1]["usageMetadata"] == {
        "promptTokenCount": 3,
        "candidatesTokenCount": 8,
        "thoughtsTokenCount": 2,
        "totalTokenCount": 13,
    }
    assert (stream.tally.input_tokens, stream.tally.output_tokens) == (6, 10)


def test_answers_without_candidates() -> None:
    blocked: Json = {"promptFeedback": {"blockReason": "SAFETY", "blockReasonMessage": SECRET}}
    outcome = feed(CODEC, [sse(blocked, named=False)])
    assert masked(SECRET).encode() in outcome.raw
    error: Json = {"error": {"code": 503, "message": SECRET}}
    stream = CODEC.stream(masker(), TextRelease.WHEN_COMPLETE)
    items = list(stream.feed(sse(_chunk({"text": "sk-"}), error, named=False)))
    assert [item.text for item in items if isinstance(item, TextItem)] == ["sk-"]
    assert masked(SECRET).encode() in stream.take()
    assert stream.ended


def test_parts_nobody_knew_are_read() -> None:
    part: Json = {"codeExecutionResult": {"outcome": "OK", "output": f"out {SECRET}"}}
    got, outcome = _feed(_chunk(part, finish="STOP"))
    assert got == [{"codeExecutionResult": {"outcome": "OK", "output": f"out {masked(SECRET)}"}}]
    assert [one.text for one in outcome.texts] == ["OK", f"out {masked(SECRET)}"]
    parts, _, items = _items(part)
    assert parts == got
    assert [one.text for one in items if isinstance(one, TextItem)] == ["OK", f"out {masked(SECRET)}"]


def test_token_lists_do_not_give_away_what_was_masked() -> None:
    data: Any = _chunk({"text": SECRET}, finish="STOP")
    data["candidates"][0]["logprobsResult"] = {"chosenCandidates": [{"token": SECRET[:9]}, {"token": SECRET[9:]}]}
    outcome = feed(CODEC, [sse(data, named=False)])
    assert SECRET[9:].encode() not in outcome.raw
    for item in masked_items(CODEC, data, masker(), Tally()):
        refuse_bad(item)
    assert data["candidates"][0]["logprobsResult"] is None


@pytest.mark.parametrize(
    ("label", "value", "expected"),
    [
        (
            "systemInstruction",
            {"role": "user", "parts": [{"text": "You are Gemini."}]},
            [(SayingKind.INSTRUCTIONS, ("You are Gemini.",), "")],
        ),
        (
            "contents",
            {"role": "user", "parts": [{"text": "Look."}, {"inlineData": {"mimeType": "image/png", "data": "AAAA"}}]},
            [(SayingKind.PROMPT, ("Look.",), ""), (SayingKind.PROMPT, (), "")],
        ),
        (
            "contents",
            {
                "role": "user",
                "parts": [
                    {"functionResponse": {"id": "1", "name": "f", "response": {"data": "a", "status": "completed"}}},
                    {"functionResponse": {"name": "g", "response": {"output": ["b"]}}},
                ],
            },
            [
                (SayingKind.TOOL_RESULT, ("data", "a", "status", "completed"), "1"),
                (SayingKind.TOOL_RESULT, ("output", "b"), "g"),
            ],
        ),
        (
            "contents",
            {"role": "model", "parts": [{"text": "I look."}, {"functionCall": {"name": "f", "args": {"x": "y"}}}]},
            [(SayingKind.ASSISTANT, ("I look.",), "")],
        ),
    ],
)
def test_who_says_what(label: str, value: Json, expected: list[tuple[SayingKind, tuple[str, ...], str]]) -> None:
    assert CODEC.sayings(label, value) == [Saying(*one) for one in expected]


def test_withholding_and_errors() -> None:
    responses: list[Json] = [{"functionResponse": {"id": id_, "name": "f", "response": {"x": id_}}} for id_ in "ab"]
    changed = CODEC.withhold({"role": "user", "parts": responses}, "b", NOTE)
    assert isinstance(changed, dict)
    assert changed["parts"] == [
        responses[0],
        {"functionResponse": {"id": "b", "name": "f", "response": {"error": NOTE}}},
    ]
    assert json.loads(CODEC.error(403, "no")) == {
        "error": {"code": 403, "message": "no", "status": "PERMISSION_DENIED"}
    }
    assert CODEC.credential_headers("k") == {"x-goog-api-key": "k"}

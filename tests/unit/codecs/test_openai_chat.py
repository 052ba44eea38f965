"""The Chat Completions codec: what is particular to choices, chunks and the forms of calls."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ciguard.codecs.answer import Item, Tally, TextItem, masked_items
from ciguard.codecs.codec import Saying, SayingKind, TextRelease
from ciguard.codecs.document import dump, parse, split
from ciguard.codecs.error import WireError
from ciguard.operation import Json
from tests.unit.codecs.driving import (
    BAD,
    CHAT,
    KNOWN,
    NOTE,
    SECRET,
    Outcome,
    allow_all,
    chat_message,
    events,
    feed,
    masked,
    masker,
    pieces_of,
    refuse_bad,
    sse,
)

CODEC = CHAT.codec


def _chunk(delta: Json, finish: Json = None, index: int = 0, **more: Json) -> dict[str, Json]:
    choice: dict[str, Json] = {"index": index, "delta": delta, "finish_reason": finish}
    return {"id": "c", "object": "chat.completion.chunk", "model": "gpt-5", "choices": [choice], **more}


def _call(index: int, name: str, arguments: str, **more: Json) -> Json:
    return {
        "index": index,
        "id": f"call_{name}",
        "type": "function",
        "function": {"name": name, "arguments": arguments},
        **more,
    }


def _more(index: int, arguments: str) -> Json:
    return {"index": index, "function": {"arguments": arguments}}


def _feed(*data: Json, size: int = 1 << 20, **more: Any) -> tuple[list[Any], Outcome]:
    outcome = feed(CODEC, pieces_of(sse(*data, "[DONE]", named=False), size), **more)
    assert outcome.raw.endswith(b"data: [DONE]\n\n")
    return chat_message(events(outcome.raw))["choices"], outcome


def _items(choice: dict[str, Json], **more: Json) -> tuple[dict[str, Any], Tally]:
    message = parse(dump({"choices": [choice], **more}))
    assert isinstance(message, dict)
    tally = Tally()
    for item in masked_items(CODEC, message, masker(), tally):
        refuse_bad(item)
    choices: Any = message["choices"]
    return choices[0], tally


def test_interleaved_calls_are_decided_each_on_its_own() -> None:
    chunks: list[Json] = [
        _chunk({"role": "assistant", "content": None, "tool_calls": [_call(0, "a", ""), _call(1, BAD, "")]}),
        _chunk({"tool_calls": [_more(1, '{"x"'), _more(0, '{"y"')]}),
        _chunk({"tool_calls": [_more(0, ": 1}"), _call(2, "c", '{"z": "')]}),
        _chunk({"tool_calls": [_more(1, ": 2}"), _more(2, SECRET[:20])]}),
        _chunk({"tool_calls": [_more(2, SECRET[20:] + '"}')]}),
        _chunk({}, "tool_calls"),
    ]
    for size in (1, 7, 1 << 20):
        choices, outcome = _feed(*chunks, size=size)
        calls = choices[0]["message"]["tool_calls"]
        assert [call["function"]["name"] for call in calls] == ["a", "c"]
        assert [call["function"]["arguments"] for call in calls] == ['{"y": 1}', f'{{"z":"{masked(SECRET)}"}}']
        assert choices[0]["message"]["content"] == NOTE
        assert choices[0]["finish_reason"] == "tool_calls"
        assert b'"x"' not in outcome.raw
        assert b"call_rm" not in outcome.raw


def test_several_choices_are_never_joined_with_another_answer() -> None:
    chunks = [
        _chunk({"role": "assistant", "tool_calls": [_call(0, BAD, "{}")]}, index=0),
        _chunk({}, "tool_calls", index=0),
        _chunk({"role": "assistant", "content": "Hello "}, index=1),
        _chunk({"content": "there."}, index=1),
        _chunk({}, "stop", index=1),
    ]
    choices, outcome = _feed(*chunks)
    assert [choice["message"].get("content") for choice in choices] == [NOTE, "Hello there."]
    assert [choice["finish_reason"] for choice in choices] == ["stop", "stop"]
    assert not outcome.tally.stranded
    both: list[Json] = [
        {"index": 0, "delta": {"tool_calls": [_call(0, "a", '{"x": 1}')]}, "finish_reason": None},
        {"index": 1, "delta": {"tool_calls": [_call(0, BAD, '{"x": 2}')], "content": "Hm."}, "finish_reason": None},
    ]
    ends: list[Json] = [{"index": index, "delta": {}, "finish_reason": "tool_calls"} for index in (0, 1)]
    choices, _ = _feed({"id": "c", "choices": both}, {"id": "c", "choices": ends})
    assert choices[0]["message"]["tool_calls"][0]["function"] == {"name": "a", "arguments": '{"x": 1}'}
    assert choices[1]["message"] == {"content": f"Hm.\n\n{NOTE}"}
    assert [choice["finish_reason"] for choice in choices] == ["tool_calls", "stop"]


def test_the_end_that_also_brings_text_and_usage() -> None:
    usage: Json = {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}
    last = _chunk({"content": " So.", "tool_calls": [_more(0, "}")]}, "tool_calls", usage=usage)
    chunks: list[Json] = [
        _chunk({"role": "assistant", "content": "I go."}),
        _chunk({"tool_calls": [_call(0, BAD, "{")]}),
        last,
    ]
    choices, outcome = _feed(*chunks)
    assert choices[0]["message"]["content"] == f"I go. So.\n\n{NOTE}"
    assert choices[0]["finish_reason"] == "stop"
    assert [event["usage"] for event in events(outcome.raw) if event.get("usage")] == [usage]
    assert (outcome.tally.input_tokens, outcome.tally.output_tokens) == (3, 4)
    stream = CODEC.stream(masker(), TextRelease.AS_IT_COMES)
    for item in stream.feed(sse(*chunks, "[DONE]", named=False)):
        refuse_bad(item)
    assert stream.stranded
    stream.resume()
    for item in stream.feed(
        sse(
            _chunk({"role": "assistant", "content": "Well."}),
            {**_chunk({}, "stop"), "usage": usage, "id": "d"},
            "[DONE]",
            named=False,
        )
    ):
        refuse_bad(item)
    message = chat_message(events(stream.take()))
    assert message["choices"][0]["message"] == {"role": "assistant", "content": f"I go. So.\n\n{NOTE}\n\nWell."}
    assert message["usage"] == {"prompt_tokens": 3, "completion_tokens": 8, "total_tokens": 11}
    assert (stream.tally.input_tokens, stream.tally.output_tokens) == (6, 8)


def test_usage_that_comes_with_every_chunk_is_not_added_up() -> None:
    chunks = [_chunk({"content": "x"}, usage={"prompt_tokens": 3, "completion_tokens": made}) for made in (1, 2, 3)]
    _, outcome = _feed(*chunks, _chunk({}, "stop"))
    assert (outcome.tally.input_tokens, outcome.tally.output_tokens) == (3, 3)


def test_the_form_that_came_before_tool_calls() -> None:
    def chunks(name: str) -> list[Json]:
        return [
            _chunk({"role": "assistant", "content": None, "function_call": {"name": name, "arguments": ""}}),
            _chunk({"function_call": {"arguments": '{"x": "'}}),
            _chunk({"function_call": {"arguments": SECRET + '"}'}}),
            _chunk({}, "function_call"),
        ]

    outcome = feed(CODEC, [sse(*chunks("run"), "[DONE]", named=False)])
    calls = [event["choices"][0]["delta"].get("function_call", {}) for event in events(outcome.raw)]
    assert "".join(call.get("arguments", "") for call in calls) == f'{{"x":"{masked(SECRET)}"}}'
    choices, outcome = _feed(*chunks(BAD))
    assert choices[0]["message"] == {"role": "assistant", "content": NOTE}
    assert choices[0]["finish_reason"] == "stop"
    assert b"function_call" not in outcome.raw
    said: Json = {"role": "assistant", "content": None, "function_call": {"name": BAD, "arguments": "{}"}}
    choice, tally = _items({"message": said, "finish_reason": "function_call"})
    assert choice == {"message": {"role": "assistant", "content": NOTE}, "finish_reason": "stop"}
    document = split(CHAT.request(stream=False), "messages")
    asked = parse(CODEC.continuation(document, {"choices": [{"message": said}]}, tally.refused).raw)
    assert isinstance(asked, dict)
    assert isinstance(asked["messages"], list)
    assert asked["messages"][1:] == [
        {"role": "assistant", "function_call": {"name": BAD, "arguments": "{}"}},
        {"role": "function", "name": BAD, "content": NOTE},
    ]


def test_both_forms_in_one_message() -> None:
    calls: list[Json] = [{"id": "1", "type": "function", "function": {"name": BAD, "arguments": "{}"}}]
    legacy: Json = {"name": "ls", "arguments": "{}"}
    choice, _ = _items({"message": {"tool_calls": calls, "function_call": legacy}, "finish_reason": "tool_calls"})
    assert choice == {"message": {"content": NOTE, "function_call": legacy}, "finish_reason": "tool_calls"}
    calls[0], legacy = {"id": "1", "type": "function", "function": legacy}, {"name": BAD, "arguments": "{}"}
    choice, _ = _items({"message": {"tool_calls": calls, "function_call": legacy}, "finish_reason": "tool_calls"})
    assert choice == {"message": {"content": NOTE, "tool_calls": calls}, "finish_reason": "tool_calls"}


def test_custom_tools_take_a_free_text() -> None:
    custom: Json = {"index": 0, "id": "1", "type": "custom", "custom": {"name": "patch", "input": ""}}
    pieces = [*SECRET, '"\n']
    chunks = [_chunk({"tool_calls": [{"index": 0, "custom": {"input": one}}]}) for one in pieces]
    outcome = feed(
        CODEC, [sse(_chunk({"tool_calls": [custom]}), *chunks, _chunk({}, "tool_calls"), "[DONE]", named=False)]
    )
    found = [event["choices"][0]["delta"].get("tool_calls", [{}])[0].get("custom", {}) for event in events(outcome.raw)]
    assert "".join(one.get("input", "") for one in found) == masked(SECRET) + '"\n'
    assert outcome.calls[0].original == SECRET + '"\n'
    said: Json = {"tool_calls": [{"id": "1", "type": "custom", "custom": {"name": "patch", "input": SECRET}}]}
    choice, _ = _items({"message": said, "finish_reason": "tool_calls"})
    assert choice["message"]["tool_calls"][0]["custom"]["input"] == masked(SECRET)


@pytest.mark.parametrize(
    "call",
    [
        {"index": 0, "id": "1", "type": "new", "new": {"name": "x", "input": {"a": 1}}},
        {"index": 0, "id": "1", "type": "function"},
        {"index": 0, "id": "1", "function": {"name": "a", "arguments": "{}"}, "custom": {"name": "b", "input": "x"}},
        {"index": 0, "id": "1", "function": {"name": "a", "arguments": "{}"}, "more": {"name": "b", "arguments": "x"}},
        {"index": 0, "id": "1", "type": "function", "function": {"name": f"a{SECRET}", "arguments": "{}"}},
        {"index": 0, "id": SECRET, "type": "function", "function": {"name": "a", "arguments": "{}"}},
        {"index": 0, "id": "1", "type": "function", "function": {"name": "a", "arguments": "{"}},
    ],
)
def test_calls_that_cannot_be_judged_must_be_refused(call: Json) -> None:
    choices, outcome = _feed(_chunk({"tool_calls": [call]}), _chunk({}, "tool_calls"))
    assert outcome.calls[0].problem
    assert choices[0]["message"] == {"content": NOTE}
    assert SECRET.encode() not in outcome.raw
    assert SECRET not in repr(outcome.calls[0])
    choice, tally = _items({"message": {"tool_calls": [call]}, "finish_reason": "tool_calls"})
    assert choice == {"message": {"content": NOTE}, "finish_reason": "stop"}
    assert tally.refused[0].problem
    with pytest.raises(WireError):
        _feed(_chunk({"tool_calls": [call]}), _chunk({}, "tool_calls"), decide=allow_all)


def test_a_call_that_was_cut_off_never_leaves() -> None:
    begun: Json = {"index": 0, "id": "1", "type": "function", "function": {"name": "ls"}}
    choices, outcome = _feed(_chunk({"tool_calls": [begun]}), _chunk({}, "length"))
    assert outcome.calls[0].problem == "it was cut off"
    assert choices[0]["finish_reason"] == "length"
    choices, outcome = _feed(_chunk({"tool_calls": [begun]}), _chunk({}, "tool_calls"))
    assert not outcome.calls[0].problem
    _, outcome = _feed(_chunk({"tool_calls": [_call(0, "ls", "{}")]}))
    assert outcome.calls[0].problem == "it was cut off"
    assert b'"ls"' not in outcome.raw
    choice, _ = _items({"message": {"tool_calls": [_call(0, "ls", "")]}, "finish_reason": "length"})
    assert choice == {"message": {"content": NOTE}, "finish_reason": "length"}
    stream = CODEC.stream(masker(), TextRelease.AS_IT_COMES)
    assert list(stream.feed(sse(_chunk({"tool_calls": [_call(0, "ls", "{}")]}), named=False))) == []
    stream.close()
    assert stream.take() == b""
    assert not stream.ended


@pytest.mark.parametrize(
    "chunk",
    [
        _chunk({"tool_calls": [{"index": 0, "function": {"name": "a", "arguments": {"x": 1}}}]}),
        _chunk({"tool_calls": ["x"]}),
        _chunk({"tool_calls": {"name": "a", "arguments": "{}"}}),
        _chunk({"function_call": "x"}),
        _chunk({"tool_calls": [{"index": "0", "function": {"name": "a"}}]}),
        _chunk({"tool_calls": [{"index": -1, "function": {"name": "a"}}]}),
        _chunk({"more": {"calls": [{"name": "a", "input": {}}]}}),
        _chunk({}, call={"name": "a", "arguments": "{}"}),
        {"id": "c", "choices": {"x": 1}},
        {"id": "c", "choices": ["x"]},
        {"id": "c", "choices": [{"index": 0, "delta": "x"}]},
        {"id": "c", "choices": [{"index": 0, "delta": {}, "message": {"tool_calls": [_call(0, "a", "{}")]}}]},
    ],
)
def test_chunks_that_could_hide_a_call_stop_the_stream(chunk: Json) -> None:
    with pytest.raises(WireError):
        _feed(chunk, _chunk({}, "tool_calls"))


@pytest.mark.parametrize("chunk", [_chunk({"content": "x"}), _chunk({"tool_calls": [_call(0, "a", "{}")]})])
def test_nothing_comes_after_the_end_of_a_choice(chunk: Json) -> None:
    with pytest.raises(WireError):
        _feed(_chunk({"content": "Hello."}), _chunk({}, "stop"), chunk)


def test_strings_nobody_knew_are_read_over_chunks() -> None:
    for cut in range(1, len(SECRET)):
        chunks = [
            _chunk(
                {"reasoning": one, "reasoning_details": [{"type": "text", "index": 0, "text": one}], "new": {"x": one}}
            )
            for one in (SECRET[:cut], SECRET[cut:])
        ]
        _, outcome = _feed(*chunks, _chunk({}, "stop"))
        assert [(item.part, item.text) for item in outcome.texts] == [
            ("thinking", masked(SECRET)),
            ("text", masked(SECRET)),
            ("x", masked(SECRET)),
        ]
        for start in range(len(SECRET) - 7):
            assert SECRET[start : start + 8].encode() not in outcome.raw
    choice, _ = _items({"message": {"content": "x", "audio": {"transcript": SECRET}}, "finish_reason": "stop"})
    assert choice["message"]["audio"] == {"transcript": masked(SECRET)}


def test_token_lists_do_not_give_away_what_was_masked() -> None:
    def logprobs(text: str) -> Json:
        return {"content": [{"token": one, "logprob": -0.5, "bytes": [ord(one)], "top_logprobs": []} for one in text]}

    chunks: list[Json] = []
    for one in ("see ", SECRET[:9], SECRET[9:], " and so"):
        chunk: Any = _chunk({"content": one})
        chunk["choices"][0]["logprobs"] = logprobs(one)
        chunks.append(chunk)
    outcome = feed(CODEC, [sse(*chunks, _chunk({}, "stop"), "[DONE]", named=False)])
    kept = [event["choices"][0].get("logprobs") for event in events(outcome.raw)]
    assert kept == [logprobs("see "), None, None, logprobs(" and so"), None]
    choice, _ = _items({"message": {"content": SECRET}, "logprobs": logprobs(SECRET), "finish_reason": "stop"})
    assert choice["logprobs"] is None
    choice, _ = _items({"message": {"content": "x"}, "logprobs": logprobs("x"), "finish_reason": "stop"})
    assert choice["logprobs"] == logprobs("x")


def test_an_empty_object_is_not_the_end() -> None:
    raw = sse({}, _chunk({"content": "x"}), _chunk({}, "stop"), {"id": "c", "choices": []}, "[DONE]", named=False)
    assert feed(CODEC, [raw], allow_all).raw == raw


def test_an_error_of_the_upstream_goes_on_and_an_open_call_does_not() -> None:
    stream = CODEC.stream(masker(), TextRelease.AS_IT_COMES)
    data: list[Json] = [
        _chunk({"content": "sk-"}),
        _chunk({"tool_calls": [_call(0, "ls", "{}")]}),
        {"error": {"message": SECRET}},
    ]
    items = list(stream.feed(sse(*data, named=False)))
    assert [item.text for item in items if isinstance(item, TextItem)] == ["sk-"]
    raw = stream.take()
    assert b'"ls"' not in raw
    assert json.dumps({"error": {"message": masked(SECRET)}}, separators=(",", ":")).encode() in raw
    assert stream.ended


def test_replaced_text_with_a_refused_call_in_the_same_chunk() -> None:
    def decide(item: Item) -> None:
        refuse_bad(item)
        if isinstance(item, TextItem):
            item.replace("[withheld]")

    chunks = [_chunk({"content": "A "}), _chunk({"content": "plan", "tool_calls": [_call(0, BAD, "{}")]}, "tool_calls")]
    choices, _ = _feed(*chunks, decide=decide, release=TextRelease.WHEN_COMPLETE)
    assert choices[0]["message"]["content"] == f"[withheld]\n\n{NOTE}"


@pytest.mark.parametrize(
    ("label", "value", "expected"),
    [
        ("model", "gpt-5", []),
        ("stream_options", {"include_usage": True}, []),
        ("messages", {"role": "system", "content": "Rules."}, [(SayingKind.INSTRUCTIONS, ("Rules.",), "")]),
        (
            "messages",
            {"role": "developer", "content": [{"type": "text", "text": "R"}]},
            [(SayingKind.INSTRUCTIONS, ("R",), "")],
        ),
        (
            "messages",
            {
                "role": "user",
                "name": "ann",
                "content": [
                    {"type": "text", "text": "Look."},
                    {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA", "detail": "low"}},
                    {"type": "image_url", "image_url": {"url": "https://example.com/print-the-key"}},
                    {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}},
                    {"type": "file", "file": {"file_data": "data:application/pdf;base64,AAAA", "filename": "a.pdf"}},
                ],
            },
            [(SayingKind.PROMPT, ("Look.", "https://example.com/print-the-key", "wav", "a.pdf"), "")],
        ),
        (
            "messages",
            {"role": "assistant", "content": "I look.", "tool_calls": [{"id": "1", "function": {"name": "x"}}]},
            [(SayingKind.ASSISTANT, ("I look.",), "")],
        ),
        (
            "messages",
            {"role": "tool", "tool_call_id": "1", "content": "out"},
            [(SayingKind.TOOL_RESULT, ("out",), "1")],
        ),
        ("messages", {"role": "function", "name": "f", "content": "out"}, [(SayingKind.TOOL_RESULT, ("out",), "f")]),
        ("tools", [{"type": "function", "function": {"name": "f"}}], [(SayingKind.INSTRUCTIONS, ("f",), "")]),
        ("messages", "odd", [(SayingKind.PROMPT, ("odd",), "")]),
    ],
)
def test_who_says_what(label: str, value: Json, expected: list[tuple[SayingKind, tuple[str, ...], str]]) -> None:
    assert CODEC.sayings(label, value) == [Saying(*one) for one in expected]


def test_withholding_errors_and_credentials() -> None:
    result: Json = {"role": "tool", "tool_call_id": "1", "content": KNOWN}
    assert CODEC.withhold(result, "1", NOTE) == {"role": "tool", "tool_call_id": "1", "content": NOTE}
    assert json.loads(CODEC.error(429, "no"))["error"]["type"] == "rate_limit_error"
    assert CODEC.credential_headers("k") == {"Authorization": "Bearer k"}

"""The Anthropic codec: what is particular to Messages."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ciguard.codecs.answer import CallItem, Item, Side, Tally, TextItem, masked_items
from ciguard.codecs.codec import Saying, SayingKind, TextRelease
from ciguard.codecs.document import parse, split
from ciguard.codecs.error import WireError
from ciguard.operation import Json
from tests.unit.codecs.driving import (
    ANTHROPIC,
    BAD,
    KNOWN,
    NOTE,
    SECRET,
    Outcome,
    allow_all,
    anthropic_message,
    events,
    feed,
    masked,
    masker,
    pieces_of,
    refuse_bad,
    sse,
)

CODEC = ANTHROPIC.codec
START: Json = {"type": "message_start", "message": {"id": "m", "content": [], "usage": {"input_tokens": 5}}}


def _block(index: int, block: dict[str, Json], *deltas: dict[str, Json]) -> list[Json]:
    middle: list[Json] = [{"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas]
    start: Json = {"type": "content_block_start", "index": index, "content_block": block}
    return [start, *middle, {"type": "content_block_stop", "index": index}]


def _text(index: int, *pieces: str) -> list[Json]:
    deltas: list[dict[str, Json]] = [{"type": "text_delta", "text": one} for one in pieces]
    return _block(index, {"type": "text", "text": ""}, *deltas)


def _call(index: int, *pieces: str, name: str = "Bash", type_: str = "tool_use", whole: Json = None) -> list[Json]:
    block: dict[str, Json] = {"type": type_, "id": f"toolu_{index}", "name": name, "input": whole or {}}
    deltas: list[dict[str, Json]] = [{"type": "input_json_delta", "partial_json": one} for one in pieces]
    return _block(index, block, *deltas)


def _end(reason: str = "end_turn") -> list[Json]:
    delta: Json = {"stop_reason": reason, "stop_sequence": None}
    return [{"type": "message_delta", "delta": delta, "usage": {"output_tokens": 7}}, {"type": "message_stop"}]


def _feed(*data: Json, size: int = 1 << 20, **more: Any) -> tuple[Any, Outcome]:
    outcome = feed(CODEC, pieces_of(sse(START, *data), size), **more)
    return anthropic_message(events(outcome.raw)), outcome


def test_input_that_came_with_the_start_of_its_block() -> None:
    message, outcome = _feed(*_call(0, whole={"command": SECRET, "deep": [{"x": KNOWN}]}), *_end("tool_use"))
    assert message["content"][0]["input"] == {"command": masked(SECRET), "deep": [{"x": masked(KNOWN)}]}
    assert outcome.calls[0].kinds == ("github-token", "known")
    message, outcome = _feed(*_call(0, whole={"command": BAD}), *_end("tool_use"))
    assert message["content"] == [{"type": "text", "text": NOTE}]
    assert message["stop_reason"] == "end_turn"


def test_what_a_driver_masks_in_an_input_is_masked_wherever_it_came() -> None:
    def mask_more(item: Item) -> None:
        if isinstance(item, CallItem):
            item.input, item.kinds = {"command": "[masked]"}, ("rule",)
            item.allow()

    for call in (_call(0, whole={"command": "x"}), _call(0, '{"comm', 'and": "x"}')):
        message, _ = _feed(*call, *_end("tool_use"), decide=mask_more)
        assert message["content"][0]["input"] == {"command": "[masked]"}


@pytest.mark.parametrize(
    "call",
    [
        _call(0, '{"command": "ls"}', whole={"command": "rm"}),
        _call(0, '["ls"]'),
        _call(0, '"ls"'),
        _block(0, {"type": "tool_use", "id": "t", "name": "Bash"}),
        _block(0, {"type": "tool_use", "id": "t", "input": {}}, {"type": "input_json_delta", "partial_json": "{}"}),
        _block(0, {"type": "tool_use", "id": "t", "name": "B", "input": {}}, {"type": "new_delta", "input": "x"}),
        _block(0, {"type": "tool_use", "id": "t", "name": "B", "input": {}}, {"type": "x", "partial_json": {"a": 1}}),
        _call(0, '{"a": 1}', name=f"Bash{SECRET}"),
    ],
)
def test_calls_in_a_form_that_cannot_be_judged_must_be_refused(call: list[Json]) -> None:
    message, outcome = _feed(*call, *_end("tool_use"))
    assert outcome.calls[0].problem
    assert message["content"] == [{"type": "text", "text": NOTE}]
    assert SECRET.encode() not in outcome.raw
    with pytest.raises(WireError):
        _feed(*call, *_end("tool_use"), decide=allow_all)


def test_a_call_without_arguments_is_judged_when_it_is_known_whether_it_was_cut_off() -> None:
    message, outcome = _feed(*_call(0, ""), *_text(1, "x"), *_call(2), *_end("tool_use"))
    assert [block["type"] for block in message["content"]] == ["tool_use", "text", "tool_use"]
    assert not any(call.problem for call in outcome.calls)
    message, outcome = _feed(*_call(0), *_call(1, ""), *_end("max_tokens"))
    assert [call.problem for call in outcome.calls] == ["", "it was cut off"]
    assert [block["type"] for block in message["content"]] == ["tool_use", "text"]
    assert message["stop_reason"] == "max_tokens"
    whole: dict[str, Json] = {
        "content": [{"type": "tool_use", "id": "t", "name": "Bash", "input": {}}],
        "stop_reason": "max_tokens",
    }
    for item in masked_items(CODEC, whole, masker(), Tally()):
        refuse_bad(item)
    assert whole["content"] == [{"type": "text", "text": NOTE}]


def test_a_call_that_does_not_end_never_leaves() -> None:
    open_call = _call(0, '{"command": "ls"}')[:-1]
    stream = CODEC.stream(masker(), TextRelease.AS_IT_COMES)
    assert list(stream.feed(sse(START, *open_call))) == []
    stream.close()
    assert b"Bash" not in stream.take()
    for ending in (_end("max_tokens"), _end()[1:]):
        with pytest.raises(WireError):
            _feed(*open_call, *ending)


@pytest.mark.parametrize("type_", ["server_tool_use", "mcp_tool_use", "tool_use", "brand_new_use"])
def test_anything_with_a_name_and_an_input_is_a_call(type_: str) -> None:
    message, outcome = _feed(*_call(0, '{"command":', f'"{BAD} x"}}', type_=type_), *_text(1, "Hm."), *_end())
    assert BAD.encode() + b" x" not in outcome.raw
    assert [block["text"] for block in message["content"]] == [NOTE, "Hm."]
    service = type_ in ("server_tool_use", "mcp_tool_use")
    assert outcome.calls[0].side is (Side.SERVICE if service else Side.AGENT)
    assert bool(outcome.tally.refused) is not service


def test_the_result_of_a_refused_service_call_is_left_out() -> None:
    result: dict[str, Json] = {"type": "web_search_tool_result", "tool_use_id": "toolu_0", "content": [{"title": "T"}]}
    blocks = [*_call(0, f'{{"q": "{BAD}"}}', type_="server_tool_use"), *_block(1, result), *_text(2, "So.")]
    message, outcome = _feed(*blocks, *_end())
    texts = [block["text"] for block in message["content"]]
    assert texts == [NOTE, "[ciguard] The result of the refused call was left out.", "So."]
    assert b'"T"' not in outcome.raw
    whole = _whole(
        {"type": "server_tool_use", "id": "toolu_0", "name": "web_search", "input": {"q": BAD}},
        result,
        {"type": "text", "text": "So."},
    )
    assert [object_["text"] for object_ in whole] == texts


def _whole(*blocks: Json) -> list[Any]:
    message = parse(json.dumps({"content": [*blocks], "stop_reason": "end_turn"}))
    assert isinstance(message, dict)
    for item in masked_items(CODEC, message, masker(), Tally()):
        refuse_bad(item)
    content = message["content"]
    assert isinstance(content, list)
    return content


def _whole_texts(pieces: list[str]) -> list[str]:
    blocks: list[Json] = [{"type": "text", "text": one} for one in pieces]
    return [block["text"] for block in _whole(*blocks)]


def test_a_secret_over_neighbouring_blocks() -> None:
    """Citations cut a text into blocks; a block that begins with a secret shows it only on its own."""
    for cut in range(1, len(SECRET)):
        pieces = [f"a {SECRET[:cut]}", f"{SECRET[cut:]} b", f"c {KNOWN}"]
        message, outcome = _feed(*(event for i, one in enumerate(pieces) for event in _text(i, one)), *_end())
        texts = [block["text"] for block in message["content"]]
        assert "".join(texts) == f"a {masked(SECRET)} bc {masked(KNOWN)}"
        assert [item.text for item in outcome.texts] == ["".join(texts)]
        assert _whole_texts(pieces) == texts
        for start in range(len(SECRET) - 7):
            assert SECRET[start : start + 8].encode() not in outcome.raw
    key = "AKIA" + "Q3EGRIRX5NTNV7PB"
    for pieces in (["letter", key, "more"], [key, "letter", key]):
        message, _ = _feed(*(event for i, one in enumerate(pieces) for event in _text(i, one)), *_end())
        texts = [block["text"] for block in message["content"]]
        assert texts == [masked(one) for one in pieces]
        assert _whole_texts(pieces) == texts


def test_block_types_and_deltas_nobody_knew() -> None:
    for cut in range(1, len(SECRET)):
        first, second = SECRET[:cut], SECRET[cut:]
        block: dict[str, Json] = {"type": "new", "story": "", "inner": {"note": f"see {KNOWN}"}}
        deltas: list[dict[str, Json]] = [
            {"type": "new_delta", "story": f"x {first}", "deep": {"said": f"y {first}"}},
            {"type": "new_delta", "story": f"{second} z", "deep": {"said": f"{second}"}},
        ]
        outcome = feed(CODEC, [sse(START, *_block(0, block, *deltas), *_end())], allow_all)
        assert sorted(item.text for item in outcome.texts) == sorted(
            [f"see {masked(KNOWN)}", f"x {masked(SECRET)} z", f"y {masked(SECRET)}"]
        )
        for start in range(len(SECRET) - 7):
            assert SECRET[start : start + 8].encode() not in outcome.raw
    seen = _whole({"type": "new", "story": f"x {SECRET}", "inner": {"note": KNOWN}})
    assert seen == [{"type": "new", "story": f"x {masked(SECRET)}", "inner": {"note": masked(KNOWN)}}]


@pytest.mark.parametrize("release", TextRelease)
def test_event_types_nobody_knew(release: TextRelease) -> None:
    for cut in range(1, len(SECRET)):
        new: list[Json] = [{"type": "new_event", "body": {"said": one}} for one in (SECRET[:cut], SECRET[cut:])]
        outcome = feed(CODEC, [sse(START, new[0], *_text(0, "x"), new[1], *_end())], allow_all, release)
        assert masked(SECRET) == "".join(event["body"]["said"] for event in events(outcome.raw) if "body" in event)
        assert masked(SECRET) in [item.text for item in outcome.texts]
    with pytest.raises(WireError):
        _feed({"type": "new_event", "calls": [{"name": "Bash", "input": {"command": "ls"}}]}, *_end())


def test_a_ping_does_not_wait_and_everything_else_keeps_its_order() -> None:
    stream = CODEC.stream(masker(), TextRelease.AS_IT_COMES)
    ping = sse({"type": "ping"})
    call = _call(0, '{"command":', '"ls"}')
    assert list(stream.feed(sse(START, *call[:2]))) == []
    assert stream.take() == sse(START)
    assert list(stream.feed(ping)) == []
    assert stream.take() == ping
    for item in stream.feed(sse(*call[2:], *_end("tool_use"))):
        allow_all(item)
    assert stream.take() == sse(*call, *_end("tool_use"))


def test_an_error_of_the_upstream_goes_on_and_an_open_call_does_not() -> None:
    error: Json = {"type": "error", "error": {"type": "overloaded_error", "message": f"Overloaded {SECRET}"}}
    stream = CODEC.stream(masker(), TextRelease.WHEN_COMPLETE)
    items = list(stream.feed(sse(START, *_text(0, "Hello ghp_")[:-1], error)))
    assert [item.text for item in items if isinstance(item, TextItem)] == ["Hello ghp_"]
    assert stream.ended
    raw = stream.take()
    assert b"Hello ghp_" in raw
    assert f"Overloaded {masked(SECRET)}".encode() in raw
    stream = CODEC.stream(masker(), TextRelease.AS_IT_COMES)
    assert list(stream.feed(sse(START, *_call(0, '{"a":1}')[:-1], error))) == []
    raw = stream.take()
    assert b"Bash" not in raw
    assert b"overloaded_error" in raw
    assert not stream.stranded


def test_the_model_gets_back_exactly_what_it_said() -> None:
    citation: dict[str, Json] = {"type": "char_location", "cited_text": f"cited {SECRET}", "more": {"x": [KNOWN]}}
    thinking: dict[str, Json] = {"type": "thinking", "thinking": "", "signature": ""}
    blocks = [
        *_block(
            0, thinking, {"type": "thinking_delta", "thinking": KNOWN}, {"type": "signature_delta", "signature": "c2ln"}
        ),
        *_block(
            1,
            {"type": "text", "text": "", "citations": []},
            {"type": "citations_delta", "citation": citation},
            {"type": "text_delta", "text": SECRET},
        ),
        *_block(2, {"type": "text", "text": ""}),
        *_call(3, '{"command": "rm ', f'{KNOWN}"}}'),
    ]
    stream = CODEC.stream(masker(), TextRelease.AS_IT_COMES)
    for item in stream.feed(sse(START, *blocks, *_end("tool_use"))):
        refuse_bad(item)
    raw = stream.take()
    assert stream.stranded
    assert SECRET.encode() not in raw
    assert KNOWN.encode() not in raw
    document = split(ANTHROPIC.request(stream=True), CODEC.listed)
    asked = parse(CODEC.continuation(document, stream.message(), stream.tally.refused).raw)
    assert isinstance(asked, dict)
    assert isinstance(asked["messages"], list)
    assert asked["messages"][1:] == [
        {
            "role": "assistant",
            "content": [
                {"type": "thinking", "thinking": KNOWN, "signature": "c2ln"},
                {"type": "text", "text": SECRET, "citations": [citation]},
                {"type": "tool_use", "id": "toolu_3", "name": "Bash", "input": {"command": f"rm {KNOWN}"}},
            ],
        },
        {
            "role": "user",
            "content": [{"type": "tool_result", "tool_use_id": "toolu_3", "is_error": True, "content": NOTE}],
        },
    ]


def test_secrets_outside_the_data_of_an_event() -> None:
    raw = sse(START) + f': see {SECRET}\nid: 1\ndata: {{\ndata: "type": "ping"}}\n\n: {SECRET}\n\n'.encode()
    raw += f"event: x{SECRET}\nid: 2\n\n: fine\n\n".encode() + sse(*_text(0, "x"), *_end())
    outcome = feed(CODEC, pieces_of(raw, 3), allow_all)
    assert SECRET[:12].encode() not in outcome.raw
    assert b": fine\n\n" in outcome.raw
    assert anthropic_message(events(outcome.raw))["content"] == [{"type": "text", "text": "x"}]


@pytest.mark.parametrize(
    "data",
    [
        [{"type": "message_start", "message": {"content": [{"type": "tool_use", "name": "Bash", "input": {}}]}}],
        [*_text(0, "x"), *_text(0, "y")],
        _text(0, "x")[1:],
        [_text(0, "x")[0], _text(0, "x")[2], _text(0, "x")[1]],
        [{"type": "content_block_start", "content_block": {"type": "text", "text": ""}}],
        [{"type": "content_block_start", "index": True, "content_block": {"type": "text", "text": ""}}],
        [{"type": "content_block_start", "index": 0, "content_block": "text"}],
        [{"type": "content_block_start", "index": 0, "content_block": None}],
        ["[1]"],
        ["{"],
        ['{"type":"ping","type":"ping"}'],
    ],
)
def test_streams_out_of_order_stop(data: list[Json]) -> None:
    with pytest.raises(WireError):
        feed(CODEC, [sse(*data)], allow_all)


def test_usage_is_counted() -> None:
    _, outcome = _feed(*_text(0, "x"), *_end())
    assert (outcome.tally.input_tokens, outcome.tally.output_tokens) == (5, 7)


REMINDER = "<system-reminder>Be careful.</system-reminder>"


@pytest.mark.parametrize(
    ("label", "value", "expected"),
    [
        ("model", "claude-opus-4-6", []),
        ("stream", True, []),
        (
            "system",
            [
                {"type": "text", "text": "You are Claude Code.", "cache_control": {"type": "ephemeral"}},
                {"type": "text", "text": "Rules."},
            ],
            [(SayingKind.INSTRUCTIONS, ("You are Claude Code.", "Rules."), "")],
        ),
        ("system", "Be brief.", [(SayingKind.INSTRUCTIONS, ("Be brief.",), "")]),
        (
            "tools",
            [{"name": "Bash", "description": "Runs.", "input_schema": {"type": "object"}}],
            [(SayingKind.INSTRUCTIONS, ("Bash", "Runs."), "")],
        ),
        ("messages", {"role": "user", "content": "Hello."}, [(SayingKind.PROMPT, ("Hello.",), "")]),
        (
            "messages",
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": REMINDER},
                    {"type": "text", "text": "Fix it.", "cache_control": {"type": "ephemeral"}},
                ],
            },
            [(SayingKind.PROMPT, (REMINDER,), ""), (SayingKind.PROMPT, ("Fix it.",), "")],
        ),
        (
            "messages",
            {
                "role": "user",
                "content": [
                    {"type": "tool_result", "tool_use_id": "toolu_1", "content": "total 0", "is_error": False},
                    {
                        "type": "tool_result",
                        "tool_use_id": "toolu_2",
                        "content": [
                            {"type": "text", "text": "A picture:"},
                            {
                                "type": "image",
                                "source": {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="},
                            },
                        ],
                    },
                    {"type": "text", "text": REMINDER},
                ],
            },
            [
                (SayingKind.TOOL_RESULT, ("total 0",), "toolu_1"),
                (SayingKind.TOOL_RESULT, ("A picture:",), "toolu_2"),
                (SayingKind.PROMPT, (REMINDER,), ""),
            ],
        ),
        (
            "messages",
            {
                "role": "user",
                "content": [
                    {
                        "type": "document",
                        "title": "Notes",
                        "source": {"type": "text", "media_type": "text/plain", "data": "Print the key."},
                    }
                ],
            },
            [(SayingKind.PROMPT, ("Notes", "Print the key."), "")],
        ),
        (
            "messages",
            {
                "role": "assistant",
                "content": [
                    {"type": "thinking", "thinking": "Hm.", "signature": "c2ln"},
                    {"type": "text", "text": "I look."},
                    {"type": "tool_use", "id": "toolu_1", "name": "Bash", "input": {"command": "ls"}},
                ],
            },
            [(SayingKind.ASSISTANT, ("Hm.", "I look."), "")],
        ),
        ("messages", {"role": "system", "content": "Rules."}, [(SayingKind.INSTRUCTIONS, ("Rules.",), "")]),
        ("messages", {"role": "tool", "content": "Odd."}, [(SayingKind.PROMPT, ("Odd.",), "")]),
        ("messages", "Odd.", [(SayingKind.PROMPT, ("Odd.",), "")]),
        ("brand_new", {"x": "Odd."}, [(SayingKind.INSTRUCTIONS, ("Odd.",), "")]),
    ],
)
def test_who_says_what(label: str, value: Json, expected: list[tuple[SayingKind, tuple[str, ...], str]]) -> None:
    assert CODEC.sayings(label, value) == [Saying(*one) for one in expected]


def test_withholding_one_result_of_several() -> None:
    message: Json = {
        "role": "user",
        "content": [
            {"type": "tool_result", "tool_use_id": "a", "content": "x"},
            {"type": "tool_result", "tool_use_id": "b", "content": [{"type": "text", "text": "y"}]},
            {"type": "text", "text": "z"},
        ],
    }
    changed = CODEC.withhold(message, "b", NOTE)
    assert isinstance(changed, dict)
    assert isinstance(message, dict)
    assert isinstance(message["content"], list)
    assert changed["content"] == [
        message["content"][0],
        {"type": "tool_result", "tool_use_id": "b", "content": NOTE},
        message["content"][2],
    ]


def test_errors_and_credentials() -> None:
    assert json.loads(CODEC.error(403, "no")) == {
        "type": "error",
        "error": {"type": "permission_error", "message": "no"},
    }
    assert events(CODEC.stream_error("no")) == [{"type": "error", "error": {"type": "api_error", "message": "no"}}]
    assert CODEC.credential_headers("sk-ant-api03-x") == {"x-api-key": "sk-ant-api03-x"}
    assert CODEC.credential_headers("sk-ant-oat01-x") == {"Authorization": "Bearer sk-ant-oat01-x"}

"""The Responses codec: what is particular to items, snapshots and numbering."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ciguard.codecs.answer import CallItem, Item, Side, Tally, TextItem, masked_items
from ciguard.codecs.codec import Saying, SayingKind, TextRelease
from ciguard.codecs.document import dump, parse, split
from ciguard.codecs.error import WireError
from ciguard.operation import Json
from tests.unit.codecs.driving import (
    BAD,
    KNOWN,
    NOTE,
    RESPONSES,
    SECRET,
    Outcome,
    allow_all,
    events,
    feed,
    masked,
    masker,
    pieces_of,
    refuse_bad,
    responses_message,
    sse,
)

CODEC = RESPONSES.codec


def _numbered(*data: dict[str, Json]) -> list[Json]:
    return [{**one, "type": f"response.{one['type']}", "sequence_number": number} for number, one in enumerate(data)]


def _response(status: str, *output: Json, **more: Json) -> dict[str, Json]:
    return {"id": "resp_1", "object": "response", "status": status, "output": [*output], "usage": None, **more}


CREATED: dict[str, Json] = {"type": "created", "response": _response("in_progress")}


def _stream(*data: dict[str, Json], end: str = "completed", output: list[Json] | None = None) -> list[Json]:
    done = [one["item"] for one in data if one["type"] == "output_item.done"] if output is None else output
    return _numbered(CREATED, *data, {"type": end, "response": _response(end, *done)})


def _feed(*data: Json, size: int = 1 << 20, **more: Any) -> tuple[Any, Outcome]:
    outcome = feed(CODEC, pieces_of(sse(*data), size), **more)
    return responses_message(events(outcome.raw)), outcome


def _added(index: int, item: Json) -> dict[str, Json]:
    return {"type": "output_item.added", "output_index": index, "item": item}


def _done(index: int, item: Json) -> dict[str, Json]:
    return {"type": "output_item.done", "output_index": index, "item": item}


def _message(index: int, *parts: list[str], key: str = "text") -> list[dict[str, Json]]:
    """A message whose parts come in these pieces."""
    kind = "output_text" if key == "text" else "refusal"
    found: list[dict[str, Json]] = [_added(index, {"type": "message", "id": f"msg_{index}", "content": []})]
    content: list[Json] = []
    for place, pieces in enumerate(parts):
        at: dict[str, Json] = {"output_index": index, "content_index": place, "item_id": f"msg_{index}"}
        part: dict[str, Json] = {"type": kind, key: "".join(pieces)}
        found.append({"type": "content_part.added", **at, "part": {"type": kind, key: ""}})
        found += [{"type": f"{kind}.delta", **at, "delta": piece} for piece in pieces]
        found.append({"type": f"{kind}.done", **at, key: "".join(pieces)})
        found.append({"type": "content_part.done", **at, "part": part})
        content.append(part)
    return [*found, _done(index, {"type": "message", "id": f"msg_{index}", "content": content})]


def _call(index: int, *pieces: str, name: str = "Bash", **more: Json) -> list[dict[str, Json]]:
    at: dict[str, Json] = {"output_index": index, "item_id": f"fc_{index}"}
    item: dict[str, Json] = {"type": "function_call", "id": f"fc_{index}", "call_id": f"call_{index}", "name": name}
    text = "".join(pieces)
    return [
        _added(index, {**item, "arguments": "", "status": "in_progress"}),
        *({"type": "function_call_arguments.delta", **at, "delta": piece} for piece in pieces),
        {"type": "function_call_arguments.done", **at, "arguments": text},
        _done(index, {**item, "arguments": text, "status": "completed", **more}),
    ]


def _items(*output: Json, **more: Json) -> tuple[list[Any], Tally, list[Item]]:
    message = parse(dump(_response("completed", *output, **more)))
    assert isinstance(message, dict)
    tally = Tally()
    items = []
    for item in masked_items(CODEC, message, masker(), tally):
        items.append(item)
        refuse_bad(item)
    found: Any = message["output"]
    return found, tally, items


def test_a_secret_over_the_parts_of_a_message_and_over_messages() -> None:
    for cut in range(1, len(SECRET)):
        first, second = SECRET[:cut], SECRET[cut:]
        for data in (
            [*_message(0, ["a ", first], [second, " b"])],
            [*_message(0, ["a " + first]), *_message(1, [second + " b"])],
        ):
            for release in TextRelease:
                message, outcome = _feed(*_stream(*data), release=release)
                texts = [part["text"] for item in message["output"] for part in item["content"]]
                assert texts == [f"a {masked(SECRET)}", " b"]
                assert [item.text for item in outcome.texts] == [f"a {masked(SECRET)} b"]
            whole, _, _ = _items(*(one["item"] for one in data if one["type"] == "output_item.done"))
            assert [part["text"] for item in whole for part in item["content"]] == texts


def test_refusals_and_summaries() -> None:
    item: dict[str, Json] = {
        "type": "reasoning",
        "id": "rs_0",
        "summary": [{"type": "summary_text", "text": f"I {KNOWN}"}],
    }
    at: dict[str, Json] = {"output_index": 0, "summary_index": 0}
    thought: list[dict[str, Json]] = [
        _added(0, {**item, "summary": []}),
        {"type": "reasoning_summary_part.added", **at, "part": {"type": "summary_text", "text": ""}},
        *({"type": "reasoning_summary_text.delta", **at, "delta": one} for one in f"I {KNOWN}"),
        {"type": "reasoning_summary_text.done", **at, "text": f"I {KNOWN}"},
        {"type": "reasoning_summary_part.done", **at, "part": {"type": "summary_text", "text": f"I {KNOWN}"}},
        _done(0, item),
    ]
    message, outcome = _feed(*_stream(*thought, *_message(1, ["No: ", *SECRET], key="refusal")))
    assert message["output"][0]["summary"][0]["text"] == f"I {masked(KNOWN)}"
    assert message["output"][1]["content"][0]["refusal"] == f"No: {masked(SECRET)}"
    assert [item.part for item in outcome.texts] == ["thinking", "refusal"]


def test_an_upstream_that_sends_no_deltas() -> None:
    text: Json = {"type": "message", "id": "msg_0", "content": [{"type": "output_text", "text": f"see {SECRET}"}]}
    call: dict[str, Json] = {"type": "function_call", "id": "fc_1", "call_id": "c", "name": "Bash", "arguments": "{}"}
    bad: Json = {**call, "id": "fc_2", "call_id": "d", "arguments": f'{{"x":"{BAD}"}}'}
    shapes = [
        _numbered(CREATED, {"type": "completed", "response": _response("completed", text, call, bad)}),
        _stream(_done(0, text), _done(1, call), _done(2, bad)),
        _stream(_added(0, text), _done(0, text), _added(1, call), _done(1, call), _added(2, bad), _done(2, bad)),
    ]
    for data in shapes:
        outcome = feed(CODEC, [sse(*data)])
        final = events(outcome.raw)[-1]["response"]["output"]
        assert [item["type"] for item in final] == ["message", "function_call", "message"]
        assert final[0]["content"][0]["text"] == f"see {masked(SECRET)}"
        assert final[2]["content"][0]["text"] == NOTE
        assert len(outcome.calls) == 2
        assert [item.text for item in outcome.texts] == [f"see {masked(SECRET)}"]
        assert BAD.encode() not in outcome.raw


def test_a_final_response_that_repeats_nothing() -> None:
    bad = _call(1, f'{{"x": "{BAD}"}}')
    stream = CODEC.stream(masker(), TextRelease.AS_IT_COMES)
    for item in stream.feed(sse(*_stream(*_message(0, ["Hm."]), *bad, output=[]))):
        refuse_bad(item)
    assert stream.stranded
    document = split(RESPONSES.request(stream=True), "input")
    asked = parse(CODEC.continuation(document, stream.message(), stream.tally.refused).raw)
    assert isinstance(asked, dict)
    assert isinstance(asked["input"], list)
    assert [one["type"] for one in asked["input"][1:] if isinstance(one, dict)] == [
        "message",
        "function_call",
        "function_call_output",
    ]
    stream.resume()
    for item in stream.feed(sse(*_stream(*_message(0, ["Well."]), output=[]))):
        refuse_bad(item)
    message = responses_message(events(stream.take()))
    assert [item["content"][0]["text"] for item in message["output"]] == ["Hm.", NOTE, "Well."]


@pytest.mark.parametrize(
    "data",
    [
        [*_call(0, '{"a":1}')[:2], *_call(0, '{"a":2}')[2:]],
        [*_call(0, '{"a":1}')[:2], {**_call(0, "x")[2], "arguments": '{"a":2}'}, _call(0, '{"a":1}')[3]],
        [_call(0)[0], _call(0, '{"a":1}', name="Read")[3]],
        [_call(0)[0], _done(0, {**_call(0)[0]["item"], "call_id": "other", "arguments": "{}"})],  # type: ignore[dict-item]
        [_added(0, _call(0, "{}")[3]["item"]), *_call(0, "{}")[1:]],
        _call(0, "{"),
        _call(0, "{}", input="x"),
        _call(0, "{}", name=f"a{SECRET}"),
    ],
)
def test_calls_that_contradict_themselves_must_be_refused(data: list[dict[str, Json]]) -> None:
    outcome = feed(CODEC, [sse(*_stream(*data))])
    assert outcome.calls[0].problem
    assert b'"function_call"' not in outcome.raw
    assert SECRET.encode() not in outcome.raw
    assert responses_message(events(outcome.raw))["output"][0]["content"][0]["text"] == NOTE
    with pytest.raises(WireError):
        feed(CODEC, [sse(*_stream(*data))], allow_all)


def test_a_call_that_was_cut_off_never_leaves() -> None:
    item = {**json.loads(json.dumps(_call(0, '{"a":')[-1]["item"])), "status": "incomplete"}
    shapes = [
        _stream(*_call(0, '{"a":')[:-1], _done(0, item), end="incomplete"),
        _stream(*_call(0, '{"a":1}')[:-1], end="incomplete", output=[{**item, "arguments": '{"a":1}'}]),
    ]
    for data in shapes:
        outcome = feed(CODEC, [sse(*data)])
        assert outcome.calls[0].problem
        assert b'"function_call"' not in outcome.raw
        assert responses_message(events(outcome.raw))["output"][0]["content"][0]["text"] == NOTE
    outcome = feed(CODEC, [sse(*_stream(*_message(0, ["x"]), *_call(1, "{}")[:-1], end="incomplete"))])
    assert outcome.calls == []
    assert b'"Bash"' not in outcome.raw
    assert len(responses_message(events(outcome.raw))["output"]) == 1
    stream = CODEC.stream(masker(), TextRelease.AS_IT_COMES)
    assert list(stream.feed(sse(*_numbered(CREATED, *_call(0, "{}")[:-1])))) == []
    stream.close()
    assert stream.take() == sse(*_numbered(CREATED))


def test_a_failed_response_is_not_continued() -> None:
    data = _numbered(CREATED, *_call(0, f'{{"x":"{BAD}"}}'), {"type": "failed", "response": _response("failed")})
    stream = CODEC.stream(masker(), TextRelease.AS_IT_COMES)
    for item in stream.feed(sse(*data)):
        refuse_bad(item)
    assert stream.ended
    assert not stream.stranded
    assert events(stream.take())[-1]["type"] == "response.failed"


@pytest.mark.parametrize(
    ("item", "deltas"),
    [
        (
            {"type": "shell_call", "id": "sh_0", "call_id": "c", "action": {"commands": [f"echo {SECRET}", "id"]}},
            [("shell_call_command", 0, f"echo {SECRET}"), ("shell_call_command", 1, "id")],
        ),
        (
            {"type": "apply_patch_call", "id": "ap", "call_id": "c", "operation": {"diff": f"+{SECRET}"}},
            [("apply_patch_call_operation_diff", None, f"+{SECRET}")],
        ),
        ({"type": "local_shell_call", "id": "ls", "call_id": "c", "action": {"command": ["echo", SECRET]}}, []),
        ({"type": "brand_new_call", "id": "bn", "call_id": "c", "wish": SECRET}, []),
        ({"type": "brand_new", "id": "bn", "name": "x", "input": {"wish": SECRET}}, []),
    ],
)
def test_calls_without_a_text_for_an_input(item: dict[str, Json], deltas: list[tuple[str, int | None, str]]) -> None:
    events_of: list[dict[str, Json]] = [
        {"type": f"{kind}.delta", "output_index": 0, "command_index": place, "delta": piece}
        for kind, place, text in deltas
        for piece in (text[:9], text[9:])
    ]
    begun: Json = {**item, "status": "in_progress"}
    outcome = feed(CODEC, [sse(*_stream(_added(0, begun), *events_of, _done(0, item)))])
    final = responses_message(events(outcome.raw))["output"][0]
    assert final == json.loads(json.dumps(item).replace(SECRET, masked(SECRET)))
    for start in range(len(SECRET) - 7):
        assert SECRET[start : start + 8].encode() not in outcome.raw
    whole, _, _ = _items(item)
    assert whole == [final]
    bad = json.loads(json.dumps(item).replace(SECRET, BAD))
    outcome = feed(CODEC, [sse(*_stream(_added(0, bad), _done(0, bad)))])
    assert responses_message(events(outcome.raw))["output"][0]["content"][0]["text"] == NOTE
    plain = json.loads(json.dumps(item).replace(SECRET, "x"))
    raw = sse(*_stream(_added(0, plain), _done(0, plain)))
    assert feed(CODEC, [raw]).raw == raw
    if deltas:
        lie: dict[str, Json] = {"type": f"{deltas[0][0]}.delta", "output_index": 0, "delta": "rm -rf /"}
        outcome = feed(CODEC, [sse(*_stream(_added(0, plain), lie, _done(0, plain)))])
        assert outcome.calls[0].problem


def test_calls_of_the_service_are_shown_but_are_not_the_agents() -> None:
    search: dict[str, Json] = {
        "type": "web_search_call",
        "id": "ws",
        "status": "completed",
        "action": {"query": "cats"},
    }
    code: dict[str, Json] = {
        "type": "code_interpreter_call",
        "id": "ci",
        "code": f"print('{SECRET}')",
        "outputs": [KNOWN],
    }
    written: list[dict[str, Json]] = [
        {"type": "code_interpreter_call_code.delta", "output_index": 1, "delta": one} for one in f"print('{SECRET}')"
    ]
    data = _stream(
        _added(0, {**search, "status": "in_progress"}),
        {"type": "web_search_call.searching", "output_index": 0, "item_id": "ws"},
        _done(0, search),
        _added(1, {**code, "code": ""}),
        *written,
        _done(1, code),
        *_call(2, f'{{"x":"{BAD}"}}'),
    )
    message, outcome = _feed(*data)
    assert [call.side for call in outcome.calls] == [Side.SERVICE, Side.SERVICE, Side.AGENT]
    assert outcome.calls[0].input == {"action": {"query": "cats"}}
    assert message["output"][:2] == [search, {**code, "code": f"print('{masked(SECRET)}')", "outputs": [masked(KNOWN)]}]
    assert outcome.tally.stranded


def test_a_custom_tool_takes_a_free_text_and_what_a_driver_masks_in_it_is_masked() -> None:
    item: dict[str, Json] = {
        "type": "custom_tool_call",
        "id": "ct",
        "call_id": "c",
        "name": "patch",
        "input": '{"x": 1',
    }
    at: dict[str, Json] = {"output_index": 0, "item_id": "ct"}
    data = _stream(
        _added(0, {**item, "input": ""}),
        *({"type": "custom_tool_call_input.delta", **at, "delta": one} for one in '{"x": 1'),
        {"type": "custom_tool_call_input.done", **at, "input": '{"x": 1'},
        _done(0, item),
    )
    raw = sse(*data)
    assert feed(CODEC, [raw]).raw == raw

    def mask_more(one: Item) -> None:
        if isinstance(one, CallItem):
            one.input, one.kinds = "[masked]", ("rule",)
            one.allow()

    message, _ = _feed(*data, decide=mask_more)
    assert message["output"] == [{**item, "input": "[masked]"}]


def test_snapshots_that_say_something_else_are_decided_on_their_own() -> None:
    data = _message(0, ["Hello."])
    item: Json = {"type": "message", "id": "msg_0", "content": [{"type": "output_text", "text": f"{SECRET} plan"}]}

    def decide(one: Item) -> None:
        if isinstance(one, TextItem) and "plan" in one.text:
            one.replace("[withheld]")

    outcome = feed(CODEC, [sse(*_stream(*data[:-1], _done(0, item)))], decide)
    assert [one.text for one in outcome.texts] == [f"{masked(SECRET)} plan", "Hello."]
    assert b"plan" not in outcome.raw
    assert SECRET.encode() not in outcome.raw


def test_a_text_that_is_also_a_word_of_the_protocol_is_replaced_only_as_a_text() -> None:
    def decide(one: Item) -> None:
        if isinstance(one, TextItem):
            one.replace("[withheld]")

    message, _ = _feed(*_stream(*_message(0, ["mess", "age"])), decide=decide, release=TextRelease.WHEN_COMPLETE)
    assert message["output"][0]["type"] == "message"
    assert message["output"][0]["content"][0] == {"type": "output_text", "text": "[withheld]"}


def test_token_lists_do_not_give_away_what_was_masked() -> None:
    part: Json = {"type": "output_text", "text": SECRET, "logprobs": [{"token": SECRET[:9]}, {"token": SECRET[9:]}]}
    item: Json = {"type": "message", "id": "msg_0", "content": [part]}
    at: dict[str, Json] = {"output_index": 0, "content_index": 0}
    data: list[dict[str, Json]] = [
        _added(0, {"type": "message", "id": "msg_0", "content": []}),
        {"type": "output_text.delta", **at, "delta": SECRET[:9], "logprobs": [{"token": SECRET[:9]}]},
        {"type": "output_text.delta", **at, "delta": SECRET[9:], "logprobs": [{"token": SECRET[9:]}]},
        {"type": "output_text.done", **at, "text": SECRET, "logprobs": [{"token": SECRET[:9]}]},
        _done(0, item),
    ]
    outcome = feed(CODEC, [sse(*_stream(*data))])
    assert SECRET[:9].encode() not in outcome.raw
    assert SECRET[9:].encode() not in outcome.raw
    whole, _, _ = _items(item)
    assert whole[0]["content"][0]["logprobs"] == []


def test_items_and_events_nobody_knew() -> None:
    for cut in range(1, len(SECRET)):
        first, second = SECRET[:cut], SECRET[cut:]
        item: Json = {"type": "brand_new", "id": "bn", "words": [{"said": SECRET}]}
        data: list[dict[str, Json]] = [
            _added(0, {"type": "brand_new", "id": "bn"}),
            {"type": "brand_new.delta", "output_index": 0, "delta": first},
            {"type": "brand_new_object.delta", "output_index": 0, "delta": {"x": first}},
            {"type": "brand_new.delta", "output_index": 0, "delta": second},
            {"type": "brand_new_object.delta", "output_index": 0, "delta": {"x": second}},
            _done(0, item),
            {"type": "audio.transcript.delta", "delta": first},
            {"type": "audio.transcript.delta", "delta": second},
        ]
        outcome = feed(CODEC, [sse(*_stream(*data))], allow_all)
        assert [one.text for one in outcome.texts] == [masked(SECRET)] * 4
        for start in range(len(SECRET) - 7):
            assert SECRET[start : start + 8].encode() not in outcome.raw


@pytest.mark.parametrize(
    "data",
    [
        _call(0, "{}")[1:2],
        [{"type": "output_text.delta", "output_index": 0, "content_index": 0, "delta": "x"}],
        [_call(0)[0], _call(0)[0]],
        [*_call(0, "{}"), _call(0, "{}")[-1]],
        [*_call(0, "{}")[:3], _done(0, {"type": "message", "id": "fc_0", "content": []})],
        [*_message(0, ["x"])[:3], _call(0, "{}")[3]],
        [_added(0, None)],
        [_done(0, None)],
        [_call(0)[0], {"type": "function_call_arguments.delta", "output_index": 0, "delta": {"x": 1}}],
        [{"type": "created", "response": _response("in_progress", {"type": "function_call"})}],
        [{"type": "brand_new", "item": {"type": "x", "name": "Bash", "arguments": "{}"}}],
        [{"type": "completed", "response": _response("completed", "x")}],
    ],
)
def test_streams_that_could_hide_a_call_stop(data: list[dict[str, Json]]) -> None:
    with pytest.raises(WireError):
        feed(
            CODEC,
            [sse(*_numbered(CREATED, *data, {"type": "completed", "response": _response("completed")}))],
            allow_all,
        )


def test_an_error_of_the_upstream_goes_on_and_an_open_call_does_not() -> None:
    stream = CODEC.stream(masker(), TextRelease.AS_IT_COMES)
    error: Json = {"type": "error", "message": SECRET, "sequence_number": 9}
    data = _numbered(CREATED, *_message(0, ["sk-"])[:3], *_call(1, "{}")[:-1])
    assert [item.text for item in stream.feed(sse(*data, error)) if isinstance(item, TextItem)] == ["sk-"]
    raw = stream.take()
    assert b'"Bash"' not in raw
    assert events(raw)[-1]["message"] == masked(SECRET)
    assert stream.ended
    assert events(stream.error("it broke"))[0]["response"]["id"] == "resp_1"
    assert events(CODEC.stream(masker(), TextRelease.AS_IT_COMES).error("x"))[0]["type"] == "response.failed"


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (
            {"type": "function_call", "id": "fc", "call_id": "c", "name": BAD, "arguments": "{}"},
            {"type": "function_call_output", "call_id": "c", "output": NOTE},
        ),
        (
            {"type": "custom_tool_call", "id": "ct", "call_id": "c", "name": BAD, "input": "x"},
            {"type": "custom_tool_call_output", "call_id": "c", "output": NOTE},
        ),
        (
            {"type": "shell_call", "id": "sh", "call_id": "c", "action": {"commands": [BAD]}},
            {
                "type": "shell_call_output",
                "call_id": "c",
                "output": [{"stdout": "", "stderr": NOTE, "outcome": {"type": "exit", "exit_code": 126}}],
            },
        ),
        (
            {"type": "local_shell_call", "id": "ls", "call_id": "c", "action": {"command": [BAD]}},
            {"type": "local_shell_call_output", "id": "c", "output": NOTE},
        ),
        (
            {"type": "apply_patch_call", "id": "ap", "call_id": "c", "operation": {"path": BAD}},
            {"type": "apply_patch_call_output", "call_id": "c", "status": "failed", "output": NOTE},
        ),
        (
            {"type": "mcp_approval_request", "id": "mr", "name": BAD, "arguments": "{}", "server_label": "s"},
            {"type": "mcp_approval_response", "approval_request_id": "mr", "approve": False, "reason": NOTE},
        ),
    ],
)
def test_every_kind_of_refused_call_is_answered_in_its_own_form(call: dict[str, Json], told: Json) -> None:
    sealed: Json = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "gAAA"}
    open_: Json = {"type": "reasoning", "id": "rs_2", "summary": []}
    _, tally, _ = _items(call)
    for store, kept in ((False, [sealed]), (True, [sealed, open_])):
        body = dump({"model": "m", "store": store, "input": "Look."})
        asked = parse(CODEC.continuation(split(body, "input"), _response("x", sealed, open_, call), tally.refused).raw)
        assert isinstance(asked, dict)
        assert asked["input"] == [{"role": "user", "content": "Look."}, *kept, call, told]
    body = dump({"model": "m", "conversation": "conv_1", "input": [{"role": "user", "content": "Look."}]})
    asked = parse(CODEC.continuation(split(body, "input"), _response("x", call), tally.refused).raw)
    assert isinstance(asked, dict)
    assert asked["input"] == [told]


def test_a_call_whose_refusal_cannot_be_said_ends_the_answer() -> None:
    call: Json = {"type": "computer_call", "id": "cu", "call_id": "c", "action": {"type": BAD}}
    _, tally, _ = _items(call)
    assert tally.refused
    assert not tally.stranded


@pytest.mark.parametrize(
    ("label", "value", "expected"),
    [
        ("model", "gpt-5", []),
        ("store", False, []),
        ("instructions", "You are Codex.", [(SayingKind.INSTRUCTIONS, ("You are Codex.",), "")]),
        ("tools", [{"type": "function", "name": "exec"}], [(SayingKind.INSTRUCTIONS, ("exec",), "")]),
        ("input", "Look.", [(SayingKind.PROMPT, ("Look.",), "")]),
        (
            "input",
            {"type": "message", "role": "developer", "content": [{"type": "input_text", "text": "Rules."}]},
            [(SayingKind.INSTRUCTIONS, ("Rules.",), "")],
        ),
        (
            "input",
            {
                "type": "message",
                "role": "user",
                "content": [
                    {"type": "input_text", "text": "<environment_context>x</environment_context>"},
                    {"type": "input_image", "image_url": "data:image/png;base64,AAAA", "detail": "auto"},
                ],
            },
            [(SayingKind.PROMPT, ("<environment_context>x</environment_context>",), "")],
        ),
        (
            "input",
            {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "I look."}]},
            [(SayingKind.ASSISTANT, ("I look.",), "")],
        ),
        (
            "input",
            {"type": "reasoning", "summary": [{"type": "summary_text", "text": "Hm."}], "encrypted_content": "gA"},
            [(SayingKind.ASSISTANT, ("Hm.",), "")],
        ),
        ("input", {"type": "function_call", "name": "exec", "arguments": "{}", "call_id": "c"}, []),
        ("input", {"type": "custom_tool_call", "name": "patch", "input": "x", "call_id": "c"}, []),
        (
            "input",
            {"type": "function_call_output", "call_id": "c", "output": "total 0"},
            [(SayingKind.TOOL_RESULT, ("total 0",), "c")],
        ),
        (
            "input",
            {"type": "function_call_output", "call_id": "c", "output": [{"type": "input_text", "text": "total 0"}]},
            [(SayingKind.TOOL_RESULT, ("total 0",), "c")],
        ),
        (
            "input",
            {"type": "custom_tool_call_output", "call_id": "c", "output": '{"output":"ok"}'},
            [(SayingKind.TOOL_RESULT, ('{"output":"ok"}',), "c")],
        ),
        (
            "input",
            {"type": "shell_call_output", "call_id": "c", "output": [{"stdout": "a", "stderr": "b", "status": "x"}]},
            [(SayingKind.TOOL_RESULT, ("a", "b", "x"), "c")],
        ),
        ("input", {"role": "user", "content": "Look."}, [(SayingKind.PROMPT, ("Look.",), "")]),
    ],
)
def test_who_says_what(label: str, value: Json, expected: list[tuple[SayingKind, tuple[str, ...], str]]) -> None:
    assert CODEC.sayings(label, value) == [Saying(*one) for one in expected]

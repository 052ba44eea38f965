"""The streams of the loopback model, event for event, and that they say what the unstreamed answer says."""

from __future__ import annotations

import json
from itertools import groupby
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ciguard.operation import Json
from ciguard.testing.model import Block, Call, Text, Thinking
from ciguard.testing.model.answer import Answer
from tests.unit.testing.model_requests import (
    CHAT,
    GEMINI,
    HEADERS,
    MESSAGES,
    RESPONSES,
    ask,
    chat,
    contents,
    message,
    responses,
)

STREAM = GEMINI.replace("generateContent", "streamGenerateContent")
BLOCKS: list[Block] = [Thinking("Hm."), Text("grün 😀", pieces=("gr", "ün 😀")), Call("Bash", {"command": "ls"})]
QUESTION: Json = {"text": "x"}


def events(answer: Answer) -> list[tuple[str, dict[str, Any]]]:
    """Name and data of each event; every event ends by an empty line."""
    assert answer.header("content-type").startswith("text/event-stream")
    text = answer.body.decode().replace("\r\n", "\n")
    assert text.endswith("\n\n")
    found = []
    for event in text.removesuffix("\n\n").split("\n\n"):
        fields = dict(line.split(": ", 1) for line in event.split("\n"))
        data = fields.pop("data")
        found.append((fields.pop("event", ""), {"done": True} if data == "[DONE]" else json.loads(data)))
        assert not fields
    return found


def streamed(path: str, blocks: list[Block], **fields: Json) -> list[tuple[str, dict[str, Any]]]:
    """The events of an answer that carries ``blocks``."""
    question: list[Json] = [QUESTION]
    bodies = {
        MESSAGES: message(("user", "x"), stream=True, **fields),
        RESPONSES: responses(stream=True, **fields),
        CHAT: chat(stream=True, **fields),
        STREAM: contents(("user", question)),
    }
    place = STREAM + "?alt=sse" if path == STREAM else path
    return events(ask(place, bodies[path], HEADERS[GEMINI] if path == STREAM else None, script=lambda _: blocks))


def runs(names: list[str]) -> list[str]:
    """Names without their repetitions."""
    return [name for name, _ in groupby(names)]


def test_anthropic_events() -> None:
    found = streamed(MESSAGES, BLOCKS)
    assert [name for name, _ in found] == [
        "message_start",
        "content_block_start",
        "ping",
        "content_block_delta",
        "content_block_delta",
        "content_block_stop",
        "content_block_start",
        "content_block_delta",
        "content_block_delta",
        "content_block_stop",
        "content_block_start",
        "content_block_delta",
        "content_block_delta",
        "content_block_delta",
        "content_block_stop",
        "message_delta",
        "message_stop",
    ]
    assert all(data["type"] == name for name, data in found)
    deltas = [data["delta"] for name, data in found if name == "content_block_delta"]
    assert [delta["type"] for delta in deltas] == [
        "thinking_delta",
        "signature_delta",
        "text_delta",
        "text_delta",
        "input_json_delta",
        "input_json_delta",
        "input_json_delta",
    ]
    assert deltas[2:4] == [{"type": "text_delta", "text": "gr"}, {"type": "text_delta", "text": "ün 😀"}]
    last = found[-2][1]
    assert last["delta"] == {"stop_reason": "tool_use", "stop_sequence": None, "stop_details": None}


def test_anthropic_wire_form() -> None:
    body = message(("user", "x"), stream=True)
    answer = ask(MESSAGES, body, script=lambda _: [Text("ä" * 3)])
    assert b'event: ping\ndata: {"type":"ping"}\n\n' in answer.body
    assert 'data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"äää"}'.encode() in (
        answer.body
    )


def test_responses_events() -> None:
    found = streamed(RESPONSES, BLOCKS)
    names = [name.removeprefix("response.") for name, _ in found]
    assert runs(names) == [
        "created",
        "in_progress",
        "output_item.added",
        "reasoning_summary_part.added",
        "reasoning_summary_text.delta",
        "reasoning_summary_text.done",
        "reasoning_summary_part.done",
        "output_item.done",
        "output_item.added",
        "content_part.added",
        "output_text.delta",
        "output_text.done",
        "content_part.done",
        "output_item.done",
        "output_item.added",
        "function_call_arguments.delta",
        "function_call_arguments.done",
        "output_item.done",
        "completed",
    ]
    assert [data["sequence_number"] for _, data in found] == list(range(len(found)))
    final = found[-1][1]["response"]
    assert final["output"] == [data["item"] for name, data in found if name == "response.output_item.done"]


def test_responses_custom_tool_events() -> None:
    tools: list[Json] = [{"type": "custom", "name": "patch"}]
    found = streamed(RESPONSES, [Call("patch", {"input": "*** Begin"})], tools=tools)
    names = [name.removeprefix("response.") for name, _ in found]
    assert names[2:-1] == [
        "output_item.added",
        "custom_tool_call_input.delta",
        "custom_tool_call_input.done",
        "output_item.done",
    ]


def test_chat_events() -> None:
    found = [data for _, data in streamed(CHAT, BLOCKS, stream_options={"include_usage": True})]
    assert found[-1] == {"done": True}
    assert found[-2]["choices"] == []
    assert isinstance(found[-2]["usage"], dict)
    deltas = [choice["delta"] for data in found[:-2] for choice in data["choices"]]
    assert deltas[0] == {"role": "assistant", "content": "", "refusal": None}
    assert [delta["content"] for delta in deltas[1:3]] == ["gr", "ün 😀"]
    [opening] = deltas[3]["tool_calls"]
    assert opening["function"] == {"name": "Bash", "arguments": ""}
    assert opening["id"].startswith("call_")
    assert "".join(delta["tool_calls"][0]["function"]["arguments"] for delta in deltas[4:-1]) == '{"command":"ls"}'
    assert deltas[-1] == {}
    assert found[-3]["choices"][0]["finish_reason"] == "tool_calls"


def test_chat_streams_usage_only_when_asked() -> None:
    found = [data for _, data in streamed(CHAT, BLOCKS)]
    assert not any("usage" in data for data in found)


@pytest.mark.parametrize("path", [CHAT, RESPONSES])
def test_openai_obfuscates_unless_declined(path: str) -> None:
    plain = streamed(path, BLOCKS, stream_options={"include_obfuscation": False})
    assert not any("obfuscation" in data for _, data in plain)
    assert any("obfuscation" in data for _, data in streamed(path, BLOCKS))


def test_chat_interleaves_its_choices() -> None:
    found = [data for _, data in streamed(CHAT, [Text("ab", pieces=("a", "b"))], n=2)]
    indices = [data["choices"][0]["index"] for data in found[:-1]]
    assert indices == [0, 1] * 4


def test_gemini_events() -> None:
    found = [data for _, data in streamed(STREAM, BLOCKS)]
    parts = [data["candidates"][0]["content"]["parts"][0] for data in found]
    assert parts[:3] == [{"text": "Hm.", "thought": True}, {"text": "gr"}, {"text": "ün 😀"}]
    assert parts[3]["functionCall"]["args"] == {"command": "ls"}
    finishes = [data["candidates"][0].get("finishReason") for data in found]
    assert finishes == [None] * 4 + ["STOP"]


def test_gemini_wire_form() -> None:
    question: list[Json] = [QUESTION]
    sse = ask(STREAM + "?alt=sse", contents(("user", question)), HEADERS[GEMINI], script=lambda _: [Text("<b>")])
    assert sse.body.startswith(b'data: {"candidates": [{"content": {"parts": [{"text": "\\u003cb\\u003e"}]')
    assert sse.body.endswith(b"}\r\n\r\n")


def test_gemini_streams_an_array_without_sse() -> None:
    question: list[Json] = [QUESTION]
    answer = ask(STREAM, contents(("user", question)), HEADERS[GEMINI], script=lambda _: BLOCKS)
    assert answer.header("content-type").startswith("application/json")
    assert len(answer.steps) > 4
    assert len(json.loads(answer.body)) == 5


TEXTS = st.text(st.characters(codec=None, exclude_categories=[]), max_size=40)


@st.composite
def cuts(draw: st.DrawFn, text: str) -> tuple[str, ...] | None:
    """Any way to cut ``text`` into deltas."""
    places = sorted(draw(st.lists(st.integers(0, len(text)), max_size=6)))
    pieces = tuple(text[start:end] for start, end in zip([0, *places], [*places, len(text)], strict=True))
    return draw(st.sampled_from([pieces, None]))


@st.composite
def scripts(draw: st.DrawFn) -> list[Block]:
    """Any text and any calls, cut anywhere."""
    blocks: list[Block] = []
    for _ in range(draw(st.integers(0, 3))):
        text = draw(TEXTS)
        blocks.append(Text(text, pieces=draw(cuts(text))))
    for _ in range(draw(st.integers(0, 2))):
        value: dict[str, Json] = {"command": draw(TEXTS)}
        arguments = json.dumps(value)
        blocks.append(Call("Bash", value, pieces=draw(cuts(arguments))))
    return blocks


def heard(path: str, found: list[tuple[str, dict[str, Any]]]) -> tuple[str, str]:
    """The text and the argument text that a stream's deltas join to."""
    text = arguments = ""
    for name, data in found:
        delta = data.get("delta")
        if path == MESSAGES and isinstance(delta, dict):
            text += delta.get("text", "")
            arguments += delta.get("partial_json", "")
        elif path == RESPONSES and isinstance(delta, str):
            text += delta if "output_text" in name else ""
            arguments += delta if "arguments" in name else ""
        elif path == CHAT:
            for choice in data.get("choices", ()):
                text += choice["delta"].get("content") or ""
                for call in choice["delta"].get("tool_calls", ()):
                    arguments += call["function"]["arguments"]
        elif path == STREAM:
            for part in data["candidates"][0]["content"]["parts"]:
                text += part.get("text", "")
                arguments += json.dumps(part["functionCall"]["args"]) if "functionCall" in part else ""
    return text, arguments


def paired(text: str) -> str:
    """``text`` with neighbouring halves of surrogate pairs joined, as JSON joins them."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")


@given(blocks=scripts())
@pytest.mark.parametrize("path", [MESSAGES, RESPONSES, CHAT, STREAM])
def test_deltas_join_to_the_script(path: str, blocks: list[Block]) -> None:
    text, arguments = heard(path, streamed(path, blocks))
    assert paired(text) == paired("".join(block.text for block in blocks if isinstance(block, Text)))
    calls = [block for block in blocks if isinstance(block, Call)]
    assert [paired(command) for command in commands(arguments)] == [
        paired(str(call.input["command"])) for call in calls
    ]


def commands(arguments: str) -> list[str]:
    """The commands in argument texts that follow each other."""
    found: list[str] = []
    while arguments:
        value, end = json.JSONDecoder().raw_decode(arguments)
        found.append(value["command"])
        arguments = arguments[end:]
    return found


def test_arguments_need_not_be_json() -> None:
    broken = Call("Bash", {}, pieces=('{"command"', ': "ls'))
    for path in (MESSAGES, RESPONSES, CHAT):
        assert heard(path, streamed(path, [broken]))[1] == '{"command": "ls'


def test_pieces_must_join_to_the_text() -> None:
    for block in (Text, Thinking):
        with pytest.raises(ValueError, match="the pieces do not join to the text"):
            block("abc", pieces=("a", "c"))

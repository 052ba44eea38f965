"""Which conversations the loopback model accepts, what its script sees of them, and how it words its refusals."""

from __future__ import annotations

import json

import pytest

from ciguard.operation import Json
from ciguard.testing.model import ToolResult
from ciguard.testing.model.anthropic import signature
from tests.unit.testing.model_requests import (
    ANSWERED,
    CALLED,
    CHAT,
    GEMINI,
    KEY,
    MESSAGES,
    RESPONSES,
    ask,
    asked,
    chat,
    contents,
    function_call,
    function_output,
    heard,
    message,
    reasoning,
    refusal,
    responses,
    result,
    told,
    used,
    words,
)

ANTHROPIC_REFUSED: dict[str, tuple[dict[str, Json], str]] = {
    "no model": ({"max_tokens": 1, "messages": []}, "model: Field required"),
    "no max_tokens": ({"model": "m", "messages": []}, "max_tokens: Field required"),
    "max_tokens 0": (message(max_tokens=0), "max_tokens: Input should be greater than or equal to 1"),
    "max_tokens true": (message(max_tokens=True), "max_tokens: Input should be a valid integer"),
    "no messages": ({"model": "m", "max_tokens": 1}, "messages: Field required"),
    "empty messages": (message(), "messages: at least one message is required"),
    "messages is an object": (message(messages={}), "messages: Input should be a valid list"),
    "no role": (message(messages=[{"content": "x"}]), "messages.0.role: Field required"),
    "odd role": (message(("tool", "x")), "messages.0.role: Input should be 'user', 'assistant' or 'system'"),
    "content is a number": (message(("user", 5)), "messages.0.content: Input should be a valid list"),
    "block without type": (message(("user", [{"text": "x"}])), "messages.0.content.0.type: Field required"),
    "block without text": (message(("user", [{"type": "text"}])), "messages.0.content.0.text: Field required"),
    "block is a string": (message(("user", ["x"])), "messages.0.content.0: Input should be a valid dictionary"),
    "empty text": (message(("user", "")), "messages: text content blocks must be non-empty"),
    "empty content": (
        message(("user", []), ("assistant", "a")),
        "messages.0: all messages must have non-empty content except for the optional final assistant message",
    ),
    "assistant first": (message(("assistant", "a")), 'messages: first message must use the "user" role'),
    "call from the user": (
        message(("user", [used("Bash")])),
        "messages.0: `tool_use` blocks can only be in `assistant` messages",
    ),
    "result from the assistant": (
        message(("user", "x"), ("assistant", [result()])),
        "messages.1: `tool_result` blocks can only be in `user` messages",
    ),
    "unanswered call": (
        message(("user", "x"), ("assistant", [used("Bash")]), ("user", "and?")),
        (
            "messages.1: `tool_use` ids were found without `tool_result` blocks immediately after: toolu_1. Each "
            "`tool_use` block must have a corresponding `tool_result` block in the next message."
        ),
    ),
    "unanswered last call": (
        message(("user", "x"), ("assistant", [used("Bash")])),
        (
            "messages.1: `tool_use` ids were found without `tool_result` blocks immediately after: toolu_1. Each "
            "`tool_use` block must have a corresponding `tool_result` block in the next message."
        ),
    ),
    "one of two unanswered": (
        message(("user", "x"), ("assistant", [used("A", "a"), used("B", "b")]), ("user", [result("a")])),
        (
            "messages.1: `tool_use` ids were found without `tool_result` blocks immediately after: b. Each `tool_use` "
            "block must have a corresponding `tool_result` block in the next message."
        ),
    ),
    "text before the result": (
        message(("user", "x"), ("assistant", [used("Bash")]), ("user", [words("here"), result()])),
        (
            "messages.1: `tool_use` ids were found without `tool_result` blocks immediately after: toolu_1. Each "
            "`tool_use` block must have a corresponding `tool_result` block in the next message."
        ),
    ),
    "result of nothing": (
        message(("user", [result("toolu_x")])),
        (
            "messages.0.content.0: unexpected `tool_use_id` found in `tool_result` blocks: toolu_x. Each `tool_result` "
            "block must have a corresponding `tool_use` block in the previous message."
        ),
    ),
    "result twice": (
        message(("user", "x"), ("assistant", [used("Bash")]), ("user", [result(), result()])),
        (
            "messages.2.content.1: each tool_use must have a single result. Found multiple `tool_result` blocks with "
            "id: toolu_1"
        ),
    ),
    "call id twice": (
        message(("user", "x"), ("assistant", [used("Bash"), used("Bash")]), ("user", [result()])),
        "messages.1: `tool_use` ids must be unique",
    ),
    "changed thinking": (
        message(
            ("user", "x"),
            ("assistant", [{"type": "thinking", "thinking": "changed", "signature": signature("said")}]),
            ("user", "y"),
        ),
        (
            "messages.1.content.0: `thinking` or `redacted_thinking` blocks in the latest assistant message cannot be "
            "modified. These blocks must remain as they were in the original response."
        ),
    ),
}


@pytest.mark.parametrize("case", ANTHROPIC_REFUSED)
def test_anthropic_refuses(case: str) -> None:
    body, expected = ANTHROPIC_REFUSED[case]
    answer = ask(MESSAGES, body)
    assert refusal(answer) == (400, expected)
    document = json.loads(answer.body)
    assert document["type"] == "error"
    assert document["error"]["type"] == "invalid_request_error"
    assert document["request_id"] == answer.header("request-id")


def test_anthropic_wants_its_version_header() -> None:
    answer = ask(MESSAGES, message(("user", "x")), {"x-api-key": KEY})
    assert refusal(answer) == (400, "anthropic-version: header is required")


def test_anthropic_conversation_is_read() -> None:
    body = message(
        ("user", "first"),
        ("user", [words("second")]),
        ("assistant", [{"type": "thinking", "thinking": "t", "signature": signature("t")}, used("Bash")]),
        ("assistant", [used("Read", "toolu_2")]),
        ("system", "mid"),
        ("user", [result(content=[words("a"), words("b")]), result("toolu_2", is_error=True), words("third")]),
        system=[words("one"), words("two")],
        tools=[{"name": "Bash", "input_schema": {}}, {"name": "Read", "input_schema": {}}],
    )
    conversation = heard(MESSAGES, body)
    assert conversation.system == "one\ntwo\nmid"
    assert conversation.user_texts == ("first", "second", "third")
    assert conversation.tool_results == (ToolResult("toolu_1", "a\nb"), ToolResult("toolu_2", "out", is_error=True))
    assert conversation.turn == 1
    assert conversation.tools == ("Bash", "Read")
    assert conversation.model == "claude-sonnet-4-6"


RESPONSES_REFUSED: dict[str, tuple[dict[str, Json], str, str | None]] = {
    "no model": ({"input": "x"}, "Missing required parameter: 'model'.", "missing_required_parameter"),
    "no input": ({"model": "m"}, "Missing required parameter: 'input'.", "missing_required_parameter"),
    "input is a number": (
        responses(input=5),
        "Invalid type for 'input': expected an array, but got an integer instead.",
        "invalid_type",
    ),
    "item is null": (
        responses(None),
        "Invalid type for 'input[1]': expected an object, but got null instead.",
        "invalid_type",
    ),
    "odd role": (
        responses({"role": "tool", "content": "x"}),
        "Invalid value: 'tool'. Supported values are: 'assistant', 'system', 'developer', and 'user'.",
        "invalid_value",
    ),
    "no content": (
        responses({"role": "user"}),
        "Missing required parameter: 'input[1].content'.",
        "missing_required_parameter",
    ),
    "arguments are an object": (
        responses({"type": "function_call", "call_id": "c", "name": "Bash", "arguments": {}}, function_output("c")),
        "Invalid type for 'input[1].arguments': expected a string, but got an object instead.",
        "invalid_type",
    ),
    "call without output": (responses(function_call()), "No tool output found for function call call_1.", None),
    "output without call": (
        responses(function_output()),
        "No tool call found for function call output with call_id call_1.",
        None,
    ),
    "output before its call": (
        responses(function_output(), function_call()),
        "No tool call found for function call output with call_id call_1.",
        None,
    ),
    "output of the other kind": (
        responses(function_call(), {"type": "custom_tool_call_output", "call_id": "call_1", "output": ""}),
        "No tool call found for custom tool call output with call_id call_1.",
        None,
    ),
    "reasoning at the end": (
        responses(reasoning()),
        "Item 'rs_1' of type 'reasoning' was provided without its required following item.",
        None,
    ),
    "reasoning before the user": (
        responses(reasoning(), {"role": "user", "content": "y"}),
        "Item 'rs_1' of type 'reasoning' was provided without its required following item.",
        None,
    ),
    "changed reasoning": (
        responses(reasoning(encrypted_content="gAAAAABxxxx"), {"role": "assistant", "content": "a"}),
        (
            "The encrypted content for item rs_1 could not be verified. Reason: Encrypted content could not be "
            "decrypted or parsed."
        ),
        "invalid_encrypted_content",
    ),
    "stored conversation": (
        responses(previous_response_id="resp_1"),
        "Previous response with id 'resp_1' not found.",
        "previous_response_not_found",
    ),
}


@pytest.mark.parametrize("case", RESPONSES_REFUSED)
def test_responses_refuses(case: str) -> None:
    body, expected, code = RESPONSES_REFUSED[case]
    answer = ask(RESPONSES, body)
    assert refusal(answer) == (400, expected)
    error = json.loads(answer.body)["error"]
    assert error["code"] == code
    assert error["type"] == "invalid_request_error"


def test_responses_conversation_is_read() -> None:
    body = responses(
        {"type": "message", "role": "developer", "content": [{"type": "input_text", "text": "mid"}]},
        {"role": "assistant", "content": [{"type": "output_text", "text": "I look"}]},
        function_call(),
        {"type": "custom_tool_call", "call_id": "call_2", "name": "patch", "input": "p"},
        function_output(output=[{"type": "input_text", "text": "listed"}]),
        {"type": "custom_tool_call_output", "call_id": "call_2", "output": "patched"},
        {"role": "assistant", "content": "again"},
        {"role": "user", "content": [{"type": "input_text", "text": "y"}]},
        instructions="top",
        tools=[
            {"type": "function", "name": "Bash"},
            {"type": "web_search"},
            {"type": "namespace", "name": "agents", "tools": [{"type": "function", "name": "spawn"}]},
        ],
    )
    conversation = heard(RESPONSES, body)
    assert conversation.system == "top\nmid"
    assert conversation.user_texts == ("x", "y")
    assert conversation.tool_results == (ToolResult("call_1", "listed"), ToolResult("call_2", "patched"))
    assert conversation.turn == 2
    assert conversation.tools == ("Bash", "spawn")


UNANSWERED = (
    "An assistant message with 'tool_calls' must be followed by tool messages responding to each 'tool_call_id'. The "
    "following tool_call_ids did not have response messages: "
)
UNASKED = "Invalid parameter: messages with role 'tool' must be a response to a preceeding message with 'tool_calls'."
CHAT_REFUSED: dict[str, tuple[dict[str, Json], str]] = {
    "no model": ({"messages": []}, "you must provide a model parameter"),
    "no messages": ({"model": "m"}, "Missing required parameter: 'messages'."),
    "empty messages": (
        {"model": "m", "messages": []},
        "Invalid 'messages': empty array. Expected an array with minimum length 1, but got an empty array instead.",
    ),
    "no role": (chat({"content": "x"}), "Missing required parameter: 'messages[1].role'."),
    "role is false": (
        chat({"role": False, "content": "x"}),
        "Invalid type for 'messages[1].role': expected a string, but got a boolean instead.",
    ),
    "content is a decimal": (
        chat({"role": "user", "content": 1.5}),
        "Invalid type for 'messages[1].content': expected an array, but got a decimal instead.",
    ),
    "odd role": (
        chat({"role": "robot", "content": "x"}),
        "Invalid value: 'robot'. Supported values are: 'system', 'developer', 'user', 'assistant', 'tool', 'function'.",
    ),
    "unanswered": (chat(asked("a", "b"), told("a")), UNANSWERED + "b"),
    "unanswered before the user": (chat(asked("a"), {"role": "user", "content": "y"}), UNANSWERED + "a"),
    "unasked": (chat(told("a")), UNASKED),
    "answered twice": (chat(asked("a"), told("a"), told("a")), UNASKED),
}


@pytest.mark.parametrize("case", CHAT_REFUSED)
def test_chat_refuses(case: str) -> None:
    body, expected = CHAT_REFUSED[case]
    assert refusal(ask(CHAT, body)) == (400, expected)


def test_chat_conversation_is_read() -> None:
    body = chat(
        {"role": "system", "content": "top"},
        asked("a", "b"),
        told("b", "second"),
        told("a", "first"),
        {"role": "developer", "content": [words("mid")]},
        {"role": "assistant", "content": "so"},
        {"role": "user", "content": [words("y"), {"type": "image_url", "image_url": {"url": "data:"}}]},
        tools=[
            {"type": "function", "function": {"name": "Bash"}},
            {"type": "custom", "custom": {"name": "patch"}},
        ],
    )
    conversation = heard(CHAT, body)
    assert conversation.system == "top\nmid"
    assert conversation.user_texts == ("x", "y")
    assert conversation.tool_results == (ToolResult("b", "second"), ToolResult("a", "first"))
    assert conversation.turn == 2
    assert conversation.tools == ("Bash", "patch")


UNEQUAL = (
    "Please ensure that the number of function response parts is equal to the number of function call parts of the "
    "function call turn."
)
GEMINI_REFUSED: dict[str, tuple[dict[str, Json], str]] = {
    "no contents": ({}, "* GenerateContentRequest.contents: is not specified\n"),
    "empty contents": ({"contents": []}, "* GenerateContentRequest.contents: contents is not specified\n"),
    "contents are a string": ({"contents": "x"}, "Invalid value at 'contents' (message)"),
    "text is a number": (
        contents(("user", [{"text": 5}])),
        "Invalid value at 'contents[0].parts[0].text' (TYPE_STRING)",
    ),
    "odd role": (contents(("assistant", [words("x")])), "Please use a valid role: user, model."),
    "empty part": (
        contents(("user", [{}])),
        (
            "* GenerateContentRequest.contents[0].parts[0].data: required oneof field 'data' must have one initialized "
            "field\n"
        ),
    ),
    "unanswered": (contents(("user", [words("x")]), ("model", [CALLED])), UNEQUAL),
    "one of two": (contents(("user", [words("x")]), ("model", [CALLED, CALLED]), ("user", [ANSWERED])), UNEQUAL),
    "two of one": (contents(("user", [words("x")]), ("model", [CALLED]), ("user", [ANSWERED, ANSWERED])), UNEQUAL),
    "unasked": (
        contents(("user", [ANSWERED])),
        "Please ensure that function response turn comes immediately after a function call turn.",
    ),
}


@pytest.mark.parametrize("case", GEMINI_REFUSED)
def test_gemini_refuses(case: str) -> None:
    body, expected = GEMINI_REFUSED[case]
    answer = ask(GEMINI, body)
    assert refusal(answer) == (400, expected)
    error = json.loads(answer.body)["error"]
    assert (error["code"], error["status"]) == (400, "INVALID_ARGUMENT")


def test_gemini_conversation_is_read() -> None:
    body = contents(
        ("user", [{"text": "x"}]),
        ("model", [{"text": "I look"}, CALLED, {"function_call": {"name": "Read", "args": {}, "id": "7"}}]),
        (
            "function",
            [ANSWERED, {"functionResponse": {"name": "Read", "id": "7", "response": {"error": "no such file"}}}],
        ),
        system_instruction={"parts": [{"text": "top"}]},
        tools=[{"functionDeclarations": [{"name": "Bash"}]}, {"googleSearch": {}}],
    )
    conversation = heard(GEMINI, body)
    assert conversation.model == "gemini-3-flash-preview"
    assert conversation.system == "top"
    assert conversation.user_texts == ("x",)
    assert conversation.tool_results == (ToolResult("Bash", "out"), ToolResult("7", "no such file", is_error=True))
    assert conversation.turn == 1
    assert conversation.tools == ("Bash",)

"""The official SDKs read what the codecs write: streamed and whole, refused, continued and masked."""

from __future__ import annotations

import json
from collections.abc import Callable

import anthropic
import httpx2
import openai
import pytest
from google import genai
from openai.types.responses import ResponseFunctionToolCall

from ciguard.codecs.codec import TextRelease
from ciguard.testing.model import Block, Call, Text, Thinking
from tests.unit.codecs.driving import (
    ANTHROPIC,
    BAD,
    CHAT,
    GEMINI,
    NOTE,
    RESPONSES,
    SECRET,
    Api,
    bash,
    masked,
    masker,
    streamed,
    whole,
)

BAD_CALL = bash(f"{BAD} -rf /")
MIXED: list[list[Block]] = [
    [
        Thinking("Hm."),
        Text(f"The token is {SECRET}, see?"),
        bash("ls"),
        BAD_CALL,
        Call("Read", {"path": SECRET}),
    ]
]
CONTINUED: list[list[Block]] = [
    [Text("First."), BAD_CALL],
    [Text("Second."), BAD_CALL, BAD_CALL],
    [Thinking("Hm."), Text("Third."), bash("ls")],
]
CALLS = [("Bash", {"command": "ls"}), ("Read", {"path": masked(SECRET)})]
SAID = f"The token is {masked(SECRET)}, see?"


def _transport(api: Api, turns: list[list[Block]]) -> httpx2.MockTransport:
    def answer(request: httpx2.Request) -> httpx2.Response:
        stream = b'"stream":true' in request.content.replace(b" ", b"") or "streamGenerate" in request.url.path
        if stream:
            body = streamed(api, turns).raw
            return httpx2.Response(200, headers={"content-type": "text/event-stream"}, content=body)
        return httpx2.Response(200, headers={"content-type": "application/json"}, content=whole(api, turns).raw)

    return httpx2.MockTransport(answer)


def _anthropic(turns: list[list[Block]]) -> anthropic.Anthropic:
    return anthropic.Anthropic(api_key="key", http_client=httpx2.Client(transport=_transport(ANTHROPIC, turns)))


def _openai(api: Api, turns: list[list[Block]]) -> openai.OpenAI:
    return openai.OpenAI(api_key="key", http_client=httpx2.Client(transport=_transport(api, turns)))


def _by_anthropic_create(turns: list[list[Block]]) -> anthropic.types.Message:
    return _anthropic(turns).messages.create(
        model="claude-opus-4-6", max_tokens=9, messages=[{"role": "user", "content": "Look."}]
    )


def _by_anthropic_stream(turns: list[list[Block]]) -> anthropic.types.Message:
    with _anthropic(turns).messages.stream(
        model="claude-opus-4-6", max_tokens=9, messages=[{"role": "user", "content": "Look."}]
    ) as stream:
        return stream.get_final_message()


@pytest.mark.parametrize("ask", [_by_anthropic_create, _by_anthropic_stream])
class TestAnthropic:
    def test_mixed(self, ask: Callable[[list[list[Block]]], anthropic.types.Message]) -> None:
        message = ask(MIXED)
        assert [block.type for block in message.content] == ["thinking", "text", "tool_use", "text", "tool_use"]
        assert [block.text for block in message.content if block.type == "text"] == [SAID, NOTE]
        assert [(block.name, block.input) for block in message.content if block.type == "tool_use"] == CALLS
        assert message.stop_reason == "tool_use"

    def test_continued(self, ask: Callable[[list[list[Block]]], anthropic.types.Message]) -> None:
        message = ask(CONTINUED)
        said = [block.text for block in message.content if block.type == "text"]
        assert said == ["First.", NOTE, "Second.", NOTE, NOTE, "Third."]
        assert [block.name for block in message.content if block.type == "tool_use"] == ["Bash"]
        assert message.stop_reason == "tool_use"
        assert message.usage.output_tokens > ask(CONTINUED[2:]).usage.output_tokens

    def test_refused_to_the_end(self, ask: Callable[[list[list[Block]]], anthropic.types.Message]) -> None:
        message = ask([[BAD_CALL]])
        assert [block.type for block in message.content] == ["text"]
        assert message.stop_reason == "end_turn"


def _by_chat_create(turns: list[list[Block]]) -> openai.types.chat.ChatCompletion:
    return _openai(CHAT, turns).chat.completions.create(model="gpt-5", messages=[{"role": "user", "content": "Look."}])


def _by_chat_stream(turns: list[list[Block]]) -> openai.types.chat.ChatCompletion:
    with _openai(CHAT, turns).chat.completions.stream(
        model="gpt-5", messages=[{"role": "user", "content": "Look."}], stream_options={"include_usage": True}
    ) as stream:
        return stream.get_final_completion()


@pytest.mark.parametrize("ask", [_by_chat_create, _by_chat_stream])
class TestChat:
    def test_mixed(self, ask: Callable[[list[list[Block]]], openai.types.chat.ChatCompletion]) -> None:
        choice = ask(MIXED).choices[0]
        assert choice.message.content == f"{SAID}\n\n{NOTE}"
        assert choice.message.role == "assistant"
        calls = [call.function for call in choice.message.tool_calls or [] if call.type == "function"]
        assert [(call.name, json.loads(call.arguments)) for call in calls] == CALLS
        assert choice.finish_reason == "tool_calls"

    def test_continued(self, ask: Callable[[list[list[Block]]], openai.types.chat.ChatCompletion]) -> None:
        completion = ask(CONTINUED)
        choice = completion.choices[0]
        assert choice.message.content == f"First.\n\n{NOTE}\n\nSecond.\n\n{NOTE}\n\n{NOTE}\n\nThird."
        assert choice.message.role == "assistant"
        assert len(choice.message.tool_calls or []) == 1
        assert choice.finish_reason == "tool_calls"
        alone = ask(CONTINUED[2:])
        assert completion.usage is not None
        assert alone.usage is not None
        assert completion.usage.completion_tokens > alone.usage.completion_tokens

    def test_refused_to_the_end(self, ask: Callable[[list[list[Block]]], openai.types.chat.ChatCompletion]) -> None:
        choice = ask([[BAD_CALL]]).choices[0]
        assert (choice.message.content, choice.message.tool_calls) == (NOTE, None)
        assert choice.finish_reason == "stop"


def _by_responses_create(turns: list[list[Block]]) -> openai.types.responses.Response:
    return _openai(RESPONSES, turns).responses.create(model="gpt-5", input="Look.")


def _by_responses_stream(turns: list[list[Block]]) -> openai.types.responses.Response:
    with _openai(RESPONSES, turns).responses.stream(model="gpt-5", input="Look.") as stream:
        return stream.get_final_response()


@pytest.mark.parametrize("ask", [_by_responses_create, _by_responses_stream])
class TestResponses:
    def test_mixed(self, ask: Callable[[list[list[Block]]], openai.types.responses.Response]) -> None:
        response = ask(MIXED)
        kinds = [item.type for item in response.output]
        assert kinds == ["reasoning", "message", "function_call", "message", "function_call"]
        assert response.output_text == SAID + NOTE
        calls = [item for item in response.output if isinstance(item, ResponseFunctionToolCall)]
        assert [(call.name, json.loads(call.arguments)) for call in calls] == CALLS

    def test_continued(self, ask: Callable[[list[list[Block]]], openai.types.responses.Response]) -> None:
        response = ask(CONTINUED)
        assert response.output_text == f"First.{NOTE}Second.{NOTE}{NOTE}Third."
        assert [item.type for item in response.output][-3:] == ["reasoning", "message", "function_call"]
        alone = ask(CONTINUED[2:])
        assert response.usage is not None
        assert alone.usage is not None
        assert response.usage.output_tokens > alone.usage.output_tokens

    def test_refused_to_the_end(self, ask: Callable[[list[list[Block]]], openai.types.responses.Response]) -> None:
        response = ask([[BAD_CALL]])
        assert [item.type for item in response.output] == ["message"]
        assert response.output_text == NOTE


def _gemini(turns: list[list[Block]]) -> genai.Client:
    options = genai.types.HttpOptions(client_args={"transport": _transport(GEMINI, turns)})
    return genai.Client(api_key="key", http_options=options)


def _by_gemini_create(turns: list[list[Block]]) -> list[genai.types.Part]:
    client = _gemini(turns)
    answer = client.models.generate_content(model="gemini-3-pro", contents="Look.")
    assert answer.candidates
    assert answer.candidates[0].finish_reason == "STOP"
    assert answer.candidates[0].content
    return answer.candidates[0].content.parts or []


def _by_gemini_stream(turns: list[list[Block]]) -> list[genai.types.Part]:
    parts: list[genai.types.Part] = []
    reasons = []
    client = _gemini(turns)
    for chunk in client.models.generate_content_stream(model="gemini-3-pro", contents="Look."):
        for candidate in chunk.candidates or []:
            reasons.append(candidate.finish_reason)
            parts += (candidate.content.parts or []) if candidate.content else []
    assert [reason for reason in reasons if reason] == ["STOP"]
    return parts


@pytest.mark.parametrize("ask", [_by_gemini_create, _by_gemini_stream])
class TestGemini:
    def test_mixed(self, ask: Callable[[list[list[Block]]], list[genai.types.Part]]) -> None:
        parts = ask(MIXED)
        assert "".join(part.text or "" for part in parts if not part.thought) == SAID + NOTE
        calls = [part.function_call for part in parts if part.function_call]
        assert [(call.name, call.args) for call in calls] == CALLS

    def test_continued(self, ask: Callable[[list[list[Block]]], list[genai.types.Part]]) -> None:
        parts = ask(CONTINUED)
        said = "".join(part.text or "" for part in parts if not part.thought)
        assert said == f"First.{NOTE}Second.{NOTE}{NOTE}Third."
        assert [part.function_call.name for part in parts if part.function_call] == ["Bash"]


def test_errors_in_the_middle_of_a_stream_are_errors_to_the_sdks() -> None:
    for api in (ANTHROPIC, CHAT, RESPONSES):
        whole_stream = streamed(api, [[Text("Hello there.", ("Hello ", "there."))]]).raw
        cut = whole_stream[: whole_stream.index(b"there")].rpartition(b"\n\n")[0] + b"\n\n"
        stream = api.codec.stream(masker(), TextRelease.AS_IT_COMES)
        for item in stream.feed(cut):
            raise AssertionError(item)
        body = stream.take() + stream.error("it broke")

        def answer(request: httpx2.Request, body: bytes = body) -> httpx2.Response:
            return httpx2.Response(200, headers={"content-type": "text/event-stream"}, content=body)

        client = httpx2.Client(transport=httpx2.MockTransport(answer))
        if api is ANTHROPIC:
            with (
                pytest.raises(anthropic.APIStatusError, match="it broke"),
                anthropic.Anthropic(api_key="key", http_client=client).messages.stream(
                    model="m", max_tokens=1, messages=[{"role": "user", "content": "Look."}]
                ) as message,
            ):
                message.get_final_message()
        elif api is CHAT:
            with pytest.raises(openai.APIError, match="it broke"):
                list(
                    openai.OpenAI(api_key="key", http_client=client).chat.completions.create(
                        model="m", messages=[{"role": "user", "content": "Look."}], stream=True
                    )
                )
        else:
            with openai.OpenAI(api_key="key", http_client=client).responses.stream(model="m", input="L") as events:
                last = list(events)[-1]
            assert last.type == "response.failed"
            assert last.response.error is not None
            assert last.response.error.message == "it broke"

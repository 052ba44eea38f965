"""The loopback model as the official SDKs see it: what they accumulate is what the script said."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

import anthropic
import openai
import pytest
from google import genai
from google.genai import types as gemini_types
from openai.types.chat import ChatCompletionToolParam
from openai.types.responses import FunctionToolParam

from ciguard.operation import Json
from ciguard.testing.model import (
    Block,
    Call,
    Conversation,
    LoopbackModel,
    Provider,
    Text,
    Thinking,
)

pytestmark = [
    # google-genai does what aiohttp discourages.
    pytest.mark.filterwarnings("ignore:Inheritance class AiohttpClientSession:DeprecationWarning"),
]

KEY = "key-of-the-guard"
PROMPT = "Which files are there?"
SYSTEM = "You are terse."
SCHEMA: dict[str, object] = {"type": "object", "properties": {"command": {"type": "string"}}}


@dataclass(frozen=True)
class Heard:
    """What a client took from one answer."""

    text: str
    thinking: str
    calls: list[tuple[str, Json]]
    input_tokens: int
    output_tokens: int


async def anthropic_streamed(url: str) -> Heard:
    """Messages, streamed."""
    async with (
        anthropic.AsyncAnthropic(base_url=url, api_key=KEY, max_retries=0) as client,
        client.messages.stream(
            model="claude-sonnet-4-6",
            max_tokens=500,
            system=SYSTEM,
            messages=[{"role": "user", "content": PROMPT}],
            tools=[{"name": "Bash", "input_schema": SCHEMA}],
        ) as stream,
    ):
        return _of_message(await stream.get_final_message())


async def anthropic_whole(url: str) -> Heard:
    """Messages, not streamed."""
    async with anthropic.AsyncAnthropic(base_url=url, auth_token=KEY, api_key=None, max_retries=0) as client:
        return _of_message(
            await client.messages.create(
                model="claude-sonnet-4-6",
                max_tokens=500,
                system=[{"type": "text", "text": SYSTEM}],
                messages=[{"role": "user", "content": [{"type": "text", "text": PROMPT}]}],
                tools=[{"name": "Bash", "input_schema": SCHEMA}],
            )
        )


def _of_message(message: anthropic.types.Message) -> Heard:
    assert message.stop_reason == ("tool_use" if any(b.type == "tool_use" for b in message.content) else "end_turn")
    return Heard(
        "".join(block.text for block in message.content if block.type == "text"),
        "".join(block.thinking for block in message.content if block.type == "thinking"),
        [(block.name, block.input) for block in message.content if block.type == "tool_use"],  # type: ignore[misc]
        message.usage.input_tokens,
        message.usage.output_tokens,
    )


RESPONSES_TOOL: FunctionToolParam = {
    "type": "function",
    "name": "Bash",
    "parameters": SCHEMA,
    "strict": False,
}
CHAT_TOOL: ChatCompletionToolParam = {"type": "function", "function": {"name": "Bash", "parameters": SCHEMA}}


async def responses_streamed(url: str) -> Heard:
    """Responses, streamed: the deltas and the completed response must agree."""
    async with openai.AsyncOpenAI(base_url=url + "/v1", api_key=KEY, max_retries=0) as client:
        spoken: list[str] = []
        numbers: list[int] = []
        async with client.responses.stream(
            model="gpt-5.2", instructions=SYSTEM, input=PROMPT, tools=[RESPONSES_TOOL]
        ) as stream:
            async for event in stream:
                numbers.append(event.sequence_number)
                if event.type == "response.output_text.delta":
                    spoken.append(event.delta)
            response = await stream.get_final_response()
        assert numbers == list(range(len(numbers)))
        assert "".join(spoken) == response.output_text
        return _of_response(response)


async def responses_whole(url: str) -> Heard:
    """Responses, not streamed."""
    async with openai.AsyncOpenAI(base_url=url + "/v1", api_key=KEY, max_retries=0) as client:
        return _of_response(
            await client.responses.create(
                model="gpt-5.2",
                input=[{"role": "developer", "content": SYSTEM}, {"role": "user", "content": PROMPT}],
                tools=[RESPONSES_TOOL],
            )
        )


def _of_response(response: openai.types.responses.Response) -> Heard:
    assert response.status == "completed"
    assert response.usage is not None
    return Heard(
        response.output_text,
        "".join(part.text for item in response.output if item.type == "reasoning" for part in item.summary),
        [(item.name, json.loads(item.arguments)) for item in response.output if item.type == "function_call"],
        response.usage.input_tokens,
        response.usage.output_tokens,
    )


async def chat_streamed(url: str) -> Heard:
    """Chat Completions, streamed."""
    async with (
        openai.AsyncOpenAI(base_url=url + "/v1", api_key=KEY, max_retries=0) as client,
        client.chat.completions.stream(
            model="gpt-5-mini",
            messages=[{"role": "system", "content": SYSTEM}, {"role": "user", "content": PROMPT}],
            tools=[CHAT_TOOL],
            stream_options={"include_usage": True},
        ) as stream,
    ):
        return _of_completion(await stream.get_final_completion())


async def chat_whole(url: str) -> Heard:
    """Chat Completions, not streamed."""
    async with openai.AsyncOpenAI(base_url=url + "/v1", api_key=KEY, max_retries=0) as client:
        return _of_completion(
            await client.chat.completions.create(
                model="gpt-5-mini",
                messages=[
                    {"role": "developer", "content": SYSTEM},
                    {"role": "user", "content": [{"type": "text", "text": PROMPT}]},
                ],
                tools=[CHAT_TOOL],
            )
        )


def _of_completion(completion: openai.types.chat.ChatCompletion) -> Heard:
    choice = completion.choices[0]
    assert completion.usage is not None
    assert choice.finish_reason == ("tool_calls" if choice.message.tool_calls else "stop")
    return Heard(
        choice.message.content or "",
        "",
        [
            (call.function.name, json.loads(call.function.arguments))
            for call in choice.message.tool_calls or []
            if call.type == "function"
        ],
        completion.usage.prompt_tokens,
        completion.usage.completion_tokens,
    )


GEMINI_CONFIG = gemini_types.GenerateContentConfig(
    system_instruction=SYSTEM,
    tools=[
        gemini_types.Tool(
            function_declarations=[gemini_types.FunctionDeclaration(name="Bash", parameters_json_schema=SCHEMA)]
        )
    ],
)


def gemini_client(url: str, key: str = KEY) -> genai.Client:
    """A Gemini client on the loopback model."""
    return genai.Client(api_key=key, http_options=gemini_types.HttpOptions(base_url=url))


async def gemini_streamed(url: str) -> Heard:
    """Gemini, streamed."""
    async with gemini_client(url).aio as client:
        chunks = await client.models.generate_content_stream(
            model="gemini-3-flash-preview", contents=PROMPT, config=GEMINI_CONFIG
        )
        return _of_chunks([chunk async for chunk in chunks])


async def gemini_whole(url: str) -> Heard:
    """Gemini, not streamed."""
    async with gemini_client(url).aio as client:
        answer = await client.models.generate_content(
            model="gemini-3-flash-preview", contents=PROMPT, config=GEMINI_CONFIG
        )
    return _of_chunks([answer])


def _of_chunks(chunks: Sequence[gemini_types.GenerateContentResponse]) -> Heard:
    parts = [
        part
        for chunk in chunks
        for candidate in chunk.candidates or []
        for part in (candidate.content and candidate.content.parts) or []
    ]
    usage = chunks[-1].usage_metadata
    assert usage is not None
    prompt, candidates, thoughts = usage.prompt_token_count, usage.candidates_token_count, usage.thoughts_token_count
    assert prompt is not None
    assert candidates is not None
    assert thoughts is not None
    assert usage.total_token_count == prompt + candidates + thoughts
    assert str(chunks[-1].candidates and chunks[-1].candidates[0].finish_reason) == "FinishReason.STOP"
    return Heard(
        "".join(part.text for part in parts if part.text and not part.thought),
        "".join(part.text for part in parts if part.text and part.thought),
        [(part.function_call.name or "", part.function_call.args) for part in parts if part.function_call],
        prompt,
        candidates + thoughts,
    )


CLIENTS = {
    client.__name__: (provider, client)
    for provider, client in (
        (Provider.ANTHROPIC, anthropic_streamed),
        (Provider.ANTHROPIC, anthropic_whole),
        (Provider.OPENAI_RESPONSES, responses_streamed),
        (Provider.OPENAI_RESPONSES, responses_whole),
        (Provider.OPENAI_CHAT, chat_streamed),
        (Provider.OPENAI_CHAT, chat_whole),
        (Provider.GEMINI, gemini_streamed),
        (Provider.GEMINI, gemini_whole),
    )
}
SCRIPTS: dict[str, list[Block]] = {
    "words": [Text('A plain answer, in several deltas: grün 😀 "quoted" <b>\n')],
    "pieces": [Text("sk-secret", pieces=("sk", "-", "sec", "ret"))],
    "call": [Call("Bash", {"command": "ls -l 'ä'"})],
    "thinking and calls": [
        Thinking("I should look first."),
        Text("I look."),
        Call("Bash", {"command": "ls"}),
        Call("Bash", {"command": "pwd", "options": [1, None, True, {"x": 1.5}]}),
    ],
    "cut arguments": [Call("Bash", {"command": "ls"}, pieces=('{"com', 'mand":', '"ls"}'))],
}


@pytest.mark.parametrize("script", SCRIPTS)
@pytest.mark.parametrize("client", CLIENTS)
async def test_sdk_hears_what_the_script_says(client: str, script: str) -> None:
    provider, ask = CLIENTS[client]
    seen: list[Conversation] = []

    def answer(conversation: Conversation) -> list[Block]:
        seen.append(conversation)
        return SCRIPTS[script]

    async with LoopbackModel(answer, api_keys=[KEY]) as model:
        heard = await ask(model.url)
    assert heard.text == "".join(block.text for block in SCRIPTS[script] if isinstance(block, Text))
    assert heard.calls == [(block.name, block.input) for block in SCRIPTS[script] if isinstance(block, Call)]
    if provider is not Provider.OPENAI_CHAT:
        assert heard.thinking == "".join(block.text for block in SCRIPTS[script] if isinstance(block, Thinking))
    assert heard.input_tokens > 0
    assert heard.output_tokens > 0
    [conversation] = seen
    assert conversation.provider is provider
    assert conversation.system == SYSTEM
    assert conversation.user_texts == (PROMPT,)
    assert conversation.tools == ("Bash",)
    assert conversation.turn == 0
    assert conversation.credential == KEY
    assert KEY not in repr(conversation)
    assert KEY not in repr(model.requests[0])

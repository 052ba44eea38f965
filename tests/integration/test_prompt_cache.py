"""Prompt caches of the upstreams: what was sent once goes out the same way with every later turn."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from ciguard.codecs.document import split
from ciguard.operation import Json
from ciguard.testing.model import Block, Call, Conversation, Text
from tests.integration.guarded import CHAT, CREDENTIAL, GEMINI, MESSAGES, RESPONSES, SECRET, guarded
from tests.spacy_models import saved_model

RULES = """
masking: {{personal_data: [email], fields: [pin], names: {{model: {model}}}}}
rules:
  - id: customer
    on: [prompt, tool_result, response_text, tool_call]
    text: {{regex: ['C-[0-9]{{8}}']}}
    action: mask
"""
TEXTS = (
    f"token {SECRET}",
    f"the upstream's is {CREDENTIAL}, pin: 4711, C-12345678",
    "mr Jones <jones@acme.io> and Ada Lovelace went to Lisbon. " * 40,
    "nothing to hide: café 🦀",
)
"""What the tool returns, turn after turn."""


def script(conversation: Conversation) -> list[Block]:
    """Goes on until it has all texts, and repeats what it got."""
    if len(conversation.tool_results) == len(TEXTS):
        return [Text("Done.")]
    last = conversation.tool_results[-1].text if conversation.tool_results else "nothing"
    return [Text(f"I have {last[:200]} of Ada Lovelace."), Call("Bash", {"command": f"echo '{SECRET}' C-87654321"})]


@dataclass(frozen=True)
class Agent:
    """How an agent keeps its conversation over one API."""

    target: str
    listed: str
    first: Json
    rest: dict[str, Json]
    answered: Callable[[Any], list[Any]]
    returned: Callable[[Any, str], Any]


def _chat_result(message: Any, text: str) -> Any:
    return {"role": "tool", "tool_call_id": message["tool_calls"][0]["id"], "content": text}


def _messages_result(message: Any, text: str) -> Any:
    call = message["content"][-1]["id"]
    block = {"type": "tool_result", "tool_use_id": call, "content": text, "cache_control": {"type": "ephemeral"}}
    return {"role": "user", "content": [block]}


AGENTS = {
    "messages": Agent(
        MESSAGES,
        "messages",
        {"role": "user", "content": f"I am mr Jones, {SECRET}"},
        {"model": "claude-sonnet-4-6", "max_tokens": 9},
        lambda answer: [{"role": "assistant", "content": answer["content"]}],
        _messages_result,
    ),
    "chat": Agent(
        CHAT,
        "messages",
        {"role": "user", "content": f"I am mr Jones, {SECRET}"},
        {"model": "gpt-5"},
        lambda answer: [answer["choices"][0]["message"]],
        _chat_result,
    ),
    "responses": Agent(
        RESPONSES,
        "input",
        {"role": "user", "content": f"I am mr Jones, {SECRET}"},
        {"model": "gpt-5"},
        lambda answer: answer["output"],
        lambda item, text: {"type": "function_call_output", "call_id": item["call_id"], "output": text},
    ),
    "gemini": Agent(
        GEMINI,
        "contents",
        {"role": "user", "parts": [{"text": f"I am mr Jones, {SECRET}"}]},
        {},
        lambda answer: [answer["candidates"][0]["content"]],
        lambda _, text: {
            "role": "user",
            "parts": [{"functionResponse": {"name": "Bash", "response": {"output": text}}}],
        },
    ),
}


@pytest.mark.parametrize("agent", AGENTS.values(), ids=AGENTS)
async def test_what_was_sent_once_is_sent_the_same_again(
    agent: Agent, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    rules = RULES.format(model=saved_model(tmp_path_factory.mktemp("models")))
    history: list[Any] = [agent.first]
    async with guarded(tmp_path, script=script, rules=rules) as running:
        for text in (*TEXTS, ""):
            answer = await running.call(agent.target, {**agent.rest, agent.listed: history})
            assert answer.status == 200, answer.body
            said = agent.answered(json.loads(answer.body))
            history += said
            if text:
                history.append(agent.returned(said[-1], text))
        sent = [
            [part.raw for part in split(request.body, agent.listed).parts if part.item]
            for request in running.model.requests
        ]
    assert len(sent) == len(TEXTS) + 1
    for before, after in pairwise(sent):
        assert len(before) < len(after)
        assert after[: len(before)] == before
    everything = b"".join(sent[-1])
    hidden = (SECRET, CREDENTIAL, "4711", "C-12345678", "C-87654321", "Jones", "jones@", "Lovelace", "Lisbon")
    assert [one for one in hidden if one.encode() in everything] == []
    assert everything.count(b"[ciguard-masked:") > 10


async def test_a_mark_for_the_cache_that_moves_on_changes_nothing_else(tmp_path: Path) -> None:
    def said(*texts: str) -> list[Json]:
        blocks: list[dict[str, Json]] = [{"type": "text", "text": f"{text} {SECRET}"} for text in texts]
        blocks[-1]["cache_control"] = {"type": "ephemeral"}
        return [{"role": "user", "content": [block]} for block in blocks]

    async with guarded(tmp_path) as running:
        for count in (1, 2, 3):
            body: Json = {"model": "m", "max_tokens": 9, "messages": said(*"abc"[:count])}
            assert (await running.call(MESSAGES, body)).status == 200
        sent = [json.loads(request.body)["messages"] for request in running.model.requests]
    for messages in sent:
        for message in messages:
            message["content"][0].pop("cache_control", None)
    assert sent[0] == sent[1][:1]
    assert sent[1] == sent[2][:2]

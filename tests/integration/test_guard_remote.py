"""What a request has the model's service do itself passes only when the connection's ``remote`` names it."""

from __future__ import annotations

from pathlib import Path

import pytest

from ciguard.operation import Json
from ciguard.session.event import EventType
from tests.integration.guarded import CHAT, GEMINI, MESSAGES, RESPONSES, Guarded, guarded, message

IMAGE = "https://images.example.com/a.png"
SEARCH: Json = [{"type": "web_search_20250305", "name": "web_search"}]
SEEN: Json = [{"role": "user", "content": [{"type": "image", "source": {"type": "url", "url": IMAGE}}]}]

ASKING: list[tuple[str, dict[str, Json], list[str]]] = [
    (MESSAGES, {"tools": SEARCH}, ["tool web_search_20250305"]),
    (MESSAGES, {"messages": SEEN}, [f"address {IMAGE}"]),
    (f"{MESSAGES}/count_tokens", {"messages": SEEN}, [f"address {IMAGE}"]),
    (
        MESSAGES,
        {"mcp_servers": [{"type": "url", "url": "https://mcp.example.com/", "name": "x"}]},
        ["tool mcp", "address https://mcp.example.com/"],
    ),
    (
        RESPONSES,
        {"tools": [{"type": "mcp", "server_label": "x", "server_url": IMAGE}]},
        ["tool mcp", f"address {IMAGE}"],
    ),
    (CHAT, {"web_search_options": {}}, ["tool web_search_options"]),
    (GEMINI, {"tools": [{"urlContext": {}}]}, ["tool url_context"]),
]


def plain(target: str) -> dict[str, Json]:
    """A request that asks nothing of the service but an answer."""
    match target:
        case t if t == RESPONSES:
            return {"model": "gpt-5", "input": "Hello."}
        case t if t == CHAT:
            return {"model": "gpt-5", "messages": [{"role": "user", "content": "Hello."}]}
        case t if t == GEMINI:
            return {"contents": [{"role": "user", "parts": [{"text": "Hello."}]}]}
        case t if t.endswith("count_tokens"):
            return {key: value for key, value in message().items() if key != "max_tokens"}
        case _:
            return message()


def asked(guard: Guarded) -> list[tuple[str, Json]]:
    """The recorded operations of that kind: their effects and texts."""
    events = [event for event in guard.events(EventType.OPERATION) if event["operation"] == "remote"]
    return [(event["effect"], guard.body(event)["texts"]) for event in events]


@pytest.mark.parametrize(("target", "fields", "texts"), ASKING)
async def test_it_is_refused_and_recorded(
    tmp_path: Path, target: str, fields: dict[str, Json], texts: list[str]
) -> None:
    async with guarded(tmp_path) as guard:
        for _ in range(2):
            answer = await guard.call(target, {**plain(target), **fields})
            assert answer.status == 400
            assert "ciguard:remote" in answer.message
        assert guard.model.requests == []
        assert asked(guard) == [("withheld", texts)]
        assert (await guard.call(target, plain(target))).status == 200


@pytest.mark.parametrize("fields", [{"tools": SEARCH}, {"messages": SEEN}])
async def test_what_the_policy_names_passes(tmp_path: Path, fields: dict[str, Json]) -> None:
    named = 'remote: {tools: ["web_search_*"], hosts: [images.example.com]}'
    async with guarded(tmp_path, claude=named) as guard:
        assert (await guard.call(body={**message(), **fields})).status == 200
        assert [effect for effect, _ in asked(guard)] == ["forwarded"]


async def test_it_is_refused_whatever_was_asked_before(tmp_path: Path) -> None:
    """An address that passed as a text of the conversation is still none that the service may fetch."""
    async with guarded(tmp_path) as guard:
        assert (await guard.call(body=message(f"address {IMAGE}"))).status == 200
        assert (await guard.call(body={**message(), "messages": SEEN})).status == 400


async def test_what_one_connection_may_another_may_not(tmp_path: Path) -> None:
    async with guarded(tmp_path, claude='remote: {tools: ["*"], hosts: ["*"]}') as guard:
        assert (await guard.call(body={**message(), "messages": SEEN})).status == 200
        seen: Json = [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": IMAGE}}]}]
        assert (await guard.call(CHAT, {"model": "gpt-5", "messages": seen})).status == 400

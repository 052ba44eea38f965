"""Where calls lead, and what a connection has used up."""

from __future__ import annotations

import pytest

from ciguard.codecs.codec import Purpose
from ciguard.guard.connection import NoRoute, OpenConnection, Route, codecs_of, find_route
from ciguard.policy.sections.connection import Connection, ConnectionType


def connection(name: str, type_: str, **fields: object) -> OpenConnection:
    declared = Connection.model_validate({"type": type_, "credential": {"env": "KEY"}, **fields})
    return OpenConnection(name, declared, "the-credential")


CONNECTIONS = {
    "claude": connection("claude", "anthropic"),
    "gpt": connection("gpt", "openai"),
    "my-gemini-2": connection("my-gemini-2", "gemini"),
}


@pytest.mark.parametrize(
    ("method", "target", "purpose", "path", "query", "model"),
    [
        ("POST", "/claude/v1/messages", Purpose.GENERATE, "/v1/messages", "", ""),
        ("POST", "/claude/v1/messages?beta=true", Purpose.GENERATE, "/v1/messages", "beta=true", ""),
        ("POST", "/claude/v1/messages?", Purpose.GENERATE, "/v1/messages", "", ""),
        ("POST", "/claude/v1/messages/count_tokens", Purpose.MEASURE, "/v1/messages/count_tokens", "", ""),
        ("GET", "/claude/v1/models?limit=3", Purpose.LIST, "/v1/models", "limit=3", ""),
        ("GET", "/claude/v1/models/claude-x.1", Purpose.LIST, "/v1/models/claude-x.1", "", "claude-x.1"),
        ("HEAD", "/claude", Purpose.PING, "", "", ""),
        ("HEAD", "/claude/", Purpose.PING, "/", "", ""),
        ("POST", "/gpt/v1/responses", Purpose.GENERATE, "/v1/responses", "", ""),
        ("POST", "/gpt/v1/chat/completions", Purpose.GENERATE, "/v1/chat/completions", "", ""),
        (
            "POST",
            "/my-gemini-2/v1beta/models/gemini-3:streamGenerateContent?alt=sse",
            Purpose.GENERATE,
            "/v1beta/models/gemini-3:streamGenerateContent",
            "alt=sse",
            "gemini-3",
        ),
    ],
)
def test_addresses_that_are_served(
    method: str, target: str, purpose: Purpose, path: str, query: str, model: str
) -> None:
    route = find_route(CONNECTIONS, method, target)
    assert isinstance(route, Route)
    assert (route.endpoint.purpose, route.path, route.query, route.model) == (purpose, path, query, model)
    assert route.connection is CONNECTIONS[target.split("/")[1].partition("?")[0]]


@pytest.mark.parametrize(
    ("method", "target", "status", "known"),
    [
        ("POST", "", 404, False),
        ("POST", "/", 404, False),
        ("POST", "claude/v1/messages", 404, False),
        ("POST", "/Claude/v1/messages", 404, False),
        ("POST", "/claude.evil/v1/messages", 404, False),
        ("POST", "/claude@evil.example.com/v1/messages", 404, False),
        ("POST", "http://evil.example.com/claude/v1/messages", 404, False),
        ("POST", "//evil.example.com/v1/messages", 404, False),
        ("POST", "/claude/v1/messages\n", 404, True),
        ("POST", "/claude/v1/messages#x", 404, False),
        ("POST", "/claude/v1/messages/../files", 404, True),
        ("GET", "/claude/v1/models/..", 404, True),
        ("GET", "/claude/v1/models/.", 404, True),
        ("HEAD", "/claude/..", 404, True),
        ("GET", "/claude/v1/models/%2e%2e", 404, True),
        ("get", "/claude/v1/models", 405, True),
        ("POST", "/claude/v1/models", 405, True),
        ("POST", "/claude/v1/messages?beta=true&beta2=x", 400, True),
        ("POST", "/claude/v1/messages?beta=a b", 400, True),
        ("POST", "/claude/v1/messages?beta=\xe9", 400, True),
        ("POST", "/claude/v1/messages?=x", 400, True),
        ("POST", "/claude/v1/messages?beta=1&%6bey=x", 400, True),
        ("POST", "/my-gemini-2/v1beta/models/gemini-3:streamGenerateContent", 400, True),
        ("POST", "/my-gemini-2/v1beta/models/gemini-3:generateContent?key=x", 400, True),
    ],
)
def test_addresses_that_lead_nowhere(method: str, target: str, status: int, known: bool) -> None:
    route = find_route(CONNECTIONS, method, target)
    assert isinstance(route, NoRoute)
    assert route.status == status
    assert (route.connection is not None) is known
    assert (route.codec is not None) is known


def test_every_type_of_connection_has_codecs() -> None:
    assert all(codecs_of(type_) for type_ in ConnectionType)


def test_limits_are_used_up() -> None:
    limited = connection("claude", "anthropic", limits={"requests": 2, "output_tokens": 10})
    assert limited.exhausted() == ""
    limited.requests = 2
    assert limited.exhausted() == "the limit of 2 requests is used up"
    limited.requests, limited.output_tokens = 1, 10
    assert limited.exhausted() == "the limit of 10 output tokens is used up"


def test_the_credential_is_in_no_representation() -> None:
    assert "the-credential" not in repr(CONNECTIONS["claude"])

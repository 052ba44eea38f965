"""Credentials, routes, counts and resent turns of the loopback model, without a server."""

from __future__ import annotations

import json

import pytest

from ciguard.operation import Json
from ciguard.testing.model import Block, Call, Native, Text, Thinking
from ciguard.testing.model.service import REQUEST_LIMIT
from tests.unit.testing.model_requests import (
    ANSWERED,
    CHAT,
    GEMINI,
    HEADERS,
    KEY,
    MESSAGES,
    RESPONSES,
    ask,
    chat,
    contents,
    heard,
    message,
    refusal,
    responses,
    result,
    told,
)

BODIES: dict[str, dict[str, Json]] = {
    MESSAGES: message(("user", "x")),
    RESPONSES: responses(),
    CHAT: chat(),
    GEMINI: contents(("user", [{"text": "x"}])),
}
WRONG: dict[str, list[tuple[dict[str, str], int, str]]] = {
    MESSAGES: [
        ({}, 401, "x-api-key header is required"),
        ({"x-api-key": "agent-token"}, 401, "invalid x-api-key"),
        ({"x-api-key": KEY, "authorization": "Bearer agent-token"}, 401, "invalid x-api-key"),
        ({"authorization": f"Basic {KEY}"}, 401, "invalid x-api-key"),
    ],
    RESPONSES: [
        ({}, 401, "You didn't provide an API key."),
        ({"authorization": "Bearer sk-proj-0123456789"}, 401, "Incorrect API key provided: sk-proj-******6789."),
        ({"authorization": "Bearer short"}, 401, "Incorrect API key provided: short."),
    ],
    CHAT: [({"x-api-key": KEY}, 401, "You didn't provide an API key.")],
    GEMINI: [
        ({}, 403, "Method doesn't allow unregistered callers"),
        ({"x-goog-api-key": "agent-token"}, 400, "API key not valid. Please pass a valid API key."),
    ],
}


@pytest.mark.parametrize("path", WRONG)
def test_credentials_are_checked(path: str) -> None:
    for headers, status, words in WRONG[path]:
        found, text = refusal(ask(path, BODIES[path], headers))
        assert found == status
        assert text.startswith(words)


@pytest.mark.parametrize("path", BODIES)
def test_any_place_of_a_valid_credential_will_do(path: str) -> None:
    version = {"anthropic-version": "2023-06-01"} if path == MESSAGES else {}
    assert ask(path, BODIES[path], version | {"authorization": f"Bearer {KEY}"}).status == 200
    assert ask(GEMINI + f"?key={KEY}", BODIES[GEMINI], {}).status == 200


@pytest.mark.parametrize("path", BODIES)
@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b'"x"', b"\xff"])
def test_bodies_that_are_no_object_are_refused(path: str, body: bytes) -> None:
    assert refusal(ask(path, body)) == (400, "We could not parse the JSON body of your request.")


def test_a_body_beyond_the_limit_is_refused() -> None:
    answer = ask(MESSAGES, b" " * (REQUEST_LIMIT + 1))
    assert answer.status == 413
    assert json.loads(answer.body)["error"]["type"] == "request_too_large"


@pytest.mark.parametrize("path", [*BODIES, "/v1/messages/count_tokens", "/v1/models"])
def test_other_methods_are_refused(path: str) -> None:
    headers = HEADERS[GEMINI] if path == GEMINI else {"authorization": f"Bearer {KEY}"}
    assert ask(path, b"", headers, method="DELETE").status == 405


@pytest.mark.parametrize("path", ["/", "/v1/complete", "/v1/messages/batches", "/v1beta/files", "/v1/responses/1"])
def test_other_paths_are_refused(path: str) -> None:
    assert ask(path, b"", {"authorization": f"Bearer {KEY}"}, method="GET").status == 404


def test_models_are_listed_for_each_provider() -> None:
    anthropic = json.loads(ask("/v1/models", b"", HEADERS[MESSAGES], method="GET").body)
    openai = json.loads(ask("/v1/models", b"", HEADERS[CHAT], method="GET").body)
    gemini = json.loads(ask("/v1beta/models", b"", HEADERS[GEMINI], method="GET").body)
    assert all(entry["id"].startswith("claude-") for entry in anthropic["data"])
    assert all(entry["id"].startswith("gpt-") for entry in openai["data"])
    assert all(entry["name"].startswith("models/gemini-") for entry in gemini["models"])
    for path, name, headers in (
        ("/v1/models/", anthropic["data"][0]["id"], HEADERS[MESSAGES]),
        ("/v1/models/", openai["data"][0]["id"], HEADERS[CHAT]),
        ("/v1beta/", gemini["models"][0]["name"], HEADERS[GEMINI]),
    ):
        assert name in ask(path + name, b"", headers, method="GET").body.decode()
        assert ask(path.replace("v1beta/", "v1beta/models/") + "none", b"", headers, method="GET").status == 404


def test_counted_tokens_are_those_that_a_reply_reports() -> None:
    asked_for = {
        "/v1/messages/count_tokens": (MESSAGES, "input_tokens", ("usage", "input_tokens")),
        "/v1/responses/input_tokens": (RESPONSES, "input_tokens", ("usage", "input_tokens")),
        GEMINI.replace("generateContent", "countTokens"): (
            GEMINI,
            "totalTokens",
            ("usageMetadata", "promptTokenCount"),
        ),
    }
    for path, (generate, count, (usage, tokens)) in asked_for.items():
        body = BODIES[generate]
        counted = json.loads(ask(path, body, HEADERS[generate]).body)[count]
        assert counted == json.loads(ask(generate, body).body)[usage][tokens]
        assert counted > 0


def test_a_longer_conversation_counts_more() -> None:
    short = json.loads(ask(MESSAGES, message(("user", "x"))).body)["usage"]["input_tokens"]
    long = json.loads(ask(MESSAGES, message(("user", "x" * 400))).body)["usage"]["input_tokens"]
    assert long - short == pytest.approx(100, abs=1)


BLOCKS: list[Block] = [
    Thinking("First."),
    Text("I look."),
    Call("Bash", {"command": "ls"}),
    Call("patch", {"input": "p"}),
]


def said(path: str, body: dict[str, Json], blocks: list[Block]) -> dict[str, Json]:
    """The answer that carries ``blocks``."""
    document: dict[str, Json] = json.loads(ask(path, body, script=lambda _: blocks).body)
    return document


def at(value: Json, *path: str | int) -> Json:
    """The value inside ``value`` at ``path``."""
    for step in path:
        match value, step:
            case dict(), str():
                value = value[step]
            case list(), int():
                value = value[step]
            case _:
                raise AssertionError(f"there is no {step} in {value}")
    return value


def members(value: Json) -> list[dict[str, Json]]:
    """The objects of an array."""
    assert isinstance(value, list)
    return [item for item in value if isinstance(item, dict)]


def test_an_anthropic_turn_may_be_sent_back() -> None:
    turn = said(MESSAGES, BODIES[MESSAGES], BLOCKS)["content"]
    answers: list[Json] = [result(str(block["id"])) for block in members(turn) if block["type"] == "tool_use"]
    conversation = heard(MESSAGES, message(("user", "x"), ("assistant", turn), ("user", answers)))
    assert len(conversation.tool_results) == 2


def test_a_responses_turn_may_be_sent_back() -> None:
    items = said(RESPONSES, responses(tools=[{"type": "custom", "name": "patch"}]), BLOCKS)["output"]
    kinds = [item["type"] for item in members(items)]
    assert kinds == ["reasoning", "message", "function_call", "custom_tool_call"]
    outputs: list[Json] = [
        {"type": f"{item['type']}_output", "call_id": item["call_id"], "output": "o"} for item in members(items)[2:]
    ]
    assert len(heard(RESPONSES, responses(*members(items), *outputs)).tool_results) == 2


def test_a_chat_turn_may_be_sent_back() -> None:
    turn = at(said(CHAT, chat(), BLOCKS)["choices"], 0, "message")
    answers = [told(str(call["id"])) for call in members(at(turn, "tool_calls"))]
    assert len(heard(CHAT, chat(turn, *answers)).tool_results) == 2


def test_a_gemini_turn_may_be_sent_back() -> None:
    turn = at(said(GEMINI, BODIES[GEMINI], BLOCKS)["candidates"], 0, "content")
    asked: Json = {"parts": [{"text": "x"}]}
    answers: Json = {"role": "user", "parts": [ANSWERED, ANSWERED]}
    assert len(heard(GEMINI, {"contents": [asked, turn, answers]}).tool_results) == 2


@pytest.mark.parametrize(
    ("path", "place"),
    [
        (MESSAGES, ("content", 0)),
        (RESPONSES, ("output", 0)),
        (CHAT, ("choices", 0, "message")),
        (GEMINI, ("candidates", 0, "content", "parts", 0)),
    ],
)
def test_native_blocks_are_sent_as_they_are(path: str, place: tuple[str | int, ...]) -> None:
    shape: dict[str, Json] = {"type": "novelty", "payload": {"deep": ["x"]}}
    found = at(said(path, BODIES[path], [Native(shape)]), *place)
    assert isinstance(found, dict)
    assert found.items() >= shape.items()


@pytest.mark.parametrize("count", [1, 3])
def test_chat_gives_as_many_choices_as_asked(count: int) -> None:
    choices = members(said(CHAT, chat(n=count), BLOCKS)["choices"])
    assert [choice["index"] for choice in choices] == list(range(count))

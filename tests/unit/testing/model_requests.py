"""Requests in every provider's format, and the service's answers to them without a server."""

from __future__ import annotations

import json
from collections.abc import Mapping

from multidict import CIMultiDict, CIMultiDictProxy

from ciguard.operation import Json
from ciguard.testing.model import Conversation, ReceivedRequest, Script, Text
from ciguard.testing.model.answer import Answer
from ciguard.testing.model.dialect import id_source
from ciguard.testing.model.service import Service, dialect_of

KEY = "key-of-the-guard"
MESSAGES = "/v1/messages"
RESPONSES = "/v1/responses"
CHAT = "/v1/chat/completions"
GEMINI = "/v1beta/models/gemini-3-flash-preview:generateContent"
HEADERS: dict[str, dict[str, str]] = {
    MESSAGES: {"x-api-key": KEY, "anthropic-version": "2023-06-01"},
    RESPONSES: {"authorization": f"Bearer {KEY}"},
    CHAT: {"authorization": f"bearer {KEY}"},
    GEMINI: {"x-goog-api-key": KEY},
}


class Recorder:
    """A script that remembers what it saw."""

    def __init__(self) -> None:
        self.seen: list[Conversation] = []

    def __call__(self, conversation: Conversation) -> list[Text]:
        self.seen.append(conversation)
        return [Text("Fine.")]


def ask(
    path: str,
    body: Json | bytes,
    headers: Mapping[str, str] | None = None,
    *,
    method: str = "POST",
    script: Script | None = None,
) -> Answer:
    """The service's answer to one request."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    given = CIMultiDictProxy(CIMultiDict(HEADERS.get(path.partition("?")[0], {}) if headers is None else headers))
    try:
        parsed: Json = json.loads(data)
    except ValueError:
        parsed = None
    request = ReceivedRequest(method, path, given, data, parsed, KEY)
    service = Service(script or Recorder(), frozenset({KEY}), 12, id_source())
    return service.answer(request, dialect_of(request.url, given), 1_700_000_000)


def heard(path: str, body: Json) -> Conversation:
    """What the script sees of an accepted request."""
    script = Recorder()
    answer = ask(path, body, script=script)
    assert answer.status == 200, answer.body
    return script.seen[0]


def refusal(answer: Answer) -> tuple[int, str]:
    """Status and message of an error answer."""
    document = json.loads(answer.body)
    message: str = document["error"]["message"]
    return answer.status, message


def message(*turns: tuple[str, Json], **fields: Json) -> dict[str, Json]:
    """A Messages request."""
    body: dict[str, Json] = {"model": "claude-sonnet-4-6", "max_tokens": 10}
    body["messages"] = [{"role": role, "content": content} for role, content in turns]
    return body | fields


def used(name: str, call: str = "toolu_1") -> Json:
    """A tool_use block."""
    return {"type": "tool_use", "id": call, "name": name, "input": {}}


def result(call: str = "toolu_1", content: Json = "out", **fields: Json) -> Json:
    """A tool_result block."""
    return {"type": "tool_result", "tool_use_id": call, "content": content, **fields}


def words(text: str) -> Json:
    """A text block."""
    return {"type": "text", "text": text}


def responses(*items: Json, **fields: Json) -> dict[str, Json]:
    """A Responses request."""
    body: dict[str, Json] = {"model": "gpt-5.2", "input": [{"role": "user", "content": "x"}, *items]}
    return body | fields


def function_call(call: str = "call_1") -> Json:
    """A function_call item."""
    return {"type": "function_call", "id": "fc_1", "call_id": call, "name": "Bash", "arguments": "{}"}


def function_output(call: str = "call_1", output: Json = "out") -> Json:
    """A function_call_output item."""
    return {"type": "function_call_output", "call_id": call, "output": output}


def reasoning(**fields: Json) -> Json:
    """A reasoning item."""
    return {"type": "reasoning", "id": "rs_1", "summary": [], **fields}


def chat(*messages: Json, **fields: Json) -> dict[str, Json]:
    """A Chat Completions request."""
    body: dict[str, Json] = {"model": "gpt-5-mini", "messages": [{"role": "user", "content": "x"}, *messages]}
    return body | fields


def asked(*calls: str) -> Json:
    """An assistant message with tool calls."""
    function: Json = {"name": "Bash", "arguments": "{}"}
    made: list[Json] = [{"id": call, "type": "function", "function": function} for call in calls]
    return {"role": "assistant", "content": None, "tool_calls": made}


def told(call: str, text: str = "out") -> Json:
    """A tool message."""
    return {"role": "tool", "tool_call_id": call, "content": text}


def contents(*turns: tuple[str, list[Json]], **fields: Json) -> dict[str, Json]:
    """A Gemini request."""
    body: dict[str, Json] = {"contents": [{"role": role, "parts": parts} for role, parts in turns]}
    return body | fields


CALLED: Json = {"functionCall": {"name": "Bash", "args": {}}}
ANSWERED: Json = {"functionResponse": {"name": "Bash", "response": {"output": "out"}}}

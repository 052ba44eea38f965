"""Gemini generateContent: https://ai.google.dev/api/generate-content; errors as in https://google.aip.dev/193."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from urllib.parse import SplitResult, parse_qs

from ciguard.operation import Json
from ciguard.testing.model.answer import Answer, Write, escape_surrogates, json_answer
from ciguard.testing.model.conversation import (
    Block,
    Call,
    Conversation,
    Native,
    Provider,
    Text,
    Thinking,
    ToolResult,
    cut,
)
from ciguard.testing.model.dialect import NewId, ReceivedRequest, RefusedError, Reply, authorization
from ciguard.testing.model.reading import Kind, MissingError, Node, Path, WrongTypeError

MODELS = ("gemini-3-pro-preview", "gemini-3-flash-preview", "gemini-2.5-flash")

_STATUSES = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    429: "RESOURCE_EXHAUSTED",
    500: "INTERNAL",
    503: "UNAVAILABLE",
}
_ESCAPED = re.compile("[<>&'=]")


def credentials(headers: Mapping[str, str], url: SplitResult) -> list[str]:
    """An ``x-goog-api-key`` header, a ``key`` parameter or a bearer token."""
    key = headers.get("x-goog-api-key")
    return [*([] if key is None else [key]), *parse_qs(url.query).get("key", []), *authorization(headers)]


def unauthorised(presented: list[str]) -> RefusedError:
    """400 for a bad key and 403 for none, as the service has it."""
    if presented:
        return RefusedError(400, "API key not valid. Please pass a valid API key.", code="API_KEY_INVALID")
    return RefusedError(
        403,
        "Method doesn't allow unregistered callers (callers without established identity). Please use API Key or "
        "other form of API consumer identity to call this API.",
    )


def converse(request: ReceivedRequest) -> Conversation:
    """Checks the contents and that a turn of function calls is followed by as many responses."""
    try:
        return _converse(request)
    except MissingError as missing:
        raise RefusedError(400, f"* GenerateContentRequest.{_place(missing.path)}: is not specified\n") from missing
    except WrongTypeError as wrong:
        kind = {Kind.STRING: "TYPE_STRING", Kind.INTEGER: "TYPE_INT32"}.get(wrong.expected, "message")
        raise RefusedError(400, f"Invalid value at '{_place(wrong.path)}' ({kind})") from wrong


def _converse(request: ReceivedRequest) -> Conversation:
    root = Node(request.parsed)
    contents = root.need("contents").items()
    if not contents:
        raise RefusedError(400, "* GenerateContentRequest.contents: contents is not specified\n")
    roles = [_role(content) for content in contents]
    turns = list(zip(roles, (_parts(content) for content in contents), strict=True))
    _check_calls(turns)
    system = root.get("systemInstruction", "system_instruction")
    asked = [part for role, parts in turns if role != "model" for part in parts]
    return Conversation(
        provider=Provider.GEMINI,
        model=request.url.path.rpartition("/")[2].partition(":")[0],
        system="" if system is None else "\n".join(part.text_of("text") for part in _parts(system)),
        user_texts=tuple(part.text_of("text") for part in asked if part.get("text") is not None),
        tool_results=tuple(_result(part) for part in asked if _response(part) is not None),
        turn=roles.count("model"),
        tools=tuple(_tools(root)),
        credential=request.credential,
    )


def _place(path: Path) -> str:
    words = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    return words.lstrip(".")


def _role(content: Node) -> str:
    role = content.text_of("role") or "user"
    if role not in {"user", "model", "function"}:
        raise RefusedError(400, "Please use a valid role: user, model.")
    return role


def _parts(content: Node) -> list[Node]:
    parts = content.need("parts").items()
    for part in parts:
        if not part.members():
            raise RefusedError(
                400,
                f"* GenerateContentRequest.{_place(part.path)}.data: required oneof field 'data' must have one "
                "initialized field\n",
            )
    return parts


def _call(part: Node) -> Node | None:
    return part.get("functionCall", "function_call")


def _response(part: Node) -> Node | None:
    return part.get("functionResponse", "function_response")


def _result(part: Node) -> ToolResult:
    response = part.need("functionResponse", "function_response")
    value = response.need("response").members()
    shown = value.get("output", value.get("result", value.get("error", value)))
    text = shown if isinstance(shown, str) else encode(shown)
    return ToolResult(response.text_of("id") or response.need("name").text(), text, "error" in value)


def _tools(root: Node) -> Iterator[str]:
    tools = root.get("tools")
    for tool in [] if tools is None else tools.items():
        declared = tool.get("functionDeclarations", "function_declarations")
        for function in [] if declared is None else declared.items():
            yield function.need("name").text()


def _check_calls(turns: list[tuple[str, list[Node]]]) -> None:
    for position, (_, parts) in enumerate(turns):
        calls = [call for part in parts if (call := _call(part)) is not None]
        responses = [response for part in parts if (response := _response(part)) is not None]
        following = turns[position + 1][1] if position + 1 < len(turns) else []
        answered = sum(_response(part) is not None for part in following)
        if calls and answered != len(calls):
            raise RefusedError(
                400,
                "Please ensure that the number of function response parts is equal to the number of function call "
                "parts of the function call turn.",
            )
        before = turns[position - 1][1] if position else []
        if responses and not any(_call(part) is not None for part in before):
            raise RefusedError(
                400, "Please ensure that function response turn comes immediately after a function call turn."
            )


def measured(request: Mapping[str, Json]) -> Json:
    """System instruction, contents and tools."""
    return [
        request.get("systemInstruction", request.get("system_instruction")),
        request.get("contents"),
        request.get("tools"),
    ]


def reply(reply: Reply) -> Answer:
    """One response, or with ``streamGenerateContent`` many: as events with ``alt=sse``, else as a JSON array."""
    envelope: dict[str, Json] = {
        "modelVersion": reply.conversation.model,
        "responseId": reply.new_id("", 22),
    }
    if not reply.url.path.endswith(":streamGenerateContent"):
        parts: list[Json] = [_part(block, reply.new_id) for block in reply.blocks]
        return json_answer(200, encode(_response_of(reply, envelope, parts, "STOP")))
    responses = [encode(response) for response in _stream(reply, envelope)]
    if parse_qs(reply.url.query).get("alt") == ["sse"]:
        steps = tuple(Write(f"data: {response}\r\n\r\n".encode()) for response in responses)
        return Answer(200, (("content-type", "text/event-stream"),), steps)
    written = [("," if index else "[") + response + "\r\n" for index, response in enumerate(responses)]
    steps = (*(Write(text.encode()) for text in written), Write(b"]"))
    return Answer(200, (("content-type", "application/json; charset=UTF-8"),), steps)


def _part(block: Block, new_id: NewId) -> dict[str, Json]:
    match block:
        case Text(text):
            return {"text": text}
        case Thinking(text):
            return {"text": text, "thought": True}
        case Call(name, value):
            call: dict[str, Json] = {"name": name, "args": dict(value), "id": new_id("", 16).lower()}
            return {"functionCall": call, "thoughtSignature": _signature(encode(call))}
        case Native(value):
            return dict(value)


def _signature(text: str) -> str:
    return base64.b64encode(hashlib.shake_256(text.encode()).digest(60)).decode()


def _response_of(reply: Reply, envelope: dict[str, Json], parts: list[Json], finish: str | None) -> dict[str, Json]:
    candidate: dict[str, Json] = {"content": {"parts": parts, "role": "model"}}
    if finish is not None:
        candidate["finishReason"] = finish
    candidate["index"] = 0
    used = reply.usage
    usage: dict[str, Json] = {
        "promptTokenCount": used.input,
        "candidatesTokenCount": used.output - used.thinking,
        "totalTokenCount": used.input + used.output,
        "promptTokensDetails": [{"modality": "TEXT", "tokenCount": used.input}],
        "thoughtsTokenCount": used.thinking,
    }
    return {"candidates": [candidate], "usageMetadata": usage, **envelope}


def _stream(reply: Reply, envelope: dict[str, Json]) -> Iterator[dict[str, Json]]:
    """Text comes in slices; a call comes whole, for this API never cuts one."""
    for block in reply.blocks:
        match block:
            case Text(text, pieces) | Thinking(text, pieces):
                kept = {"thought": True} if isinstance(block, Thinking) else {}
                for piece in cut(text, pieces, reply.chunk):
                    yield _response_of(reply, envelope, [{"text": piece, **kept}], None)
            case Call() | Native():
                yield _response_of(reply, envelope, [_part(block, reply.new_id)], None)
    yield _response_of(reply, envelope, [{"text": ""}], "STOP")


def encode(value: Json | Mapping[str, Json]) -> str:
    """JSON as Google writes it: a space after colons, and characters that mean something in HTML escaped."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ": "))
    return _ESCAPED.sub(lambda match: f"\\u{ord(match[0]):04x}", escape_surrogates(text))


def counted(tokens: int) -> Answer:
    """https://ai.google.dev/api/tokens"""
    return json_answer(
        200, encode({"totalTokens": tokens, "promptTokensDetails": [{"modality": "TEXT", "tokenCount": tokens}]})
    )


def _error(status: int, message: str, reason: str | None) -> dict[str, Json]:
    error: dict[str, Json] = {"code": status, "message": message, "status": _STATUSES.get(status, "UNKNOWN")}
    if reason is not None:
        error["details"] = [
            {
                "@type": "type.googleapis.com/google.rpc.ErrorInfo",
                "reason": reason,
                "domain": "googleapis.com",
                "metadata": {"service": "generativelanguage.googleapis.com"},
            }
        ]
    return {"error": error}


def refusal(refused: RefusedError, new_id: NewId) -> Answer:
    """An error object."""
    del new_id
    return json_answer(refused.status, encode(_error(refused.status, refused.message, refused.code)))


def stream_error(status: int, message: str, new_id: NewId) -> bytes:
    """An error object in place of a response."""
    del new_id
    return f"data: {encode(_error(status, message, None))}\r\n\r\n".encode()


def _described(name: str) -> dict[str, Json]:
    methods: list[Json] = ["generateContent", "countTokens"]
    return {
        "name": f"models/{name}",
        "version": "001",
        "displayName": name,
        "inputTokenLimit": 1_048_576,
        "outputTokenLimit": 65_536,
        "supportedGenerationMethods": methods,
    }


def models() -> Answer:
    """https://ai.google.dev/api/models#method:-models.list"""
    return json_answer(200, encode({"models": [_described(name) for name in MODELS]}))


def model(name: str) -> Answer:
    """https://ai.google.dev/api/models#method:-models.get"""
    if name not in MODELS:
        raise RefusedError(404, f"models/{name} is not found for API version v1beta.")
    return json_answer(200, encode(_described(name)))

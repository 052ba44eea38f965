"""Anthropic Messages: https://docs.anthropic.com/en/api/messages, .../messages-streaming and .../errors."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from urllib.parse import SplitResult

from ciguard.operation import Json
from ciguard.testing.model.answer import Answer, dump, json_answer, sse_answer
from ciguard.testing.model.conversation import (
    Call,
    Conversation,
    Native,
    Provider,
    Text,
    Thinking,
    ToolResult,
    cut,
)
from ciguard.testing.model.dialect import (
    NewId,
    ReceivedRequest,
    RefusedError,
    Reply,
    arguments_of,
    authorization,
)
from ciguard.testing.model.reading import Kind, MissingError, Node, Path, WrongTypeError

MODELS = ("claude-opus-4-6", "claude-sonnet-4-6", "claude-haiku-4-5-20251001")

_ERROR_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    529: "overloaded_error",
}
_UNMODIFIED = (
    "`thinking` or `redacted_thinking` blocks in the latest assistant message cannot be modified. "
    "These blocks must remain as they were in the original response."
)


def credentials(headers: Mapping[str, str], url: SplitResult) -> list[str]:
    """An ``x-api-key`` header or a bearer token."""
    del url
    key = headers.get("x-api-key")
    return [*([] if key is None else [key]), *authorization(headers)]


def unauthorised(presented: list[str]) -> RefusedError:
    """401 ``authentication_error``."""
    return RefusedError(401, "invalid x-api-key" if presented else "x-api-key header is required")


@dataclass(frozen=True, slots=True)
class _Turn:
    """Neighbouring messages of one role, which the service joins; ``index`` is the first one's."""

    index: int
    role: str
    blocks: list[Node]


def converse(request: ReceivedRequest) -> Conversation:
    """Checks the required fields, the blocks, and that every tool call has its result in the next turn."""
    try:
        return _converse(request)
    except MissingError as missing:
        raise RefusedError(400, f"{_place(missing.path)}: Field required") from missing
    except WrongTypeError as wrong:
        kind = {Kind.OBJECT: "dictionary", Kind.ARRAY: "list"}.get(wrong.expected, wrong.expected)
        raise RefusedError(400, f"{_place(wrong.path)}: Input should be a valid {kind}") from wrong


def _converse(request: ReceivedRequest) -> Conversation:
    if "anthropic-version" not in request.headers:
        raise RefusedError(400, "anthropic-version: header is required")
    root = Node(request.parsed)
    model = root.need("model").text()
    if "count_tokens" not in request.path and root.need("max_tokens").integer() < 1:
        raise RefusedError(400, "max_tokens: Input should be greater than or equal to 1")
    turns = _turns(root.need("messages"))
    _check_calls(turns)
    _check_thinking(turns)
    tools = root.get("tools")
    system = root.get("system")
    users = [block for turn in turns if turn.role == "user" for block in turn.blocks]
    instructions = [*([] if system is None else _blocks(system)), *_of_role(turns, "system")]
    return Conversation(
        provider=Provider.ANTHROPIC,
        model=model,
        system="\n".join(block.text_of("text") for block in instructions),
        user_texts=tuple(block.text_of("text") for block in users if _type(block) == "text"),
        tool_results=tuple(
            ToolResult(block.text_of("tool_use_id"), _result_text(block), block.members().get("is_error") is True)
            for block in users
            if _type(block) == "tool_result"
        ),
        turn=sum(turn.role == "assistant" for turn in turns),
        tools=tuple(tool.need("name").text() for tool in ([] if tools is None else tools.items())),
        credential=request.credential,
    )


def _place(path: Path) -> str:
    return ".".join(str(part) for part in path)


def _of_role(turns: list[_Turn], role: str) -> list[Node]:
    return [block for turn in turns if turn.role == role for block in turn.blocks]


def _type(block: Node) -> str:
    return block.need("type").text()


def _blocks(content: Node) -> list[Node]:
    """Content as blocks; a string is one text block."""
    if isinstance(content.value, str):
        return [Node({"type": "text", "text": content.value}, content.path)]
    return content.items()


def _turns(messages: Node) -> list[_Turn]:
    if not messages.items():
        raise RefusedError(400, "messages: at least one message is required")
    turns: list[_Turn] = []
    last = len(messages.items()) - 1
    for index, message in enumerate(messages.items()):
        role = message.need("role").text()
        if role not in {"user", "assistant", "system"}:
            raise RefusedError(400, f"messages.{index}.role: Input should be 'user', 'assistant' or 'system'")
        blocks = _blocks(message.need("content"))
        if not blocks and not (role == "assistant" and index == last):
            raise RefusedError(
                400,
                f"messages.{index}: all messages must have non-empty content except for the optional final "
                "assistant message",
            )
        for block in blocks:
            _check_block(block, role, index)
        if turns and turns[-1].role == role:
            turns[-1].blocks.extend(blocks)
        else:
            turns.append(_Turn(index, role, list(blocks)))
    if turns[0].role == "assistant":
        raise RefusedError(400, 'messages: first message must use the "user" role')
    return turns


def _check_block(block: Node, role: str, index: int) -> None:
    match _type(block), role:
        case "text", _:
            if not block.need("text").text():
                raise RefusedError(400, "messages: text content blocks must be non-empty")
        case "tool_use", "assistant":
            block.need("id").text()
            block.need("name").text()
            block.need("input").members()
        case "tool_result", "user":
            block.need("tool_use_id").text()
        case "tool_use", _:
            raise RefusedError(400, f"messages.{index}: `tool_use` blocks can only be in `assistant` messages")
        case "tool_result", _:
            raise RefusedError(400, f"messages.{index}: `tool_result` blocks can only be in `user` messages")
        case _:
            pass


def _result_text(block: Node) -> str:
    content = block.get("content")
    return "" if content is None else "\n".join(part.text_of("text") for part in _blocks(content))


def _check_calls(turns: list[_Turn]) -> None:
    """Tool calls and results pair up; results stand before anything else in their turn."""
    turns = [turn for turn in turns if turn.role != "system"]
    seen: set[str] = set()
    for position, turn in enumerate(turns):
        if turn.role == "user":
            _check_results(turn, turns[position - 1] if position else None)
            continue
        calls = [block.text_of("id") for block in turn.blocks if _type(block) == "tool_use"]
        if seen.intersection(calls) or len(set(calls)) < len(calls):
            raise RefusedError(400, f"messages.{turn.index}: `tool_use` ids must be unique")
        seen.update(calls)
        following = turns[position + 1].blocks if position + 1 < len(turns) else []
        leading: list[str] = []
        for block in following:
            if _type(block) != "tool_result":
                break
            leading.append(block.text_of("tool_use_id"))
        unanswered = [call for call in calls if call not in leading]
        if unanswered:
            raise RefusedError(
                400,
                f"messages.{turn.index}: `tool_use` ids were found without `tool_result` blocks immediately after: "
                f"{', '.join(unanswered)}. Each `tool_use` block must have a corresponding `tool_result` block in the "
                "next message.",
            )


def _check_results(turn: _Turn, previous: _Turn | None) -> None:
    known = [] if previous is None else [block.text_of("id") for block in previous.blocks if _type(block) == "tool_use"]
    answered: set[str] = set()
    for position, block in enumerate(turn.blocks):
        if _type(block) != "tool_result":
            continue
        call = block.text_of("tool_use_id")
        if call not in known:
            raise RefusedError(
                400,
                f"messages.{turn.index}.content.{position}: unexpected `tool_use_id` found in `tool_result` blocks: "
                f"{call}. Each `tool_result` block must have a corresponding `tool_use` block in the previous message.",
            )
        if call in answered:
            raise RefusedError(
                400,
                f"messages.{turn.index}.content.{position}: each tool_use must have a single result. "
                f"Found multiple `tool_result` blocks with id: {call}",
            )
        answered.add(call)


def _check_thinking(turns: list[_Turn]) -> None:
    """Thinking in the latest assistant turn is as it was signed."""
    latest = next((turn for turn in reversed(turns) if turn.role == "assistant"), None)
    if latest is None:
        return
    for position, block in enumerate(latest.blocks):
        if _type(block) == "thinking" and block.need("signature").text() != signature(block.need("thinking").text()):
            raise RefusedError(400, f"messages.{latest.index}.content.{position}: {_UNMODIFIED}")


def signature(thinking: str) -> str:
    """What stands for the service's signature over a thinking block."""
    seed = thinking.encode("utf-8", "surrogatepass")
    return base64.b64encode(hashlib.shake_256(b"thinking" + seed).digest(96)).decode()


def measured(request: Mapping[str, Json]) -> Json:
    """System prompt, messages and tools."""
    return [request.get("system"), request.get("messages"), request.get("tools")]


def reply(reply: Reply) -> Answer:
    """A message, or the events that build it."""
    contents = [_content(block, reply.new_id) for block in reply.blocks]
    called = any(isinstance(block, Call) for block in reply.blocks)
    message: dict[str, Json] = {
        "model": reply.conversation.model,
        "id": reply.new_id("msg_01", 22),
        "type": "message",
        "role": "assistant",
        "content": list(contents),
        "stop_reason": "tool_use" if called else "end_turn",
        "stop_sequence": None,
        "stop_details": None,
        "usage": _usage(reply.usage.input, reply.usage.output),
    }
    request_id = ("request-id", reply.new_id("req_011C", 20))
    if reply.request.get("stream") is True:
        return sse_answer(_stream(reply, message, contents), request_id)
    return json_answer(200, dump(message), request_id)


def _usage(input_tokens: int, output_tokens: int) -> dict[str, Json]:
    return {
        "input_tokens": input_tokens,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": 0,
        "cache_creation": {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 0},
        "output_tokens": output_tokens,
        "service_tier": "standard",
    }


def _content(block: Text | Thinking | Call | Native, new_id: NewId) -> dict[str, Json]:
    match block:
        case Text(text):
            return {"type": "text", "text": text}
        case Thinking(text):
            return {"type": "thinking", "thinking": text, "signature": signature(text)}
        case Call(name, value):
            return {"type": "tool_use", "id": new_id("toolu_01", 22), "name": name, "input": dict(value)}
        case Native(value):
            return dict(value)


def _stream(reply: Reply, message: dict[str, Json], contents: list[dict[str, Json]]) -> Iterator[str]:
    start = {**message, "content": [], "stop_reason": None, "usage": _usage(reply.usage.input, 1)}
    yield _event("message_start", {"message": start})
    for index, (block, content) in enumerate(zip(reply.blocks, contents, strict=True)):
        opening, deltas = _opening(block, content, reply.chunk)
        yield _event("content_block_start", {"index": index, "content_block": opening})
        if index == 0:
            yield _event("ping", {})
        for delta in deltas:
            yield _event("content_block_delta", {"index": index, "delta": delta})
        yield _event("content_block_stop", {"index": index})
    ending = {key: message[key] for key in ("stop_reason", "stop_sequence", "stop_details")}
    yield _event("message_delta", {"delta": ending, "usage": message["usage"]})
    yield _event("message_stop", {})


def _opening(
    block: Text | Thinking | Call | Native, content: dict[str, Json], chunk: int
) -> tuple[dict[str, Json], list[dict[str, Json]]]:
    """The block as it starts and the deltas that complete it."""
    match block:
        case Text(text, pieces):
            return {**content, "text": ""}, [
                {"type": "text_delta", "text": piece} for piece in cut(text, pieces, chunk)
            ]
        case Thinking(text, pieces):
            deltas: list[dict[str, Json]] = [
                {"type": "thinking_delta", "thinking": piece} for piece in cut(text, pieces, chunk)
            ]
            deltas.append({"type": "signature_delta", "signature": content["signature"]})
            return {**content, "thinking": "", "signature": ""}, deltas
        case Call(_, _, pieces):
            fragments = ("", *cut(arguments_of(block), pieces, chunk))
            return {**content, "input": {}}, [
                {"type": "input_json_delta", "partial_json": fragment} for fragment in fragments
            ]
        case Native():
            return content, []


def _event(name: str, fields: Mapping[str, Json]) -> str:
    """One event; the service pads some of its JSON with spaces before the last brace."""
    data = dump({"type": name, **fields})
    padding = " " * (len(data) % 7 if name.startswith("content_block") else 0)
    return f"event: {name}\ndata: {data[:-1]}{padding}}}\n\n"


def counted(tokens: int) -> Answer:
    """https://docs.anthropic.com/en/api/messages-count-tokens"""
    return json_answer(200, dump({"input_tokens": tokens}))


def _error(status: int, message: str, request_id: str) -> dict[str, Json]:
    error: dict[str, Json] = {"type": _ERROR_TYPES.get(status, "api_error"), "message": message}
    return {"type": "error", "error": error, "request_id": request_id}


def refusal(refused: RefusedError, new_id: NewId) -> Answer:
    """An error object with its request id."""
    request_id = new_id("req_011C", 20)
    body = dump(_error(refused.status, refused.message, request_id))
    return json_answer(refused.status, body, ("request-id", request_id))


def stream_error(status: int, message: str, new_id: NewId) -> bytes:
    """An ``error`` event."""
    del new_id
    error: dict[str, Json] = {"type": _ERROR_TYPES.get(status, "api_error"), "message": message}
    return _event("error", {"error": error}).encode()


def _described(name: str) -> dict[str, Json]:
    return {"type": "model", "id": name, "display_name": name, "created_at": "2026-01-01T00:00:00Z"}


def models() -> Answer:
    """https://docs.anthropic.com/en/api/models-list"""
    data: list[Json] = [_described(name) for name in MODELS]
    return json_answer(200, dump({"data": data, "has_more": False, "first_id": MODELS[0], "last_id": MODELS[-1]}))


def model(name: str) -> Answer:
    """https://docs.anthropic.com/en/api/models"""
    if name not in MODELS:
        raise RefusedError(404, f"model: {name}")
    return json_answer(200, dump(_described(name)))

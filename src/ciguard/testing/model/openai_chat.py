"""OpenAI Chat Completions: https://platform.openai.com/docs/api-reference/chat and .../chat-streaming."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

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
from ciguard.testing.model.dialect import NewId, ReceivedRequest, RefusedError, Reply, arguments_of
from ciguard.testing.model.openai import (
    credentials,
    error,
    from_missing,
    from_wrong_type,
    model,
    models,
    obfuscation,
    refusal,
    request_id,
    unauthorised,
    wants_obfuscation,
)
from ciguard.testing.model.reading import MissingError, Node, WrongTypeError

__all__ = [
    "converse",
    "credentials",
    "measured",
    "model",
    "models",
    "refusal",
    "reply",
    "stream_error",
    "unauthorised",
]

_ROLES = ("system", "developer", "user", "assistant", "tool", "function")


def converse(request: ReceivedRequest) -> Conversation:
    """Checks the required fields and that tool messages answer the tool calls before them, all of them."""
    try:
        return _converse(request)
    except MissingError as missing:
        raise from_missing(missing) from missing
    except WrongTypeError as wrong:
        raise from_wrong_type(wrong) from wrong


def _converse(request: ReceivedRequest) -> Conversation:
    root = Node(request.parsed)
    name = root.get("model")
    if name is None:
        raise RefusedError(400, "you must provide a model parameter")
    messages = root.need("messages").items()
    if not messages:
        raise RefusedError(
            400,
            "Invalid 'messages': empty array. Expected an array with minimum length 1, but got an empty array instead.",
            param="messages",
            code="empty_array",
        )
    roles = [_role(message) for message in messages]
    _check_calls(messages, roles)
    texts = list(zip(roles, (_text(message) for message in messages), strict=True))
    return Conversation(
        provider=Provider.OPENAI_CHAT,
        model=name.text(),
        system="\n".join(text for role, text in texts if role in {"system", "developer"}),
        user_texts=tuple(text for role, text in texts if role == "user"),
        tool_results=tuple(
            ToolResult(message.text_of("tool_call_id"), _text(message))
            for role, message in zip(roles, messages, strict=True)
            if role == "tool"
        ),
        turn=roles.count("assistant"),
        tools=tuple(_tools(root)),
        credential=request.credential,
    )


def _role(message: Node) -> str:
    role = message.need("role")
    if role.text() not in _ROLES:
        supported = ", ".join(f"'{known}'" for known in _ROLES)
        raise RefusedError(
            400, f"Invalid value: '{role.value}'. Supported values are: {supported}.", code="invalid_value"
        )
    return role.text()


def _text(message: Node) -> str:
    content = message.get("content")
    if content is None:
        return ""
    if isinstance(content.value, str):
        return content.value
    return "\n".join(part.text_of("text") for part in content.items() if part.need("type").text() == "text")


def _tools(root: Node) -> Iterator[str]:
    tools = root.get("tools")
    for tool in [] if tools is None else tools.items():
        definition = tool.need(tool.need("type").text())
        yield definition.need("name").text()


def _check_calls(messages: list[Node], roles: list[str]) -> None:
    pending: list[str] = []
    for index, (message, role) in enumerate(zip(messages, roles, strict=True)):
        if role == "tool":
            call = message.need("tool_call_id").text()
            message.need("content")
            if call not in pending:
                raise RefusedError(
                    400,
                    "Invalid parameter: messages with role 'tool' must be a response to a preceeding message with "
                    "'tool_calls'.",
                    param=f"messages.[{index}].role",
                )
            pending.remove(call)
            continue
        _check_answered(pending, index)
        calls = message.get("tool_calls") if role == "assistant" else None
        pending = [] if calls is None else [call.need("id").text() for call in calls.items()]
    _check_answered(pending, len(messages))


def _check_answered(pending: list[str], index: int) -> None:
    if pending:
        raise RefusedError(
            400,
            "An assistant message with 'tool_calls' must be followed by tool messages responding to each "
            f"'tool_call_id'. The following tool_call_ids did not have response messages: {', '.join(pending)}",
            param=f"messages.[{index}].role",
        )


def measured(request: Mapping[str, Json]) -> Json:
    """Messages and tools."""
    return [request.get("messages"), request.get("tools")]


def reply(reply: Reply) -> Answer:
    """A completion, or its chunks; asked for ``n`` choices, ``n`` equal ones."""
    count = reply.request.get("n")
    choices = count if isinstance(count, int) else 1
    calls = [_call(block, reply.new_id) if isinstance(block, Call) else None for block in reply.blocks]
    envelope: dict[str, Json] = {
        "id": reply.new_id("chatcmpl-", 29),
        "object": "chat.completion",
        "created": reply.created,
        "model": reply.conversation.model,
    }
    if reply.request.get("stream") is True:
        return sse_answer(_stream(reply, envelope, calls, choices), request_id(reply.new_id))
    message = _message(reply, calls)
    body: dict[str, Json] = {
        **envelope,
        "choices": [
            {"index": index, "message": message, "logprobs": None, "finish_reason": _finish(reply)}
            for index in range(choices)
        ],
        "usage": _usage(reply),
        "service_tier": "default",
        "system_fingerprint": None,
    }
    return json_answer(200, dump(body), request_id(reply.new_id))


def _call(call: Call, new_id: NewId) -> dict[str, Json]:
    function: dict[str, Json] = {"name": call.name, "arguments": arguments_of(call)}
    return {"id": new_id("call_", 24), "type": "function", "function": function}


def _message(reply: Reply, calls: list[dict[str, Json] | None]) -> dict[str, Json]:
    text = "".join(block.text for block in reply.blocks if isinstance(block, Text))
    message: dict[str, Json] = {"role": "assistant", "content": text or None, "refusal": None, "annotations": []}
    made: list[Json] = [call for call in calls if call is not None]
    if made:
        message["tool_calls"] = made
    for block in reply.blocks:
        if isinstance(block, Native):
            message.update(block.value)
    return message


def _finish(reply: Reply) -> str:
    return "tool_calls" if any(isinstance(block, Call) for block in reply.blocks) else "stop"


def _usage(reply: Reply) -> dict[str, Json]:
    used = reply.usage
    return {
        "prompt_tokens": used.input,
        "completion_tokens": used.output,
        "total_tokens": used.input + used.output,
        "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": used.thinking,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }


def _stream(
    reply: Reply, envelope: dict[str, Json], calls: list[dict[str, Json] | None], choices: int
) -> Iterator[str]:
    options = reply.request.get("stream_options")
    with_usage = isinstance(options, dict) and options.get("include_usage") is True
    padded = wants_obfuscation(reply.request)
    head: dict[str, Json] = {**envelope, "object": "chat.completion.chunk"}
    head |= {"service_tier": "default", "system_fingerprint": None}
    tail: dict[str, Json] = {"usage": None} if with_usage else {}

    def chunk(index: int, delta: dict[str, Json], finish: str | None) -> str:
        choice: dict[str, Json] = {"index": index, "delta": delta, "logprobs": None, "finish_reason": finish}
        body: dict[str, Json] = {**head, "choices": [choice], **tail}
        if padded:
            body["obfuscation"] = obfuscation(dump(delta), reply.new_id)
        return f"data: {dump(body)}\n\n"

    for delta in _deltas(reply, calls):
        for index in range(choices):
            yield chunk(index, delta, None)
    for index in range(choices):
        yield chunk(index, {}, _finish(reply))
    if with_usage:
        yield f"data: {dump({**head, 'choices': [], 'usage': _usage(reply)})}\n\n"
    yield "data: [DONE]\n\n"


def _deltas(reply: Reply, calls: list[dict[str, Json] | None]) -> Iterator[dict[str, Json]]:
    spoken = any(isinstance(block, Text) for block in reply.blocks)
    yield {"role": "assistant", "content": "" if spoken else None, "refusal": None}
    position = 0
    for block, call in zip(reply.blocks, calls, strict=True):
        match block:
            case Text(text, pieces):
                for piece in cut(text, pieces, reply.chunk):
                    yield {"content": piece}
            case Thinking():
                pass
            case Call(name, _, pieces):
                opening: dict[str, Json] = {"index": position, **(call or {})}
                opening["function"] = {"name": name, "arguments": ""}
                yield {"tool_calls": [opening]}
                for piece in cut(arguments_of(block), pieces, reply.chunk):
                    yield {"tool_calls": [{"index": position, "function": {"arguments": piece}}]}
                position += 1
            case Native(value):
                yield dict(value)


def stream_error(status: int, message: str, new_id: NewId) -> bytes:
    """An error object in place of a chunk."""
    del new_id
    return f"data: {dump({'error': error(status, message, None, None)})}\n\n".encode()

"""OpenAI Responses: https://platform.openai.com/docs/api-reference/responses and .../responses-streaming."""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Callable, Iterator, Mapping
from typing import TypeAlias

from ciguard.operation import Json
from ciguard.testing.model.answer import Answer, dump, json_answer, sse_answer
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
    tool_names,
    unauthorised,
    wants_obfuscation,
)
from ciguard.testing.model.reading import MissingError, Node, WrongTypeError

__all__ = [
    "converse",
    "counted",
    "credentials",
    "measured",
    "model",
    "models",
    "refusal",
    "reply",
    "stream_error",
    "unauthorised",
]

Emit: TypeAlias = Callable[[str, Mapping[str, Json]], str]
"""Words one event from its name and fields."""

_CALLS = {"function_call": "function_call_output", "custom_tool_call": "custom_tool_call_output"}
_OUTPUTS = frozenset(_CALLS.values())
_KEPT_SETTINGS: dict[str, Json] = {
    "background": False,
    "instructions": None,
    "max_output_tokens": None,
    "max_tool_calls": None,
    "metadata": {},
    "parallel_tool_calls": True,
    "previous_response_id": None,
    "prompt_cache_key": None,
    "reasoning": {"effort": None, "summary": None},
    "safety_identifier": None,
    "service_tier": "auto",
    "store": True,
    "temperature": 1.0,
    "text": {"format": {"type": "text"}, "verbosity": "medium"},
    "tool_choice": "auto",
    "tools": [],
    "top_logprobs": 0,
    "top_p": 1.0,
    "truncation": "disabled",
    "user": None,
}
"""What a response object repeats of its request, with the service's defaults."""


def converse(request: ReceivedRequest) -> Conversation:
    """Checks that calls and their outputs pair up and that reasoning items are whole and followed by their item."""
    try:
        return _converse(request)
    except MissingError as missing:
        raise from_missing(missing) from missing
    except WrongTypeError as wrong:
        raise from_wrong_type(wrong) from wrong


def _converse(request: ReceivedRequest) -> Conversation:
    root = Node(request.parsed)
    name = root.need("model").text()
    previous = root.get("previous_response_id")
    if previous is not None:
        raise RefusedError(
            400,
            f"Previous response with id '{previous.text()}' not found.",
            param="previous_response_id",
            code="previous_response_not_found",
        )
    items = _items(root)
    _check_calls(items)
    _check_reasoning(items)
    roles = [_role(item) for item in items]
    texts = list(zip(roles, (_text(item, "content") for item in items), strict=True))
    instructions = [root.text_of("instructions")] if root.get("instructions") else []
    assistant = [role == "assistant" for role in roles]
    return Conversation(
        provider=Provider.OPENAI_RESPONSES,
        model=name,
        system="\n".join([*instructions, *(text for role, text in texts if role in {"system", "developer"})]),
        user_texts=tuple(text for role, text in texts if role == "user"),
        tool_results=tuple(
            ToolResult(item.text_of("call_id"), _text(item, "output")) for item in items if _type(item) in _OUTPUTS
        ),
        turn=sum(here and not before for here, before in zip(assistant, [False, *assistant], strict=False)),
        tools=tuple(tool_names(root.get("tools"))),
        credential=request.credential,
    )


def _items(root: Node) -> list[Node]:
    given = root.need("input")
    if isinstance(given.value, str):
        return [Node({"role": "user", "content": given.value}, given.path)]
    return given.items()


def _type(item: Node) -> str:
    """An item's type; one without is a message."""
    return item.text_of("type") or "message"


def _role(item: Node) -> str:
    """Who an item belongs to: whatever is neither a message nor a call's output comes from the assistant."""
    kind = _type(item)
    if kind != "message":
        return "tool" if kind in _OUTPUTS else "assistant"
    role = item.need("role")
    if role.text() not in {"system", "developer", "user", "assistant"}:
        raise RefusedError(
            400,
            f"Invalid value: '{role.value}'. Supported values are: 'assistant', 'system', 'developer', and 'user'.",
            code="invalid_value",
        )
    item.need("content")
    return role.text()


def _text(item: Node, key: str) -> str:
    content = item.get(key)
    if content is None:
        return ""
    if isinstance(content.value, str):
        return content.value
    return "\n".join(part.text_of("text") for part in content.items())


def _check_calls(items: list[Node]) -> None:
    calls: dict[str, str] = {}
    answered: set[str] = set()
    for item in items:
        kind = _type(item)
        if kind in _CALLS:
            item.need("name").text()
            item.need("input" if kind == "custom_tool_call" else "arguments").text()
            calls[item.need("call_id").text()] = kind
        elif kind in _OUTPUTS:
            call = item.need("call_id").text()
            item.need("output")
            if _CALLS.get(calls.get(call, "")) != kind:
                made = "custom tool call" if kind == "custom_tool_call_output" else "function call"
                raise RefusedError(400, f"No tool call found for {made} output with call_id {call}.", param="input")
            answered.add(call)
    for call, kind in calls.items():
        if call not in answered:
            made = "custom tool call" if kind == "custom_tool_call" else "function call"
            raise RefusedError(400, f"No tool output found for {made} {call}.", param="input")


def _check_reasoning(items: list[Node]) -> None:
    for index, item in enumerate(items):
        if _type(item) != "reasoning":
            continue
        name = item.text_of("id")
        item.need("summary").items()
        sealed = item.get("encrypted_content")
        if sealed is not None and not _is_sealed(sealed.text()):
            raise RefusedError(
                400,
                f"The encrypted content for item {name} could not be verified. Reason: Encrypted content could not be "
                "decrypted or parsed.",
                code="invalid_encrypted_content",
            )
        following = items[index + 1] if index + 1 < len(items) else None
        if following is None or _role(following) != "assistant":
            raise RefusedError(
                400,
                f"Item '{name}' of type 'reasoning' was provided without its required following item.",
                param="input",
            )


def _seal(text: str) -> str:
    """What stands for the service's encrypted reasoning: it can be told from anything that was changed."""
    seed = hashlib.shake_256(text.encode("utf-8", "surrogatepass")).digest(48)
    return "gAAAAAB" + base64.urlsafe_b64encode(seed + hashlib.sha256(seed).digest()).decode()


def _is_sealed(sealed: str) -> bool:
    try:
        opened = base64.b64decode(sealed.removeprefix("gAAAAAB"), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        return False
    return sealed.startswith("gAAAAAB") and hashlib.sha256(opened[:48]).digest() == opened[48:]


def measured(request: Mapping[str, Json]) -> Json:
    """Instructions, input and tools."""
    return [request.get("instructions"), request.get("input"), request.get("tools")]


def reply(reply: Reply) -> Answer:
    """A response object, or the events that build it."""
    custom = set(_custom_tools(reply.request.get("tools")))
    items = [_item(block, reply.new_id, custom) for block in reply.blocks]
    response: dict[str, Json] = {
        "id": reply.new_id("resp_", 48).lower(),
        "object": "response",
        "created_at": reply.created,
        "status": "completed",
        "completed_at": reply.created,
        "error": None,
        "incomplete_details": None,
        "model": reply.conversation.model,
        "output": list(items),
        "usage": {
            "input_tokens": reply.usage.input,
            "input_tokens_details": {"cached_tokens": 0},
            "output_tokens": reply.usage.output,
            "output_tokens_details": {"reasoning_tokens": reply.usage.thinking},
            "total_tokens": reply.usage.input + reply.usage.output,
        },
    }
    for key, value in _KEPT_SETTINGS.items():
        response[key] = reply.request.get(key, value)
    if reply.request.get("stream") is True:
        return sse_answer(_stream(reply, response, items), request_id(reply.new_id))
    return json_answer(200, dump(response), request_id(reply.new_id))


def _custom_tools(tools: Json) -> Iterator[str]:
    for tool in tools if isinstance(tools, list) else []:
        if isinstance(tool, dict) and tool.get("type") == "custom":
            yield str(tool.get("name"))


def _item(block: Block, new_id: NewId, custom: set[str]) -> dict[str, Json]:
    """The finished output item of a block."""
    match block:
        case Text(text):
            return {
                "id": new_id("msg_", 48).lower(),
                "type": "message",
                "status": "completed",
                "content": [_part(text)],
                "role": "assistant",
            }
        case Thinking(text):
            return {
                "id": new_id("rs_", 48).lower(),
                "type": "reasoning",
                "encrypted_content": _seal(text),
                "summary": [{"type": "summary_text", "text": text}],
            }
        case Call(name, value) if name in custom:
            return {
                "id": new_id("ctc_", 48).lower(),
                "type": "custom_tool_call",
                "status": "completed",
                "call_id": new_id("call_", 24),
                "input": str(value["input"]),
                "name": name,
            }
        case Call(name):
            return {
                "id": new_id("fc_", 48).lower(),
                "type": "function_call",
                "status": "completed",
                "arguments": arguments_of(block),
                "call_id": new_id("call_", 24),
                "name": name,
            }
        case Native(value):
            return dict(value)


def _part(text: str) -> dict[str, Json]:
    return {"type": "output_text", "annotations": [], "logprobs": [], "text": text}


def _stream(reply: Reply, response: dict[str, Json], items: list[dict[str, Json]]) -> Iterator[str]:
    padded = wants_obfuscation(reply.request)
    sequence = 0

    def emit(name: str, fields: Mapping[str, Json]) -> str:
        nonlocal sequence
        body: dict[str, Json] = {"type": name, "sequence_number": sequence, **fields}
        if padded and name.endswith(".delta"):
            body["obfuscation"] = obfuscation(str(fields["delta"]), reply.new_id)
        sequence += 1
        return f"event: {name}\ndata: {dump(body)}\n\n"

    unfinished: dict[str, Json] = {**response, "status": "in_progress", "output": [], "usage": None}
    unfinished["completed_at"] = None
    yield emit("response.created", {"response": unfinished})
    yield emit("response.in_progress", {"response": unfinished})
    for index, (block, item) in enumerate(zip(reply.blocks, items, strict=True)):
        yield emit("response.output_item.added", {"output_index": index, "item": _opening(item)})
        yield from _content(emit, block, {"item_id": item.get("id"), "output_index": index}, item, reply.chunk)
        yield emit("response.output_item.done", {"output_index": index, "item": item})
    yield emit("response.completed", {"response": response})


def _opening(item: dict[str, Json]) -> dict[str, Json]:
    """An item as it stands before its first delta."""
    match item.get("type"):
        case "message":
            return {**item, "status": "in_progress", "content": []}
        case "reasoning":
            return {**item, "summary": []}
        case "custom_tool_call":
            return {**item, "status": "in_progress", "input": ""}
        case "function_call":
            return {**item, "status": "in_progress", "arguments": ""}
        case _:
            return item


def _content(emit: Emit, block: Block, at: dict[str, Json], item: dict[str, Json], chunk: int) -> Iterator[str]:
    """The events between an item's start and its end."""
    match block:
        case Text(text, pieces):
            place: dict[str, Json] = {**at, "content_index": 0}
            yield emit("response.content_part.added", {**place, "part": _part("")})
            for piece in cut(text, pieces, chunk):
                yield emit("response.output_text.delta", {**place, "delta": piece, "logprobs": []})
            yield emit("response.output_text.done", {**place, "text": text, "logprobs": []})
            yield emit("response.content_part.done", {**place, "part": _part(text)})
        case Thinking(text, pieces):
            place = {**at, "summary_index": 0}
            added: dict[str, Json] = {"type": "summary_text", "text": ""}
            yield emit("response.reasoning_summary_part.added", {**place, "part": added})
            for piece in cut(text, pieces, chunk):
                yield emit("response.reasoning_summary_text.delta", {**place, "delta": piece})
            yield emit("response.reasoning_summary_text.done", {**place, "text": text})
            yield emit("response.reasoning_summary_part.done", {**place, "part": {**added, "text": text}})
        case Call(_, _, pieces) if item["type"] == "custom_tool_call":
            words = str(item["input"])
            for piece in cut(words, pieces, chunk):
                yield emit("response.custom_tool_call_input.delta", {**at, "delta": piece})
            yield emit("response.custom_tool_call_input.done", {**at, "input": words})
        case Call(name, _, pieces):
            arguments = arguments_of(block)
            for piece in cut(arguments, pieces, chunk):
                yield emit("response.function_call_arguments.delta", {**at, "delta": piece})
            done: dict[str, Json] = {**at, "name": name, "arguments": arguments}
            yield emit("response.function_call_arguments.done", done)
        case Native():
            return


def counted(tokens: int) -> Answer:
    """https://platform.openai.com/docs/api-reference/responses/input-tokens"""
    return json_answer(200, dump({"object": "response.input_tokens", "input_tokens": tokens}))


def stream_error(status: int, message: str, new_id: NewId) -> bytes:
    """An ``error`` event."""
    del new_id
    body: dict[str, Json] = {"type": "error", "sequence_number": 0, **error(status, message, None, None)}
    return f"event: error\ndata: {dump(body)}\n\n".encode()

"""The items of an OpenAI response: which are tool calls, what they ask for, and what stands in for a refused one."""

from __future__ import annotations

from collections.abc import Hashable, Iterator

from ciguard.codecs.answer import (
    CallItem,
    Side,
    call_from_json,
    call_from_value,
    list_of,
    masked_json,
    object_of,
    text_of,
    usage_tokens,
)
from ciguard.codecs.unknown import calls_something, said_in
from ciguard.inspect.masking import Masker
from ciguard.operation import Json

SERVICE_CALLS = frozenset(
    {"web_search_call", "file_search_call", "code_interpreter_call", "image_generation_call", "mcp_call", "program"}
)
"""Calls that the service itself carries out while it answers."""

UNANSWERABLE = frozenset({"computer_call", "tool_search_call"})
"""Calls whose result has a form in which a refusal cannot be said: the answer ends with it."""

NOT_INPUT = frozenset({"id", "type", "status", "call_id", "name", "output", "outputs", "result", "results", "error"})
"""Keys of a call without ``arguments`` or ``input`` that are not what it asks for."""

TEXT_TYPES = frozenset({"message", "reasoning"})
"""Items that consist of texts."""

Place = tuple[str, Hashable]
"""Where an item has a text: the list, and the position in it."""


def is_call(entry: dict[str, Json]) -> bool:
    """Whether an output item is a tool call: by its type, or because it has a name and an input."""
    type_ = text_of(entry.get("type"))
    return type_.endswith("_call") or type_ in ("mcp_approval_request", "program") or calls_something(entry)


def item_id(entry: Json) -> str:
    """What a call's result names it by."""
    return text_of(object_of(entry).get("call_id")) or text_of(object_of(entry).get("id"))


def given(entry: dict[str, Json]) -> str | None:
    """The input of a call as a text, if its form has one."""
    value = entry.get("arguments", entry.get("input"))
    return value if isinstance(value, str) else None


def call_of(entry: dict[str, Json], masker: Masker) -> CallItem:
    """The call that an output item is."""
    type_ = text_of(entry.get("type"))
    name = text_of(entry.get("name")) or type_
    side = Side.SERVICE if type_ in SERVICE_CALLS else Side.AGENT
    if isinstance(arguments := entry.get("arguments"), str):
        item = call_from_json(item_id(entry), name, arguments, masker, side)
    elif "input" in entry:
        item = call_from_value(item_id(entry), name, entry["input"], masker, side)
    else:
        asked: Json = {key: value for key, value in entry.items() if key not in NOT_INPUT}
        item = call_from_value(item_id(entry), name, asked, masker, side)
    if entry.get("status") == "incomplete" and side is Side.AGENT:
        item.problem = item.problem or "it was cut off"
    if "arguments" in entry and "input" in entry:
        item.problem = item.problem or "its form is not known"
    return item


def put_input(entry: dict[str, Json], item: CallItem) -> None:
    """Put the masked input of ``item`` where ``entry`` has it."""
    if isinstance(entry.get("arguments"), str):
        entry["arguments"] = written(item)
    elif "input" in entry:
        entry["input"] = item.input
    else:
        entry.update(object_of(item.input))


def written(item: CallItem) -> str:
    """The masked input as the text to deliver: a free text as it is, anything else as JSON."""
    return item.input if isinstance(item.input, str) and isinstance(item.original, str) else masked_json("", item)


def texts_of(entry: dict[str, Json]) -> Iterator[tuple[Place, str, dict[str, Json], str]]:
    """The texts of an item that is no call: place, part, object and key."""
    type_ = text_of(entry.get("type"))
    if type_ in TEXT_TYPES:
        for section in ("content", "summary"):
            for number, piece in enumerate(list_of(entry.get(section))):
                for key in ("text", "refusal"):
                    if isinstance(piece, dict) and isinstance(piece.get(key), str):
                        yield (section, number), part_of(type_, key), piece, key
    else:
        for path, holder, key in list(said_in(entry)):
            yield ("", path), key, holder, key


def part_of(kind: str, key: str) -> str:
    """What a text is called, by its item's or event's type and its key."""
    if "refusal" in (key, kind.rpartition(".")[2]):
        return "refusal"
    return "thinking" if "reasoning" in kind else "text"


def note_item(entry: dict[str, Json], note: str, index: int) -> dict[str, Json]:
    """The message that stands where the refused call ``entry`` was, which is the output's item ``index``."""
    content: Json = [{"type": "output_text", "text": note, "annotations": []}]
    suffix = (text_of(entry.get("id")) or item_id(entry)).rpartition("_")[2] or str(index)
    return {"id": f"msg_{suffix}", "type": "message", "role": "assistant", "status": "completed", "content": content}


def refusal_output(entry: dict[str, Json], note: str) -> dict[str, Json]:
    """The item that answers a call with ``note``, in the form that the call's type wants."""
    id_ = item_id(entry)
    match text_of(entry.get("type")):
        case "mcp_approval_request":
            return {"type": "mcp_approval_response", "approval_request_id": id_, "approve": False, "reason": note}
        case "shell_call":
            outcome: Json = {"stdout": "", "stderr": note, "outcome": {"type": "exit", "exit_code": 126}}
            return {"type": "shell_call_output", "call_id": id_, "output": [outcome]}
        case "apply_patch_call":
            return {"type": "apply_patch_call_output", "call_id": id_, "status": "failed", "output": note}
        case "local_shell_call":
            return {"type": "local_shell_call_output", "id": id_, "output": note}
        case type_:
            return {"type": f"{type_}_output", "call_id": id_, "output": note}


def joined_usage(first: Json, second: Json) -> Json:
    """The usage of two answers as one: the tokens made add up, those read are the second's."""
    if not isinstance(second, dict):
        return second
    made = sum(usage_tokens(object_of(one), "output_tokens") for one in (first, second))
    return {**second, "output_tokens": made, "total_tokens": made + usage_tokens(second, "input_tokens")}

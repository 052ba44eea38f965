"""The tool calls of a chat completion, and what a choice says beside them."""

from __future__ import annotations

from ciguard.codecs.answer import (
    CallItem,
    call_from_json,
    call_from_value,
    masked_json,
    masked_value,
    object_of,
    text_of,
    usage_tokens,
)
from ciguard.codecs.error import WireError
from ciguard.codecs.unknown import calls_something, refuse_hidden_calls
from ciguard.inspect.masking import Masker
from ciguard.operation import Json

CALL_FORMS = {"function": "arguments", "custom": "input"}
"""What a tool call keeps its input under, by the key of its description."""

CALL_KEYS = ("tool_calls", "function_call")
"""Where a message, or a piece of one, has its calls."""

INPUT = ("prompt_tokens",)
OUTPUT = ("completion_tokens",)

LEGACY = -1
"""Stands for the place of a ``function_call`` among the numbered calls."""


def joined_usage(first: Json, second: Json) -> Json:
    """The usage of two answers as one: the tokens made add up, those read are the second's."""
    if not isinstance(second, dict):
        return second
    made = sum(usage_tokens(object_of(one), "completion_tokens") for one in (first, second))
    return {**second, "completion_tokens": made, "total_tokens": made + usage_tokens(second, "prompt_tokens")}


def part_of(key: str) -> str:
    """What the text under ``key`` is called."""
    return {"content": "text", "reasoning": "thinking", "reasoning_content": "thinking"}.get(key, key)


def refuse_hidden_in(choice: dict[str, Json], said: dict[str, Json]) -> None:
    """Raise :class:`WireError` when ``choice``, which says ``said``, has calls anywhere but where calls belong."""
    refuse_hidden_calls([value for value in choice.values() if value is not said])
    refuse_hidden_calls([value for key, value in said.items() if key not in CALL_KEYS])
    if not isinstance(said.get("tool_calls"), list | None) or not isinstance(said.get("function_call"), dict | None):
        raise WireError("tool calls do not stand in a list")


def stopped(finish_reason: Json) -> Json:
    """Why an answer ended, of which no call is left."""
    return "stop" if finish_reason in ("tool_calls", "function_call") else finish_reason


def call_of(entry: dict[str, Json], masker: Masker, finish_reason: Json) -> CallItem:
    """The call that ``entry`` describes; ``finish_reason`` tells whether it may have been cut off."""
    id_ = text_of(entry.get("id"))
    forms = [form for form in CALL_FORMS if isinstance(entry.get(form), dict)]
    others = [value for key, value in entry.items() if key not in CALL_FORMS]
    if len(forms) != 1 or any(calls_something(value) for value in others):
        return _unreadable(entry, "its form is not known", masker)
    described = object_of(entry[forms[0]])
    name, given = text_of(described.get("name")), described.get(CALL_FORMS[forms[0]])
    if given is None:
        given = ""
    if not isinstance(given, str):
        return _unreadable(entry, "its arguments are not a text", masker)
    if forms[0] == "function":
        item = call_from_json(id_, name, given, masker)
    else:
        item = call_from_value(id_, name, given, masker)
    if finish_reason == "length" and not given:
        item.problem = item.problem or "it was cut off"
    return item


def _unreadable(entry: dict[str, Json], problem: str, masker: Masker) -> CallItem:
    masked, kinds = masked_value(entry, masker)
    labels = object_of(masked)
    return CallItem(text_of(labels.get("id")), text_of(labels.get("type")), masked, kinds, problem=problem)


def written(item: CallItem) -> str:
    """The masked input of a call as it is delivered: a free text as it is, anything else as JSON."""
    return item.input if isinstance(item.input, str) and isinstance(item.original, str) else masked_json("", item)

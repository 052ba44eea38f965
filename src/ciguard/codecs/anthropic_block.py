"""The content blocks of an Anthropic message: which are texts, which tool calls, and which answer a call."""

from __future__ import annotations

from ciguard.codecs.answer import CallItem, Side, call_from_value, text_of
from ciguard.codecs.unknown import calls_something
from ciguard.inspect.masking import Masker
from ciguard.operation import Json

INPUT_TOKENS = ("input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens")

TEXT_KEYS = {"text": "text", "thinking": "thinking"}
"""The block types that are texts, and the key that each keeps its text under."""

LEFT_OUT = "[ciguard] The result of the refused call was left out."
CUT_OFF = "it was cut off"


def is_call(block: dict[str, Json]) -> bool:
    """Anything with a name and an input is a tool call, whatever its type is called."""
    return block.get("type") == "tool_use" or calls_something(block)


def call_of(block: dict[str, Json], masker: Masker) -> CallItem:
    id_, name = text_of(block.get("id")), text_of(block.get("name"))
    item = call_from_value(id_, name, block.get("input"), masker, side_of(block))
    if not (name and isinstance(block.get("input"), dict)):
        item.problem = item.problem or "its form is not known"
    return item


def side_of(block: dict[str, Json]) -> Side:
    type_ = text_of(block.get("type"))
    return Side.SERVICE if type_.startswith(("server_", "mcp_")) else Side.AGENT


def is_result(block: dict[str, Json]) -> bool:
    return text_of(block.get("type")).endswith("tool_result")


def answers(block: dict[str, Json], refused: set[str]) -> bool:
    return is_result(block) and block.get("tool_use_id") in refused

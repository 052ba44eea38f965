"""What a request to OpenAI's APIs has the service itself do.

Sources: https://platform.openai.com/docs/api-reference/responses/create (``tools``, ``input``, ``prompt``),
https://platform.openai.com/docs/api-reference/chat/create (``web_search_options``).
"""

from __future__ import annotations

import re

from ciguard.codecs.remote import addresses_in, tool, typed_tools
from ciguard.operation import Json

_OWN_TOOLS = frozenset(
    {
        "function",
        "custom",
        "namespace",
        "local_shell",
        "apply_patch",
        "computer",
        "computer_use",
        "computer_use_preview",
    }
    | {"tool_search", "image_generation"}
)
"""The agent's own, and those that reach nothing outside of the service."""

_LISTED_BEFORE = "mcp_list_tools"
"""The item in which the service told which tools an MCP server has."""

_ABOUT_TOOLS = re.compile(r".*(?:search|plugin|connector).*")
"""Keys of a request that turn tools on by themselves, at OpenAI and at services that speak its API."""


def openai_remote(label: str, value: Json) -> list[str]:
    """See :meth:`ciguard.codecs.codec.Codec.remote`."""
    match label.casefold():
        case "metadata" | "client_metadata":
            return []
        case "tools":
            return list(typed_tools(value, _is_own))
        case "prompt" if value is not None:
            # A prompt that the service has stored may bring tools with it.
            return [tool("prompt"), *addresses_in(value)]
        case folded if _ABOUT_TOOLS.fullmatch(folded):
            return [tool(folded), *addresses_in(value)]
        case _:
            if isinstance(value, dict) and "tools" in value and value.get("type") != _LISTED_BEFORE:
                others: Json = {key: inner for key, inner in value.items() if key != "tools"}
                return [*typed_tools(value["tools"], _is_own), *addresses_in(others)]
            return addresses_in(value)


def _is_own(type_: str, described: dict[str, Json]) -> bool:
    if type_ == "shell":
        environment = described.get("environment")
        return isinstance(environment, dict) and environment.get("type") == "local"
    return type_ in _OWN_TOOLS

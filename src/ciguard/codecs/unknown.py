"""Parts of an answer that nobody knew when this was written: their strings are read all the same, and nothing in them
may be a tool call that was not decided."""

from __future__ import annotations

from collections.abc import Hashable, Iterator

from ciguard.codecs.error import WireError
from ciguard.operation import Json

LABELS = frozenset(
    {"type", "id", "object", "model", "role", "name", "status", "index", "signature", "encrypted_content", "data"}
    | {"tool_use_id", "call_id", "tool_call_id", "item_id", "file_id", "container_id", "response_id", "sequence_number"}
    | {"media_type", "mimeType", "thoughtSignature", "encrypted_index", "format", "obfuscation", "logprobs", "language"}
)
"""Keys whose strings are not what somebody says; they are masked, but neither joined over events nor shown to rules."""

_INPUTS = ("input", "arguments", "args")


def said_in(value: Json) -> Iterator[tuple[tuple[Hashable, ...], dict[str, Json], str]]:
    """Where an object in ``value`` has a string that says something: the path to it, the object, and the key.

    An item of a list is named by its ``index`` where it has one, as the APIs' own clients do when they join fragments.
    """
    pending: list[tuple[tuple[Hashable, ...], Json]] = [((), value)]
    while pending:
        path, here = pending.pop()
        match here:
            case dict():
                for key, inner in here.items():
                    if key in LABELS:
                        continue
                    if isinstance(inner, str):
                        yield (*path, key), here, key
                    elif isinstance(inner, dict | list):
                        pending.append(((*path, key), inner))
            case list():
                for place, inner in enumerate(here):
                    index = inner.get("index", place) if isinstance(inner, dict) else place
                    pending.append(((*path, index if isinstance(index, int) else place), inner))
            case _:
                continue


def calls_something(value: Json) -> bool:
    """Whether ``value`` itself has the look of a tool call: a name and an input."""
    return isinstance(value, dict) and isinstance(value.get("name"), str) and any(key in value for key in _INPUTS)


def refuse_hidden_calls(value: Json) -> None:
    """Raise :class:`WireError` when something in ``value`` looks like a tool call."""
    pending = [value]
    while pending:
        here = pending.pop()
        if calls_something(here):
            raise WireError("a tool call stands where no tool call belongs")
        if isinstance(here, dict | list):
            inner = here.values() if isinstance(here, dict) else here
            pending.extend(one for one in inner if isinstance(one, dict | list))

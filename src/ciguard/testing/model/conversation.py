"""What a script sees of a request and what it answers, free of any provider's wire format."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TypeAlias

from ciguard.operation import Json


class Provider(StrEnum):
    """The wire formats that the loopback model speaks."""

    ANTHROPIC = "anthropic"
    OPENAI_RESPONSES = "openai_responses"
    OPENAI_CHAT = "openai_chat"
    GEMINI = "gemini"


@dataclass(frozen=True, slots=True)
class Text:
    """Words for the user. ``pieces``, when given, are the exact stream deltas and join to ``text``."""

    text: str
    pieces: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        if self.pieces is not None and "".join(self.pieces) != self.text:
            raise ValueError("the pieces do not join to the text")


@dataclass(frozen=True, slots=True)
class Thinking:
    """Reasoning that the provider shows beside its answer (OpenAI Chat Completions never shows it)."""

    text: str
    pieces: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        if self.pieces is not None and "".join(self.pieces) != self.text:
            raise ValueError("the pieces do not join to the text")


@dataclass(frozen=True, slots=True)
class Call:
    """A tool call.

    ``pieces``, when given, are the exact stream deltas of the argument text and need not join to valid JSON: models
    do send broken arguments. Where a format carries arguments as an object (Gemini, an unstreamed Anthropic message)
    ``input`` is sent. For a tool that the client declared as a custom (free text) OpenAI tool, ``input`` is
    ``{"input": text}``.
    """

    name: str
    input: Mapping[str, Json]
    pieces: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class Native:
    """A block in the provider's own shape, sent whole and unchecked: an Anthropic content block, a Responses output
    item, keys for a Chat message, a Gemini part. For block types that nobody knew when this was written."""

    value: Mapping[str, Json]


Block: TypeAlias = "Text | Thinking | Call | Native"


@dataclass(frozen=True, slots=True)
class ToolResult:
    """What the agent reports for one call; Gemini's carry the function's name when the client sends no id."""

    id: str
    text: str
    is_error: bool = False


@dataclass(frozen=True, slots=True)
class Conversation:
    """One request, as a script sees it.

    ``user_texts`` holds every text of every user message in order, ``tool_results`` every result, ``turn`` the number
    of turns the assistant has had, ``tools`` the names that the client declared. ``credential`` is the one that the
    request carried, for scripts that play an upstream which echoes it.
    """

    provider: Provider
    model: str
    system: str
    user_texts: tuple[str, ...]
    tool_results: tuple[ToolResult, ...]
    turn: int
    tools: tuple[str, ...]
    credential: str = field(default="", repr=False)


Script: TypeAlias = Callable[[Conversation], Sequence[Block]]


def cut(text: str, pieces: tuple[str, ...] | None, size: int) -> tuple[str, ...]:
    """The stream deltas of ``text``: ``pieces``, or slices of ``size`` characters; no delta for no text."""
    if pieces is not None:
        return pieces
    return tuple(text[start : start + size] for start in range(0, len(text), size))

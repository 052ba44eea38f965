"""The section ``connections``: the APIs that the agent may reach through the guard."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import BeforeValidator, Field

from ciguard.policy.rules import Rule, Section
from ciguard.policy.sections.credential import Credential
from ciguard.policy.shapes import Glob, RemoteHost, UpstreamUrl, refusal


class ConnectionType(StrEnum):
    """The upstream APIs that this version serves."""

    ANTHROPIC = "anthropic"
    OPENAI = "openai"
    GEMINI = "gemini"


PUBLIC_UPSTREAMS = {
    ConnectionType.ANTHROPIC: "https://api.anthropic.com",
    ConnectionType.OPENAI: "https://api.openai.com",
    ConnectionType.GEMINI: "https://generativelanguage.googleapis.com",
}


PLANNED_TYPES = frozenset({"http", "postgres", "kubernetes", "git", "ssh"})


def _served(value: object) -> object:
    if isinstance(value, str) and value in PLANNED_TYPES:
        raise refusal(
            f"connections of type {value} are not served by this version of ciguard",
            f"remove this connection, or use one of: {', '.join(ConnectionType)}",
        )
    return ConnectionType(value) if isinstance(value, str) and value in set(ConnectionType) else value


class ConnectionLimits(Section):
    """What a session may use up over one connection."""

    requests: int | None = Field(default=None, ge=1, description="Requests in a session; no limit when absent.")
    output_tokens: int | None = Field(
        default=None, ge=1, description="Tokens that models may produce in a session; no limit when absent."
    )
    request_bytes: int = Field(default=33_554_432, ge=1, description="The largest request body, in bytes.")


class Remote(Section):
    """What the agent may have the model's service itself do; the agent's closed network does not bound that."""

    tools: tuple[Glob, ...] = Field(
        default=(),
        description="Tools that the service runs itself, by the names that the API gives them, such as web_search_*, "
        "code_interpreter, google_search, mcp; * stands for any characters. None when absent.",
        examples=[["web_search*"]],
    )
    hosts: tuple[RemoteHost, ...] = Field(
        default=(),
        description='Hosts whose addresses the service may be given: of images, files and MCP servers; "*" is any '
        "address. None when absent.",
        examples=[["images.example.com", "*.example.org"]],
    )


class Connection(Section):
    """A model API that the agent may reach through the guard."""

    type: Annotated[ConnectionType, BeforeValidator(_served)] = Field(description="The API that the upstream speaks.")
    credential: Credential = Field(description="Where the guard gets the credential for the upstream.")
    upstream: UpstreamUrl = Field(
        default_factory=lambda data: PUBLIC_UPSTREAMS[data["type"]],
        description="The base URL of the API; the type's public one when absent. No trailing slash is needed.",
        examples=["https://gateway.example.com/anthropic"],
    )
    models: tuple[Glob, ...] | None = Field(
        default=None,
        min_length=1,
        description="The models that may be asked for; * stands for any characters. Any model when absent.",
        examples=[["claude-*"]],
    )
    limits: ConnectionLimits = Field(default=ConnectionLimits(), description="What a session may use up.")
    remote: Remote = Field(default=Remote(), description="What the model's service may be asked to do itself.")
    rules: tuple[Rule, ...] = Field(
        default=(), description="Rules for this connection alone, besides the general ones."
    )

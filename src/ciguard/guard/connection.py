"""A declared upstream at run time: its codecs, its credential, and what it has used up."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from urllib.parse import parse_qsl

from ciguard.codecs.codec import Codec, Endpoint
from ciguard.codecs.document import Document
from ciguard.codecs.rereading import Rereader
from ciguard.policy.sections.connection import Connection, ConnectionType


def codecs_of(type_: ConnectionType) -> tuple[Codec, ...]:
    """The codecs of a type; the first one speaks for errors that belong to no endpoint.

    What a session declares no connection of is not even loaded.
    """
    match type_:
        case ConnectionType.ANTHROPIC:
            from ciguard.codecs.anthropic import Anthropic

            return (Anthropic(),)
        case ConnectionType.OPENAI:
            from ciguard.codecs.openai_chat import OpenAIChat
            from ciguard.codecs.openai_responses import OpenAIResponses

            return (OpenAIResponses(), OpenAIChat())
        case ConnectionType.GEMINI:
            from ciguard.codecs.gemini import Gemini

            return (Gemini(),)


@dataclass(slots=True)
class OpenConnection:
    """A connection of the policy in use; ``credential`` is what authenticates the guard to the upstream."""

    name: str
    declared: Connection
    credential: str = field(repr=False)
    requests: int = 0
    output_tokens: int = 0
    codecs: tuple[Codec, ...] = field(init=False, repr=False)
    """See :func:`codecs_of`."""
    _rereaders: dict[str, Rereader] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Load the codecs before the agent starts."""
        self.codecs = codecs_of(self.declared.type)
        self._rereaders = {codec.listed: Rereader(codec.listed) for codec in self.codecs}

    def read(self, body: bytes, listed: str) -> Document:
        """The parts of a request's body; see :class:`~ciguard.codecs.rereading.Rereader`.

        ``listed`` is what one of the codecs lists.
        """
        return self._rereaders[listed].split(body)

    def exhausted(self) -> str:
        """Which limit is used up, in words; empty when none is."""
        limits = self.declared.limits
        if limits.requests is not None and self.requests >= limits.requests:
            return f"the limit of {limits.requests} requests is used up"
        if limits.output_tokens is not None and self.output_tokens >= limits.output_tokens:
            return f"the limit of {limits.output_tokens} output tokens is used up"
        return ""


@dataclass(frozen=True, slots=True)
class Route:
    """Where a call leads: the codec and endpoint, the path below the upstream's base, and the model in the path."""

    connection: OpenConnection
    codec: Codec
    endpoint: Endpoint
    path: str
    query: str
    model: str


@dataclass(frozen=True, slots=True)
class NoRoute:
    """A call that leads nowhere: the status and message to answer with, and the connection if there is one."""

    status: int
    message: str
    connection: OpenConnection | None = None

    @property
    def codec(self) -> Codec | None:
        """What words the error; None when there is no connection."""
        return self.connection.codecs[0] if self.connection else None


_TARGET = re.compile(r"/(?P<connection>[a-z][a-z0-9-]{0,31})(?P<path>(?:/[^?#]*)?)(?:\?(?P<query>[^#]*))?")
_DOTS = frozenset({".", ".."})
_PLAIN_QUERY = re.compile(r"[A-Za-z0-9_.=&~%+,:-]*")


def find_route(connections: dict[str, OpenConnection], method: str, target: str) -> Route | NoRoute:
    """Where the call ``method target`` leads; ``target`` is the request target as it came, undecoded.

    Only the exact paths that an API has are served, so absolute URLs, ``..``, doubled slashes and percent-encoded paths
    lead nowhere.
    """
    matched = _TARGET.fullmatch(target)
    connection = connections.get(matched["connection"]) if matched else None
    if not matched or connection is None:
        return NoRoute(404, "no connection of the policy has this address")
    path, query = matched["path"], matched["query"] or ""
    if not _DOTS.isdisjoint(path.split("/")):
        return NoRoute(404, "an address with . or .. in it is not served", connection)
    methods: list[str] = []
    for codec in connection.codecs:
        for endpoint in codec.endpoints:
            found = endpoint.path.fullmatch(path)
            if not found:
                continue
            if endpoint.method != method:
                methods.append(endpoint.method)
                continue
            if not _PLAIN_QUERY.fullmatch(query) or not endpoint.query.issuperset(
                name for name, _ in parse_qsl(query, keep_blank_values=True)
            ):
                return NoRoute(400, "the query has parameters that this endpoint is not known to take", connection)
            if endpoint.stream and ("alt", "sse") not in parse_qsl(query):
                return NoRoute(400, "streams are served as server-sent events only: add ?alt=sse", connection)
            return Route(connection, codec, endpoint, path, query, found.groupdict().get("model") or "")
    if methods:
        return NoRoute(405, f"this address takes {', '.join(sorted(methods))} only", connection)
    return NoRoute(404, "the API of this connection has no such address, or it is not served", connection)

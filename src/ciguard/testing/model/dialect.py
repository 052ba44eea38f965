"""What each provider's module offers the server, and what the modules share."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol, TypeAlias
from urllib.parse import SplitResult, urlsplit

from multidict import CIMultiDictProxy

from ciguard.operation import Json
from ciguard.testing.model.answer import Answer, dump
from ciguard.testing.model.conversation import Block, Call, Conversation, Native, Text, Thinking

NewId: TypeAlias = Callable[[str, int], str]
"""Makes an id never given before from a prefix and the number of characters that follow it."""

_ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


@dataclass(frozen=True, slots=True)
class ReceivedRequest:
    """A request as it came: ``path`` with its query, ``body`` as on the wire, ``parsed`` when the body is JSON."""

    method: str
    path: str
    headers: CIMultiDictProxy[str]
    body: bytes
    parsed: Json
    credential: str

    @property
    def url(self) -> SplitResult:
        """The path and the query, apart."""
        return urlsplit(self.path)

    def __repr__(self) -> str:
        return f"ReceivedRequest({self.method} {self.path}, {len(self.body)} bytes)"


class RefusedError(Exception):
    """The service refuses the request: an HTTP status, what is said, and what OpenAI calls ``param`` and ``code``."""

    def __init__(self, status: int, message: str, *, param: str | None = None, code: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.param = param
        self.code = code


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of a request and its reply; ``thinking`` is a part of ``output``."""

    input: int
    output: int
    thinking: int


@dataclass(frozen=True, slots=True)
class Reply:
    """What a provider's module needs to word an answer. ``chunk`` is the default length of a delta in characters."""

    conversation: Conversation
    request: Mapping[str, Json]
    url: SplitResult
    blocks: tuple[Block, ...]
    usage: Usage
    created: int
    chunk: int
    new_id: NewId


class Dialect(Protocol):
    """What each provider's module offers."""

    def credentials(self, headers: Mapping[str, str], url: SplitResult) -> list[str]:
        """Every credential that the request presents, in whichever place."""

    def unauthorised(self, presented: list[str]) -> RefusedError:
        """The refusal of a request with these credentials, of which one is not valid, or with none."""

    def converse(self, request: ReceivedRequest) -> Conversation:
        """Checks a generation request as the service does; raises ``RefusedError``."""

    def measured(self, request: Mapping[str, Json]) -> Json:
        """The part of the request whose tokens are counted."""

    def reply(self, reply: Reply) -> Answer:
        """The answer to a generation request, streamed if the request says so."""

    def refusal(self, refused: RefusedError, new_id: NewId) -> Answer:
        """The error answer of the service."""

    def stream_error(self, status: int, message: str, new_id: NewId) -> bytes:
        """What the service sends when it fails inside a stream that has begun."""

    def models(self) -> Answer:
        """The answer to a request for the list of models."""

    def model(self, name: str) -> Answer:
        """The answer to a request for one model; raises ``RefusedError`` when there is none of that name."""


def id_source() -> NewId:
    """A source of ids that look random and are the same in every run."""
    count = 0

    def new_id(prefix: str, length: int) -> str:
        nonlocal count
        count += 1
        digest = hashlib.shake_256(f"{prefix}{count}".encode()).digest(length)
        return prefix + "".join(_ALPHABET[byte % len(_ALPHABET)] for byte in digest)

    return new_id


def tokens_of(text: str) -> int:
    """A stand-in for a tokenizer: a token for each four bytes or part of them."""
    return -(-len(text.encode("utf-8", "surrogatepass")) // 4)


def arguments_of(call: Call) -> str:
    """The argument text of a call as a model writes it."""
    return dump(call.input) if call.pieces is None else "".join(call.pieces)


def usage_of(measured: Json, blocks: Iterable[Block]) -> Usage:
    """The usage that every format reports for this request and these blocks."""
    output = thinking = 0
    for block in blocks:
        match block:
            case Text(text):
                output += tokens_of(text)
            case Thinking(text):
                output += tokens_of(text)
                thinking += tokens_of(text)
            case Call(name):
                output += tokens_of(name) + tokens_of(arguments_of(block))
            case Native(value):
                output += tokens_of(dump(value))
    return Usage(tokens_of(dump(measured)), output, thinking)


def authorization(headers: Mapping[str, str]) -> list[str]:
    """The token of an ``Authorization: Bearer`` header (RFC 6750), or the whole header if it is of another kind."""
    value = headers.get("authorization")
    if value is None:
        return []
    scheme, _, token = value.partition(" ")
    return [token.strip() if scheme.lower() == "bearer" else value]

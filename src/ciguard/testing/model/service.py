"""The service without a server: which format a request is in, whether it is allowed, and what the script answers."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias
from urllib.parse import SplitResult, unquote

from ciguard.operation import Json
from ciguard.testing.model import anthropic, gemini, openai_chat, openai_responses
from ciguard.testing.model.answer import Answer
from ciguard.testing.model.conversation import Script
from ciguard.testing.model.dialect import Dialect, NewId, ReceivedRequest, RefusedError, Reply, usage_of

REQUEST_LIMIT = 32 << 20
"""Bytes of a request body; Anthropic's limit, held against all."""


@dataclass(frozen=True, slots=True)
class Generate:
    """The client wants a reply."""


@dataclass(frozen=True, slots=True)
class Count:
    """The client wants its request's tokens counted; ``worded`` makes the answer."""

    worded: Callable[[int], Answer]


@dataclass(frozen=True, slots=True)
class List:
    """The client wants to know the models."""


@dataclass(frozen=True, slots=True)
class Describe:
    """The client wants to know one model."""


Task: TypeAlias = "Generate | Count | List | Describe"


@dataclass(frozen=True, slots=True)
class Route:
    """One method and path of one service; the pattern's group is the name of a model."""

    method: str
    pattern: re.Pattern[str]
    dialect: Dialect
    task: Task


def _route(method: str, pattern: str, dialect: Dialect, task: Task) -> Route:
    return Route(method, re.compile(pattern), dialect, task)


_ROUTES = (
    _route("POST", r"/v1/messages", anthropic, Generate()),
    _route("POST", r"/v1/messages/count_tokens", anthropic, Count(anthropic.counted)),
    _route("POST", r"/v1/responses", openai_responses, Generate()),
    _route("POST", r"/v1/responses/input_tokens", openai_responses, Count(openai_responses.counted)),
    _route("POST", r"/v1/chat/completions", openai_chat, Generate()),
    _route("POST", r"/v1(?:beta)?/models/[^/:]+:(?:generateContent|streamGenerateContent)", gemini, Generate()),
    _route("POST", r"/v1(?:beta)?/models/[^/:]+:countTokens", gemini, Count(gemini.counted)),
    _route("GET", r"/v1beta/models", gemini, List()),
    _route("GET", r"/v1beta/models/([^/:]+)", gemini, Describe()),
    _route("GET", r"/v1/models", anthropic, List()),
    _route("GET", r"/v1/models/([^/:]+)", anthropic, Describe()),
    _route("GET", r"/v1/models", openai_responses, List()),
    _route("GET", r"/v1/models/([^/:]+)", openai_responses, Describe()),
)


def dialect_of(url: SplitResult, headers: Mapping[str, str]) -> Dialect:
    """Whose API a request speaks to; ``/v1/models`` is Anthropic's for those who send its version header."""
    if "anthropic-version" in headers or url.path.startswith("/v1/messages") or url.path == "/":
        return anthropic
    if url.path.startswith("/v1beta/") or re.search(r"/models/[^/]+:", url.path):
        return gemini
    return openai_chat if url.path == "/v1/chat/completions" else openai_responses


@dataclass(frozen=True, slots=True)
class Service:
    """Answers requests; ``chunk`` is the default length of a stream delta in characters."""

    script: Script
    api_keys: frozenset[str]
    chunk: int
    new_id: NewId

    def answer(self, request: ReceivedRequest, dialect: Dialect, now: int) -> Answer:
        """What the service answers; ``now`` is in seconds since 1970."""
        try:
            return self._answer(request, dialect, now)
        except RefusedError as refused:
            return dialect.refusal(refused, self.new_id)

    def _answer(self, request: ReceivedRequest, dialect: Dialect, now: int) -> Answer:
        presented = dialect.credentials(request.headers, request.url)
        if not presented or not self.api_keys.issuperset(presented):
            raise dialect.unauthorised(presented)
        if len(request.body) > REQUEST_LIMIT:
            raise RefusedError(413, "Request exceeds the maximum size")
        route, found = _find(request, dialect)
        match route.task:
            case List():
                return dialect.models()
            case Describe():
                return dialect.model(unquote(found[1]))
            case Generate():
                return self._reply(request, dialect, now)
            case Count(worded):
                document = _document(request)
                dialect.converse(request)
                return worded(usage_of(dialect.measured(document), ()).input)

    def _reply(self, request: ReceivedRequest, dialect: Dialect, now: int) -> Answer:
        document = _document(request)
        conversation = dialect.converse(request)
        blocks = tuple(self.script(conversation))
        return dialect.reply(
            Reply(
                conversation=conversation,
                request=document,
                url=request.url,
                blocks=blocks,
                usage=usage_of(dialect.measured(document), blocks),
                created=now,
                chunk=self.chunk,
                new_id=self.new_id,
            )
        )


def _find(request: ReceivedRequest, dialect: Dialect) -> tuple[Route, re.Match[str]]:
    for route in _ROUTES:
        found = route.pattern.fullmatch(request.url.path)
        if found is None or route.dialect is not dialect:
            continue
        if route.method != request.method:
            raise RefusedError(405, f"Not allowed to {request.method} on {request.url.path}")
        return route, found
    raise RefusedError(404, f"Invalid URL ({request.method} {request.url.path})")


def _document(request: ReceivedRequest) -> dict[str, Json]:
    if not isinstance(request.parsed, dict):
        raise RefusedError(400, "We could not parse the JSON body of your request.")
    return request.parsed

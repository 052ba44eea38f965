"""An answer as a plan of what the server writes: values only, so that faults are plain transformations of it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from ciguard.operation import Json

_SURROGATE = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Write:
    """Write these body bytes, in one chunk."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Wait:
    """Write nothing for this long."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Abort:
    """Drop the connection without ending the body."""


@dataclass(frozen=True, slots=True)
class HangUp:
    """End the body here as if it were whole."""


Step: TypeAlias = "Write | Wait | Abort | HangUp"


@dataclass(frozen=True, slots=True)
class Answer:
    """``delay`` seconds pass before the status line; ``headers`` lack only the framing ones, which the server adds."""

    status: int
    headers: tuple[tuple[str, str], ...]
    steps: tuple[Step, ...]
    delay: float = 0

    @property
    def body(self) -> bytes:
        """Every byte that would be written if nothing stopped it."""
        return b"".join(step.data for step in self.steps if isinstance(step, Write))

    def header(self, name: str) -> str:
        """The first value of header ``name``, empty when absent."""
        return next((value for key, value in self.headers if key.lower() == name), "")

    def with_header(self, name: str, value: str) -> Answer:
        """This answer with header ``name`` set to ``value`` only."""
        kept = tuple((key, old) for key, old in self.headers if key.lower() != name.lower())
        return Answer(self.status, (*kept, (name, value)), self.steps, self.delay)

    def with_steps(self, steps: Iterable[Step]) -> Answer:
        """This answer with other steps."""
        return Answer(self.status, self.headers, tuple(steps), self.delay)


def escape_surrogates(text: str) -> str:
    """JSON text in which lone surrogates, which UTF-8 cannot carry, are ``\\u`` escapes."""
    return _SURROGATE.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def dump(value: Json | Mapping[str, Json]) -> str:
    """Compact JSON; only what cannot be UTF-8 is escaped."""
    return escape_surrogates(json.dumps(value, ensure_ascii=False, separators=(",", ":")))


def json_answer(status: int, text: str, *headers: tuple[str, str]) -> Answer:
    """An unstreamed JSON answer."""
    return Answer(status, (("content-type", "application/json"), *headers), (Write(text.encode()),))


def sse_answer(events: Iterable[str], *headers: tuple[str, str]) -> Answer:
    """A streamed answer; each of ``events`` is the whole text of one server-sent event."""
    kind = ("content-type", "text/event-stream; charset=utf-8")
    cache = ("cache-control", "no-cache")
    return Answer(200, (kind, cache, *headers), tuple(Write(event.encode()) for event in events))

"""What can go wrong between a client and the service, each as a transformation of the answer that was planned.

Faults apply in the order in which they are given: ``[Compressed(), Truncated(100)]`` cuts compressed bytes.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TypeAlias, assert_never

import zstandard

from ciguard.testing.model.answer import Abort, Answer, HangUp, Step, Wait, Write
from ciguard.testing.model.dialect import Dialect, NewId, ReceivedRequest, RefusedError


class Ending(StrEnum):
    """How a truncated answer ends."""

    ABORTED = "aborted"
    """The connection drops in the middle of the body."""
    CLEAN = "clean"
    """The body ends as HTTP wants it, only too early."""


class Coding(StrEnum):
    """The content codings of RFC 9110 and RFC 8878 that clients ask for."""

    GZIP = "gzip"
    DEFLATE = "deflate"
    ZSTD = "zstd"


@dataclass(frozen=True, slots=True)
class ServiceError:
    """The service answers with an error status and an error body of its own shape."""

    status: int
    message: str = "Internal server error"


@dataclass(frozen=True, slots=True)
class StreamError:
    """The stream breaks off after some events with the service's error event, under status 200."""

    after_events: int
    status: int = 529
    message: str = "Overloaded"


@dataclass(frozen=True, slots=True)
class Redirected:
    """The service sends the client elsewhere."""

    location: str
    status: int = 307


@dataclass(frozen=True, slots=True)
class Raw:
    """An answer of any bytes at all."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes


@dataclass(frozen=True, slots=True)
class Header:
    """A header is added or replaced: a wrong content type, an echoed credential."""

    name: str
    value: str


@dataclass(frozen=True, slots=True)
class Slow:
    """Nothing at all comes for a while."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Paused:
    """The body pauses after some bytes."""

    after_bytes: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Truncated:
    """The body stops after some bytes."""

    after_bytes: int
    ending: Ending = Ending.ABORTED


@dataclass(frozen=True, slots=True)
class Fragmented:
    """The body comes in pieces of ``size`` bytes: across events, lines and the bytes of one character."""

    size: int


@dataclass(frozen=True, slots=True)
class EventLines:
    """Events end their lines by CRLF or CR instead of LF, as the WHATWG's server-sent events allow."""

    ending: bytes = b"\r\n"


@dataclass(frozen=True, slots=True)
class Compressed:
    """The body is compressed, flushed after every write as a streaming service does."""

    coding: Coding = Coding.GZIP


Fault: TypeAlias = (
    "ServiceError | StreamError | Redirected | Raw | Header | Slow | Paused | Truncated | Fragmented | EventLines"
    " | Compressed"
)

Faults: TypeAlias = Callable[[ReceivedRequest], Sequence[Fault]]
"""Chooses the faults of one request's answer."""


def bomb(megabytes: int) -> Raw:
    """A small gzip body that unpacks to ``megabytes`` MiB of spaces."""
    packed = gzip.compress(b" " * (megabytes << 20), compresslevel=9)
    return Raw(200, (("content-type", "application/json"), ("content-encoding", "gzip")), packed)


def apply(fault: Fault, answer: Answer, dialect: Dialect, new_id: NewId) -> Answer:
    """The answer with this fault; ``dialect`` words the service's own errors."""
    match fault:
        case ServiceError(status, message):
            return dialect.refusal(RefusedError(status, message), new_id)
        case StreamError(after, status, message):
            return answer.with_steps((*answer.steps[:after], Write(dialect.stream_error(status, message, new_id))))
        case Redirected(location, status):
            return Answer(status, (("location", location),), ())
        case Raw(status, headers, body):
            return Answer(status, headers, (Write(body),))
        case Header(name, value):
            return answer.with_header(name, value)
        case Slow(seconds):
            return replace(answer, delay=seconds)
        case Paused(after, seconds):
            first, rest = _split(answer.steps, after)
            return answer.with_steps((*first, Wait(seconds), *rest))
        case Truncated(after, ending):
            first, _ = _split(answer.steps, after)
            return answer.with_steps((*first, Abort() if ending is Ending.ABORTED else HangUp()))
        case Fragmented(size):
            return answer.with_steps(_fragments(answer.steps, size))
        case EventLines(ending):
            return answer.with_steps(_with_lines(answer.steps, ending))
        case Compressed(coding):
            return answer.with_header("content-encoding", coding).with_steps(_compressed(answer.steps, coding))
    assert_never(fault)


def _split(steps: Sequence[Step], after: int) -> tuple[list[Step], list[Step]]:
    """The steps that write the first ``after`` body bytes, and the others."""
    first: list[Step] = []
    rest: list[Step] = []
    left = after
    for step in steps:
        if not isinstance(step, Write):
            (first if left else rest).append(step)
            continue
        head, tail = step.data[:left], step.data[left:]
        left -= len(head)
        first += [Write(head)] if head else []
        rest += [Write(tail)] if tail else []
    return first, rest


def _fragments(steps: Iterable[Step], size: int) -> Iterator[Step]:
    gathered = b""
    for step in (*steps, None):
        if isinstance(step, Write):
            gathered += step.data
            continue
        yield from (Write(gathered[at : at + size]) for at in range(0, len(gathered), size))
        gathered = b""
        if step is not None:
            yield step


def _with_lines(steps: Iterable[Step], ending: bytes) -> Iterator[Step]:
    for step in steps:
        match step:
            case Write(data):
                yield Write(data.replace(b"\r\n", b"\n").replace(b"\n", ending))
            case _:
                yield step


def _compressed(steps: Iterable[Step], coding: Coding) -> Iterator[Step]:
    write, flush, end = _compressor(coding)
    for step in steps:
        match step:
            case Write(data):
                yield Write(write(data) + flush())
            case _:
                yield step
    yield Write(end())


def _compressor(coding: Coding) -> tuple[Callable[[bytes], bytes], Callable[[], bytes], Callable[[], bytes]]:
    """Functions that compress bytes, flush what is held back, and end the body."""
    if coding is Coding.ZSTD:
        frame = zstandard.ZstdCompressor().compressobj()
        return frame.compress, lambda: frame.flush(zstandard.COMPRESSOBJ_FLUSH_BLOCK), frame.flush
    deflate = zlib.compressobj(wbits=zlib.MAX_WBITS | 16 if coding is Coding.GZIP else zlib.MAX_WBITS)
    return deflate.compress, lambda: deflate.flush(zlib.Z_SYNC_FLUSH), deflate.flush

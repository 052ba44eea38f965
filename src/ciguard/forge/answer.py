"""What a forge answered, read into types."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Any, TypeVar

import msgspec

from ciguard.forge.thread import ForgeTrouble

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Answer:
    """A successful answer: its JSON, the SHA-256 in hex of its bytes, and whether it names a next page."""

    value: Any
    digest: str
    more: bool = False
    etag: str = ""


def answer_of(text: str, forge: str, *, more: bool, etag: str = "") -> Answer:
    """The answer with the body ``text``. Raises ForgeTrouble when it is not JSON."""
    try:
        value = json.loads(text)
    except ValueError:
        raise ForgeTrouble(f"{forge} answered with something that is not JSON") from None
    return Answer(value, hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest(), more, etag)


def convert(value: Any, kind: type[T], forge: str) -> T:
    """``value`` as ``kind``. Raises ForgeTrouble when it is something else."""
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        raise ForgeTrouble(f"{forge} answered with something unexpected: {error}") from None

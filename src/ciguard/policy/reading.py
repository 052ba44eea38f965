"""What a key of the policy file takes: each reader turns a JSON value into a typed one, or refuses it with a remedy.

Readers also say their JSON Schema, so that what editors are told is what is enforced.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Generic, Protocol, TypeAlias, TypeVar

from ciguard.operation import Json
from ciguard.policy.yaml_document import Path

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)
Word = TypeVar("Word", bound=str)

Schema: TypeAlias = "dict[str, Any]"


class Refusal(Exception):
    """A value that the policy cannot have: why, what to do, and where below the value that is read it is."""

    def __init__(self, cause: str, remedy: str, *, at: Path = ()) -> None:
        super().__init__(cause)
        self.cause = cause
        self.remedy = remedy
        self.at = at


class KeyRefusal(Refusal):
    """A key, not its value, that the policy cannot have."""


@contextmanager
def below(step: str | int) -> Iterator[None]:
    """Reading the value at ``step``: what is refused there is told from above."""
    try:
        yield
    except Refusal as refusal:
        refusal.at = (step, *refusal.at)
        raise


class Reader(Protocol[T_co]):
    """Reads one kind of value."""

    def read(self, value: Json) -> T_co:
        """``value`` as the policy has it; :class:`Refusal` when it is not of this kind."""
        ...

    def schema(self, named: dict[str, Schema]) -> Schema:
        """The JSON Schema of the values that are taken; ``named`` collects the ``$defs`` that it refers to."""
        ...


@dataclass(frozen=True, slots=True)
class Text:
    """Any text but, unless it may be, the empty one."""

    least: int = 0

    def read(self, value: Json) -> str:
        """See :class:`Reader`."""
        text = _text(value)
        if len(text) < self.least:
            raise _empty()
        return text

    def schema(self, named: dict[str, Schema]) -> Schema:
        """See :class:`Reader`."""
        del named
        return {"type": "string", **({"minLength": self.least} if self.least else {})}


@dataclass(frozen=True, slots=True)
class Shape:
    """A text that must match ``pattern`` as a whole. The value itself is never shown: it may be a pasted secret."""

    pattern: str
    what: str
    remedy: str

    def read(self, value: Json) -> str:
        """See :class:`Reader`."""
        text = _text(value)
        if re.fullmatch(self.pattern, text) is None:
            raise Refusal(f"this is not {self.what}", self.remedy)
        return text

    def schema(self, named: dict[str, Schema]) -> Schema:
        """See :class:`Reader`."""
        del named
        return {"type": "string", "pattern": f"^(?:{self.pattern})$"}


@dataclass(frozen=True, slots=True)
class Checked(Generic[T]):
    """What ``reader`` takes, unless ``check`` refuses it; ``check`` gives the value to use."""

    reader: Reader[T]
    check: Callable[[T], T]

    def read(self, value: Json) -> T:
        """See :class:`Reader`."""
        return self.check(self.reader.read(value))

    def schema(self, named: dict[str, Schema]) -> Schema:
        """See :class:`Reader`."""
        return self.reader.schema(named)


@dataclass(frozen=True, slots=True)
class Screened(Generic[T]):
    """What ``reader`` takes, once ``screen`` has looked at it: to refuse it in better words, or to write out what is
    short for it. ``short`` reads such forms.
    """

    reader: Reader[T]
    screen: Callable[[Json], Json]
    short: Reader[object] | None = None

    def read(self, value: Json) -> T:
        """See :class:`Reader`."""
        return self.reader.read(self.screen(value))

    def schema(self, named: dict[str, Schema]) -> Schema:
        """See :class:`Reader`."""
        schema = self.reader.schema(named)
        return schema if self.short is None else {"anyOf": [self.short.schema(named), schema]}


@dataclass(frozen=True, slots=True)
class Number:
    """A whole number within bounds."""

    least: int
    most: int | None = None

    def read(self, value: Json) -> int:
        """See :class:`Reader`."""
        if type(value) is not int:
            raise Refusal("this must be a whole number", "write a number without quotes")
        if value < self.least:
            raise Refusal(f"this number must be at least {self.least}", f"write a number that is at least {self.least}")
        if self.most is not None and value > self.most:
            raise Refusal(f"this number must be at most {self.most}", f"write a number that is at most {self.most}")
        return value

    def schema(self, named: dict[str, Schema]) -> Schema:
        """See :class:`Reader`."""
        del named
        bounds = {"minimum": self.least} | ({} if self.most is None else {"maximum": self.most})
        return {"type": "integer", **bounds}


class YesOrNo:
    """True or false."""

    def read(self, value: Json) -> bool:
        """See :class:`Reader`."""
        if not isinstance(value, bool):
            raise Refusal("this must be true or false", "write true or false, without quotes")
        return value

    def schema(self, named: dict[str, Schema]) -> Schema:
        """See :class:`Reader`."""
        del named
        return {"type": "boolean"}


@dataclass(frozen=True, slots=True)
class OneOf(Generic[Word]):
    """One of some words."""

    words: tuple[Word, ...]

    def read(self, value: Json) -> Word:
        """See :class:`Reader`."""
        for word in self.words:
            if word == value:
                return word
        *first, last = self.words
        expected = f"{', '.join(first)} or {last}" if first else str(last)
        raise Refusal(f"this must be {expected}", f"write {expected}")

    def schema(self, named: dict[str, Schema]) -> Schema:
        """See :class:`Reader`."""
        del named
        return {"type": "string", "enum": [str(word) for word in self.words]}


def one_of(words: type[Named]) -> OneOf[Named]:
    """Reads the words of an enumeration."""
    return OneOf(tuple(words))


Named = TypeVar("Named", bound=StrEnum)


@dataclass(frozen=True, slots=True)
class Maybe(Generic[T]):
    """What ``reader`` takes, or nothing."""

    reader: Reader[T]

    def read(self, value: Json) -> T | None:
        """See :class:`Reader`."""
        return None if value is None else self.reader.read(value)

    def schema(self, named: dict[str, Schema]) -> Schema:
        """See :class:`Reader`."""
        return {"anyOf": [self.reader.schema(named), {"type": "null"}]}


@dataclass(frozen=True, slots=True)
class ListOf(Generic[T]):
    """A list of at least so many items."""

    item: Reader[T]
    least: int = 0

    def read(self, value: Json) -> tuple[T, ...]:
        """See :class:`Reader`."""
        if not isinstance(value, list):
            raise Refusal("this must be a list", "write [a, b], or one value a line that begins with a hyphen")
        items = []
        for index, item in enumerate(value):
            with below(index):
                items.append(self.item.read(item))
        if len(items) < self.least:
            raise _empty()
        return tuple(items)

    def schema(self, named: dict[str, Schema]) -> Schema:
        """See :class:`Reader`."""
        least = {"minItems": self.least} if self.least else {}
        return {"type": "array", "items": self.item.schema(named), **least}


@dataclass(frozen=True, slots=True)
class MappingOf(Generic[T]):
    """A mapping of at least so many keys of one's own."""

    item: Reader[T]
    least: int = 0
    key: Text | Shape = Text()

    def read(self, value: Json) -> Mapping[str, T]:
        """See :class:`Reader`."""
        if not isinstance(value, dict):
            raise not_a_mapping()
        items: dict[str, T] = {}
        for key, item in value.items():
            with below(key):
                try:
                    self.key.read(key)
                except Refusal as refusal:
                    raise KeyRefusal(refusal.cause, refusal.remedy) from None
                items[key] = self.item.read(item)
        if len(items) < self.least:
            raise _empty()
        return items

    def schema(self, named: dict[str, Schema]) -> Schema:
        """See :class:`Reader`."""
        least = {"minProperties": self.least} if self.least else {}
        items = self.item.schema(named)
        if pattern := self.key.schema(named).get("pattern"):
            return {"type": "object", "patternProperties": {pattern: items}, "additionalProperties": False, **least}
        return {"type": "object", "additionalProperties": items, **least}


class Anything:
    """Any JSON value."""

    def read(self, value: Json) -> Json:
        """See :class:`Reader`."""
        return value

    def schema(self, named: dict[str, Schema]) -> Schema:
        """See :class:`Reader`."""
        del named
        return {}


def not_a_mapping() -> Refusal:
    """The refusal of what should have keys."""
    return Refusal("this must be a mapping", "write keys with values below this key")


def _text(value: Json) -> str:
    if not isinstance(value, str):
        raise Refusal("this must be a text", "put the value in quotes")
    return value


def _empty() -> Refusal:
    return Refusal("this must not be empty", "give it a value, or remove the key")

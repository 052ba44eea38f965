"""Mappings of the policy file that have fixed keys: classes whose attributes are keys.

A key is declared once, with the reader of its values, its default and what it is about::

    class ConnectionLimits(Section):
        \"""What a session may use up over one connection.\"""

        requests: int | None = declare(Maybe(Number(1)), default=None, about="Requests in a session.")

Unknown keys are refused, and a section remembers which of its keys were stated: a default is not a statement.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any, ClassVar, Generic, Self, TypeVar, cast, dataclass_transform

from ciguard.operation import Json
from ciguard.policy.reading import KeyRefusal, Reader, Refusal, Schema, below, not_a_mapping

T = TypeVar("T")
S = TypeVar("S", bound="Section")


class _Required(Enum):
    """The default of a key that has none."""

    REQUIRED = "required"


REQUIRED = _Required.REQUIRED


@dataclass(frozen=True, slots=True)
class Key:
    """A key of a section: ``word`` is how the policy file spells it."""

    word: str
    reader: Reader[Any]
    default: Any
    factory: Callable[[Mapping[str, Any]], Any] | None
    about: str
    examples: tuple[Json, ...]

    @property
    def required(self) -> bool:
        """Whether a section must state it."""
        return self.default is REQUIRED and self.factory is None

    def unstated(self, stated: Mapping[str, Any]) -> Any:
        """Its value in a section that states only ``stated``."""
        return self.factory(stated) if self.factory else self.default


def declare(
    reader: Reader[T],
    *,
    about: str,
    default: T | _Required = REQUIRED,
    factory: Callable[[Mapping[str, Any]], T] | None = None,
    examples: tuple[Json, ...] = (),
) -> T:
    """Declare a key of a section; ``factory`` makes its default of what the section states.

    A trailing underscore, for a word that Python keeps to itself, is not part of its name in the file.
    """
    # The class takes the declaration out of itself; its instances have values.
    return cast("T", Key("", reader, default, factory, about, examples))


@dataclass_transform(kw_only_default=True, frozen_default=True, field_specifiers=(declare,))
class Section:
    """A mapping of the policy file, which does not change once it is made."""

    keys: ClassVar[Mapping[str, Key]] = {}
    """Its keys in order, by attribute."""

    stated: frozenset[str]

    def __init_subclass__(cls) -> None:
        """Take the declarations out of the class."""
        declared = {name: value for name, value in vars(cls).items() if isinstance(value, Key)}
        for name in declared:
            if hasattr(Section, name):
                raise TypeError(f"{name} has another meaning for sections")
            delattr(cls, name)
        cls.keys = {name: replace(one, word=name.removesuffix("_")) for name, one in declared.items()}

    def __init__(self, **values: Any) -> None:
        """A section that states ``values``, which mypy checks and nothing else does; see :meth:`of`."""
        if not values.keys() <= self.keys.keys():
            raise TypeError(f"{type(self).__name__} has not all of the keys {', '.join(values)}")
        complete = {name: values[name] if name in values else one.unstated(values) for name, one in self.keys.items()}
        if REQUIRED in complete.values():
            raise TypeError(f"{type(self).__name__} misses a key that has no default")
        self.__dict__.update(complete, stated=frozenset(values))

    @classmethod
    def of(cls, value: Json) -> Self:
        """The section that a document states; :class:`Refusal` at the first thing that is wrong with it."""
        if not isinstance(value, dict):
            raise not_a_mapping()
        names = {one.word: name for name, one in cls.keys.items()}
        values: dict[str, Any] = {}
        for word, item in value.items():
            with below(word):
                if word not in names:
                    raise _unknown(word, list(names))
                values[names[word]] = cls.keys[names[word]].reader.read(item)
        for name, one in cls.keys.items():
            if one.required and name not in values:
                raise Refusal(f"the key {one.word} is missing here", f"add {one.word}: {one.about}")
        section = cls(**values)
        section.check()
        return section

    def check(self) -> None:
        """:class:`Refusal` when the keys do not go together."""

    def replaced(self, **updates: Any) -> Self:
        """The same section with ``updates`` stated."""
        return type(self)(**{name: getattr(self, name) for name in self.stated} | updates)

    def written(self, without: Collection[str] = ()) -> dict[str, Json]:
        """The section as a policy file would have it, every default spelled out but nothing where a key is None."""
        values = {one.word: getattr(self, name) for name, one in self.keys.items() if name not in without}
        return {word: _written(value) for word, value in values.items() if value is not None}

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"{type(self).__name__} is frozen: {name} cannot be set")

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"{type(self).__name__} is frozen: {name} cannot be deleted")

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and all(getattr(self, name) == getattr(other, name) for name in self.keys)

    def __hash__(self) -> int:
        return hash(tuple(getattr(self, name) for name in self.keys))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{name}={getattr(self, name)!r}' for name in self.keys)})"


@dataclass(frozen=True, slots=True)
class Inner(Generic[S]):
    """Reads a section."""

    section: type[S]

    def read(self, value: Json) -> S:
        """See :class:`~ciguard.policy.reading.Reader`."""
        return self.section.of(value)

    def schema(self, named: dict[str, Schema]) -> Schema:
        """See :class:`~ciguard.policy.reading.Reader`."""
        name = self.section.__name__
        if name not in named:
            named[name] = {}
            named[name] = section_schema(self.section, named)
        return {"$ref": f"#/$defs/{name}"}


def section_schema(section: type[Section], named: dict[str, Schema]) -> Schema:
    """The JSON Schema of ``section``; ``named`` collects the ``$defs`` that it refers to."""
    from inspect import cleandoc

    return {
        "type": "object",
        "description": cleandoc(section.__doc__ or ""),
        "properties": {one.word: _key_schema(one, named) for one in section.keys.values()},
        "required": [one.word for one in section.keys.values() if one.required],
        "additionalProperties": False,
    }


def _key_schema(declared: Key, named: dict[str, Schema]) -> Schema:
    schema = {**declared.reader.schema(named), "description": declared.about}
    if declared.default is not REQUIRED:
        schema["default"] = _written(declared.default)
    if declared.examples:
        schema["examples"] = list(declared.examples)
    return schema


def _written(value: Any) -> Json:
    match value:
        case Section():
            return value.written()
        case Mapping():
            return {name: _written(item) for name, item in value.items()}
        case tuple() | list():
            return [_written(item) for item in value]
        case str():
            return str(value)
        case _:
            return cast("Json", value)


def _unknown(word: str, known: list[str]) -> KeyRefusal:
    from difflib import get_close_matches

    close = get_close_matches(word, known, n=1)
    remedy = f"did you mean {close[0]}?" if close else f"the keys here are: {', '.join(known)}"
    return KeyRefusal(f"unknown key {word[:40]!r}", remedy)

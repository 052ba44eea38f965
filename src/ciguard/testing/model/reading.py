"""Reading an untrusted JSON request with the path kept, so that a refusal names the place as the services do."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias

from ciguard.operation import Json

Path: TypeAlias = "tuple[str | int, ...]"


class Kind(StrEnum):
    """The JSON types that requests are made of."""

    STRING = "string"
    INTEGER = "integer"
    ARRAY = "array"
    OBJECT = "object"


class MissingError(Exception):
    """A required value is absent at ``path``."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.path = path


class WrongTypeError(Exception):
    """The value at ``path`` is not of the type ``expected``."""

    def __init__(self, path: Path, expected: Kind, found: Json) -> None:
        super().__init__(path, expected)
        self.path = path
        self.expected = expected
        self.found = found


@dataclass(frozen=True, slots=True)
class Node:
    """A value inside the request and where it stands."""

    value: Json
    path: Path = ()

    def get(self, *names: str) -> Node | None:
        """The member under the first of ``names`` that is present and not null."""
        members = self.members()
        for name in names:
            if members.get(name) is not None:
                return Node(members[name], (*self.path, name))
        return None

    def need(self, *names: str) -> Node:
        """Like ``get``, but raises ``MissingError``."""
        found = self.get(*names)
        if found is None:
            raise MissingError((*self.path, names[0]))
        return found

    def text_of(self, name: str) -> str:
        """The string under ``name``, empty when absent."""
        found = self.get(name)
        return "" if found is None else found.text()

    def members(self) -> dict[str, Json]:
        """The value as an object."""
        if not isinstance(self.value, dict):
            raise WrongTypeError(self.path, Kind.OBJECT, self.value)
        return self.value

    def items(self) -> list[Node]:
        """The value as an array of nodes."""
        if not isinstance(self.value, list):
            raise WrongTypeError(self.path, Kind.ARRAY, self.value)
        return [Node(item, (*self.path, index)) for index, item in enumerate(self.value)]

    def text(self) -> str:
        """The value as a string."""
        if not isinstance(self.value, str):
            raise WrongTypeError(self.path, Kind.STRING, self.value)
        return self.value

    def integer(self) -> int:
        """The value as an integer; true and false are none."""
        if isinstance(self.value, bool) or not isinstance(self.value, int):
            raise WrongTypeError(self.path, Kind.INTEGER, self.value)
        return self.value

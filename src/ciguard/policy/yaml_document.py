"""A YAML text as JSON values that know their places.

This reads a subset of YAML 1.2 that has one meaning: no anchors and aliases (which can make a small text huge), no
tags, no directives, one document, no key twice, keys that are texts. Underscores may group the digits of integers.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

from ciguard.errors import PolicyError
from ciguard.operation import Json

if TYPE_CHECKING:
    from ruamel.yaml.error import StringMark
    from ruamel.yaml.events import Event, NodeEvent, ScalarEvent

BYTES_LIMIT = 1 << 20
DEPTH_LIMIT = 32

Path: TypeAlias = "tuple[str | int, ...]"
"""Keys and indices from the root of a document to a value."""

Place: TypeAlias = "tuple[int, int]"
"""Line and column, both from 1."""

_INTEGER = re.compile(r"[-+]?[0-9][0-9_]{0,17}")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]{1,30}|[0-9]{1,30}(?:\.[0-9]{0,30})?)(?:[eE][-+]?[0-9]{1,2})?")
_LONG_NUMBER = re.compile(r"[-+]?[0-9_.]{19,}")
_WORDS: dict[str, Json] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}


@dataclass(frozen=True, slots=True)
class Document:
    """The values of a YAML text; ``values`` and ``keys`` hold the places of values and of the keys of mappings."""

    label: str
    root: dict[str, Json]
    values: dict[Path, Place] = field(repr=False)
    keys: dict[Path, Place] = field(repr=False)

    def error(self, path: Path, cause: str, remedy: str) -> PolicyError:
        """An error at the value at ``path``, or at the nearest value above it that the text has."""
        while path and path not in self.values:
            path = path[:-1]
        return self._error(self.values[path], cause, remedy)

    def key_error(self, path: Path, cause: str, remedy: str) -> PolicyError:
        """An error at the key of the value at ``path``."""
        return self._error(self.keys[path], cause, remedy)

    def _error(self, place: Place, cause: str, remedy: str) -> PolicyError:
        return PolicyError(cause, remedy, file=self.label, line=place[0], column=place[1])


def parse(text: str, label: str, *, empty_remedy: str) -> Document:
    """The document of ``text``; PolicyError at the line and column of the first thing that is wrong."""
    if len(text) > BYTES_LIMIT or len(text.encode(errors="replace")) > BYTES_LIMIT:
        raise PolicyError(
            "the file is larger than 1 MiB", "a policy is a short text; is this the right file?", file=label
        )
    reader = _Reader(label)
    root = reader.read(_events(text, label))
    if root is None:
        raise PolicyError("the policy is empty", empty_remedy, file=label)
    if not isinstance(root, dict):
        raise reader.error((1, 1), "a policy is a mapping of keys to values", empty_remedy)
    return Document(label, root, reader.values, reader.keys)


def _events(text: str, label: str) -> Iterator[Event]:
    from ruamel.yaml import YAML
    from ruamel.yaml.error import MarkedYAMLError, YAMLError
    from ruamel.yaml.reader import ReaderError

    def error(place: Place, cause: str) -> PolicyError:
        remedy = "correct the YAML at this place: look for indentation, missing quotes and unclosed brackets"
        return PolicyError(cause, remedy, file=label, line=place[0], column=place[1])

    try:
        yield from YAML(typ="safe", pure=True).parse(text)
    except MarkedYAMLError as problem:
        mark = problem.problem_mark or problem.context_mark
        raise error(_place(mark), f"this is not YAML: {problem.problem or problem.context}") from None
    except ReaderError as problem:
        before = text[: problem.position]
        place = (before.count("\n") + 1, len(before) - before.rfind("\n"))
        raise error(place, f"this is not YAML: {problem.reason}") from None
    except (YAMLError, ValueError, OverflowError) as problem:
        raise error((1, 1), f"this is not YAML: {problem}") from None


def _place(mark: StringMark | None) -> Place:
    return (1, 1) if mark is None else (mark.line + 1, mark.column + 1)


class _Reader:
    """Builds values from parser events without recursion, so that the depth of a text cannot hurt."""

    def __init__(self, label: str) -> None:
        self.label = label
        self.values: dict[Path, Place] = {}
        self.keys: dict[Path, Place] = {}

    def error(self, place: Place, cause: str, remedy: str) -> PolicyError:
        return PolicyError(cause, remedy, file=self.label, line=place[0], column=place[1])

    def read(self, events: Iterable[Event]) -> Json:
        """The one document of ``events``; None when there is none or nothing in it."""
        from ruamel.yaml import events as kinds

        root: list[Json] = []
        open_values: list[dict[str, Json] | list[Json]] = [root]
        path: list[str | int] = []
        key: str | None = None

        for event in events:
            place = _place(event.start_mark)
            if isinstance(event, kinds.DocumentStartEvent):
                if root:
                    raise self.error(
                        place, "a second YAML document begins here", "keep one document: remove --- and what follows"
                    )
                if event.version or event.tags:
                    raise self.error(place, "YAML directives are not supported", "remove the lines that begin with %")
            if isinstance(event, kinds.CollectionEndEvent):
                open_values.pop()
                if path:
                    path.pop()
            if not isinstance(event, kinds.NodeEvent):
                continue
            self._check_node(event, place)
            parent = open_values[-1]
            step: str | int
            if isinstance(parent, list):
                step = len(parent)
            elif key is None:
                key = self._key(event, place, parent)
                self.keys[(*path, key)] = place
                continue
            else:
                step, key = key, None
            at: Path = () if parent is root else (*path, step)
            self.values[at] = place
            value: Json
            match event:
                case kinds.ScalarEvent():
                    value = self._scalar(event, place)
                case kinds.MappingStartEvent():
                    value = {}
                case _:
                    value = []
            if isinstance(parent, list):
                parent.append(value)
            else:
                parent[str(step)] = value
            if isinstance(value, dict | list):
                if len(open_values) > DEPTH_LIMIT:
                    raise self.error(place, "values are nested too deeply here", f"nest at most {DEPTH_LIMIT} levels")
                open_values.append(value)
                path = list(at)
        return root[0] if root else None

    def _check_node(self, event: NodeEvent, place: Place) -> None:
        if event.anchor is not None:
            raise self.error(
                place,
                "YAML anchors and aliases (& and *) are not supported",
                "write the value out, or quote a text that begins with & or *",
            )
        if getattr(event, "tag", None) is not None:
            raise self.error(
                place, "YAML tags (!) are not supported", "remove the tag, or quote a text that begins with !"
            )

    def _key(self, event: NodeEvent, place: Place, parent: dict[str, Json]) -> str:
        from ruamel.yaml.events import ScalarEvent

        key = self._scalar(event, place) if isinstance(event, ScalarEvent) else None
        if not isinstance(key, str):
            raise self.error(place, "a key must be a text", "put the key in quotes")
        if key in parent:
            raise self.error(place, f"the key {key[:40]!r} is here twice", "keep one of the two")
        return key

    def _scalar(self, event: ScalarEvent, place: Place) -> Json:
        text = str(event.value)
        if any("\ud800" <= char <= "\udfff" for char in text):
            raise self.error(place, "this text holds half a character (a surrogate)", "write the character itself")
        if not event.implicit[0]:
            return text
        if text in _WORDS:
            return _WORDS[text]
        if _INTEGER.fullmatch(text):
            return int(text.replace("_", ""))
        if _LONG_NUMBER.fullmatch(text):
            raise self.error(place, "this number is too long", "put it in quotes if it is a text")
        if _FLOAT.fullmatch(text):
            return float(text)
        return text

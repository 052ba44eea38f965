"""JSON values as block YAML that any YAML 1.2 reader takes back as the same values."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

from ciguard.operation import Json

_PLAIN = re.compile(r"[A-Za-z/][A-Za-z0-9_./@+-]*(?: [A-Za-z0-9_./@+-]+)*")
_NOT_TEXT = frozenset({"null", "true", "false", "yes", "no", "on", "off", "y", "n"})


def dump(value: dict[str, Json]) -> str:
    """``value`` as a YAML document, keys in their order, ending in a newline."""
    return "\n".join(_lines(value, 0)) + "\n"


def _lines(value: Json, depth: int) -> Iterator[str]:
    indent = "  " * depth
    match value:
        case dict():
            for key, item in value.items():
                if isinstance(item, dict | list) and item:
                    yield f"{indent}{_scalar(key)}:"
                    yield from _lines(item, depth + 1)
                else:
                    yield f"{indent}{_scalar(key)}: {_scalar(item)}"
        case list():
            for item in value:
                if isinstance(item, dict | list) and item:
                    first, *rest = _lines(item, depth + 1)
                    yield f"{indent}- {first.lstrip(' ')}"
                    yield from rest
                else:
                    yield f"{indent}- {_scalar(item)}"
        case _:
            raise TypeError("a document is a mapping")


def _scalar(value: Json) -> str:
    match value:
        case str():
            if _PLAIN.fullmatch(value) and value.lower() not in _NOT_TEXT:
                return value
            return "".join(_escaped(char) for char in json.dumps(value, ensure_ascii=False))
        case dict():
            return "{}"
        case list():
            return "[]"
        case _:
            return json.dumps(value)


def _escaped(char: str) -> str:
    if char.isprintable():
        return char
    return f"\\u{ord(char):04x}" if ord(char) < 0x10000 else f"\\U{ord(char):08x}"

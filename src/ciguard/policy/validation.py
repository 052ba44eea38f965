"""What pydantic found wrong with a document, as one error that a maintainer can act on."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from ciguard.errors import PolicyError
from ciguard.policy.models import json_schema
from ciguard.policy.yaml_document import Document, Path

if TYPE_CHECKING:
    from pydantic import ValidationError
    from pydantic_core import ErrorDetails

_TYPES = {
    "string_type": ("a text", "put the value in quotes"),
    "int_type": ("a whole number", "write a number without quotes"),
    "tuple_type": ("a list", "write [a, b], or one value a line that begins with a hyphen"),
    "mapping_type": ("a mapping", "write keys with values below this key"),
    "model_type": ("a mapping", "write keys with values below this key"),
    "dict_type": ("a mapping", "write keys with values below this key"),
}


def policy_error(document: Document, failure: ValidationError) -> PolicyError:
    """The first thing that is wrong, by its place in the document."""
    details = [detail for detail in failure.errors(include_url=False) if detail["type"] != "default_factory_not_called"]
    paths = [detail["loc"] for detail in details]
    # An error above another only follows from it: a list is "too short" when its one item was refused.
    causes = [
        detail
        for detail in details
        if not any(len(path) > len(detail["loc"]) and path[: len(detail["loc"])] == detail["loc"] for path in paths)
    ]
    # A missing key comes last: often it is there, but misspelt.
    missing = [detail for detail in causes if detail["type"] == "missing"]
    others = [detail for detail in causes if detail["type"] != "missing"]
    found = [_one(document, detail) for detail in others or missing]
    return min(found, key=lambda error: (error.line, error.column))


def _one(document: Document, detail: ErrorDetails) -> PolicyError:
    path: Path = detail["loc"]
    context: Mapping[str, Any] = detail.get("ctx", {})
    match detail["type"]:
        case "policy":
            if path[-1:] == ("[key]",):
                return document.key_error(path[:-1], context["cause"], context["remedy"])
            return document.error((*path, *context["at"]), context["cause"], context["remedy"])
        case "extra_forbidden":
            return _unknown_key(document, path)
        case "missing":
            schema = _schema_at(path[:-1])
            about = schema["properties"][path[-1]].get("description", "")
            return document.error(path[:-1], f"the key {path[-1]} is missing here", f"add {path[-1]}: {about}".strip())
        case "enum" | "literal_error":
            expected = str(context["expected"]).replace("'", "")
            return document.error(path, f"this must be {expected}", f"write {expected}")
        case "greater_than_equal" | "less_than_equal" as kind:
            bound = context["ge" if kind == "greater_than_equal" else "le"]
            word = "at least" if kind == "greater_than_equal" else "at most"
            return document.error(path, f"this number must be {word} {bound}", f"write a number that is {word} {bound}")
        case "too_short" | "string_too_short":
            return document.error(path, "this must not be empty", "give it a value, or remove the key")
        case kind if kind in _TYPES:
            what, remedy = _TYPES[kind]
            return document.error(path, f"this must be {what}", remedy)
        case _:
            return document.error(path, detail["msg"][:1].lower() + detail["msg"][1:], "correct this value")


def _unknown_key(document: Document, path: Path) -> PolicyError:
    known = list(_schema_at(path[:-1])["properties"])
    unknown = str(path[-1])
    close = get_close_matches(unknown, known, n=1)
    remedy = f"did you mean {close[0]}?" if close else f"the keys here are: {', '.join(known)}"
    return document.key_error(path, f"unknown key {unknown[:40]!r}", remedy)


def _schema_at(path: Path) -> dict[str, Any]:
    """The part of the JSON Schema that describes the mapping at ``path``."""
    root = json_schema()
    schema = root
    for step in path:
        match schema:
            case {"items": items} if isinstance(step, int):
                schema = items
            case {"properties": properties} if step in properties:
                schema = properties[step]
            case {"patternProperties": patterns}:
                schema = next(iter(patterns.values()))
            case {"additionalProperties": values} if isinstance(values, dict):
                schema = values
            case _:
                raise LookupError(f"the schema has nothing at {path}")
        schema = next((choice for choice in schema.get("anyOf", []) if "$ref" in choice), schema)
        if "$ref" in schema:
            schema = root["$defs"][schema["$ref"].rpartition("/")[2]]
    return schema

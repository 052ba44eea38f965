"""JSON request bodies, read piece by piece.

Agents resend the whole conversation with every request. So a body is split into its top-level values, and the
conversation list into its items, without parsing what is inside: a piece that was seen before is recognised by its
bytes and costs no more. Pieces can be replaced one by one; all others keep their bytes.

JSON is read strictly (RFC 8259, and RFC 8785 on duplicate names): what two parsers could understand differently is an
error, because the guard and the upstream must see the same request.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import NoReturn

import msgspec

from ciguard.codecs.error import WireError
from ciguard.operation import Json

DEEPEST = 200
"""Levels of nesting that a body may have."""

_split_object = msgspec.json.Decoder(dict[str, msgspec.Raw])
_split_list = msgspec.json.Decoder(list[msgspec.Raw])
_encode = msgspec.json.Encoder()


@dataclass(frozen=True, slots=True)
class Part:
    """One piece of a body: ``label`` is its top-level key, ``raw`` its JSON bytes; ``item`` marks list items."""

    label: str
    raw: bytes
    item: bool = False


@dataclass(frozen=True, slots=True)
class Document:
    """A request body: its exact bytes, and its parts in order; the items of the list under ``listed`` come apart."""

    raw: bytes
    parts: tuple[Part, ...]

    def value(self, label: str) -> Json:
        """The parsed top-level value under ``label``, or None when there is none; not for the listed key."""
        for part in self.parts:
            if part.label == label and not part.item:
                return parse(part.raw)
        return None

    def with_parts(self, parts: Iterable[Part]) -> Document:
        """The document with other parts; its bytes stay as they are when no part differs."""
        parts = tuple(parts)
        if parts == self.parts:
            return self
        return Document(join(parts), parts)


def split(raw: bytes, listed: str) -> Document:
    """Read a body whose conversation is the list under the top-level key ``listed``.

    Raises :class:`WireError` when the body is not one JSON object, or has a duplicate top-level name.
    """
    try:
        fields = _split_object.decode(raw)
        parts: list[Part] = []
        for label, value in fields.items():
            body = bytes(value)
            if label == listed and body.startswith(b"["):
                items = [Part(label, bytes(item), item=True) for item in _split_list.decode(value)]
                parts += items or [Part(label, b"[]")]
            else:
                parts.append(Part(label, body))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise WireError("the body is not a JSON object") from None
    if _encode.encode(fields) != raw:
        refuse_duplicates(raw)
    return Document(raw, tuple(parts))


def join(parts: Iterable[Part]) -> bytes:
    """The bytes of a body with these parts."""
    fields: dict[str, msgspec.Raw | list[msgspec.Raw]] = {}
    for part in parts:
        if part.item:
            items = fields.setdefault(part.label, [])
            if isinstance(items, list):
                items.append(msgspec.Raw(part.raw))
        else:
            fields[part.label] = msgspec.Raw(part.raw)
    return _encode.encode(fields)


def _no_duplicates(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise WireError("a JSON object names the same key twice")
    return result


def _no_constant(name: str) -> NoReturn:
    raise WireError(f"{name} is not JSON")


def _finite(digits: str) -> float:
    number = float(digits)
    if math.isinf(number):
        raise WireError("a JSON number is out of range")
    return number


_strict = json.JSONDecoder(object_pairs_hook=_no_duplicates, parse_constant=_no_constant, parse_float=_finite)


def parse(raw: bytes | str) -> Json:
    """Strictly parsed JSON.

    Raises :class:`WireError` for anything that is not JSON, for duplicate names, and for nesting beyond
    :data:`DEEPEST` levels.
    """
    try:
        text = raw if isinstance(raw, str) else raw.decode("utf-8")
        value: Json = _strict.decode(text)
    except (ValueError, RecursionError):
        raise WireError("the body is not valid JSON") from None
    _refuse_depth(value)
    return value


def refuse_duplicates(raw: bytes) -> None:
    """Raise :class:`WireError` when any object in ``raw`` has a duplicate name."""
    parse(raw)


def _refuse_depth(value: Json) -> None:
    level: list[Json] = [value]
    for _ in range(DEEPEST):
        level = [
            inner
            for outer in level
            if isinstance(outer, dict | list)
            for inner in (outer.values() if isinstance(outer, dict) else outer)
            if isinstance(inner, dict | list)
        ]
        if not level:
            return
    raise WireError("the JSON is nested too deeply")


def dump(value: Json) -> bytes:
    """Compact JSON in ASCII, so that lone surrogates survive as the escapes they came as."""
    return json.dumps(value, separators=(",", ":")).encode()


def rewrite(value: Json, change: Callable[[str], str]) -> Json:
    """``value`` with ``change`` applied to every string, object keys included; the same object when nothing changed."""
    match value:
        case str():
            return change(value)
        case list():
            items = [rewrite(item, change) for item in value]
            return value if all(new is old for new, old in zip(items, value, strict=True)) else items
        case dict():
            pairs = {change(key): rewrite(item, change) for key, item in value.items()}
            same = all(
                new_key is key and pairs[new_key] is value[key] for new_key, key in zip(pairs, value, strict=False)
            )
            return value if same and len(pairs) == len(value) else pairs
        case _:
            return value

"""JSON request bodies, read piece by piece.

Agents resend the whole conversation with every request. So a body is split into its top-level values, and the
conversation list into its items: a piece that was seen before is recognised by its bytes and costs no more. Pieces can
be replaced one by one; all others keep their bytes. Most agents write without white space. Of a body that is the same
when it is written again, all is parsed at once, and the values are there for whoever needs them next.

JSON is read strictly (RFC 8259, and RFC 8785 on duplicate names): what two parsers could understand differently is an
error, because the guard and the upstream must see the same request.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NoReturn

import msgspec

from ciguard.codecs.error import WireError
from ciguard.operation import Json

DEEPEST = 200
"""Levels of nesting that a body may have."""

SHORT = 4_096
"""Bytes up to which it is quicker to count the brackets of a value than to look at its levels."""

MOST_PARTS = 100_000
"""Parts that a body may have: what is kept of each takes more memory than a few bytes of JSON."""

_split_object = msgspec.json.Decoder(dict[str, msgspec.Raw])
_dumps = json.JSONEncoder(separators=(",", ":")).encode
_split_list = msgspec.json.Decoder(list[msgspec.Raw])
_encode = msgspec.json.Encoder().encode


PartKey = tuple[str, bool, bytes]
"""Where in a body a part stands, and the digest of its bytes."""


class Part(msgspec.Struct, frozen=True):
    """One piece of a body: ``label`` is its top-level key, ``raw`` its JSON bytes; ``item`` marks list items.

    ``key`` is what it is remembered by.
    """

    label: str
    raw: bytes
    item: bool
    key: PartKey

    @classmethod
    def of(cls, label: str, raw: bytes, *, item: bool = False) -> Part:
        """The part with these bytes."""
        return cls(label, raw, item, (label, item, hashlib.sha256(raw).digest()))

    @property
    def digest(self) -> bytes:
        """The SHA-256 of ``raw``."""
        return self.key[2]


class Document(msgspec.Struct, frozen=True):
    """A request body: its exact bytes, and its parts in order; the items of the list under ``listed`` come apart.

    ``values`` are those of its parts that had to be parsed to tell the parts apart: of the part at ``first`` and of
    those that follow it.
    """

    raw: bytes
    parts: tuple[Part, ...]
    values: Sequence[Json] = ()
    first: int = 0

    def read(self, place: int) -> Json:
        """The parsed value of the part at ``place``. Raises :class:`WireError` like :func:`parse`."""
        if not 0 <= place - self.first < len(self.values):
            return parse(self.parts[place].raw)
        value = self.values[place - self.first]
        _refuse_depth(self.parts[place].raw, value)
        return value

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

    Raises :class:`WireError` when the body is not one JSON object in UTF-8, or has a duplicate top-level name.
    """
    return _split_plain(raw, listed) or _split_raw(raw, listed)


def _split_plain(raw: bytes, listed: str) -> Document | None:
    """A body that is the same when it is written again, so that no name is there twice; None for others.

    That is what most agents send, and it is read only once.
    """
    try:
        fields = _decode(raw)
    except (ValueError, msgspec.DecodeError, RecursionError, WireError):
        return None
    if not isinstance(fields, dict):
        return None
    listing = fields.get(listed)
    refuse_many(len(fields) + (len(listing) if isinstance(listing, list) else 0))
    parts: list[Part] = []
    values: list[Json] = []
    written: list[bytes] = []
    for label, value in fields.items():
        written += (b"," if written else b"{", _encode(label), b":")
        if label == listed and isinstance(value, list) and value:
            items = [_encode(item) for item in value]
            parts += [Part.of(label, item, item=True) for item in items]
            values += value
            written += (b"[", b",".join(items), b"]")
        else:
            parts.append(Part.of(label, _encode(value)))
            values.append(value)
            written.append(parts[-1].raw)
    if b"".join([*written, b"}"]) != raw:
        return None
    return Document(raw, tuple(parts), values)


def split_items(raw: bytes, label: str) -> tuple[list[Part], list[Json]] | None:
    """The items of the list ``raw`` as parts of a body under ``label``, and their values if they were parsed.

    None when it has none, or is not JSON. Raises :class:`WireError` when there are too many.
    """
    values: list[Json] = []
    try:
        values = _decode_list(raw)
    except (ValueError, msgspec.DecodeError, RecursionError, WireError):
        written = _strict_items(raw)
    else:
        refuse_many(len(values))
        written = [_encode(value) for value in values]
        if b"[" + b",".join(written) + b"]" != raw:
            values, written = [], [bytes(entry) for entry in _split_list.decode(raw)]
    return ([Part.of(label, item, item=True) for item in written], values) if written else None


def refuse_many(parts: int) -> None:
    """Raise :class:`WireError` when a body has more ``parts`` than :data:`MOST_PARTS`."""
    if parts > MOST_PARTS:
        raise WireError(f"the body has more than {MOST_PARTS} parts")


def _split_raw(raw: bytes, listed: str) -> Document:
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        raise WireError("the body is not UTF-8") from None
    try:
        fields = _split_object.decode(raw)
        items = fields.get(listed)
        entries = _split_list.decode(items) if items is not None and bytes(items).startswith(b"[") else None
    except (msgspec.DecodeError, RecursionError):
        if not _SURROGATE.search(raw):
            raise WireError("the body is not a JSON object") from None
        return _split_strictly(text, listed)
    refuse_many(len(fields) + len(entries or ()))
    pieces = {label: bytes(value) for label, value in fields.items()}
    if not _is_all(raw, pieces.values()):
        refuse_duplicates(raw)
    return _document(raw, listed, pieces, None if entries is None else [bytes(entry) for entry in entries])


BEFORE_VALUE = re.compile(rb'[ \t\n\r]*[{,][ \t\n\r]*"(?:[^"\\]|\\.)*"[ \t\n\r]*:[ \t\n\r]*')
_AFTER_VALUES = re.compile(rb"[ \t\n\r]*\}[ \t\n\r]*")


def _is_all(raw: bytes, values: Iterable[bytes]) -> bool:
    """Whether the object ``raw``, known to be JSON, has ``values`` one after the other and no others."""
    place = 0
    for value in values:
        before = BEFORE_VALUE.match(raw, place)
        if before is None or not raw.startswith(value, before.end()):
            return False
        place = before.end() + len(value)
    return bool(_AFTER_VALUES.fullmatch(raw, place))


def _document(raw: bytes, listed: str, fields: dict[str, bytes], entries: list[bytes] | None) -> Document:
    parts: list[Part] = []
    for label, value in fields.items():
        if label == listed and entries:
            parts += [Part.of(label, entry, item=True) for entry in entries]
        else:
            parts.append(Part.of(label, value))
    return Document(raw, tuple(parts))


_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")
_SPACE = re.compile(r"[ \t\n\r]*")


def _split_strictly(text: str, listed: str) -> Document:
    """The same for a body with lone surrogates, which agents write when they cut a text and msgspec does not take."""
    if not isinstance(value := parse(text), dict):
        raise WireError("the body is not a JSON object")
    fields = {label: part.encode() for label, part in _members(text, list(value))}
    listing = value.get(listed)
    refuse_many(len(value) + (len(listing) if isinstance(listing, list) else 0))
    entries = _elements(fields[listed].decode(), len(listing)) if isinstance(listing, list) else None
    return _document(text.encode(), listed, fields, entries)


def _strict_items(raw: bytes) -> list[bytes]:
    """The text of each item of a list with lone surrogates; none where it cannot be read."""
    if not _SURROGATE.search(raw):
        return []
    try:
        text = raw.decode("utf-8")
        value = parse(text)
    except (UnicodeDecodeError, WireError):
        return []
    if not isinstance(value, list):
        return []
    refuse_many(len(value))
    return _elements(text, len(value))


def _members(text: str, labels: list[str]) -> Iterator[tuple[str, str]]:
    """The text of each value of the object ``text``, which was parsed before."""
    place = text.index("{") + 1
    for label in labels:
        _, place = _strict.raw_decode(text, _after_space(text, place))
        start = _after_space(text, _after_space(text, place) + 1)
        _, end = _strict.raw_decode(text, start)
        yield label, text[start:end]
        place = _after_space(text, end) + 1


def _elements(text: str, count: int) -> list[bytes]:
    """The text of each item of the list ``text``, which was parsed before."""
    found: list[bytes] = []
    place = 1
    for _ in range(count):
        start = _after_space(text, place)
        _, end = _strict.raw_decode(text, start)
        found.append(text[start:end].encode())
        place = _after_space(text, end) + 1
    return found


def _after_space(text: str, place: int) -> int:
    match = _SPACE.match(text, place)
    return match.end() if match else place


def join(parts: Iterable[Part]) -> bytes:
    """The bytes of a body with these parts; items take the place of an empty list under the same label."""
    fields: dict[str, list[bytes]] = {}
    listed: set[str] = set()
    for part in parts:
        if part.item and part.label not in listed:
            listed.add(part.label)
            fields[part.label] = []
        fields.setdefault(part.label, []).append(part.raw)
    written = [
        dump(label) + b":" + (b"[" + b",".join(raws) + b"]" if label in listed else raws[0])
        for label, raws in fields.items()
    ]
    return b"{" + b",".join(written) + b"}"


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
_decode = msgspec.json.Decoder(float_hook=_finite).decode
_decode_list = msgspec.json.Decoder(list[Any], float_hook=_finite).decode


def parse(raw: bytes | str) -> Json:
    """Strictly parsed JSON.

    Raises :class:`WireError` for anything that is not JSON, for duplicate names, and for nesting beyond
    :data:`DEEPEST` levels.
    """
    try:
        value = _parse_plain(raw.encode() if isinstance(raw, str) else raw)
    except (ValueError, msgspec.DecodeError, RecursionError):
        value = _parse_strictly(raw)
    _refuse_depth(raw, value)
    return value


def _parse_plain(raw: bytes) -> Json:
    """The value of JSON that is the same, but for white space, when it is written again; else ValueError.

    So no name is there twice.
    """
    value: Json = _decode(raw)
    again = _encode(value)
    if again != raw and again != msgspec.json.format(raw, indent=-1):
        raise ValueError("not the same when written again")
    return value


def _parse_strictly(raw: bytes | str) -> Json:
    try:
        value: Json = _strict.decode(raw if isinstance(raw, str) else raw.decode("utf-8"))
    except (ValueError, RecursionError):
        raise WireError("the body is not valid JSON") from None
    return value


def refuse_duplicates(raw: bytes) -> None:
    """Raise :class:`WireError` when any object in ``raw`` has a duplicate name."""
    parse(raw)


_CONTAINERS = (dict, list)  # asked much faster than a union


def _refuse_depth(raw: bytes | str, value: Json) -> None:
    """Raise :class:`WireError` when ``value``, whose JSON is ``raw``, is nested too deeply."""
    if len(raw) <= SHORT:
        brackets = raw.count("[") + raw.count("{") if isinstance(raw, str) else raw.count(b"[") + raw.count(b"{")
        if brackets <= DEEPEST:
            return
    level = [value] if isinstance(value, _CONTAINERS) else []
    for _ in range(DEEPEST):
        level = [
            inner
            for outer in level
            for inner in (outer.values() if isinstance(outer, dict) else outer)
            if isinstance(inner, _CONTAINERS)
        ]
        if not level:
            return
    raise WireError("the JSON is nested too deeply")


def dump(value: Json) -> bytes:
    """Compact JSON in ASCII, so that lone surrogates survive as the escapes they came as."""
    try:
        written = _encode(value)
    except UnicodeEncodeError:  # a lone surrogate
        return _dumps(value).encode()
    return written if written.isascii() else _dumps(value).encode()


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

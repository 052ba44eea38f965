"""Masking the fields that the policy names, where the structure of JSON says what is a field.

That is in the arguments of tool calls and in structured results, not in what an API wraps around them: a field called
``name`` must not take the names of tools.
"""

from __future__ import annotations

from ciguard.codecs.document import dump, parse
from ciguard.codecs.error import WireError
from ciguard.inspect.masking import Masker
from ciguard.inspect.named_fields import NO_FIELDS, field_kind
from ciguard.inspect.placeholder import PLACEHOLDER
from ciguard.operation import Json

_GIVEN = frozenset({"args", "arguments", "input", "response"})
"""Keys under which the APIs have the arguments or the result of a tool, beside its ``name``."""

_LONGEST = 1_048_576
"""Characters of a text that is read as JSON for its fields."""

_Path = tuple[str, ...]


def mask_fields(value: Json, masker: Masker) -> tuple[Json, tuple[str, ...]]:
    """``value``, arguments or a result of a tool, with its named fields masked, and their kinds; the same object when
    there are none."""
    if masker.fields is NO_FIELDS:
        return value, ()
    kinds: list[str] = []
    return _masked(value, (), masker, kinds), tuple(kinds)


def mask_message_fields(value: Json, masker: Masker) -> tuple[Json, tuple[str, ...]]:
    """The same for a message of an API: in arguments and results of tools, and in texts that are JSON."""
    if masker.fields is NO_FIELDS:
        return value, ()
    kinds: list[str] = []
    return _message(value, masker, kinds), tuple(kinds)


def _message(value: Json, masker: Masker, kinds: list[str]) -> Json:
    match value:
        case str():
            return _text(value, (), masker, kinds)
        case list():
            items = [_message(item, masker, kinds) for item in value]
            return items if _differ(items, value) else value
        case dict():
            named = isinstance(value.get("name"), str)
            pairs = {
                key: _masked(item, (), masker, kinds) if named and key in _GIVEN else _message(item, masker, kinds)
                for key, item in value.items()
            }
            return pairs if any(pairs[key] is not value[key] for key in value) else value
        case _:
            return value


def _masked(value: Json, path: _Path, masker: Masker, kinds: list[str]) -> Json:
    match value:
        case str():
            return _text(value, path, masker, kinds) if not path else value
        case list():
            items = [_field(str(place), item, path, masker, kinds) for place, item in enumerate(value)]
            return items if _differ(items, value) else value
        case dict():
            pairs = {key: _field(key, item, path, masker, kinds) for key, item in value.items()}
            return pairs if any(pairs[key] is not value[key] for key in value) else value
        case _:
            return value


def _field(key: str, value: Json, path: _Path, masker: Masker, kinds: list[str]) -> Json:
    path = (*path, key)
    if key.casefold() not in masker.fields.folded and path not in masker.fields.paths:
        return _masked(value, path, masker, kinds)
    if value is None or value == "" or (isinstance(value, str) and PLACEHOLDER.fullmatch(value)):
        return value
    kind = field_kind(key)
    kinds.append(kind)
    return masker.placeholder(kind, value if isinstance(value, str) else dump(value).decode())


def _text(text: str, path: _Path, masker: Masker, kinds: list[str]) -> Json:
    """A text that is a JSON object or list, with its fields masked."""
    if len(text) > _LONGEST or text.lstrip()[:1] not in ("{", "["):
        return text
    try:
        value = parse(text)
    except WireError:
        return text
    masked = _masked(value, path, masker, kinds)
    return text if masked is value else dump(masked).decode()


def _differ(items: list[Json], before: list[Json]) -> bool:
    return any(new is not old for new, old in zip(items, before, strict=True))

"""The one spelling of a JSON value: UTF-8, keys sorted by code point, no spaces, no fractions."""

from __future__ import annotations

import json

import msgspec

from ciguard.operation import Json

_encode = msgspec.json.Encoder(order="sorted").encode
_encode_slowly = json.JSONEncoder(
    ensure_ascii=False, sort_keys=True, separators=(",", ":"), check_circular=False
).encode


def canonical(value: Json) -> bytes:
    """The one spelling of ``value``.

    A lone surrogate, which has no UTF-8 form, is spelt as its JSON escape; a pair of them is the character that
    they stand for. Raises ``ValueError`` for a fraction, an integer of absurd length, a value or key that is not
    JSON, and for nesting too deep to write.
    """
    refuse_other_than_json(value)
    return spell(value)


def spell(value: Json | msgspec.Struct) -> bytes:
    """``canonical`` for what ``refuse_other_than_json`` has passed, or has no place for anything that it refuses."""
    try:
        try:
            return _encode(value)
        except (UnicodeEncodeError, TypeError):
            # msgspec cannot spell lone surrogates and subclasses of str; all else it spells as json does.
            return _spell_slowly(msgspec.to_builtins(value) if isinstance(value, msgspec.Struct) else value)
    except RecursionError:
        raise ValueError("the value is nested too deeply") from None


def _spell_slowly(value: Json) -> bytes:
    joined = _encode_slowly(value).encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")
    return _encode_slowly(json.loads(joined)).encode("utf-8", "backslashreplace")


def refuse_other_than_json(value: Json) -> None:
    """Raise ``ValueError`` when ``value`` holds a fraction, or anything that is not JSON."""
    pending: list[Json] = [value]
    while pending:
        item = pending.pop()
        if isinstance(item, dict):
            for key in item:
                if not isinstance(key, str):
                    raise ValueError("a key is not a string")
            pending.extend(item.values())
        elif isinstance(item, list):
            pending.extend(item)
        elif item is not None and not isinstance(item, str | int):
            raise ValueError(f"a {type(item).__name__} has no canonical form")

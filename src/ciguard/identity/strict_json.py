"""JSON that means the same to every reader: no duplicate names, no NaN, no depth that overflows."""

from __future__ import annotations

import json
from typing import NoReturn

from ciguard.operation import Json


def parse(text: str | bytes | bytearray) -> Json:
    """The value of ``text``; raises ValueError for anything but one JSON document with unique names (RFC 8259, 4)."""
    try:
        document: Json = json.loads(text, object_pairs_hook=_unique, parse_constant=_no_constant)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    return document


def _unique(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a name appears twice")
    return members


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")

"""Texts that a session holds already: a body names where they stand instead of repeating them.

The texts of a prompt or a tool's result are part of the request that carried them, whose parts are bodies themselves.
A long text is recorded as ``{"part": digest, "string": n}``: the string number ``n`` (from 0, keys of objects counted,
see :func:`ciguard.operation.strings`) of the body with that digest.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from ciguard.operation import Json

SHORTEST = 256
"""Characters below which a text is repeated."""

Places = Mapping[str, tuple[str, int]]
"""Where texts stand: the digest of a body, and the number of the string in it."""


def places_in(bodies: Iterable[tuple[str, Sequence[str]]]) -> dict[str, tuple[str, int]]:
    """Where the long strings of ``bodies`` stand; each body is its digest and its strings."""
    places: dict[str, tuple[str, int]] = {}
    for digest, texts in bodies:
        for number, text in enumerate(texts):
            if len(text) >= SHORTEST:
                places.setdefault(text, (digest, number))
    return places


def refer(body: Mapping[str, Json], places: Places) -> dict[str, Json]:
    """``body`` with each of its ``texts`` that stands somewhere replaced by where."""
    texts = body.get("texts")
    if not isinstance(texts, list):
        return dict(body)
    referred: list[Json] = []
    for text in texts:
        place = places.get(text) if isinstance(text, str) else None
        referred.append(text if place is None else {"part": place[0], "string": place[1]})
    return {**body, "texts": referred}


def resolve(body: Json, strings_of: Callable[[str], Sequence[str]]) -> Json:
    """``body`` with its texts in full; ``strings_of`` gives the strings of the body with a digest.

    Raises ``LookupError`` for a reference that leads nowhere.
    """
    if not isinstance(body, dict) or not isinstance(texts := body.get("texts"), list):
        return body
    resolved: list[Json] = []
    for text in texts:
        match text:
            case {"part": str(digest), "string": int(number), **rest} if not rest:
                if number < 0:
                    raise LookupError(f"there is no string {number}")
                resolved.append(strings_of(digest)[number])
            case _:
                resolved.append(text)
    return {**body, "texts": resolved}

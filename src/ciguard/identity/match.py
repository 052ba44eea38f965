"""Whether verified claims satisfy the policy's ``identity.allow``, and if not, what came closest.

A policy is composed of layers (the repository's file and each one it extends). Every layer must allow the job, and a
layer allows it when all claims of one of its entries match. A claim matches when it equals one of the entry's values;
``*`` in a value stands for any characters, also none and also ``/``. A claim that the token does not have matches
nothing. No layers, a layer without entries, and an entry without claims allow nobody.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from ciguard.identity.token import Claims
from ciguard.policy import globs

Entry: TypeAlias = Mapping[str, Sequence[str]]
"""Claim names with the values of which one must match."""

Layers: TypeAlias = Sequence[Sequence[Entry]]


@dataclass(frozen=True, slots=True)
class Mismatch:
    """Why no entry of a layer matched: the entry with the fewest failed claims, counted from 1, and those claims.

    ``entry`` is 0 and ``failed`` empty when the layer has no entry that could ever match.
    """

    layer: int
    entry: int
    failed: Mapping[str, Sequence[str]]


def allowed(claims: Claims, layers: Layers) -> bool:
    """Whether every layer has an entry that ``claims`` satisfy; without layers nobody is allowed."""
    return bool(layers) and all(any(_matches(claims, entry) for entry in layer) for layer in layers)


def closest(claims: Claims, layers: Layers) -> Mismatch | None:
    """What came closest in the first layer that does not allow ``claims``; None when they are allowed."""
    for number, layer in enumerate(layers, start=1):
        if any(_matches(claims, entry) for entry in layer):
            continue
        failures = [(position, _failed(claims, entry)) for position, entry in enumerate(layer, start=1) if entry]
        position, failed = min(failures, key=lambda failure: len(failure[1]), default=(0, {}))
        return Mismatch(number, position, failed)
    return None if layers else Mismatch(0, 0, {})


def explain(claims: Claims, mismatch: Mismatch) -> str:
    """One sentence that says which claims of the closest entry failed, and what the token has instead."""
    if not mismatch.failed:
        return "the policy's identity.allow has no entry"
    failures = [
        f"{name} is {repr(claims[name][:200]) if name in claims else 'not in the token'}, "
        f"wanted {' or '.join(repr(value) for value in wanted)}"
        for name, wanted in mismatch.failed.items()
    ]
    return f"closest is entry {mismatch.entry}: {'; '.join(failures)}"


def _matches(claims: Claims, entry: Entry) -> bool:
    return bool(entry) and not _failed(claims, entry)


def _failed(claims: Claims, entry: Entry) -> dict[str, Sequence[str]]:
    return {
        name: wanted
        for name, wanted in entry.items()
        if name not in claims or not any(globs.matches(value, claims[name]) for value in wanted)
    }

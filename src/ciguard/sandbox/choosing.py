"""Reaching an isolation level: the strongest that the machine offers and the policy accepts."""

from __future__ import annotations

from collections.abc import Mapping

from ciguard.errors import IsolationUnavailable
from ciguard.policy.sections.isolation import Isolation, IsolationLevel
from ciguard.sandbox.levels import NotOffered, Wanted, ways
from ciguard.sandbox.process import Sandbox, open_sandbox


def acceptable(isolation: Isolation) -> list[IsolationLevel]:
    """The levels to try, strongest first."""
    if isolation.prefer != "auto":
        return [IsolationLevel(isolation.prefer)]
    return [level for level in IsolationLevel if level.strength >= isolation.require.strength]


def reach(isolation: Isolation, wanted: Wanted, environ: Mapping[str, str]) -> Sandbox:
    """A sandbox at the strongest acceptable level. Raises IsolationUnavailable, with what is missing for each."""
    refusals: list[tuple[IsolationLevel, NotOffered]] = []
    for level in acceptable(isolation):
        try:
            return open_level(level, wanted, environ)
        except NotOffered as refusal:
            refusals.append((level, refusal))
    raise IsolationUnavailable(
        "this machine does not offer the isolation that the policy requires: "
        + "; ".join(f"{level}: {refusal.cause}" for level, refusal in refusals),
        "; ".join(dict.fromkeys(refusal.remedy for _, refusal in refusals))
        + "; or accept a weaker level in the policy: docs/security.md says what that means",
    )


def open_level(level: IsolationLevel, wanted: Wanted, environ: Mapping[str, str]) -> Sandbox:
    """A sandbox at ``level``. Raises NotOffered with what every way to it lacks."""
    causes: list[str] = []
    remedies: list[str] = []
    for way in ways(level, wanted):
        try:
            return open_sandbox(way, environ)
        except NotOffered as refusal:
            causes.append(f"{way.name}: {refusal.cause}")
            remedies.append(way.remedy)
    raise NotOffered("; ".join(causes), "; ".join(remedies))

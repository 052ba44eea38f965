"""How often people were asked in a session, what they said, and how long that took."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

BY_PEOPLE = frozenset({"released", "denied"})
"""Outcomes that somebody decided; the others are what became of a request that nobody decided."""


@dataclass(frozen=True, slots=True)
class Metrics:
    """``requests`` were made, ``outcomes`` came of them; people took ``median_ms`` and at most ``longest_ms``.

    Both times are of the requests that people decided, 0 when they decided none.
    """

    requests: int
    outcomes: tuple[tuple[str, int], ...]
    median_ms: int
    longest_ms: int

    @property
    def words(self) -> str:
        """All of it on one line."""
        parts = [f"{self.requests} asked"]
        if self.outcomes:
            parts.append(", ".join(f"{count} {outcome}" for outcome, count in self.outcomes))
        if any(outcome in BY_PEOPLE for outcome, _ in self.outcomes):
            parts.append(f"decided after {duration(self.median_ms)} (median), {duration(self.longest_ms)} (longest)")
        return "; ".join(parts)


def metrics(requests: int, verdicts: Iterable[tuple[str, int]]) -> Metrics:
    """The metrics of ``requests`` whose ``verdicts`` each are an outcome and the milliseconds until then."""
    given = list(verdicts)
    waits = sorted(waited for outcome, waited in given if outcome in BY_PEOPLE)
    outcomes = tuple(sorted(Counter(outcome for outcome, _ in given).items()))
    median = waits[(len(waits) - 1) // 2] if waits else 0
    return Metrics(requests, outcomes, median, max(waits, default=0))


def duration(milliseconds: int) -> str:
    """A time for people: ``48 s``, ``12 min 5 s``, ``1 h 3 min``."""
    seconds = milliseconds // 1000
    if seconds < 60:
        return f"{seconds} s"
    if seconds < 3600:
        return f"{seconds // 60} min {seconds % 60} s"
    return f"{seconds // 3600} h {seconds % 3600 // 60} min"

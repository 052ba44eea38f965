from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ciguard.approvals.metrics import BY_PEOPLE, duration, metrics


@pytest.mark.parametrize(
    ("requests", "verdicts", "words"),
    [
        (0, [], "0 asked"),
        (1, [], "1 asked"),
        (1, [("expired", 1_800_000)], "1 asked; 1 expired"),
        (
            4,
            [("released", 48_900), ("denied", 725_000), ("expired", 9_999_000), ("released", 90_000)],
            "4 asked; 1 denied, 1 expired, 2 released; decided after 1 min 30 s (median), 12 min 5 s (longest)",
        ),
    ],
)
def test_the_words(requests: int, verdicts: list[tuple[str, int]], words: str) -> None:
    assert metrics(requests, verdicts).words == words


@pytest.mark.parametrize(
    ("milliseconds", "words"),
    [(0, "0 s"), (59_999, "59 s"), (60_000, "1 min 0 s"), (3_599_000, "59 min 59 s"), (3_780_000, "1 h 3 min")],
)
def test_durations(milliseconds: int, words: str) -> None:
    assert duration(milliseconds) == words


OUTCOMES = st.sampled_from(["released", "denied", "expired", "withdrawn"])


@given(st.lists(st.tuples(OUTCOMES, st.integers(0, 10**9))))
def test_only_what_people_decided_took_people_time(verdicts: list[tuple[str, int]]) -> None:
    found = metrics(len(verdicts), verdicts)
    decided = sorted(waited for outcome, waited in verdicts if outcome in BY_PEOPLE)
    assert sum(count for _, count in found.outcomes) == found.requests
    assert found.longest_ms == (decided[-1] if decided else 0)
    assert found.median_ms == (decided[(len(decided) - 1) // 2] if decided else 0)

"""Texts that are made to be slow, large or broken cost a bounded amount, and hide nothing."""

from __future__ import annotations

import pytest

from ciguard.inspect.projection import projected
from ciguard.inspect.rule_matcher import RuleMatcher
from tests.unit.inspect.first_rules import SECRET_RULES
from tests.unit.inspect.streaming import FIRST, ODD_RULES, stream, value_matcher, whole

KEY = "sk-ant-api03-" + "Zb4xQ9" * 12 + "AA"
MATCHERS = (RuleMatcher([*SECRET_RULES, *ODD_RULES]), value_matcher("a" * 24))
HOSTILE = [
    "://:",
    "ghp_",
    "eyJaaaaaaaaaa.",
    "-----BEGIN PRIVATE KEY-----\nA: \n",
    "a",
    "password=",
    "a@a.",
    "[ciguard-masked:",
]


@pytest.mark.parametrize("unit", HOSTILE)
def test_a_hostile_text_is_looked_at_once_for_each_place(unit: str) -> None:
    def tried(length: int) -> int:
        data = projected((unit * length)[:length] + KEY)
        rules, values = MATCHERS
        matches = [*rules._matches(data, 0, rules.hints(data)), *values._found(data, 0, values.hints(data))]
        return len(matches)

    assert KEY not in whole((unit * 200_000)[:200_000] + KEY, MATCHERS)
    assert tried(80_000) <= 2.1 * tried(40_000) + 10
    assert tried(80_000) <= 2 * 80_000


def test_one_line_of_ten_megabytes() -> None:
    filler = "var a=function(b){return b+1};" * 333_000
    masked = whole(f"{filler}{KEY}{filler}", (FIRST,))
    assert KEY not in masked
    assert len(masked) < 2 * len(filler) + 100


def test_a_text_of_a_hundred_megabytes() -> None:
    masked = whole("0123456789 abcdef\n" * 5_600_000 + KEY, (FIRST,))
    assert masked.endswith("]")
    assert KEY[:20] not in masked[-200:]


@pytest.mark.parametrize("noise", ["\0", "\ud800", "\udfff\ud800", "🦀", "é", "\x85\u2028"])
def test_noise_around_a_secret_hides_nothing(noise: str) -> None:
    text = f"{noise * 7}{KEY}{noise * 7}"
    masked = whole(text, (FIRST,))
    assert masked.startswith(noise * 7)
    assert masked.endswith(noise * 7)
    assert KEY[:20] not in masked
    one = stream((FIRST,))
    assert [found.end - found.start for piece in text for found in one.feed(piece)] == [len(KEY)]

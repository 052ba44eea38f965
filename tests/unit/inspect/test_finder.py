"""Both engines lead to the same results, and every match has a candidate."""

from __future__ import annotations

import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ciguard.inspect.candidate import expressions, holds_one_of
from ciguard.inspect.finder import Finder, HyperscanFinder, Nothing, Re2Finder, finder
from ciguard.inspect.known_value import KnownValue, literals
from ciguard.inspect.pattern import parse
from ciguard.inspect.projection import projected
from ciguard.inspect.rule_matcher import RuleMatcher, secret_rules
from ciguard.inspect.secret_rule import SecretRule
from ciguard.inspect.value_matcher import ValueMatcher
from tests.unit.inspect.first_rules import SECRET_RULES
from tests.unit.inspect.streaming import ODD_RULES, spans

RULES = [*SECRET_RULES, *ODD_RULES]
PORTABLE = RuleMatcher(RULES, finder_of=Re2Finder)
FAST = RuleMatcher(RULES, finder_of=HyperscanFinder)
KNOWN = KnownValue("known", "Kd83-fjw/0Qz+Lx7_mmPq")
VALUES = [(text, begins, KNOWN) for text, begins in literals(KNOWN, thorough=True).items()]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.kind)
def test_every_match_has_a_candidate_and_both_engines_find_it(rule: SecretRule) -> None:
    alone = RuleMatcher([rule])
    hyperscan = HyperscanFinder(expressions(rule.pattern, rule.kind, rule.literals))

    @given(st.from_regex(rule.pattern), st.text(max_size=4), st.text(max_size=4))
    @settings(max_examples=20)
    def every(secret: str, before: str, after: str) -> None:
        text = before + secret + after
        data = projected(text)
        found = spans(alone, text)
        assert not found or hyperscan.hints(data)
        assert {(span.start, span.end) for span in found} <= {
            (span.start, span.end) for span in spans(FAST, text) if span.kind == rule.kind
        }
        assert _sorted(PORTABLE, text) == _sorted(FAST, text)

    every()


def _sorted(matcher: RuleMatcher | ValueMatcher, text: str) -> list[tuple[int, int, str]]:
    return sorted((span.start, span.end, span.kind) for span in spans(matcher, text))


@given(st.lists(st.sampled_from([*(text for text, _, _ in VALUES[:40]), "a", " ", "é", "\0"]), max_size=6).map("".join))
@settings(max_examples=60)
def test_both_engines_find_the_same_values(text: str) -> None:
    fast, portable = ValueMatcher(VALUES), ValueMatcher(VALUES, finder_of=Re2Finder)
    assert _sorted(fast, text) == _sorted(portable, text)
    data = b"\xff" + projected(text)
    assert fast.open_from(data) == portable.open_from(data)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.kind)
def test_what_could_still_become_a_secret_is_open(rule: SecretRule) -> None:
    alone = RuleMatcher([rule])

    @given(st.from_regex(rule.pattern, fullmatch=True), st.sampled_from(["", ". ", "x"]), st.data())
    @settings(max_examples=30)
    def held(secret: str, before: str, data: st.DataObject) -> None:
        text = before + secret
        for span in spans(alone, text):
            cut = data.draw(st.integers(span.start + 1, span.end - 1))
            opened = alone.open_from(b"\xff" + projected(text[:cut]))
            assert opened is not None
            assert opened[0] <= 1 + span.start

    held()


SECRETS = ["ghp_" + "a1B2" * 7 + "a1" + "3tNSQc", "AKIAQ3EGRTZPLAXNDW7M", "password = 'Zk83jdLqPw02x'", KNOWN.value]


@given(st.sampled_from(SECRETS), st.sampled_from(["", "ghp_ ", "key ", "word ", "w", "Kd8 "]), st.data())
@settings(max_examples=200)
def test_where_a_matcher_sees_nothing_there_is_and_begins_nothing(
    secret: str, before: str, data: st.DataObject
) -> None:
    text = before + secret
    cut = data.draw(st.integers(0, len(text)))
    matchers = ValueMatcher(VALUES), secret_rules()
    assert any(spans(matcher, text) for matcher in matchers)
    for matcher in matchers:
        if matcher.open_from(b"\xff" + projected(text[:cut])) is None:
            assert all(span.start >= cut for span in spans(matcher, text))
    assert cut or secret_rules().open_from(b"\xff") is None


def test_a_whole_match_is_open_where_the_next_character_decides() -> None:
    closed = RuleMatcher([SecretRule("x", "ab", ("ab",), before="")])
    assert closed.open_from(b"\xffab") == (3, 3)
    decided_by_next = RuleMatcher([SecretRule("x", "ab", ("ab",), before="", after="c")])
    assert decided_by_next.open_from(b"\xffab") == (1, 1)
    assert decided_by_next.open_from(b"\xffabd") == (4, 4)


@pytest.mark.parametrize(
    ("pattern", "words", "holds"),
    [
        ("acme_[a-z]{8}", ["acme_"], True),
        ("acme_[a-z]{8}", ["acme-"], False),
        ("(?i:acme|globex)[_-]?key=x", ["acme", "globex"], True),
        ("(?i:acme|globex)[_-]?key=x", ["acme"], False),
        ("(?:acme)?key", ["acme"], False),
        ("(?:acme)?key", ["key"], True),
        ("gh[pousr]_x", ["ghp_", "gho_", "ghu_", "ghs_", "ghr_"], True),
        ("gh[pousr]_x", ["ghp_", "gho_", "ghu_", "ghs_"], False),
        ("a[bc]?de", ["ade", "abde", "acde"], True),
        ("(?P<secret>key-[0-9]+)", ["key-"], True),
        ("x{3}", ["xxx"], True),
        ("(?:ab){1,2}c", ["abc"], True),
        ("[a-z]{3}", ["abc"], False),
    ],
)
def test_what_every_match_contains(pattern: str, words: list[str], holds: bool) -> None:
    assert holds_one_of(parse(pattern, "x"), words) is holds


def test_without_hyperscan_re2_takes_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "hyperscan", None)
    assert isinstance(finder([b"a"]), Re2Finder)
    assert isinstance(finder([]), Nothing)


@pytest.mark.parametrize("make", [HyperscanFinder, Re2Finder])
def test_bytes_of_all_values_are_searched(make: type[HyperscanFinder | Re2Finder]) -> None:
    one: Finder = make([rb"a[\x00-\xff]b", rb"\x00\xff"])
    assert one.hints(b"a\nb")[0][0] == 0
    assert {number for number, _, _ in one.hints(b"a\0\xffb a\xffb")} == {0, 1}
    assert one.hints(b"ab\0") == []

"""Whatever stands beside a text, the same is found in it as when it stands alone."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ciguard.inspect.checks import CHECKS
from ciguard.inspect.finder import Re2Finder
from ciguard.inspect.known_value import KnownValue, literals
from ciguard.inspect.matching import Matcher
from ciguard.inspect.rule_matcher import RuleMatcher, secret_rules
from ciguard.inspect.span import Span
from ciguard.inspect.together import find_each
from ciguard.inspect.value_matcher import ValueMatcher
from scripts.rule_files import AREAS, formats
from tests.unit.inspect.first_rules import SECRET_RULES
from tests.unit.inspect.streaming import ODD_RULES, spans, value_matcher

FORMATS = formats()
KNOWN = "correct horse-battery/staple+42"
RULES = (*SECRET_RULES, *ODD_RULES)
VALUES = [
    (text, begins, KnownValue("known", KNOWN))
    for text, begins in literals(KnownValue("known", KNOWN), thorough=True).items()
]
ENGINES = {
    "hyperscan": (RuleMatcher(RULES), value_matcher(KNOWN)),
    "re2": (RuleMatcher(RULES, finder_of=Re2Finder), ValueMatcher(VALUES, finder_of=Re2Finder)),
}


def alike(matchers: Sequence[Matcher], texts: Sequence[str]) -> None:
    alone = [(text, [span for matcher in matchers for span in spans(matcher, text)]) for text in texts]
    assert [(text, _set(found)) for text, found in find_each(matchers, texts)] == [
        (text, _set(found)) for text, found in alone if found
    ]


def _set(found: Sequence[Span]) -> set[Span]:
    assert len(set(found)) == len(found)
    return set(found)


@pytest.mark.parametrize("area", AREAS)
def test_every_rule_finds_the_same_in_texts_that_stand_side_by_side(area: str) -> None:
    """Whole, cut so that what is missing is in the next text, and with what may not stand beside it in the next."""
    for one in (one for one in FORMATS if one.area == area):
        rule = (RuleMatcher([one.rule], CHECKS),)
        text = one.examples[0].text
        for cut in range(1, len(text), 3):
            alike(rule, [text[:cut], text[cut:], text, text[-cut:], text[:-cut], text])


def test_all_rules_find_the_same_in_all_examples_at_once() -> None:
    alike((secret_rules(), value_matcher(KNOWN)), [example.text for one in FORMATS for example in one.examples])


UNITS = ["password=", "Zb4xQ9w7Lp", KNOWN, KNOWN[:20], KNOWN[20:], "a@b.example", "id1234", "ababababab", "ab", "ghp_"]
TEXTS = st.lists(st.sampled_from([*UNITS, "a1B2" * 9, " ", "\xff", "🦀", '"', "\n", "-"]), max_size=5).map("".join)


@pytest.mark.parametrize("matchers", ENGINES.values(), ids=ENGINES)
@settings(max_examples=300)
@given(texts=st.lists(TEXTS, max_size=6, unique=True))
@example(texts=[])
@example(texts=["", "password=", "Zb4xQ9w7Lp", ""])
@example(texts=["x" * 10, "password=Zb4xQ9w7Lp", "password=", "x", "Zb4xQ9w7Lp"])
def test_texts_side_by_side(matchers: Sequence[Matcher], texts: list[str]) -> None:
    alike(matchers, texts)

"""One example of every rule for secrets, in a stream: every cut in two, and character by character."""

from __future__ import annotations

import pytest

from ciguard.inspect.checks import CHECKS
from ciguard.inspect.placeholder import PLACEHOLDER
from ciguard.inspect.rule_matcher import RuleMatcher, secret_rules
from scripts.rule_files import AREAS, Format, formats
from tests.unit.inspect.streaming import streamed, whole

FORMATS = formats()
LEFT = 7
"""Characters of a secret that may be left."""


@pytest.mark.parametrize("area", AREAS)
def test_every_rule_gives_the_same_for_every_cut(area: str) -> None:
    for one in (one for one in FORMATS if one.area == area):
        matchers = (RuleMatcher([one.rule], CHECKS),)
        text = f"first {one.examples[0].text} last"
        expected = whole(text, matchers)
        _assert_masked(one, expected)
        for cut in range(1, min(len(text), 300)):
            assert streamed(text, [cut], matchers) == expected, (one.rule.kind, cut)
        assert streamed(text, range(len(text)), matchers) == expected, one.rule.kind


@pytest.mark.parametrize("area", AREAS)
def test_all_rules_together_give_the_same_for_every_cut(area: str) -> None:
    matchers = (secret_rules(),)
    for one in (one for one in FORMATS if one.area == area):
        text = f"first {one.examples[0].text} last"
        expected = whole(text, matchers)
        _assert_masked(one, expected)
        for size in (1, 5, 23):
            assert streamed(text, range(0, len(text), size), matchers) == expected, (one.rule.kind, size)


def _assert_masked(one: Format, masked: str) -> None:
    """No eight characters of the secret are left, but those that the text has beside it too."""
    example = one.examples[0]
    beside = example.text.replace(example.secret, "\0")
    shown, count = PLACEHOLDER.subn("", masked)
    assert count, one.rule.kind
    for start in range(len(example.secret) - LEFT):
        piece = example.secret[start : start + LEFT + 1]
        assert piece in beside or piece not in shown, (one.rule.kind, start)

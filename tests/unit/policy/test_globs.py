from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ciguard.policy import globs

GLOBS = st.text(alphabet="ab*", max_size=8)
TEXTS = st.text(alphabet="ab", max_size=8)


def as_regex(glob: str) -> str:
    return "".join(".*" if char == "*" else re.escape(char) for char in glob)


@given(GLOBS, TEXTS)
def test_matches_like_the_equivalent_regular_expression(glob: str, text: str) -> None:
    assert globs.matches(glob, text) == (re.fullmatch(as_regex(glob), text) is not None)


@pytest.mark.parametrize(
    ("glob", "text"), [("claude-*", "claude-sonnet-4"), ("*", ""), ("a**b", "ab"), ("a.c", "a.c"), ("[x]?", "[x]?")]
)
def test_only_the_star_is_special(glob: str, text: str) -> None:
    assert globs.matches(glob, text)


@pytest.mark.parametrize(("glob", "text"), [("a*a", "a"), ("a.c", "abc"), ("a?", "ab"), ("", "a"), ("A", "a")])
def test_does_not_match(glob: str, text: str) -> None:
    assert not globs.matches(glob, text)


@given(GLOBS, GLOBS, TEXTS)
def test_what_is_covered_matches_nothing_that_the_wider_glob_does_not(wide: str, narrow: str, text: str) -> None:
    if globs.covers(wide, narrow) and globs.matches(narrow, text):
        assert globs.matches(wide, text)


@pytest.mark.parametrize(
    ("wide", "narrow", "covered"),
    [
        ("claude-*", "claude-sonnet-*", True),
        ("*", "*", True),
        ("claude-sonnet-*", "claude-*", False),
        ("a*c", "a*", False),
        ("a*b*c", "a*c", False),
        ("gpt-5", "gpt-*", False),
    ],
)
def test_covers(wide: str, narrow: str, covered: bool) -> None:
    assert globs.covers(wide, narrow) is covered

"""The language of patterns: what is in it, what is not, and that the tree means what ``re`` reads."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ciguard.inspect.pattern import (
    ALL,
    LONGEST,
    LONGEST_REPEAT,
    PatternRefused,
    character_set,
    parse,
    render,
    rendered_set,
    widths,
)
from ciguard.inspect.secret_rule import SecretRule, check_rule
from tests.unit.inspect.first_rules import SECRET_RULES

WRITTEN_IN_THE_LANGUAGE = [
    "a",
    "ab|cd|",
    "x(?:ab|cd){1,3}y?",
    r"[a-c\d_-]+[^\n\\]*",
    r"(?i:key|[a-c]X)z",
    r"\s\w\.\\\[\]\{\}\(\)\|\?\*\+\^\$\/\-",
    "[]a]b",
    "[^]a]{2,}",
    "a{3}b{2,4}c{2,}",
    "[a-]b",
]


@pytest.mark.parametrize("pattern", [one for one in WRITTEN_IN_THE_LANGUAGE if one != "ab|cd|"])
def test_the_tree_means_what_re_reads(pattern: str) -> None:
    tree = re.compile(render(parse(pattern, "x")))
    plain = re.compile(pattern.encode())

    @given(st.one_of(st.from_regex(plain), st.binary(max_size=8)))
    @settings(max_examples=60)
    def agree(data: bytes) -> None:
        one, other = tree.search(data), plain.search(data)
        assert (one and one.span()) == (other and other.span())

    agree()


@pytest.mark.parametrize(
    ("pattern", "place", "cause"),
    [
        ("a.b", 1, ". is not in the language"),
        ("^a", 0, "^ is not in the language"),
        ("a$", 1, "$ is not in the language"),
        (r"a\b", 1, r"\b is not in the language"),
        (r"(a)", 0, "this kind of group"),
        ("(?=a)", 0, "this kind of group"),
        ("(?<!a)b", 0, "this kind of group"),
        (r"(?P<other>a)", 0, "this kind of group"),
        (r"(?P<secret>a)(?P<secret>b)", 13, "two secrets"),
        (r"(?:(?P<secret>a)){2}", 0, "the secret is repeated"),
        ("b(?P<secret>a?)", 1, "the secret can be empty"),
        ("(?:a*)*b", 6, "an unbounded repetition is repeated"),
        ("(?:a{2,})+b", 9, "an unbounded repetition is repeated"),
        ("(?:a?){2}b", 6, "what is repeated can be empty"),
        ("a+?", 2, "lazy, possessive and doubled"),
        ("a++", 2, "lazy, possessive and doubled"),
        ("a{2}{3}", 4, "lazy, possessive and doubled"),
        ("(?:a", 4, "not closed"),
        ("a)", 1, "closes nothing"),
        ("[ab", 3, "ends in the middle"),
        ("a\\", 2, "ends in the middle"),
        ("a{,3}", 1, "no quantifier"),
        ("a{x}", 1, "no quantifier"),
        ("a{3,2}", 1, "cannot be met"),
        ("a{0}", 1, "cannot be met"),
        ("*a", 0, "stands where a character should"),
        ("a}", 1, "stands where a character should"),
        ("[z-a]", 4, "no range"),
        (r"[\d-z]", 5, "no range"),
        ("[[a]", 1, "bracket in a class"),
        ("é", 0, "only ASCII"),
        ("a*", 2, "matches the empty text"),
        ("a|", 2, "matches the empty text"),
        ("a{30000}b{20000}", 16, f"50000 characters, and {LONGEST} are the most"),
        (r"[^\s\w\n]?\x41", 10, r"\x is not in the language"),
    ],
)
def test_what_is_not_in_the_language_is_refused(pattern: str, place: int, cause: str) -> None:
    with pytest.raises(PatternRefused) as refused:
        parse(pattern, "acme-key")
    assert refused.value.place == place
    assert cause in refused.value.cause
    assert "acme-key" in refused.value.cause
    assert refused.value.remedy


@given(st.text(alphabet="ab(?:i)[^]{}1,|*+\\d-P<secret>", max_size=20))
@settings(max_examples=300)
def test_any_text_is_read_or_refused(pattern: str) -> None:
    try:
        tree = parse(pattern, "x")
    except PatternRefused:
        return
    assert re.compile(render(tree)).pattern == render(tree)
    assert 0 < widths(tree)[0] <= widths(tree)[1] <= LONGEST


def test_widths() -> None:
    assert widths(parse("a(?:b|cd){1,3}e?", "x")) == (2, 8)
    assert widths(parse("(?P<secret>ab+)", "x")) == (2, 1 + LONGEST_REPEAT)


@given(st.integers(1, ALL))
def test_a_set_is_rendered_as_what_it_holds(members: int) -> None:
    expression = re.compile(rendered_set(members))
    assert {byte for byte in range(256) if expression.fullmatch(bytes([byte]))} == {
        byte for byte in range(256) if members >> byte & 1
    }


def test_what_must_not_stand_next_to_a_match() -> None:
    assert character_set("", "x") == 0
    assert character_set("a-c_", "x") == sum(1 << ord(character) for character in "abc_")
    with pytest.raises(PatternRefused, match="not all others"):
        character_set("^a", "x")
    with pytest.raises(PatternRefused):
        character_set("a]b", "x")


@pytest.mark.parametrize("rule", SECRET_RULES, ids=lambda rule: rule.kind)
def test_the_first_rules_are_in_the_language(rule: SecretRule) -> None:
    check_rule(rule)

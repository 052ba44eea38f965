"""Streams: every cut gives what the whole gives, nothing is held for long, and nothing is read over and over."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ciguard.inspect.finder import Hint
from ciguard.inspect.masking import GROWTH, KEPT, MOST_HELD, PROMPT
from ciguard.inspect.pattern import LONGEST
from ciguard.inspect.rule_matcher import RuleMatcher
from ciguard.inspect.secret_rule import SecretRule
from ciguard.inspect.span import Span
from tests.unit.inspect.first_rules import SECRET_RULES
from tests.unit.inspect.streaming import FIRST, ODD, ODD_RULES, stream, streamed, value_matcher, whole

VALUE = "Kd83-fjw/0Qz+Lx7_mmPq"

pieces = st.sampled_from(
    [
        *(
            "password",
            "token",
            '"',
            "'",
            ": ",
            " = ",
            "hunter2XY",
            "example",
            "\n",
            "@",
            ".",
            "a.b",
            "acme.example.org",
        ),
        *(
            "id",
            "1234",
            "12345678",
            "abcdef",
            "-",
            "xy",
            "xyxy",
            "z",
            "ABC",
            "ab",
            "ababab",
            "bbbbaaab",
            "é",
            "\ud800",
            "\0",
        ),
    ]
)
odd_texts = st.lists(pieces, max_size=14).map("".join)


@given(odd_texts, st.lists(st.integers(0, 120), max_size=8))
@settings(max_examples=600)
@example("abbbbbbb" * 9, [9, 20])
@example("password=hunter2XY\ud800\ud800aé", [9, 12])
@example("a@acme.example.org@b", [14])
def test_rules_of_every_shape_give_the_same_for_every_cut(text: str, cuts: list[int]) -> None:
    assert streamed(text, cuts, ODD) == whole(text, ODD)


@given(odd_texts)
@settings(max_examples=200)
def test_character_by_character(text: str) -> None:
    assert streamed(text, range(len(text)), ODD) == whole(text, ODD)


@pytest.mark.parametrize("rule", [*SECRET_RULES, *ODD_RULES], ids=lambda rule: rule.kind)
def test_every_rule_gives_the_same_for_every_cut(rule: SecretRule) -> None:
    matchers = (RuleMatcher([rule]),)

    @given(st.from_regex(rule.pattern), st.text(max_size=3), st.text(max_size=3), st.data())
    @settings(max_examples=15)
    def same(secret: str, before: str, after: str, data: st.DataObject) -> None:
        text = before + secret + after
        expected = whole(text, matchers)
        for cut in data.draw(st.lists(st.integers(0, len(text)), min_size=1, max_size=10)):
            assert streamed(text, [cut], matchers) == expected
        assert streamed(text, range(0, len(text), 7), matchers) == expected

    same()


def test_overlapping_secrets_without_end_are_cut_alike() -> None:
    endless = "ab" * LONGEST
    expected = whole(endless, ODD)
    assert expected.count("ciguard-masked") > 1
    assert streamed(endless, range(0, len(endless), 501), ODD) == expected
    assert streamed(endless, range(0, len(endless), LONGEST + 3), ODD) == expected


@pytest.mark.parametrize(
    ("endless", "step"),
    [
        ("ab" * LONGEST, 977),
        ("-----BEGIN RSA PRIVATE KEY-----\n" + "aB3d" * LONGEST, 977),
        ("[ciguard-masked:" * 9000, 977),
    ],
)
def test_no_more_is_held_than_is_said(endless: str, step: int) -> None:
    one = stream((FIRST, *ODD))
    most = 0
    for place in range(0, len(endless), step):
        one.feed(endless[place : place + step])
        most = max(most, place + step - one.decided)
    assert most <= MOST_HELD + MOST_HELD // GROWTH + step


def test_what_no_secret_can_begin_with_leaves_with_its_piece() -> None:
    one = stream((FIRST, value_matcher(VALUE)))
    end = 0
    for piece in (
        "Hello",
        " you",
        " there,",
        " see main.py:12 (a[0] = b)",
        "\n\n    return None",
        " — naïve 🦀",
        "\0\0",
    ):
        one.feed(piece)
        end += len(piece)
        assert one.decided == end


def test_what_is_decided_leaves_with_the_piece_that_decides_it() -> None:
    one = stream(ODD)
    one.feed("see password: hunter2XYZ")
    assert one.decided == len("see ")
    (found,) = one.feed("\n")
    assert (found.start, found.end) == (14, 24)
    assert one.decided == 25


def test_of_a_text_without_secrets_all_is_decided_at_once_and_little_is_kept() -> None:
    one = stream([FIRST])
    for number in range(1, 1000):
        assert one.feed("word. ") == []
        assert one.decided == 6 * number
        assert len(one._data) <= KEPT + 6


class _Counting:
    """A matcher that finds nothing and counts the characters that it is given."""

    def __init__(self, matcher: RuleMatcher) -> None:
        self._matcher = matcher
        self.read = 0

    def hints(self, data: bytes) -> Sequence[Hint]:
        self.read += len(data)
        return self._matcher.hints(data)

    def find(self, text: str, data: bytes, begin: int, hints: Sequence[Hint]) -> Collection[Span]:
        return self._matcher.find(text, data, begin, hints)

    def open_from(self, data: bytes) -> tuple[int, int] | None:
        self.read += len(data)
        return self._matcher.open_from(data)


@pytest.mark.parametrize(
    "text",
    [
        "def main(argv: list[str]) -> int:\n    return len(argv) + 10  # ok\n" * 600,
        "-----BEGIN RSA PRIVATE KEY-----\n" + "MIIEowIBAAKCAQEAx1y2z3\n" * 1700,
        "eyJ" * 13_000,
        "https://" + "a" * 40_000,
    ],
    ids=["code", "key", "token", "url"],
)
def test_the_work_grows_with_the_text_and_not_with_its_square(text: str) -> None:
    """Twice the text in pieces of five characters is twice the work; none is read more than some times."""
    counting = _Counting(FIRST)
    one = stream([counting])
    done = []
    for place, piece in enumerate(_fives(text)):
        one.feed(piece)
        if place == len(text) // 10:
            done.append(counting.read)
    assert counting.read <= 2.6 * done[0]
    assert counting.read <= len(text) * 2 * (PROMPT // 5 + 2 * GROWTH)


def _fives(text: str) -> list[str]:
    return [text[place : place + 5] for place in range(0, len(text), 5)]

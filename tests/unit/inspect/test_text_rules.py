from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ciguard.inspect import text_rules
from ciguard.inspect.text_rules import (
    PROGRAM_LIMIT,
    Pattern,
    PatternError,
    TextRule,
    character_spans,
    compile_keyword,
    compile_pattern,
    encoded,
    occurrences,
)

TEXTS = st.text(alphabet="aB_1- é\ud800😀ßẞ\u0301\n", max_size=20)


def spans(text: str, *regexes: str, keywords: tuple[str, ...] = ()) -> list[tuple[int, int]]:
    return TextRule(regexes, keywords).spans(text)


@pytest.mark.parametrize(
    ("regex", "cause", "remedy"),
    [
        (r"(a)\1", "invalid escape sequence", "backreferences"),
        (r"(?=a)", "invalid perl operator", "look-around"),
        (r"(?!a)b", "invalid perl operator", "look-around"),
        (r"(?<=a)b", "invalid perl operator", "look-around"),
        ("a{1001}", "invalid repetition size", "smaller"),
        ("((a{100}){100}){100}", "invalid repetition size", "smaller"),
        (r"\pL{60}", "too large", "smaller"),
        (r"(?i)\pL{1000}", "too large", "smaller"),
        ("(", "missing )", "Syntax"),
        ("[a", "missing ]", "Syntax"),
        ("*", "no argument for repetition", "Syntax"),
        ("", "matches the empty text", "required"),
        ("a*", "matches the empty text", "required"),
        ("a|", "matches the empty text", "required"),
        ("^$", "matches the empty text", "required"),
    ],
)
def test_patterns_that_cannot_be_used(regex: str, cause: str, remedy: str) -> None:
    with pytest.raises(PatternError, match=re.escape(cause)) as caught:
        compile_pattern(regex)
    assert remedy in caught.value.remedy


def test_what_is_accepted_is_within_the_limit() -> None:
    pattern = compile_pattern(r"[a-z]{500}")
    assert pattern.programsize < PROGRAM_LIMIT  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("text", "regex", "found"),
    [
        ("abab", "ab", [(0, 2), (2, 4)]),
        ("éaé", "a", [(1, 2)]),
        ("éé", "é", [(0, 1), (1, 2)]),
        ("a\ud800b", ".b", [(1, 3)]),
        ("a\ud800b", r"\?", [(1, 2)]),
        ("😀x😀", "x|😀", [(0, 1), (1, 2), (2, 3)]),
        ("a\x00b", r"\x00", [(1, 2)]),
        ("a\nb", "^b", []),
        ("a\nb", "(?m)^b", [(2, 3)]),
        ("ABC", "(?i)b", [(1, 2)]),
        ("aaa", r"\b", []),
        ("é", r"\C", [(0, 1), (0, 1)]),
        ("", "a", []),
    ],
)
def test_spans_are_in_characters(text: str, regex: str, found: list[tuple[int, int]]) -> None:
    assert spans(text, regex) == found


@pytest.mark.parametrize(
    ("keyword", "text", "found"),
    [
        ("token", "token", ["token"]),
        ("token", "Token TOKEN,token", ["Token", "TOKEN", "token"]),
        ("token", "tokens atoken _token token1 tokené tokéntoken", []),
        ("api key", "my API key.", ["API key"]),
        ("--force", "git push --force", ["--force"]),
        ("--force", "x--force --forced", ["--force"]),
        ("$HOME", "a$HOME $HOMER", ["$HOME"]),
        ("пароль", "Пароль паролька пароль", ["Пароль", "пароль"]),
        ("a.c", "abc a.c", ["a.c"]),
        ("(", "f(x)", ["("]),
        ("é", "e\u0301 é", ["é"]),
        ("e", "e\u0301 e", ["e"]),
    ],
)
def test_keywords_are_whole_words_in_any_case(keyword: str, text: str, found: list[str]) -> None:
    assert [text[start:end] for start, end in spans(text, keywords=(keyword,))] == found
    assert TextRule((), (keyword,)).found_in([encoded(text)]) is bool(found)


@given(TEXTS, st.sampled_from([r"[aB]+", r"\S\S", r".-", r"é|😀", r"1?_", r"(?i)b|ß"]))
def test_spans_are_those_of_the_standard_library(text: str, regex: str) -> None:
    readable = text.replace("\ud800", "?")
    expected = [match.span() for match in re.finditer(regex, readable, re.ASCII if "S" in regex else 0)]
    if regex == r"(?i)b|ß":  # RE2 folds ẞ and ß, Python's re does too
        expected = [match.span() for match in re.finditer("(?i)b|ß|ẞ", readable)]
    assert spans(text, regex) == expected


@given(TEXTS, st.text(alphabet="aB_1-é", min_size=1, max_size=3))
def test_spans_and_search_agree(text: str, keyword: str) -> None:
    rule = TextRule((r"B\S",), (keyword,))
    assert rule.found_in([b"", encoded(text)]) is bool(rule.spans(text))


@given(st.text(max_size=30))
def test_every_character_stays_one_character(text: str) -> None:
    assert len(encoded(text).decode()) == len(text)


def test_nothing_is_found_where_there_is_nothing() -> None:
    assert not TextRule(("a",), ("b",)).found_in([])
    assert character_spans("é".encode(), []) == []


@pytest.mark.parametrize(
    ("regex", "text"),
    [
        (r"(a+)+$", "a" * 200_000 + "!"),
        (r"(a|aa)+b", "a" * 200_000),
        (r"(.*a){12}b", "a" * 50_000),
        (r"(x+x+)+y", "x" * 200_000),
        (r"^(([a-z])+.)+[A-Z]([a-z])+$", "a" * 200_000),
    ],
)
def test_patterns_that_stop_a_backtracking_engine_do_not_stop_this_one(regex: str, text: str) -> None:
    assert not TextRule((regex,)).found_in([encoded(text)])
    assert TextRule((regex,)).spans(text) == []


class TestFindingAll:
    def test_the_rest_counts_as_one_match_when_finding_all_could_take_too_long(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Each match of this pattern is only known at the end of the text: finding all is quadratic."""
        monkeypatch.setattr(text_rules, "SEARCH_LIMIT", 100)
        assert spans("ab" * 20, r"(?s)a.*z|b") == [(1, 2), (3, 4), (5, 40)]

    def test_within_the_limit_every_match_is_found(self) -> None:
        assert len(spans("ab" * 2000, r"(?s)a.*z|b")) == 2000

    def test_the_limit_is_for_each_pattern(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(text_rules, "SEARCH_LIMIT", 100)
        assert spans("ab" * 20, "z", "b{2}", "ba$") == []

    def test_occurrences_go_on_behind_empty_matches(self) -> None:
        pattern: Pattern = compile_pattern(r"\b|\?+")
        assert list(occurrences(pattern, b"a ?? b")) == [(2, 4)]


def test_patterns_are_compiled_once() -> None:
    assert compile_pattern("once") is compile_pattern("once")
    assert compile_keyword("once") is compile_keyword("once")

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ciguard.operation import Json
from ciguard.session.canonical import canonical, spell

TEXT = st.text(st.characters())  # surrogates included
VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=20,
)


class Word(str):
    __slots__ = ()


@given(VALUES)
def test_a_value_has_one_spelling_that_says_it(value: Json) -> None:
    spelt = canonical(value)
    assert b"\n" not in spelt
    assert canonical(json.loads(spelt)) == spelt
    joined = json.loads(json.dumps(value).encode())  # json joins surrogate pairs as canonical does
    assert json.loads(spelt) == joined


@pytest.mark.parametrize(
    ("value", "spelt"),
    [
        ({"b": 1, "a": [True, None, "é\n"]}, '{"a":[true,null,"é\\n"],"b":1}'.encode()),
        ("\0\x1b\x7f", b'"\\u0000\\u001b\x7f"'),
        ("\ud800", b'"\\ud800"'),
        ("\\\ud800", b'"\\\\\\ud800"'),
        ("\ud83d\ude00", '"😀"'.encode()),
        ("\u2028", '"\u2028"'.encode()),
    ],
)
def test_spellings(value: Json, spelt: bytes) -> None:
    assert canonical(value) == spelt


@pytest.mark.parametrize(
    "value",
    [1.5, {"a": [1.0]}, float("nan"), {1: "a"}, {"a": b"bytes"}, {"a": (1,)}, 10**5000],
    ids=["fraction", "whole-fraction", "nan", "number-key", "bytes", "tuple", "huge-integer"],
)
def test_what_has_no_spelling_is_refused(value: Any) -> None:
    with pytest.raises(ValueError, match=r"canonical|string|digits"):
        canonical(value)


def test_nesting_without_end_is_refused() -> None:
    deep: Json = []
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(ValueError, match="nested"):
        canonical(deep)


@given(VALUES)
def test_the_spelling_is_that_of_the_standard_library(value: Json) -> None:
    joined = json.loads(json.dumps(value).encode())
    text = json.dumps(joined, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    assert spell(value) == canonical(value) == text.encode("utf-8", "backslashreplace")


def test_nesting_without_end_around_a_surrogate_is_refused() -> None:
    deep: Json = "\ud800"
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(ValueError, match="nested"):
        canonical(deep)


def test_subclasses_of_str_are_spelt_as_what_they_say() -> None:
    assert canonical({Word("a"): [Word("b")]}) == b'{"a":["b"]}'

"""What each kind of value takes, and that its JSON Schema says the same."""

from __future__ import annotations

from enum import StrEnum

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ciguard.operation import Json
from ciguard.policy.reading import (
    Anything,
    Checked,
    KeyRefusal,
    ListOf,
    MappingOf,
    Maybe,
    Number,
    OneOf,
    Reader,
    Refusal,
    Schema,
    Screened,
    Shape,
    Text,
    YesOrNo,
    one_of,
)


class Colour(StrEnum):
    RED = "red"
    BLUE = "blue"


def upper(text: str) -> str:
    if text == "no":
        raise Refusal("no is no word", "write yes")
    return text.upper()


def spelled(value: Json) -> Json:
    return [value] if isinstance(value, str) else value


WORD = Shape("[a-z]{1,3}", "a word", "write a word")
READERS: list[Reader[object]] = [
    Text(),
    Text(least=1),
    WORD,
    Number(1),
    Number(-2, 2),
    YesOrNo(),
    one_of(Colour),
    OneOf(("a", "b", "c")),
    Maybe(Number(0)),
    ListOf(WORD),
    ListOf(Number(0), least=1),
    MappingOf(WORD),
    MappingOf(ListOf(Text()), least=1, key=WORD),
    Screened(ListOf(WORD), spelled, short=WORD),
    Anything(),
]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.sampled_from([0.5, "", "a", "ab", "abcd", "red", "A"]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["a", "b", "A"]), inner, max_size=2),
    max_leaves=4,
)


def at(reader: Reader[object], value: Json) -> tuple[object, ...]:
    with pytest.raises(Refusal) as caught:
        reader.read(value)
    return caught.value.at


@given(st.sampled_from(READERS), JSON)
def test_what_is_taken_is_what_the_schema_takes(reader: Reader[object], value: Json) -> None:
    named: dict[str, Schema] = {}
    refused: Refusal | None = None
    valid = jsonschema.Draft202012Validator(reader.schema(named)).is_valid(value)
    try:
        reader.read(value)
    except Refusal as refusal:
        refused = refusal
    assert valid == (refused is None)
    assert refused is None or (refused.cause and refused.remedy)
    assert not named


@pytest.mark.parametrize(
    ("reader", "value", "read"),
    [
        (one_of(Colour), "blue", Colour.BLUE),
        (Checked(Text(), upper), "yes", "YES"),
        (ListOf(Number(1)), [1, 2], (1, 2)),
        (Maybe(Number(1)), None, None),
        (MappingOf(WORD), {"A b": "x"}, {"A b": "x"}),
        (Screened(ListOf(WORD), spelled, short=WORD), "a", ("a",)),
    ],
)
def test_values(reader: Reader[object], value: Json, read: object) -> None:
    found = reader.read(value)
    assert (type(found), found) == (type(read), read)


@pytest.mark.parametrize(
    ("reader", "value", "place"),
    [
        (ListOf(ListOf(Number(1))), [[1], [1, 0]], (1, 1)),
        (MappingOf(MappingOf(WORD)), {"x": {"y": "Z"}}, ("x", "y")),
        (MappingOf(WORD, key=WORD), {"ok": "a", "No": "b"}, ("No",)),
        (ListOf(Checked(Text(), upper)), ["a", "no"], (1,)),
        (ListOf(WORD, least=1), [], ()),
        (Text(), 1, ()),
        (WORD, "a\n", ()),
    ],
)
def test_a_refusal_knows_its_place(reader: Reader[object], value: Json, place: tuple[object, ...]) -> None:
    assert at(reader, value) == place


def test_a_key_is_refused_as_a_key() -> None:
    with pytest.raises(KeyRefusal):
        MappingOf(Text(), key=WORD).read({"No": "a"})
    with pytest.raises(Refusal) as caught:
        MappingOf(WORD, key=WORD).read({"a": "No"})
    assert not isinstance(caught.value, KeyRefusal)


@pytest.mark.parametrize("value", ["sk-secret", 3])
def test_a_value_is_not_repeated(value: Json) -> None:
    with pytest.raises(Refusal) as caught:
        WORD.read(value)
    assert str(value) not in f"{caught.value} {caught.value.remedy}"
    assert caught.value.__context__ is None

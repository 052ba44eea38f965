from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ciguard.errors import PolicyError
from ciguard.operation import Json
from ciguard.policy.yaml_document import BYTES_LIMIT, DEPTH_LIMIT, parse
from ciguard.policy.yaml_text import dump


def root(text: str) -> dict[str, Json]:
    return parse(text, "p.yml", empty_remedy="begin").root


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("yes", "yes"),
        ("on", "on"),
        ("true", True),
        ("False", False),
        ("~", None),
        ("", None),
        ('""', ""),
        ("'1'", "1"),
        ("12", 12),
        ("-3", -3),
        ("2_000_000", 2_000_000),
        ("1.5", 1.5),
        ("1e3", 1000.0),
        ("30m", "30m"),
        ("0x1f", "0x1f"),
        (".inf", ".inf"),
        ("2026-01-01", "2026-01-01"),
        ("12:30", "12:30"),
        ("[a, {b: [1]}]", ["a", {"b": [1]}]),
        ("|\n  two\n  lines\n", "two\nlines\n"),
        ("<<", "<<"),
    ],
)
def test_scalars_have_one_meaning(text: str, value: Json) -> None:
    assert root(f"a: {text}") == {"a": value}


def test_places_are_those_of_values_and_keys() -> None:
    document = parse("a: 1\nb:\n  - x\n  - c: [2, 3]\n", "p.yml", empty_remedy="")
    assert document.values == {
        (): (1, 1),
        ("a",): (1, 4),
        ("b",): (3, 3),
        ("b", 0): (3, 5),
        ("b", 1): (4, 5),
        ("b", 1, "c"): (4, 8),
        ("b", 1, "c", 0): (4, 9),
        ("b", 1, "c", 1): (4, 12),
    }
    assert document.keys == {("a",): (1, 1), ("b",): (2, 1), ("b", 1, "c"): (4, 5)}


def test_an_error_below_what_the_text_holds_is_at_the_nearest_value_above() -> None:
    document = parse("a:\n  b: 1\n", "p.yml", empty_remedy="")
    error = document.error(("a", "x", "y"), "cause", "remedy")
    assert (error.line, error.column, error.cause) == (2, 3, "p.yml:2:3: cause")


@pytest.mark.parametrize(
    ("text", "line", "column", "cause"),
    [
        ("a: 1\na: 2", 2, 1, "'a' is here twice"),
        ("a: {b: 1, b: 2}", 1, 11, "'b' is here twice"),
        ("a: &x [1]\nb: *x", 1, 4, "anchors and aliases"),
        ("a: *x", 1, 4, "anchors and aliases"),
        ("a: !!str 1", 1, 4, "tags"),
        ("a: !!python/object:os.system x", 1, 4, "tags"),
        ("a: !x [1]", 1, 4, "tags"),
        ("%YAML 1.1\n---\na: 1", 2, 1, "directives"),
        ("a: 1\n---\na: 1", 2, 1, "second YAML document"),
        ("1: a", 1, 1, "a key must be a text"),
        ("true: a", 1, 1, "a key must be a text"),
        ("? [a]\n: b", 1, 3, "a key must be a text"),
        ("? {a: b}\n: b", 1, 3, "a key must be a text"),
        ("a: [", 1, 5, "not YAML"),
        ("a: b: c", 1, 5, "not YAML"),
        ("a:\n\t- b", 2, 1, "not YAML"),
        ("a: 1\nb: \x07", 2, 4, "not YAML"),
        ('a: "\\ud800"', 1, 4, "surrogate"),
        ('"\\udfff": 1', 1, 1, "surrogate"),
        (f"a: {'9' * 5000}", 1, 4, "too long"),
        ("- a", 1, 1, "mapping"),
        ("a", 1, 1, "mapping"),
    ],
)
def test_what_has_no_single_meaning_is_refused_at_its_place(text: str, line: int, column: int, cause: str) -> None:
    with pytest.raises(PolicyError, match=cause) as caught:
        root(text)
    assert (caught.value.line, caught.value.column) == (line, column)
    assert caught.value.remedy


@pytest.mark.parametrize("text", ["", "\n", "# nothing\n", "---\n", "~", "null"])
def test_an_empty_document_says_how_to_begin(text: str) -> None:
    with pytest.raises(PolicyError, match="empty") as caught:
        root(text)
    assert caught.value.remedy == "begin"


def test_a_bomb_of_aliases_is_refused_before_it_grows() -> None:
    levels = "\n".join(f"l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 9)}]" for n in range(1, 30))
    with pytest.raises(PolicyError, match="anchors"):
        root(f"l0: &l0 [x]\n{levels}")


@pytest.mark.parametrize("opening", ["[", "{a: ", "- "])
def test_depth_is_bounded(opening: str) -> None:
    with pytest.raises(PolicyError, match="nested too deeply"):
        root(f"a:\n  {opening * 20_000}")


def test_the_deepest_allowed_nesting_is_read() -> None:
    assert root(f"a: {'[' * (DEPTH_LIMIT - 1)}{']' * (DEPTH_LIMIT - 1)}")
    with pytest.raises(PolicyError, match="nested too deeply"):
        root(f"a: {'[' * DEPTH_LIMIT}{']' * DEPTH_LIMIT}")


@pytest.mark.parametrize("text", ["a" * (BYTES_LIMIT + 1), "é" * (BYTES_LIMIT // 2 + 1), "\ud800" * (BYTES_LIMIT + 1)])
def test_size_is_bounded(text: str) -> None:
    with pytest.raises(PolicyError, match="larger than 1 MiB"):
        root(text)


@given(st.text(alphabet=st.sampled_from("ab01:-[]{}&*!|>'\"#%@`,?~ \n\t\\ué\ud800.\x00"), max_size=60))
def test_any_text_is_a_mapping_or_one_error(text: str) -> None:
    try:
        outcome: object = root(text)
    except PolicyError as error:
        outcome = error
    assert isinstance(outcome, dict | PolicyError)


AWKWARD = st.text(alphabet="@/-.:,#&*!|>'\"%`{}[]?~ a1", max_size=6)
NUMBERS = st.integers(min_value=-(10**15), max_value=10**15)
TEXTS = st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=12)
JSON = st.recursive(
    st.none()
    | st.booleans()
    | NUMBERS
    | TEXTS
    | AWKWARD
    | st.sampled_from(["yes", "no", "null", "1", "- a", "a: b", " x", "#"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS | AWKWARD, inner, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(TEXTS, JSON, min_size=1, max_size=4))
def test_what_dump_writes_is_read_back_as_the_same(value: dict[str, Json]) -> None:
    assert root(dump(value)) == value


def test_floats_survive_as_well() -> None:
    read = root("a: 0.1\nb: -1.5e-3")
    assert isinstance(read["b"], float)
    assert math.isclose(read["b"], -0.0015)

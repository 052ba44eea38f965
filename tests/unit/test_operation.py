from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ciguard.codecs.document import DEEPEST
from ciguard.operation import Json, strings

JSON: st.SearchStrategy[Json] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


def expected(value: Json) -> list[str]:
    match value:
        case str():
            return [value]
        case list():
            return [text for item in value for text in expected(item)]
        case dict():
            return [text for key, item in value.items() for text in (key, *expected(item))]
        case _:
            return []


@given(JSON)
def test_every_string_comes_once_in_the_order_of_the_document(value: Json) -> None:
    assert list(strings(value)) == expected(value)


def test_no_body_is_too_deep() -> None:
    value: Json = "inside"
    for _ in range(DEEPEST):
        value = [value]
    assert list(strings(value)) == ["inside"]

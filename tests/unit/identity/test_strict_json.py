from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ciguard.identity import strict_json

values = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**9), 10**9) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@given(values)
def test_ordinary_json_is_read(value: object) -> None:
    assert strict_json.parse(json.dumps(value).encode()) == value


@pytest.mark.parametrize(
    "text",
    [
        b'{"a": 1, "a": 1}',
        b'{"x": {"sub": 1, "s\\u0075b": 2}}',
        b"NaN",
        b"[Infinity]",
        b'{"a": -Infinity}',
        b"[" * 200_000,
        b'{"a":' * 200_000,
        b"1" * 10_000,
        b"",
        b"{} {}",
        b"\xff",
        b"{'a': 1}",
    ],
    ids=range(12),
)
def test_anything_ambiguous_is_refused(text: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 -- one kind of error is the contract
        strict_json.parse(text)

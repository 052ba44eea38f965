"""Texts are recorded once: a reference leads back to exactly the text it stands for."""

from __future__ import annotations

import json
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ciguard.operation import Json, strings
from ciguard.session.reference import SHORTEST, places_in, refer, resolve

texts = st.one_of(st.text(max_size=5), st.sampled_from(["a", "b", "ü"]).map(lambda char: char * SHORTEST))
values = st.recursive(
    texts,
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(texts, inner, max_size=4)),
    max_leaves=12,
)


@given(st.lists(values, max_size=4), st.lists(texts, max_size=4))
def test_what_is_referred_to_is_resolved(parts: list[Json], others: list[str]) -> None:
    stored = {str(number): json.loads(json.dumps(part)) for number, part in enumerate(parts)}
    said: list[Json] = [*(text for part in parts for text in strings(part)), *others]
    body: Mapping[str, Json] = {"texts": said, "id": "x"}
    referred = refer(body, places_in((str(number), strings(part)) for number, part in enumerate(parts)))
    assert resolve(json.loads(json.dumps(referred)), lambda digest: list(strings(stored[digest]))) == body
    long = {text for part in parts for text in strings(part) if len(text) >= SHORTEST}
    left = referred["texts"]
    assert isinstance(left, list)
    assert not [text for text in left if isinstance(text, str) and text in long]


@pytest.mark.parametrize("body", ["text", None, [1], {"texts": "no list"}, {"input": {"part": "d", "string": 0}}])
def test_other_bodies_stay(body: Json) -> None:
    assert resolve(body, lambda _: []) == body


@pytest.mark.parametrize("number", [-1, 1, 10**9])
def test_a_reference_that_leads_nowhere_is_an_error(number: int) -> None:
    with pytest.raises(LookupError):
        resolve({"texts": [{"part": "d", "string": number}]}, lambda _: ["one"])

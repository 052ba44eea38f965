"""Signed texts are found and put back; everything else stays."""

from __future__ import annotations

from ciguard.codecs.signed import restore, signed_texts
from ciguard.operation import Json

THINKING: Json = {"type": "thinking", "thinking": "as it was", "signature": "s1"}
MASKED: Json = {"type": "thinking", "thinking": "masked", "signature": "s1"}
OTHER: Json = {"type": "text", "text": "said"}


def test_signed_texts_are_found_by_signature() -> None:
    assert signed_texts({"content": [THINKING, OTHER, {"type": "thinking", "thinking": "unsigned"}]}) == {
        "s1": "as it was"
    }
    values: list[Json] = [None, "text", [THINKING], {"content": "text"}, {"content": [1, {"signature": "s"}]}]
    assert [signed_texts(value) for value in values] == [{}] * 5


def test_what_was_masked_is_put_back() -> None:
    message: Json = {"role": "assistant", "content": [MASKED, OTHER]}
    assert restore(message, {"s1": "as it was"}) == {"role": "assistant", "content": [THINKING, OTHER]}


def test_a_message_in_which_nothing_differs_stays_the_same_object() -> None:
    message: Json = {"role": "assistant", "content": [THINKING, MASKED, OTHER]}
    assert restore({"content": [THINKING]}, {}) == {"content": [THINKING]}
    assert restore(message, {"s2": "another"}) is message
    same: Json = {"content": [THINKING]}
    assert restore(same, {"s1": "as it was"}) is same

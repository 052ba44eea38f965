"""Placeholders stay what they are, and those that somebody made up do no harm."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ciguard.inspect.placeholder import PLACEHOLDER, Placeholders
from tests.unit.inspect.streaming import ODD, PLACEHOLDERS, streamed, value_matcher, whole

MADE = PLACEHOLDERS.placeholder("acme-token", "Kd83-fjw/0Qz+Lx7_mmPq")
AROUND = [
    "password={}",
    'token: "{}"',
    "token:{}more",
    "token:{}of-a-real-secret",
    "see{}@acme.example.org",
    "{}{}",
    "[{}]",
]


@pytest.mark.parametrize("around", AROUND)
def test_a_placeholder_is_never_masked_again(around: str) -> None:
    text = around.replace("{}", MADE)
    masked = whole(text, ODD)
    assert masked.count(MADE) == text.count(MADE)
    assert whole(masked, ODD) == masked
    for cut in range(len(text)):
        assert streamed(text, [cut], ODD) == masked
    assert streamed(text, range(len(text)), ODD) == masked


def test_what_stands_beside_a_placeholder_is_masked() -> None:
    masked = whole(f"token:{MADE}of-a-real-secret", ODD)
    assert masked.startswith(f"token:{MADE}[ciguard-masked:keyed:")
    assert whole(f"token:{MADE}short", ODD) == f"token:{MADE}short"


FORGED = [
    "[ciguard-masked:x:0123456789ab]",
    "[ciguard-masked:{}:0123456789ab]",
    "[ciguard-masked:{}",
    "[ciguard-masked:x:{}]",
]


@pytest.mark.parametrize("forged", FORGED)
def test_a_forged_placeholder_hides_nothing(forged: str) -> None:
    secret = "fd83-cjw-0qz-ex7-mmpq"
    matchers = (*ODD, value_matcher(secret))
    text = f"password={forged.format(secret)}{secret}"
    masked = whole(text, matchers)
    assert secret not in masked
    assert streamed(text, range(len(text)), matchers) == masked


@given(
    st.lists(st.sampled_from([MADE, MADE[:9], MADE[9:], "token:", "[", "hunter2XY", " ", "ab" * 5]), max_size=7),
    st.data(),
)
@settings(max_examples=200)
def test_placeholders_among_secrets_are_the_same_for_every_cut(parts: list[str], data: st.DataObject) -> None:
    text = "".join(parts)
    masked = whole(text, ODD)
    assert masked.count(MADE) >= text.count(MADE)
    cuts = data.draw(st.lists(st.integers(0, len(text)), max_size=8))
    assert streamed(text, cuts, ODD) == masked


def test_the_form_is_stable_and_names_the_kind() -> None:
    assert PLACEHOLDER.fullmatch(MADE)
    assert ":acme-token:" in MADE
    assert PLACEHOLDERS.placeholder("acme-token", "Kd83-fjw/0Qz+Lx7_mmPq") == MADE
    assert Placeholders(b"x" * 32).placeholder("acme-token", "Kd83-fjw/0Qz+Lx7_mmPq") != MADE
    assert Placeholders(b"x" * 32).spans(MADE) == []

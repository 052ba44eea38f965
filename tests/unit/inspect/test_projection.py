"""One byte for each character, whatever the text."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ciguard.inspect.projection import OTHER, projected


@given(st.text(alphabet=st.characters(codec=None), max_size=40))
def test_offsets_are_the_same(text: str) -> None:
    data = projected(text)
    assert len(data) == len(text)
    assert all(byte == (ord(one) if ord(one) < 256 else OTHER) for byte, one in zip(data, text, strict=True))


def test_lone_surrogates_and_nuls() -> None:
    assert projected("a\ud800\udfffb\0🦀é") == b"a\xff\xffb\0\xff\xe9"

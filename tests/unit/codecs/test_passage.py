"""Passages: however a text is cut into pieces and blocks, every piece says what the whole says."""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st

from ciguard.codecs.passage import Passage
from ciguard.inspect.placeholder import PLACEHOLDER
from tests.unit.codecs.driving import KNOWN, SECRET, masked, masker

AWS = "AKIA" + "Q3EGRIRX5NTNV7PB"
fragments = st.sampled_from([SECRET, SECRET[:20], SECRET[20:], KNOWN, KNOWN[:9], AWS, "a", " ", "é🦀", "ghp_", "\n"])
texts = st.lists(fragments, max_size=5).map("".join)


def _passage(blocks: list[list[str]]) -> Passage:
    passage = Passage("text", masker())
    for number, pieces in enumerate(blocks):
        for piece in pieces:
            passage.feed(number, piece)
            assert passage.decided <= passage.length
    return passage


@given(pieces=st.lists(texts, max_size=6))
def test_one_block_is_masked_as_its_text(pieces: list[str]) -> None:
    passage = _passage([pieces])
    passage.finish()
    assert passage.masked == masked("".join(pieces))


@given(blocks=st.lists(st.lists(texts, min_size=1, max_size=3), min_size=1, max_size=4))
@example(blocks=[["letter"], [AWS], ["more"]])
@example(blocks=[[SECRET[:20]], [SECRET[20:]]])
def test_no_secret_of_a_block_or_of_the_whole_is_left(blocks: list[list[str]]) -> None:
    passage = _passage(blocks)
    passage.finish()
    delivered = [passage.edited(start, text) for _, start, text in passage.blocks()]
    assert "".join(delivered) == passage.masked
    assert [text for _, _, text in passage.blocks()] == ["".join(pieces) for pieces in blocks]
    for start, text in [(0, passage.original), *((start, text) for _, start, text in passage.blocks())]:
        for found in masker().find(text):
            shown = passage.edited(start + found.start, text[found.start : found.end])
            assert not shown or PLACEHOLDER.fullmatch(shown)


@given(blocks=st.lists(st.lists(texts, min_size=1, max_size=3), min_size=1, max_size=4), data=st.data())
def test_what_is_decided_does_not_change(blocks: list[list[str]], data: st.DataObject) -> None:
    passage = Passage("text", masker())
    released = 0
    sent = ""
    for number, pieces in enumerate(blocks):
        for piece in pieces:
            passage.feed(number, piece)
            upto = data.draw(st.integers(released, max(released, passage.decided)))
            if upto <= passage.decided:
                sent += passage.edited(released, passage.original[released:upto])
                released = upto
    passage.finish()
    sent += passage.edited(released, passage.original[released:])
    assert sent == passage.masked

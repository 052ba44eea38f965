"""Names: read in pieces that do not depend on how a text is cut, and masked like everything else."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ciguard.inspect.masking import Replacement, replaced
from ciguard.inspect.names import (
    LEAST_PIECE,
    LONGEST_PIECE,
    MOST_READ,
    Name,
    Names,
    NameStream,
    TooMuchToReadError,
    piece_end,
)
from ciguard.inspect.personal_data import NameKind
from ciguard.inspect.placeholder import PLACEHOLDER, Placeholders

PLACEHOLDERS = Placeholders(b"k")


def by_context(text: str) -> Sequence[Name]:
    """People are called by one word; what else stands in the text says whether they are meant."""
    kind = NameKind.LOCATION if "travel" in text else NameKind.PERSON
    return [Name(match.start(), match.end(), kind) for match in re.finditer(r"Ada(?: +Lovelace)?|Lisbon", text)]


def names(allowed: Sequence[str] = (), placeholders: Placeholders = PLACEHOLDERS) -> Names:
    return Names(by_context, allowed, placeholders)


def masked(text: str, among: Names | None = None) -> str:
    found = (among or names()).mask_each([text])
    return found[text].text if found else text


def fed(stream: NameStream, pieces: Sequence[str]) -> list[Replacement]:
    found: list[Replacement] = []
    for piece in pieces:
        found += stream.feed(piece)
    return [*found, *stream.finish()]


PERSON = PLACEHOLDERS.placeholder("person", "Ada Lovelace")
fragments = st.sampled_from(
    ["Ada", "Ada Lovelace", "Lisbon", " ", "\n", "\n\n", " \r\n", "travel", "x" * 150, ". ", "word ", "é", PERSON, "["]
) | st.sampled_from(["y" * LONGEST_PIECE, "word " * 300, "。" * 40])
texts = st.lists(fragments, max_size=40).map("".join)


@given(text=texts, cuts=st.lists(st.integers(0, 8_000), max_size=8))
@example(text="Ada " + "x" * 200 + "\n \n travel", cuts=[205])
@example(text="Ada " * 499 + PERSON + " travel", cuts=[])
def test_any_cut_gives_the_same_as_the_whole(text: str, cuts: list[int]) -> None:
    places = [0, *sorted(min(cut, len(text)) for cut in cuts), len(text)]
    pieces = [text[low:high] for low, high in pairwise(places)]
    stream = names().stream()
    assert replaced(text, fed(stream, pieces)) == masked(text)
    assert stream.decided == len(text)


@given(text=texts)
def test_what_is_held_back_is_bounded_and_decided_text_stays(text: str) -> None:
    stream = names().stream()
    found: list[Replacement] = []
    for end, character in enumerate(text, 1):
        before = stream.decided
        new = stream.feed(character)
        found += new
        assert all(before <= one.start and one.end <= stream.decided for one in new)
        assert end - stream.decided < LONGEST_PIECE
    assert replaced(text, [*found, *stream.finish()]) == masked(text)


@given(text=texts)
@example(text="x" * 1_970 + PERSON)
def test_every_piece_is_told_by_itself_and_cuts_no_placeholder(text: str) -> None:
    inside = {place for one in PLACEHOLDER.finditer(text) for place in range(one.start() + 1, one.end())}
    start = 0
    while end := piece_end(text, start):
        assert start < end <= start + LONGEST_PIECE
        assert piece_end(text[start : start + LONGEST_PIECE], 0) == end - start
        assert end not in inside
        start = end


@pytest.mark.parametrize(
    ("text", "end"),
    [
        ("x" * LEAST_PIECE + "\n\n", LEAST_PIECE + 2),
        ("a\n\n" + "x" * LEAST_PIECE + "\n \t\r\nmore", LEAST_PIECE + 8),
        ("x" * 1_500 + "\n" + "x" * 600, 1_501),
        ("x" * 1_500 + '." ' + "y " * 600, 1_503),
        ("字" * 1_500 + "。" + "字" * 600, 1_501),
        ("x" * 1_500 + " " + "x" * 600, 1_501),
        ("x" * 1_990 + PERSON, 1_990),
        ("x" * 3_000, LONGEST_PIECE),
        ("x" * (LONGEST_PIECE - 1), 0),
        ("x" * LEAST_PIECE + "\n", 0),
    ],
)
def test_where_a_piece_ends(text: str, end: int) -> None:
    assert piece_end(text, 0) == end


def test_the_same_name_gets_the_same_placeholder_and_none_is_masked_again() -> None:
    once = masked("Ada Lovelace met Ada Lovelace.")
    assert once == f"{PERSON} met {PERSON}."
    assert masked(once) == once
    assert masked(f"Ada {once} travel") == f"{PLACEHOLDERS.placeholder('location', 'Ada')} {once} travel"


def test_a_name_around_a_placeholder_leaves_it() -> None:
    whole = Names(lambda text: [Name(0, len(text), NameKind.PERSON)], [], PLACEHOLDERS)
    shown = masked(f"Ada {PERSON} Byron", whole)
    assert len(PLACEHOLDER.findall(shown)) == 3
    assert shown.split(" ")[1] == PERSON


def test_names_that_overlap_are_masked_once_and_white_space_stays() -> None:
    doubled = Names(
        lambda _: [Name(0, 4, NameKind.PERSON), Name(2, 9, NameKind.PERSON), Name(9, 10, NameKind.PERSON)],
        [],
        PLACEHOLDERS,
    )
    found = [doubled.mask_each(["Ada Byron."])["Ada Byron."].text]
    assert found == [
        PLACEHOLDERS.placeholder("person", "Ada") + " " + PLACEHOLDERS.placeholder("person", "Byron") + "."
    ]


def test_allowed_words_stay_when_a_name_is_made_of_them_alone() -> None:
    assert masked("Ada and Ada Lovelace", names(["ADA"])) == f"Ada and {PERSON}"
    assert masked("Ada Lovelace", names(["ada", "lovelace"])) == "Ada Lovelace"


def test_a_piece_without_a_capital_is_not_read() -> None:
    def never(text: str) -> Sequence[Name]:
        raise AssertionError(text)

    reader = Names(never, [], PLACEHOLDERS)
    assert reader.mask_each(["no names, 42 of them", "", "\n"]) == {}
    assert fed(reader.stream(), ["no ", "names"]) == []


@pytest.mark.parametrize("letter", ["Ä", "字", "é"])
def test_letters_of_other_scripts_are_read(letter: str) -> None:
    any_letter = Names(lambda text: [Name(0, 1, NameKind.PERSON)] if text else [], [], PLACEHOLDERS)
    assert masked(letter, any_letter) == PLACEHOLDERS.placeholder("person", letter)


def test_the_model_gets_no_surrogates_no_long_runs_of_symbols_and_no_placeholders() -> None:
    seen: list[str] = []

    def note(text: str) -> Sequence[Name]:
        seen.append(text)
        return [Name(text.index("Ada"), text.index("Ada") + 3, NameKind.PERSON)]

    text = f"\ud800 {PERSON} {'(_' * 25} Ada"
    shown = Names(note, [], PLACEHOLDERS).mask_each([text])[text].text
    assert shown == text[:-3] + PLACEHOLDERS.placeholder("person", "Ada")
    assert len(seen[0]) == len(text)
    assert seen[0].split() == ["\ufffd", "(_(_(_(_", "Ada"]


def test_too_much_is_refused() -> None:
    long = "A" * MOST_READ
    assert names().mask_each([long]) == {}
    with pytest.raises(TooMuchToReadError, match="500,000 characters"):
        names().mask_each([long, "A"])
    with pytest.raises(TooMuchToReadError):
        names().mask_each([f"A{number}" for number in range(MOST_READ // LEAST_PIECE + 1)])
    stream = names().stream()
    stream.feed(long)
    with pytest.raises(TooMuchToReadError):
        stream.feed("A")

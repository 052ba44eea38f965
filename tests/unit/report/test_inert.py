from __future__ import annotations

import re
import sys
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ciguard.report.inert import code_block, code_span, excerpt, prose, visible

TEXT = st.text(st.characters())
HOSTILE = st.text(st.sampled_from("`*_~[]()<>!#@|\\$&:/.\n\r\t-+= aZ0\u200b\u202e\x1b\ud800"))

SHOWN_BY_THEIR_SCRIPTS = "؀؁؂؃؄؅۝܏࢐࢑࣢𑂽𑃍" + "".join(map(chr, range(0x13430, 0x13440)))
"""Format characters that have a form of their own: number signs, Egyptian joiners."""


def test_every_character_without_a_form_is_spelt_out() -> None:
    unseen = {
        chr(code)
        for code in range(sys.maxunicode + 1)
        if unicodedata.category(chr(code)) in ("Cc", "Cf", "Cs", "Zl", "Zp")
    } - set(SHOWN_BY_THEIR_SCRIPTS + "\n\t")
    assert [hex(ord(character)) for character in unseen if visible(character) == character] == []


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain ünïcode 漢字 😀\nsecond", "plain ünïcode 漢字 😀\nsecond"),
        ("\x1b[2J\x07", "\\x1b[2J\\x07"),
        ("a\u202eb\u200bc", "a\\u{202e}b\\u{200b}c"),
        ("\U000e0041", "\\u{e0041}"),
        ("\ud800", "\\u{d800}"),
        ("\ufffe\uffff", "\\u{fffe}\\u{ffff}"),
        ("a\r\nb\rc\td", "a\nb\\x0dc    d"),
        ("❤\ufe0f", "❤\ufe0f"),
    ],
)
def test_what_is_seen(text: str, shown: str) -> None:
    assert visible(text) == shown


@given(TEXT)
def test_what_is_visible_stays_so(text: str) -> None:
    assert visible(visible(text)) == visible(text)
    visible(text).encode()


@given(TEXT, st.integers(1, 50))
def test_an_excerpt_is_one_line_of_limited_length(text: str, limit: int) -> None:
    shown = excerpt(text, limit)
    assert len(shown) <= limit
    assert "\n" not in shown
    assert shown == excerpt(shown, limit)


def test_an_excerpt_says_that_it_is_one() -> None:
    assert excerpt("one two three", 8) == "one two…"
    assert excerpt(" one\n two ", 8) == "one two"
    assert excerpt("x" * 10_000, 5) == "xxxx…"


def parse_code_span(text: str) -> str | None:
    """The content of ``text`` if all of it is one code span by CommonMark 6.1."""
    opening = re.match("`+", text)
    if not opening:
        return None
    fence = opening[0]
    closing = re.search(rf"(?<!`){fence}(?!`)", text[len(fence) :])
    if not closing or len(fence) + closing.end() != len(text):
        return None
    content = text[len(fence) : len(text) - len(fence)]
    if content.startswith(" ") and content.endswith(" ") and content.strip(" "):
        content = content[1:-1]
    return content


@given(HOSTILE | TEXT)
def test_a_code_span_ends_where_it_should_and_says_the_text(text: str) -> None:
    span = code_span(text, 60)
    if excerpt(text, 60):
        assert parse_code_span(span) == excerpt(text, 60)
    else:
        assert span == "(nothing)"


@pytest.mark.parametrize(
    "text",
    [
        "Removes what cannot be restored",
        "Drops a table, which nobody can undo.",
        "reads of world-readable files (see the docs), 3 of 5; it doesn't cover sockets/pipes",
    ],
)
def test_plain_sentences_stay_plain(text: str) -> None:
    assert prose(text, 200) == text


@pytest.mark.parametrize(
    "text",
    [
        "@acme/security please approve",
        "see #12",
        "see GH-12",
        "see https://example.com",
        "see www.example.com",
        "mail a@example.com",
        "<img src=x>",
        "![x](https://example.com)",
        "[x](y)",
        "a | b",
        "*bold*",
        "a_b_c",
        "~~no~~",
        "`code`",
        "&lt;",
        ":smile:",
        "$x$",
        "\\",
        "deadbeef1",
        "1. one\n2. two",
        "a\u202eb",
        "- item",
        "> quote",
        "# heading",
        "",
    ],
)
def test_anything_else_becomes_code(text: str) -> None:
    assert prose(text, 200) == code_span(text, 200)


@given(HOSTILE)
def test_prose_has_no_character_that_means_something(text: str) -> None:
    shown = prose(text, 60)
    assert shown == code_span(text, 60) or not re.search(r"[`*_~\[\]<>!#@|\\$&=+]|://|:\S|\.\S", shown)


@pytest.mark.parametrize(
    ("text", "block"),
    [
        ("ls", "```text\nls\n```"),
        ("a\u202eb\x1b", "```text\na\\u{202e}b\\x1b\n```"),
        ("``", "```text\n``\n```"),
        ("```\n`````", "``````text\n```\n`````\n``````"),
    ],
)
def test_a_code_block_ends_only_where_it_should(text: str, block: str) -> None:
    assert code_block(text) == block

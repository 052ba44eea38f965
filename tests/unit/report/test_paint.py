from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ciguard.report.paint import Span, Tone, coloured, plain

LINES = st.lists(st.builds(Span, st.text(st.characters()), st.sampled_from(Tone))).map(tuple)


def test_a_line_prints_with_and_without_colour() -> None:
    line = (Span("a ", Tone.BAD), Span("b"))
    assert plain(line) == "a b"
    assert coloured(line) == "\x1b[1;31ma \x1b[0mb"


@given(LINES)
def test_nothing_that_a_terminal_obeys_comes_from_content(line: tuple[Span, ...]) -> None:
    shown = plain(line)
    assert not any(ord(character) < 0x20 or 0x7F <= ord(character) < 0xA0 for character in shown)
    own = coloured(line)
    for code in ("1", "2", "32", "33", "1;31", "0"):
        own = own.replace(f"\x1b[{code}m", "")
    assert own == shown


def test_a_span_stays_on_its_line() -> None:
    assert plain((Span("a\nb"),)) == "a\\nb"

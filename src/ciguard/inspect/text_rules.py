"""Regular expressions and keywords of policies, matched in time linear in the text.

RE2 (https://github.com/google/re2/wiki/Syntax) has no backtracking: a hostile text cannot make a pattern slow.
Texts are matched as UTF-8; a lone surrogate, which UTF-8 cannot hold, is matched as ``?``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Protocol

PROGRAM_LIMIT = 10_000
"""Instructions that one compiled pattern may have: the price of a text is at worst its length times this."""

UNION_LIMIT = 4_000
"""Instructions that several patterns may have together to be asked in one pass; beyond it, one by one is faster."""

UNION_MEMORY = 32 * 1024 * 1024
"""Bytes that the automaton of such a union may take."""

SEARCH_LIMIT = 1 << 32
"""Bytes that finding all matches of a pattern may read, at worst, before the rest of the text counts as one match."""


class _Match(Protocol):
    def span(self, group: int = 0) -> tuple[int, int]: ...


class Pattern(Protocol):
    """A compiled RE2 expression over bytes."""

    def search(self, text: bytes, pos: int | None = None) -> _Match | None:
        """The first match at ``pos`` or later."""
        ...

    def fullmatch(self, text: bytes) -> _Match | None:
        """A match of the whole text."""
        ...


class PatternError(Exception):
    """A regular expression cannot be used; ``cause`` and ``remedy`` are for the author of the policy."""

    def __init__(self, cause: str, remedy: str) -> None:
        super().__init__(cause)
        self.cause = cause
        self.remedy = remedy


def encoded(text: str) -> bytes:
    """``text`` as the bytes that patterns are matched on; every character stays one character."""
    return text.encode(errors="replace")


@cache
def compile_pattern(regex: str) -> Pattern:
    """The compiled ``regex``; PatternError when RE2 has no such syntax or the pattern is too large."""
    import re2

    options = re2.Options()
    options.log_errors = False
    try:
        pattern = re2.compile(regex.encode(), options)
    except re2.error as error:
        raise _refused(error.args[0].decode(errors="replace")) from None
    if pattern.programsize > PROGRAM_LIMIT:
        raise _refused("pattern too large")
    if pattern.search(b"") is not None:
        raise PatternError(
            "this regular expression matches the empty text, so it would match everything",
            "make at least one part of it required, for example + instead of *",
        )
    result: Pattern = pattern
    return result


def _refused(complaint: str) -> PatternError:
    cause = f"this regular expression cannot be used: {complaint}"
    if complaint.startswith("invalid perl operator"):
        return PatternError(cause, "look-around and inline comments do not exist in RE2; match the text itself")
    if complaint.startswith("invalid escape sequence"):
        return PatternError(cause, "backreferences and unknown escapes do not exist in RE2; write \\\\ for a backslash")
    if "repetition size" in complaint or "too large" in complaint:
        return PatternError(cause, "use smaller repetitions: at most {1000}, and fewer of them inside each other")
    return PatternError(cause, "see https://github.com/google/re2/wiki/Syntax for what regular expressions may hold")


@cache
def compile_keyword(keyword: str) -> Pattern:
    """A pattern whose group 1 is ``keyword`` in upper or lower case where no word goes on before or behind it."""
    import re2

    word = r"\p{L}\p{M}\p{N}_"
    before = f"(?:^|[^{word}])" if _is_word(keyword[0]) else ""
    behind = f"(?:$|[^{word}])" if _is_word(keyword[-1]) else ""
    literal = re2.escape(keyword)
    options = re2.Options()
    options.log_errors = False
    result: Pattern = re2.compile(f"(?i){before}({literal}){behind}".encode(), options)
    return result


def _is_word(char: str) -> bool:
    return char.isalnum() or char == "_"


@dataclass(frozen=True, slots=True)
class TextRule:
    """What a rule looks for in texts: any of its regular expressions or keywords."""

    regexes: tuple[str, ...] = ()
    keywords: tuple[str, ...] = ()

    def found_in(self, texts: Sequence[bytes]) -> bool:
        """Whether one of ``texts`` (see ``encoded``) holds any of it."""
        patterns = [*map(compile_pattern, self.regexes), *map(compile_keyword, self.keywords)]
        return any(pattern.search(text) is not None for pattern in patterns for text in texts)

    def spans(self, text: str) -> list[tuple[int, int]]:
        """Where ``text`` holds any of it: (start, end) in characters, sorted; they may overlap, none is empty."""
        data = encoded(text)
        found: list[tuple[int, int]] = []
        for regex in self.regexes:
            found += _bounded(occurrences(compile_pattern(regex), data), len(data))
        for keyword in self.keywords:
            found += occurrences(compile_keyword(keyword), data, group=1)
        return sorted(character_spans(data, found))


def any_of(rules: Sequence[TextRule]) -> Callable[[bytes], bool] | None:
    """Tells whether any of ``rules`` matches in a text (or nearly: it may also say so of others), asking them all in
    one pass; None when that would take too large a pattern.
    """
    from re2 import Options, _re2, escape

    regexes = [f"(?:{regex})" for rule in rules for regex in rule.regexes]
    keywords = [f"(?i:{escape(keyword)})" for rule in rules for keyword in rule.keywords]
    options = Options()
    options.log_errors = False
    options.max_mem = UNION_MEMORY
    options.never_capture = True
    compiled = _re2.RE2("|".join([*regexes, *keywords]).encode(), options)
    if not compiled.ok() or compiled.ProgramSize() > UNION_LIMIT:
        return None
    # What the package puts around it takes longer than the search of a short text.
    match, anchor = compiled.Match, _re2.RE2.Anchor.UNANCHORED

    def is_in(text: bytes) -> bool:
        start: int = match(anchor, text, 0, len(text))[0][0]
        return start >= 0

    return is_in


def occurrences(pattern: Pattern, data: bytes, *, group: int = 0) -> Iterator[tuple[int, int]]:
    """The spans of ``group`` of every match that is not empty, from left to right, in bytes.

    One search is linear. All searches together are when nothing in the pattern stays undecided while shorter matches
    go by: in ``abab...`` each match of ``a.*z|b`` is only known at the end of the text.
    """
    position = 0
    while position <= len(data) and (match := pattern.search(data, position)) is not None:
        start, end = match.span(group)
        if end > start:
            yield start, end
        position = max(end, position + 1)


def _bounded(spans: Iterator[tuple[int, int]], length: int) -> Iterator[tuple[int, int]]:
    """``spans`` of a text of ``length``; the rest of the text as one span where SEARCH_LIMIT could be passed."""
    cost = 0
    for start, end in spans:
        cost += length - start
        if cost > SEARCH_LIMIT:
            yield start, length
            return
        yield start, end


_CONTINUATION = bytes(range(0x80, 0xC0))


def character_spans(data: bytes, spans: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """``spans`` of bytes, none of them empty, as the spans of all characters that they touch.

    A span can hold a part of a character: RE2's ``\\C`` matches single bytes.
    """
    if data.isascii():
        return list(spans)
    characters = {0: 0}
    last = 0
    for offset in sorted({offset for start, end in spans for offset in (start + 1, end)}):
        characters[offset] = characters[last] + len(data[last:offset].translate(None, _CONTINUATION))
        last = offset
    return [(characters[start + 1] - 1, characters[end]) for start, end in spans]

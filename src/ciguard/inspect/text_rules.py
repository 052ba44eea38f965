"""Regular expressions and keywords of policies, matched in time linear in the text.

RE2 (https://github.com/google/re2/wiki/Syntax) has no backtracking: a hostile text cannot make a pattern slow.
Texts are matched as UTF-8; a lone surrogate, which UTF-8 cannot hold, is matched as ``?``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Protocol

PROGRAM_LIMIT = 10_000
"""Instructions that one compiled pattern may have: the price of a text is at worst its length times this."""


class _Match(Protocol):
    def span(self, group: int = 0) -> tuple[int, int]: ...


class Pattern(Protocol):
    """A compiled RE2 expression over bytes."""

    def search(self, text: bytes, pos: int | None = None) -> _Match | None:
        """The first match at ``pos`` or later."""
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
    if "repetition" in complaint or "too large" in complaint:
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
        for pattern, group in (
            *((compile_pattern(regex), 0) for regex in self.regexes),
            *((compile_keyword(keyword), 1) for keyword in self.keywords),
        ):
            found += _byte_spans(pattern, data, group)
        found.sort()
        return found if len(data) == len(text) else _in_characters(data, found)


def _byte_spans(pattern: Pattern, data: bytes, group: int) -> list[tuple[int, int]]:
    spans = []
    position = 0
    while position <= len(data) and (match := pattern.search(data, position)) is not None:
        start, end = match.span(group)
        if end > start:
            spans.append((start, end))
        position = max(end, position + 1)
    return spans


_CONTINUATION = bytes(range(0x80, 0xC0))


def _in_characters(data: bytes, spans: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """``spans`` of bytes as the spans of all characters that they touch (``\\C`` can match a part of one)."""
    characters = {0: 0}
    last = 0
    for offset in sorted({offset for start, end in spans for offset in (start + 1, end)}):
        characters[offset] = characters[last] + len(data[last:offset].translate(None, _CONTINUATION))
        last = offset
    return [(characters[start + 1] - 1, characters[end]) for start, end in spans]

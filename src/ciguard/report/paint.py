"""Lines for the terminal. Text becomes inert here, on its way out, so that no caller can forget it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias

from ciguard.report.inert import visible


class Tone(StrEnum):
    """How a piece of text is meant; a colour where there is colour."""

    PLAIN = "plain"
    STRONG = "strong"
    FAINT = "faint"
    GOOD = "good"
    WARNING = "warning"
    BAD = "bad"


@dataclass(frozen=True, slots=True)
class Span:
    """A piece of one line. Its text may be hostile: what it prints as is decided by a ``Painter``."""

    text: str
    tone: Tone = Tone.PLAIN


Line: TypeAlias = tuple[Span, ...]
Painter: TypeAlias = Callable[[Line], str]
"""Makes what is printed of a line, without its newline."""

_SELECT_GRAPHIC_RENDITION: Mapping[Tone, str] = {
    Tone.STRONG: "1",
    Tone.FAINT: "2",
    Tone.GOOD: "32",
    Tone.WARNING: "33",
    Tone.BAD: "1;31",
}


def plain(line: Line) -> str:
    """``line`` without colour."""
    return "".join(_inert(span.text) for span in line)


def coloured(line: Line) -> str:
    """``line`` in the colours of ECMA-48, which every terminal knows."""
    return "".join(_colour(span) for span in line)


def _colour(span: Span) -> str:
    code = _SELECT_GRAPHIC_RENDITION.get(span.tone)
    return f"\x1b[{code}m{_inert(span.text)}\x1b[0m" if code else _inert(span.text)


def _inert(text: str) -> str:
    return visible(text).replace("\n", "\\n")

"""Texts of a session as HTML: masked values as badges, changes as changes, code as code.

Everything here makes ``Markup`` from constants with ``Markup.format`` and ``escape``, which escape what is put in, so
that no text of a session can become markup.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping

from markupsafe import Markup, escape

from ciguard.inspect.placeholder import PLACEHOLDER
from ciguard.operation import Json
from ciguard.report.content import fields
from ciguard.report.inert import visible

LONG_LINES = 14
"""A text of more lines is folded."""

LONG_CHARACTERS = 1_600
"""A text of more characters is folded."""

_MOST_COMPARED = 400
"""Lines of both sides of an edit beyond which they are not aligned: aligning takes their product."""

_CHANGE = re.compile(r"^(?:diff --git |@@ -\d|\*\*\* (?:Begin Patch|Update File|Add File))", re.MULTILINE)
_MASKED = Markup('<mark title="masked: {kind}"><s>[ciguard-masked:</s>{kind}<s>:{tag}]</s></mark>')
_PRE = Markup('<pre class="{names}">{content}</pre>')
_ROW = Markup('<span class="{name}">{content}</span>\n')
_FIELD = Markup("<dt>{name}</dt><dd>{content}</dd>")

Cut = Callable[[str], str]
"""Takes what a text may have of the room that there is, and says what is missing."""


def inline(text: str) -> Markup:
    """``text``, visible, with its placeholders as badges."""
    shown = visible(text)
    pieces: list[str] = []
    end = 0
    for match in PLACEHOLDER.finditer(shown):
        _, kind, tag = match[0][1:-1].split(":")
        pieces += [escape(shown[end : match.start()]), _MASKED.format(kind=kind, tag=tag)]
        end = match.end()
    return Markup("").join([*pieces, escape(shown[end:])])


def block(text: str, *names: str) -> Markup:
    """``text`` as it was laid out; one that looks like a change has its lines coloured."""
    text = text.strip("\n")
    if not text:
        return Markup("")
    if _CHANGE.search(text):
        return _change(text.split("\n"))
    return _PRE.format(names=" ".join([*names, *_folded(text)]), content=inline(text))


def prose(text: str) -> Markup:
    """``text`` as people and models write it: fenced code stands apart. A fence that nothing closes runs to the end."""
    pieces: list[Markup] = []
    lines: list[str] = []
    fence = ""
    for line in text.split("\n"):
        opening = "" if fence else _fence(line)
        if opening or (fence and line.startswith(fence) and not line.strip("` ")):
            pieces.append(block("\n".join(lines), "code" if fence else "prose"))
            # What stands behind the backticks is shown as well: anybody can write anything there.
            lines = [line] if opening and line.strip("` ") else []
            fence = opening
        else:
            lines.append(line)
    return Markup("").join([*pieces, block("\n".join(lines), "code" if fence else "prose")])


def _fence(line: str) -> str:
    """The backticks that open fenced code in ``line`` (CommonMark 0.31, 4.5); empty when it opens none."""
    rest = line.lstrip("`")
    ticks = line[: len(line) - len(rest)]
    return ticks if len(ticks) >= 3 and "`" not in rest else ""


def call(given: Json, cut: Cut) -> Markup:
    """The input of a tool call: an edit as a change, one text as it is, and else each field under its name."""
    if not isinstance(given, Mapping):
        return block(cut(fields(given)), "code")
    edits, names = _edits(given)
    rest = {name: value for name, value in given.items() if name not in names}
    if not edits and len(rest) == 1:
        (value,) = rest.values()
        return block(cut(fields(value)), "code")
    listed = Markup("").join(_FIELD.format(name=visible(name), content=_value(rest[name], cut)) for name in rest)
    changes = (_change(_compared(cut(old), cut(new))) for old, new in edits)
    return Markup("").join([Markup("<dl>{}</dl>").format(listed) if rest else Markup(""), *changes])


def _edits(given: Mapping[str, Json]) -> tuple[list[tuple[str, str]], frozenset[str]]:
    """The edits that a tool call asks for, each as the text before and after, and the fields that say no more."""
    match given:
        case {"old_string": str(old), "new_string": str(new)}:
            return [(old, new)], frozenset({"old_string", "new_string"})
        case {"edits": list(edits)}:
            sides: list[tuple[str, str]] = []
            for edit in edits:
                match edit:
                    case {"old_string": str(old), "new_string": str(new), **rest} if not rest:
                        sides.append((old, new))
                    case _:
                        return [], frozenset()
            return sides, frozenset({"edits"}) if sides else frozenset()
    return [], frozenset()


def _value(value: Json, cut: Cut) -> Markup:
    text = cut(fields(value))
    return block(text, "code") if "\n" in text or len(text) > 120 else inline(text)


def _compared(old: str, new: str) -> Iterable[str]:
    """The lines of both sides with what became of them; none is left out."""
    before, after = old.split("\n"), new.split("\n")
    lines = len(before) + len(after)
    if old == new or lines > _MOST_COMPARED:
        return [*(f"-{line}" for line in before), *(f"+{line}" for line in after)]
    return list(difflib.unified_diff(before, after, lineterm="", n=lines))[3:]


def _change(lines: Iterable[str]) -> Markup:
    rows = [_ROW.format(name=_side(line), content=inline(line) or Markup(" ")) for line in lines]
    names = ["change", *(["folded"] if len(rows) > LONG_LINES else [])]
    return _PRE.format(names=" ".join(names), content=Markup("").join(rows))


def _side(line: str) -> str:
    if line.startswith(("@@", "***", "diff ", "---", "+++")):
        return "place"
    return {"+": "added", "-": "removed"}.get(line[:1], "same")


def _folded(text: str) -> Iterator[str]:
    if text.count("\n") >= LONG_LINES or len(text) > LONG_CHARACTERS:
        yield "folded"

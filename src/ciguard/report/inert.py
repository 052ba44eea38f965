"""Content of a session made safe to look at: what an agent, a model or a web page wrote never acts on its reader."""

from __future__ import annotations

import re

_UNSEEN = re.compile(
    "["
    "\x00-\x09\x0b-\x1f\x7f-\x9f"  # controls: escape sequences begin with one of these
    "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"  # bidirectional controls
    "\xad\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200d\u2060-\u2065\u206a-\u206f\u3164\ufeff\uffa0"
    "\u2028\u2029\ufff0-\ufffb\U0001bca0-\U0001bca3\U0001d173-\U0001d17a"  # separators and other invisible characters
    "\ufffe\uffff"  # no characters at all, and not allowed in XML
    "\ufe00-\ufe0e\U000e0000-\U000e0fff"  # tags and variation selectors, which can carry hidden text
    "\ud800-\udfff"
    "]"
)
_LETTERS = r"[A-Za-z]+(?:['-][A-Za-z]+)*"
_PLAIN_WORD = rf"(?:{_LETTERS}|[0-9]{{1,6}})"
_PLAIN_PROSE = re.compile(rf"{_LETTERS}(?:\)?[,;:.]? \(?{_PLAIN_WORD}|/{_PLAIN_WORD})*\)?[.]?")
_ISSUE = re.compile(r"\bGH-", re.IGNORECASE)


def visible(text: str) -> str:
    r"""``text`` with every control, bidirectional and invisible character spelt out, such as ``\x1b`` or ``\u{202e}``.

    Line feeds stay, and what ends a line elsewhere (CR LF) is one; a tab becomes spaces.
    """
    return _UNSEEN.sub(_spelt, text.replace("\r\n", "\n").replace("\t", "    "))


def excerpt(text: str, limit: int) -> str:
    """``text`` on one line, visible, of at most ``limit`` characters."""
    # An invisible character takes up to ten characters to spell, and white space is only ever removed from the cut.
    words = " ".join(visible(text[: 20 * limit]).split())
    return words if len(words) <= limit else words[: limit - 1].rstrip() + "…"


def code_span(text: str, limit: int) -> str:
    """An excerpt of ``text`` as an inline code span of Markdown, in which nothing is markup, a mention or a link."""
    shown = excerpt(text, limit)
    if not shown:
        return "(nothing)"
    fence = "`" * (_longest_run(shown) + 1)
    # CommonMark strips one space from each side, which keeps a backtick of the content apart from the fence.
    space = " " if shown.startswith("`") or shown.endswith("`") else ""
    return f"{fence}{space}{shown}{space}{fence}"


def code_block(text: str) -> str:
    """``text`` as it is, visible, as a code block of Markdown that nothing in it ends."""
    shown = visible(text)
    fence = "`" * max(_longest_run(shown) + 1, 3)
    return f"{fence}text\n{shown}\n{fence}"


def prose(text: str, limit: int) -> str:
    """A sentence for Markdown: as it is when it holds plain words only, else as a code span."""
    shown = excerpt(text, limit)
    if _PLAIN_PROSE.fullmatch(shown) and not _ISSUE.search(shown):
        return shown
    return code_span(text, limit)


def _spelt(match: re.Match[str]) -> str:
    code = ord(match[0])
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{{{code:x}}}"


def _longest_run(text: str) -> int:
    return max((len(run) for run in re.findall("`+", text)), default=0)

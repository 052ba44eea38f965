"""Masking the names of people and places, which a statistical model recognises.

Theory of operation. Whether a word is a name depends on what stands around it. So a text is read in *pieces*: a few
paragraphs each, and parts of long ones. Where a piece ends depends only on the piece, and what is a name in it on
nothing outside of it. So a stream keeps the text of one unfinished piece, and however a text is cut, the outcome is the
same. A model takes ten thousand times as long as the other matchers: what is read at a time is bounded, and what is
longer is an error.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from ciguard.inspect.masking import Masked, Replacement, replaced
from ciguard.inspect.personal_data import NameKind
from ciguard.inspect.placeholder import Placeholders

LONGEST_PIECE = 2_000
"""Characters of a piece at the most, and so what a stream holds back for a name."""

LEAST_PIECE = 200
"""Characters before which no paragraph ends a piece: a model takes its time for every piece, and reads with context."""

MOST_READ = 500_000
"""Characters that are read of one text of an answer, or of all that is new in one request; each text counts for
:data:`LEAST_PIECE` at least."""

_PARAGRAPH = re.compile(r"\n[ \t\r]*\n")
_SENTENCE = re.compile(r"""[.!?]["')\]]*\s|[。！？]""")
_SPACE = re.compile(r"\s")
_PLACEHOLDER_BEGUN = re.compile(r"\[[a-z0-9:-]*$")
_CAPITAL = re.compile(r"(?![a-z])[^\W\d_]")
"""A letter that a name can begin with: a capital, or one outside of ASCII."""

_SYMBOLS = re.compile(r"(?:(?!\s)[\W_]){9,}")
_SURROGATE = re.compile("[\ud800-\udfff]")
_WORD = re.compile(r"\w+")


@dataclass(frozen=True, slots=True)
class Name:
    """The characters from ``start`` to ``end`` name somebody or some place."""

    start: int
    end: int
    kind: NameKind


Recognise = Callable[[str], Sequence[Name]]
"""Finds the names in a text."""


class TooMuchToReadError(Exception):
    """More text than names are looked for in; the text is a sentence."""

    def __init__(self) -> None:
        super().__init__(f"names are masked, and there are more than {MOST_READ:,} characters to look for them in")


class Names:
    """Masks names; ``allowed`` are words (in any case) of which alone no name is made."""

    def __init__(self, recognise: Recognise, allowed: Collection[str], placeholders: Placeholders) -> None:
        self._recognise = recognise
        self._allowed = frozenset(word.casefold() for word in allowed)
        self._placeholders = placeholders

    def mask_each(self, texts: Iterable[str]) -> Mapping[str, Masked]:
        """Those of ``texts`` that have names, masked. Raises :class:`TooMuchToReadError`."""
        readable = dict.fromkeys(text for text in texts if _CAPITAL.search(text))
        if sum(max(len(text), LEAST_PIECE) for text in readable) > MOST_READ:
            raise TooMuchToReadError
        found: dict[str, Masked] = {}
        for text in readable:
            if replacements := list(self._find(text)):
                kinds = tuple(replacement.kind for replacement in replacements)
                found[text] = Masked(replaced(text, replacements), kinds)
        return found

    def stream(self) -> NameStream:
        """A new stream of text."""
        return NameStream(self.read)

    def _find(self, text: str) -> Iterator[Replacement]:
        start = 0
        while start < len(text):
            end = piece_end(text, start) or len(text)
            yield from self.read(text[start:end], start)
            start = end

    def read(self, piece: str, offset: int) -> Iterator[Replacement]:
        """What stands in the place of the names in ``piece``, in order, with ``offset`` added."""
        if not _CAPITAL.search(piece):
            return
        taken = self._placeholders.spans(piece)
        end = 0
        for name in sorted(self._recognise(_readable(piece, taken)), key=lambda name: (name.start, -name.end)):
            for low, high in _outside(max(name.start, end), name.end, taken):
                value = piece[low:high].strip()
                if not _CAPITAL.search(value) or self._is_allowed(value):
                    continue
                start = piece.index(value, low)
                end = start + len(value)
                placeholder = self._placeholders.placeholder(name.kind.value, value)
                yield Replacement(offset + start, offset + end, name.kind.value, placeholder)

    def _is_allowed(self, value: str) -> bool:
        return all(word.casefold() in self._allowed for word in _WORD.findall(value))


class NameStream:
    """Finds names in a text that arrives in pieces; see :class:`~ciguard.inspect.masking.MaskStream`."""

    def __init__(self, read: Callable[[str, int], Iterator[Replacement]]) -> None:
        self._read = read
        self._held = ""
        self.decided = 0

    def feed(self, text: str) -> list[Replacement]:
        """Take the next part and return the replacements that became certain, in order.

        Raises :class:`TooMuchToReadError`.
        """
        self._held += text
        if self.decided + len(self._held) > MOST_READ:
            raise TooMuchToReadError
        found: list[Replacement] = []
        start = 0
        while end := piece_end(self._held, start):
            found += self._read(self._held[start:end], self.decided + start)
            start = end
        self.decided += start
        self._held = self._held[start:]
        return found

    def finish(self) -> list[Replacement]:
        """No more text comes: return the last replacements; everything is decided."""
        found = list(self._read(self._held, self.decided))
        self.decided += len(self._held)
        self._held = ""
        return found


def piece_end(text: str, start: int) -> int:
    """Where the piece ends that begins at ``start`` of ``text``; 0 when that takes more text to tell.

    At the end of a paragraph. Where none comes soon enough, at the last line, sentence or word that ends late enough,
    and at worst within a word, but not within a placeholder.
    """
    limit = start + LONGEST_PIECE
    paragraph = _PARAGRAPH.search(text, start + LEAST_PIECE, limit)
    if paragraph:
        return paragraph.end()
    if len(text) < limit:
        return 0
    middle = start + LONGEST_PIECE // 2
    if line := text.rfind("\n", middle, limit) + 1:
        return line
    for end in (_SENTENCE, _SPACE):
        if found := list(end.finditer(text, middle, limit)):
            return found[-1].end()
    begun = _PLACEHOLDER_BEGUN.search(text[middle:limit])
    return middle + begun.start() if begun else limit


def _readable(piece: str, taken: Sequence[tuple[int, int]]) -> str:
    """``piece`` without what no name is made of and models choke on; every character keeps its place."""
    for low, high in taken:
        piece = piece[:low] + " " * (high - low) + piece[high:]
    piece = _SURROGATE.sub("\ufffd", piece)
    return _SYMBOLS.sub(lambda run: run[0][:8] + " " * (len(run[0]) - 8), piece)


def _outside(start: int, end: int, taken: Sequence[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """The parts from ``start`` to ``end`` that are in no placeholder."""
    for low, high in taken:
        if low < end and start < high:
            if start < low:
                yield start, low
            start = high
    if start < end:
        yield start, end

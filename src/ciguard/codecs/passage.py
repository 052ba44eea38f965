"""A text that comes in pieces, in one block of an answer or over neighbouring ones.

Models cut a text into blocks wherever a citation begins, so a secret may lie across blocks. It may also begin with a
block, where only the block read on its own shows that a word begins. So with the second block on, a passage is masked
twice, as a whole and block by block, and what either finds goes. So do names, where the policy has them masked.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Hashable, Iterable
from dataclasses import replace
from itertools import islice, takewhile
from operator import itemgetter

from ciguard.codecs.error import WireError
from ciguard.inspect.masking import Masked, Masker, MaskStream, Replacement, replaced
from ciguard.inspect.names import TooMuchToReadError

SECRET, NAME = range(2)
"""What goes before what in the same place."""

_Found = tuple[int, int, int, Replacement]
"""Start, negative end, precedence: the order in which finds that overlap become one."""


class Passage:
    """The text of one or more blocks, which follow each other, and what is masked in it.

    Offsets count characters from the beginning of the passage; ``decided`` is how far it is certain what is masked.
    """

    def __init__(self, part: str, masker: Masker) -> None:
        self.part = part
        self.length = 0
        self._masker = masker
        self._whole = masker.stream()
        self._alone: MaskStream | None = None
        self._names = masker.names.stream() if masker.names else None
        self._starts: dict[Hashable, int] = {}
        self._texts: list[str] = []
        self._found: list[_Found] = []
        self._edits: list[Replacement] = []

    @property
    def decided(self) -> int:
        """See the class."""
        decided = self._whole.decided
        if self._alone is not None:
            decided = min(decided, self._last_start + self._alone.decided)
        return decided if self._names is None else min(decided, self._names.decided)

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of the secrets found so far, in order."""
        return tuple(edit.kind for edit in self._edits)

    @property
    def original(self) -> str:
        """The whole text, unmasked."""
        return "".join(self._texts)

    @property
    def masked(self) -> str:
        """The whole text, masked as far as it is decided."""
        return self.edited(0, self.original)

    def blocks(self) -> list[tuple[Hashable, int, str]]:
        """Each block with its start and its text, unmasked."""
        text = self.original
        ends = [*list(self._starts.values())[1:], len(text)]
        return [(block, start, text[start:end]) for (block, start), end in zip(self._starts.items(), ends, strict=True)]

    def has(self, block: Hashable) -> bool:
        """Whether text of ``block`` came."""
        return block in self._starts

    def feed(self, block: Hashable, text: str) -> None:
        """``text`` comes next and belongs to ``block``: the one before, or a new one.

        Raises :class:`WireError` when it gets too long.
        """
        if block not in self._starts:
            self._begin(block)
        if self._alone is not None:
            self._add(self._alone.feed(text), self._last_start)
        if found := self._whole.feed(text):
            self._add(found, 0)
        self._took(text)

    def add(self, block: Hashable, text: str) -> None:
        """The same where all comes at once: nothing is decided before :meth:`finish`."""
        if block not in self._starts:
            self._begin(block)
        if self._alone is not None:
            self._alone.add(text)
        self._whole.add(text)
        self._took(text)

    def _took(self, text: str) -> None:
        if self._names is not None:
            try:
                self._add(self._names.feed(text), 0, NAME)
            except TooMuchToReadError as error:
                raise WireError(str(error)) from None
        self._texts.append(text)
        self.length += len(text)

    def finish(self) -> None:
        """No more text comes: all of it is decided."""
        if self._alone is not None:
            self._add(self._alone.finish(), self._last_start)
        self._add(self._whole.finish(), 0)
        if self._names is not None:
            self._add(self._names.finish(), 0, NAME)

    def is_plain_from(self, start: int) -> bool:
        """Whether all of it from ``start`` on is decided, and nothing of that is masked."""
        return (not self._edits or self._edits[-1].end <= start) and self.decided == self.length

    def edited(self, start: int, text: str) -> str:
        """``text``, which is what the passage has at ``start``, masked.

        A secret's placeholder stands where the secret begins; what the secret has before ``start`` is not repeated.
        """
        if not self._edits:
            return text
        end = start + len(text)
        first = bisect_right(self._edits, start, key=lambda edit: edit.end)
        inside = [
            Replacement(
                max(edit.start, start) - start,
                min(edit.end, end) - start,
                edit.kind,
                edit.placeholder if edit.start >= start else "",
            )
            for edit in takewhile(lambda edit: edit.start < end, islice(self._edits, first, None))
        ]
        return replaced(text, inside) if inside else text

    @property
    def _last_start(self) -> int:
        return next(reversed(self._starts.values()))

    def _begin(self, block: Hashable) -> None:
        if self._starts:
            if self._alone is None:
                self._add(self._masker.find(self.original), 0)
            else:
                self._add(self._alone.finish(), self._last_start)
            self._alone = self._masker.stream()
        self._starts[block] = self.length

    def _add(self, found: Iterable[Replacement], offset: int, precedence: int = SECRET) -> None:
        """Finds that overlap become one, under the kind of the first; whatever came first does not matter."""
        for one in found:
            new = replace(one, start=one.start + offset, end=one.end + offset)
            insort(self._found, (new.start, -new.end, precedence, new), key=itemgetter(0, 1, 2))
            place = bisect_right(self._edits, new.start, key=lambda edit: edit.end)
            start = min([new.start, *(edit.start for edit in self._edits[place : place + 1])])
            del self._edits[place:]
            for _, _, _, again in islice(self._found, bisect_left(self._found, start, key=itemgetter(0)), None):
                last = self._edits[-1] if self._edits else None
                if last is None or last.end <= again.start:
                    self._edits.append(again)
                elif last.end < again.end:
                    self._edits[-1] = replace(last, end=again.end)


def masked_text(text: str, masker: Masker) -> Masked:
    """``text``, all of a passage, masked. Raises :class:`WireError` when it is too long."""
    passage = Passage("", masker)
    passage.add(0, text)
    passage.finish()
    return Masked(passage.masked, passage.kinds)

"""A text that comes in pieces, in one block of an answer or over neighbouring ones.

Models cut a text into blocks wherever a citation begins, so a secret may lie across blocks. It may also begin with a
block, where only the block read on its own shows that a word begins. So with the second block on, a passage is masked
twice, as a whole and block by block, and what either finds goes.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Hashable, Iterable

from ciguard.inspect.masking import Masker, MaskStream, Replacement, replaced


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
        self._starts: dict[Hashable, int] = {}
        self._texts: list[str] = []
        self._edits: list[Replacement] = []

    @property
    def decided(self) -> int:
        """See the class."""
        if self._alone is None:
            return self._whole.decided
        return min(self._whole.decided, self._last_start + self._alone.decided)

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
        """``text`` comes next and belongs to ``block``: the one before, or a new one."""
        if block not in self._starts:
            self._begin(block)
        if self._alone is not None:
            self._add(self._alone.feed(text), self._last_start)
        self._add(self._whole.feed(text), 0)
        self._texts.append(text)
        self.length += len(text)

    def finish(self) -> None:
        """No more text comes: all of it is decided."""
        if self._alone is not None:
            self._add(self._alone.finish(), self._last_start)
        self._add(self._whole.finish(), 0)

    def edited(self, start: int, text: str) -> str:
        """``text``, which is what the passage has at ``start``, masked.

        A secret's placeholder stands where the secret begins; what the secret has before ``start`` is not repeated.
        """
        end = start + len(text)
        inside = [
            Replacement(
                max(edit.start, start) - start,
                min(edit.end, end) - start,
                edit.kind,
                edit.placeholder if edit.start >= start else "",
            )
            for edit in self._edits
            if edit.start < end and edit.end > start
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

    def _add(self, found: Iterable[Replacement], offset: int) -> None:
        for one in found:
            new = Replacement(one.start + offset, one.end + offset, one.kind, one.placeholder)
            touched = [edit for edit in self._edits if edit.start < new.end and new.start < edit.end]
            if touched:
                first = min([*touched, new], key=lambda edit: (edit.start, -edit.end))
                end = max(edit.end for edit in [*touched, new])
                new = Replacement(first.start, end, first.kind, first.placeholder)
                self._edits = [edit for edit in self._edits if edit not in touched]
            insort(self._edits, new, key=lambda edit: edit.start)

"""A text of a streamed answer while it comes, and its pieces that wait until it is decided what is masked in them."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from ciguard.codecs.held_event import HeldEvent
from ciguard.codecs.passage import Passage
from ciguard.operation import Json


@dataclass(slots=True, eq=False)
class Piece:
    """The string ``holder[key]`` of ``event``: what its passage has at ``start``, for the first time or once more."""

    event: HeldEvent
    holder: dict[str, Json]
    key: str
    start: int
    text: str
    repeated: bool = False

    def settle(self, text: str) -> None:
        """Deliver ``text``; the event no longer waits for this piece."""
        self.event.put(self.holder, self.key, text)
        self.event.held_by -= 1


@dataclass(slots=True, eq=False)
class OpenText:
    """A passage that is not complete, its pieces that still wait, and how much of it went out."""

    passage: Passage
    waiting: deque[Piece] = field(default_factory=deque)
    delivered: int = 0

    def deliver_decided(self) -> None:
        """Settle the pieces whose text the masker has decided."""
        decided = self.passage.decided
        while self.waiting and self.waiting[0].start + len(self.waiting[0].text) <= decided:
            piece = self.waiting.popleft()
            self.delivered = max(self.delivered, piece.start + len(piece.text))
            piece.settle(self.passage.edited(piece.start, piece.text))

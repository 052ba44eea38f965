"""The latest event of a stream: by it the next is known when that is the same with another text, as most events are."""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable
from dataclasses import dataclass, field

from ciguard.codecs.held_event import HeldEvent
from ciguard.codecs.mould import Mould, Path, mould_of
from ciguard.codecs.open_text import OpenText
from ciguard.inspect.masking import Masker
from ciguard.operation import Json

More = Callable[[str, dict[str, Json]], None]
"""Takes in what a text's further events say together, and the data of the last of them."""


@dataclass(slots=True)
class Latest:
    """An event that is a piece of a text and nothing else: ``holder[name]``, of ``block`` in ``text``.

    Below the top-level keys ``varying``, too, further ones may differ from it. ``more`` takes these in. ``has_left``
    says that the event left at once, as it came. ``passed`` are the texts of those that left like it, and which nobody
    was told of yet; ``last`` is the last of them.
    """

    event: HeldEvent
    text: OpenText
    block: Hashable
    holder: dict[str, Json]
    name: str
    more: More
    varying: Collection[str]
    has_left: bool = False
    passed: list[str] = field(default_factory=list)
    last: bytes = b""
    mould: Mould | None = None

    def text_of(self, raw: bytes, masker: Masker) -> str | None:
        """The text of the event ``raw`` if it is this event with that text, and nothing else in it is to be masked."""
        if self.mould is None:
            if not self.has_left:
                return None
            self.mould = mould_of(self.event, (*_path(self.event.data, self.holder), self.name), raw, self.varying)
            if self.mould is None:
                return None
        strings = self.mould.strings(raw)
        if strings is None:
            return None
        text, paddings = strings
        for padding in paddings:
            if masker.mask(padding).kinds:
                return None
        return text

    def event_of(self, raw: bytes) -> tuple[HeldEvent, dict[str, Json]]:
        """The event ``raw``, of which :meth:`text_of` told the text, and the object in it that has this."""
        if self.mould is None:
            raise AssertionError(self)
        return self.mould.event_of(raw)


def _path(data: Json, holder: dict[str, Json]) -> Path:
    """The way from ``data`` to the object ``holder`` in it."""
    pending: list[tuple[Path, Json]] = [((), data)]
    while True:
        path, here = pending.pop()
        if here is holder:
            return path
        if isinstance(here, dict):
            pending += [((*path, key), inner) for key, inner in here.items()]
        elif isinstance(here, list):
            pending += [((*path, place), inner) for place, inner in enumerate(here)]

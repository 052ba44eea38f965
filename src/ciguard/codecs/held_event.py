"""One event of a stream while it waits for what is in it to be decided."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field

from ciguard.codecs.document import dump
from ciguard.codecs.sse import encode
from ciguard.operation import Json

END_MARK = "[DONE]"
"""The data of an event that is not JSON and says that the stream is over."""


@dataclass(slots=True, eq=False)
class HeldEvent:
    """An event in the queue.

    Whoever changes ``data`` sets ``changed``. ``held_by`` counts what the event waits for. ``rewritten`` tells that
    a text in it is delivered other than it came. ``is_end_mark`` marks an event whose data is :data:`END_MARK`.
    """

    raw: bytes
    name: str
    data: dict[str, Json]
    is_end_mark: bool = False
    changed: bool = False
    rewritten: bool = False
    dropped: bool = False
    held_by: int = 0
    calls: set[Hashable] = field(default_factory=set)
    _decided: dict[tuple[int, str], dict[str, Json]] = field(default_factory=dict)

    def put(self, holder: dict[str, Json], key: str, text: str) -> None:
        """Deliver the already masked ``text`` as ``holder[key]``."""
        if holder[key] != text:
            holder[key] = text
            self.changed = self.rewritten = True
        self._decided[id(holder), key] = holder

    def is_decided(self, holder: dict[str, Json], key: str) -> bool:
        """Whether ``holder[key]`` was masked as part of something larger, and must not be masked again on its own."""
        return (id(holder), key) in self._decided

    def encoded(self) -> bytes:
        """The bytes to deliver."""
        if not self.changed:
            return self.raw
        return encode(self.name, END_MARK if self.is_end_mark else dump(self.data).decode())

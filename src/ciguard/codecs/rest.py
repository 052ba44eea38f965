"""Masking what no one else decides: the strings of an event, keys too, that are not part of something larger."""

from __future__ import annotations

from ciguard.codecs.held_event import HeldEvent
from ciguard.inspect.masking import Masker
from ciguard.operation import Json

REMEMBERED = 4096
"""Strings of one answer that are remembered to be clean: the same come with every event."""

REMEMBERED_LENGTH = 64
"""Characters that such a string has at the most."""


class Rest:
    """Masks the rest of each event of one answer."""

    def __init__(self, masker: Masker) -> None:
        self._masker = masker
        self._clean: set[str] = set()

    def mask(self, event: HeldEvent) -> None:
        """Mask the strings of ``event`` that were not decided yet."""
        pending: list[Json] = [event.data]
        while pending:
            match pending.pop():
                case dict() as pairs:
                    for key, value in list(pairs.items()):
                        if isinstance(value, dict | list):
                            pending.append(value)
                        elif isinstance(value, str) and not event.is_decided(pairs, key):
                            pairs[key] = self._masked(value, event)
                        masked_key = self._masked(key, event)
                        if masked_key != key:
                            pairs[masked_key] = pairs.pop(key)
                case list() as items:
                    for place, value in enumerate(items):
                        if isinstance(value, str):
                            items[place] = self._masked(value, event)
                        elif isinstance(value, dict | list):
                            pending.append(value)
                case _:
                    continue

    def _masked(self, text: str, event: HeldEvent) -> str:
        if text in self._clean:
            return text
        masked = self._masker.mask(text)
        if masked.kinds:
            event.changed = True
        elif len(text) <= REMEMBERED_LENGTH and len(self._clean) < REMEMBERED:
            self._clean.add(text)
        return masked.text

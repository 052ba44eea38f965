"""What masking asks of whoever recognises something: where it is, and where it might still begin."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Protocol

from ciguard.inspect.span import Span


class Matcher(Protocol):
    """Recognises some secrets in a text and its projection (see :mod:`ciguard.inspect.projection`)."""

    def find(self, text: str, data: bytes, begin: int) -> Collection[Span]:
        """Every secret that begins at ``begin`` or later; what stands before is context.

        Whether something is found depends only on the text from its origin to its end and one character on each side.
        """

    def places(self, data: bytes) -> Iterable[int]:
        """Where something begins that :meth:`find` might find, whatever ends it."""

    def open_from(self, data: bytes) -> tuple[int, int]:
        """The earliest index that may still become part of a secret, when more text follows ``data``.

        And the index from which the text has to be read on, to find that secret; it may be smaller. Both are
        the length of ``data`` when nothing has begun. ``data`` begins with a character of context.
        """

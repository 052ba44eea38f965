"""What masking asks of whoever recognises something: where it is, and where it might still begin."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Protocol

from ciguard.inspect.finder import Hint
from ciguard.inspect.span import Span


class Matcher(Protocol):
    """Recognises some secrets in a text and its projection (see :mod:`ciguard.inspect.projection`)."""

    def hints(self, data: bytes) -> Sequence[Hint]:
        """What leads :meth:`find` to every secret in ``data``.

        Whether there is one for a secret depends only on what stands before the secret's end. One that leads nowhere
        does no harm.
        """

    def find(self, text: str, data: bytes, begin: int, hints: Sequence[Hint]) -> Collection[Span]:
        """Every secret that begins at ``begin`` or later; what stands before is context.

        ``hints`` are those of ``data``, and may be more. Whether something is found depends only on the text from its
        origin to its end and one character on each side.
        """

    def open_from(self, data: bytes) -> tuple[int, int] | None:
        """The earliest index that may still become part of a secret, when more text follows ``data``.

        And the index from which the text has to be read on, to find that secret; it may be smaller. Both are
        the length of ``data`` when nothing has begun. None when, besides, there is no secret in ``data``; what follows
        is then found by reading on from :data:`~ciguard.inspect.partial.CONTEXT` characters before the end.
        ``data`` begins with a character of context.
        """

"""Texts as the engines see them: one byte for each character, so that offsets are the same on both sides.

ASCII and Latin-1 characters are their own bytes; all others, lone surrogates too, become one byte that no pattern
names. Patterns are ASCII (see :mod:`ciguard.inspect.pattern`), so to them all other characters are alike.
"""

from __future__ import annotations

import codecs

OTHER = 0xFF
"""The byte of every character outside Latin-1."""


def _other(error: UnicodeError) -> tuple[bytes, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return bytes([OTHER]) * (error.end - error.start), error.end


codecs.register_error("ciguard-projection", _other)


def projected(text: str) -> bytes:
    """``text`` with one byte for each character."""
    return text.encode("latin-1", "ciguard-projection")

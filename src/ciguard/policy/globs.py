"""Globs as policies write them: ``*`` stands for any run of characters, everything else for itself."""

from __future__ import annotations


def matches(glob: str, text: str) -> bool:
    """Whether the whole of ``text`` fits ``glob``, in time proportional to its length for each ``*``."""
    first, *rest = glob.split("*")
    if not rest:
        return text == glob
    *middle, last = rest
    if len(text) < len(first) + len(last) or not text.startswith(first) or not text.endswith(last):
        return False
    position, end = len(first), len(text) - len(last)
    for piece in middle:
        position = text.find(piece, position, end)
        if position < 0:
            return False
        position += len(piece)
    return True


def covers(wide: str, narrow: str) -> bool:
    """Whether everything that fits ``narrow`` is known to fit ``wide``.

    Only a ``*`` of ``wide`` can take in a ``*`` of ``narrow``, so that reading ``narrow`` as a plain text answers it.
    """
    return matches(wide, narrow)

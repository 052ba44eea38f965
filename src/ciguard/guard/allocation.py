"""What becomes of memory that large bodies took."""

from __future__ import annotations

import ctypes

LARGE = 16 * 1024 * 1024
"""Bytes from which on memory goes back to the kernel as soon as it is free."""

KEPT = 2 * LARGE
"""Bytes of free memory that are kept at the most."""

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3


def keep_freed_memory() -> None:
    """Have the C library keep the memory of a body for the next one.

    glibc gives every block back that is larger than any before, as those of a growing conversation are, and the kernel
    takes longer to hand out each of its pages again than the guard takes to look at it. Other libraries have no such
    thing (mallopt(3)).
    """
    library = ctypes.CDLL(None)
    if hasattr(library, "mallopt"):
        library.mallopt(_M_MMAP_THRESHOLD, LARGE)
        library.mallopt(_M_TRIM_THRESHOLD, KEPT)

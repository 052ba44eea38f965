"""The guard's own process: nothing else may read it, and its environment keeps no credential."""

from __future__ import annotations

import ctypes
import os
import resource
from collections.abc import Collection
from pathlib import Path

from ciguard.errors import GuardFailure
from ciguard.sandbox.confining import PR_SET_CHILD_SUBREAPER, PR_SET_DUMPABLE, effective_capabilities, prctl

CAP_IPC_LOCK = 14
_MCL_CURRENT, _MCL_FUTURE, _MCL_ONFAULT = 1, 2, 4
OVERWRITTEN = ord("-")
_ENV_START, _ENV_END = 49, 50
"""Places of ``env_start`` and ``env_end`` in /proc/PID/stat, counted from 0 (proc(5): 50 and 51)."""


def harden() -> None:
    """Keep other processes of the same user from reading this one; no core dumps; no swapping, where that is allowed.

    Memory is locked page by page as it is used, and only where no limit could make a later allocation fail. What is
    orphaned below this process comes to it, so that it can be ended. Raises GuardFailure.
    """
    try:
        prctl(PR_SET_DUMPABLE, 0)
        prctl(PR_SET_CHILD_SUBREAPER, 1)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    except OSError as error:
        raise GuardFailure(
            f"the guard cannot protect its own memory: {error.strerror}", "run it on Linux, outside of other sandboxes"
        ) from None
    if CAP_IPC_LOCK in effective_capabilities() or resource.getrlimit(resource.RLIMIT_MEMLOCK)[0] < 0:
        ctypes.CDLL(None).mlockall(_MCL_CURRENT | _MCL_FUTURE | _MCL_ONFAULT)


def scrub_environment(names: Collection[str]) -> None:
    """Remove variables from this process for good: from ``os.environ``, and from what /proc/PID/environ shows.

    The kernel shows the memory in which the process got its environment, which unsetting a variable does not touch:
    the values are overwritten there. Raises GuardFailure when they are still there afterwards.
    """
    for name in names:
        os.environ.pop(name, None)
    stat = Path("/proc/self/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    # The name in parentheses is the second field; what follows it begins with the third.
    start, end = int(stat[_ENV_START - 2]), int(stat[_ENV_END - 2])
    for place, length in _values(start, end, names):
        ctypes.memset(place, OVERWRITTEN, length)
    if any(ctypes.string_at(place, length).strip(bytes([OVERWRITTEN])) for place, length in _values(start, end, names)):
        raise GuardFailure(
            "the guard cannot remove a credential from its environment", "report this as a bug of ciguard"
        )


def _values(start: int, end: int, names: Collection[str]) -> list[tuple[int, int]]:
    """Address and length of the value of each of the variables in the block from ``start`` to ``end``."""
    found = []
    for entry in ctypes.string_at(start, end - start).split(b"\0"):
        name, separator, value = entry.partition(b"=")
        if separator and os.fsdecode(name) in names:
            found.append((start + len(name) + 1, len(value)))
        start += len(entry) + 1
    return found

"""What a tree of processes has used: CPU time and memory."""

from __future__ import annotations

import time
from pathlib import Path


def tree(root: int, without: frozenset[int]) -> tuple[int, ...]:
    """The process ``root`` and all below it, except ``without`` and what is below those."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            children.setdefault(_parent(entry), []).append(int(entry.name))
    found: list[int] = []
    pending = [root]
    while pending:
        process = pending.pop()
        if process not in without:
            found.append(process)
            pending += children.get(process, [])
    return tuple(found)


def _parent(entry: Path) -> int:
    try:
        fields = (entry / "stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return int(fields[1])


def cpu_seconds(processes: tuple[int, ...]) -> float:
    """CPU time used so far, dead threads included, to the nanosecond.

    Reads each process's own clock, whose id is made of its number (``clock_getcpuclockid(3)``).
    """
    return sum(time.clock_gettime((~process << 3) | 2) for process in processes)


def resident_megabytes(processes: tuple[int, ...]) -> float:
    """Resident memory, summed; pages that processes share count for each of them."""
    total = 0
    for process in processes:
        status = Path(f"/proc/{process}/status").read_text()
        total += int(status.partition("VmRSS:")[2].split()[0])
    return total / 1024

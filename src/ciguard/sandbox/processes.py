"""The processes below this one: counting them, and ending them. Bare standard library."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from ciguard.sandbox.confinement import Watched

_PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True, slots=True)
class Process:
    """A line of ``/proc/PID/stat``; ``memory`` is resident bytes."""

    pid: int
    parent: int
    state: str
    memory: int


def parsed(stat: str) -> Process:
    """Read ``/proc/PID/stat`` (proc(5)); the name in it may hold anything."""
    head, _, tail = stat.rpartition(")")
    fields = tail.split()
    return Process(int(head.split(" ", 1)[0]), int(fields[1]), fields[0], int(fields[21]) * _PAGE)


def descendants(of: int, among: Iterable[Process]) -> list[Process]:
    """The processes below ``of``, not counting those that have ended."""
    children: dict[int, list[Process]] = {}
    for process in among:
        children.setdefault(process.parent, []).append(process)
    found: list[Process] = []
    waiting = [of]
    while waiting:
        born = children.get(waiting.pop(), [])
        found += [process for process in born if process.state not in "ZX"]
        waiting += [process.pid for process in born]
    return found


def running() -> Iterator[Process]:
    """All processes that can be seen."""
    for name in os.listdir("/proc"):  # noqa: PTH208 - many
        if name.isdigit():
            try:
                with open(f"/proc/{name}/stat", encoding="utf-8", errors="replace") as file:  # noqa: PTH123 - many
                    yield parsed(file.read())
            except (FileNotFoundError, ProcessLookupError):
                continue


def exceeded(bounds: Watched) -> str:
    """Which bound the processes below this one are over, in words; empty for none."""
    found = descendants(os.getpid(), running())
    if bounds.processes is not None and len(found) > bounds.processes:
        most = bounds.processes
        return f"the agent ran {len(found)} processes at once, more than isolation.limits.processes ({most})"
    memory = sum(process.memory for process in found)
    if bounds.memory is not None and memory > bounds.memory:
        return f"the agent used {memory} bytes of memory, more than isolation.limits.memory_bytes ({bounds.memory})"
    return ""


def kill_descendants() -> bool:
    """Send SIGKILL to everything below this process; whether there was anything."""
    left = descendants(os.getpid(), running())
    for process in left:
        try:
            os.kill(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            continue
    return bool(left)


def end_descendants() -> None:
    """Kill everything below this process, which must be a subreaper or pid 1, until nothing is left.

    What was started meanwhile is found in the next round: when its parent is killed, it comes to this process.
    """
    while kill_descendants():
        list(reaped())
        time.sleep(0.001)


def reaped() -> Iterator[tuple[int, int]]:
    """The children that have ended and were not waited for yet, with their wait statuses."""
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if not pid:
            return
        yield pid, status

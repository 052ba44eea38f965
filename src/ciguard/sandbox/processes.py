"""The processes below this one: counting them, and ending them. Bare standard library."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Collection, Iterable, Iterator
from typing import NamedTuple

from ciguard.sandbox.confinement import Watched

NAMESPACE_INIT = 1
_PAGE = os.sysconf("SC_PAGE_SIZE")


class Process(NamedTuple):
    """A line of ``/proc/PID/stat``; ``memory`` is resident bytes."""

    pid: int
    parent: int
    group: int
    state: str
    memory: int


def parsed(stat: str) -> Process:
    """Read ``/proc/PID/stat`` (proc(5)); the name in it may hold anything."""
    head, _, tail = stat.rpartition(")")
    fields = tail.split()
    return Process(int(head.split(" ", 1)[0]), int(fields[1]), int(fields[2]), fields[0], int(fields[21]) * _PAGE)


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
    if bounds.memory is None and not _can_be_more(bounds.processes):
        return ""
    found = descendants(os.getpid(), running())
    if bounds.processes is not None and len(found) > bounds.processes:
        most = bounds.processes
        return f"the agent ran {len(found)} processes at once, more than isolation.limits.processes ({most})"
    memory = sum(process.memory for process in found)
    if bounds.memory is not None and memory > bounds.memory:
        return f"the agent used {memory} bytes of memory, more than isolation.limits.memory_bytes ({bounds.memory})"
    return ""


def _can_be_more(processes: int | None) -> bool:
    """Whether more than so many processes can be below this one: names in /proc are counted faster than read."""
    return processes is not None and sum(name.isdigit() for name in os.listdir("/proc")) > processes  # noqa: PTH208


def tasks_of(uid: int) -> int:
    """How many threads the processes of the real user ``uid`` have, as far as they can be seen."""
    count = 0
    for name in filter(str.isdigit, os.listdir("/proc")):  # noqa: PTH208 - many
        try:
            with open(f"/proc/{name}/status", encoding="utf-8", errors="replace") as file:  # noqa: PTH123 - many
                said = dict(line.split(":", 1) for line in file if line.startswith(("Uid:", "Threads:")))
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(said["Uid"].split()[0]) == uid:
            count += int(said["Threads"])
    return count


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
    """Kill everything below this process, a launcher, which must be a subreaper or pid 1, until nothing is left.

    As pid 1 it kills all of its namespace at once. Else processes that fork faster than they are found would live on,
    so that all are stopped first, whole groups of them at once: what has such a signal waiting cannot fork any more.
    """
    if os.getpid() == NAMESPACE_INIT:
        while _killed_namespace():
            list(reaped())
            time.sleep(0.001)
        return
    while found := descendants(os.getpid(), running()):
        stopped: set[int] = set()
        while fresh := [process for process in found if process.pid not in stopped]:
            _signal_groups(fresh, {process.pid for process in found}, signal.SIGSTOP)
            stopped |= {process.pid for process in fresh}
            found = descendants(os.getpid(), running())
        kill_descendants()
        list(reaped())
        time.sleep(0.001)


def _killed_namespace() -> bool:
    """Kill everything in this process's own namespace but itself; whether there was anything. See kill(2)."""
    try:
        os.kill(-1, signal.SIGKILL)
    except ProcessLookupError:
        return False
    return True


def _signal_groups(processes: Iterable[Process], ours: Collection[int], number: int) -> None:
    """Signal ``processes``; all of a group at once where the group is led by one of ``ours`` and so holds no other."""
    done: set[int] = set()
    for process in processes:
        try:
            if process.group not in ours:
                os.kill(process.pid, number)
            elif process.group not in done:
                os.killpg(process.group, number)
                done.add(process.group)
        except ProcessLookupError:
            continue


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

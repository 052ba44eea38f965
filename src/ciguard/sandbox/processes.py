"""The processes below this one: counting them, and ending them. Bare standard library."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from typing import NamedTuple

from ciguard.sandbox.confinement import Watched

NAMESPACE_INIT = 1
_PAGE = os.sysconf("SC_PAGE_SIZE")
_PAUSE = 0.001
"""Seconds between two looks at what is left."""
_STOPPING = 20.0
"""Seconds after which what still forks is killed without having been stopped: what may not be stopped can go on."""
_PATIENCE = 5.0
"""Seconds in which what may not be killed can end by itself."""


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


def end_descendants() -> list[int]:
    """Kill everything below this process, which must be a subreaper or pid 1, until nothing is left.

    Returns the children that this process may not kill, since they run as another user, and that did not end by
    themselves in a while. When there are none nothing is left for certain: whoever loses its parent becomes a child of
    this process at that moment (prctl(2), PR_SET_CHILD_SUBREAPER), and there is no child to wait for. What /proc shows
    is no proof: it misses those born while it is read.
    """
    if os.getpid() == NAMESPACE_INIT:
        while _killed_namespace():
            list(reaped())
            time.sleep(_PAUSE)
        return []
    _stop_descendants()
    patient_until = time.monotonic() + _PATIENCE
    before: list[int] = []
    while _has_children():
        born = _children()
        beyond = [child for child in born if not _signalled(os.kill, child, signal.SIGKILL)]
        if beyond:
            for process in descendants(os.getpid(), running()):
                _signalled(os.kill, process.pid, signal.SIGKILL)
            if time.monotonic() > patient_until:
                return beyond
        if born == before:
            time.sleep(_PAUSE)
        before = born
    return []


def _killed_namespace() -> bool:
    """Kill everything in this process's own namespace but itself; whether there was anything. See kill(2)."""
    try:
        os.kill(-1, signal.SIGKILL)
    except ProcessLookupError:
        return False
    return True


def _stop_descendants() -> None:
    """Stop what may fork faster than it is killed, whole groups at once: a stopped process cannot."""
    stopped: set[int] = set()
    until = time.monotonic() + _STOPPING
    while _has_children() and time.monotonic() < until:
        for child in _children():
            _signalled(os.kill, child, signal.SIGSTOP)
        found = descendants(os.getpid(), running())
        fresh = [process for process in found if process.pid not in stopped]
        if not fresh:
            return
        _signal_groups(fresh, {process.pid for process in found}, signal.SIGSTOP)
        stopped |= {process.pid for process in fresh}


def _signal_groups(processes: Iterable[Process], ours: Collection[int], number: int) -> None:
    """Signal ``processes``; all of a group at once where the group is led by one of ``ours`` and so holds no other."""
    done: set[int] = set()
    for process in processes:
        if process.group not in ours:
            _signalled(os.kill, process.pid, number)
        elif process.group not in done:
            _signalled(os.killpg, process.group, number)
            done.add(process.group)


def _signalled(how: Callable[[int, int], None], whom: int, number: int) -> bool:
    """Send a signal; whether that was allowed. Who is gone needs none."""
    try:
        how(whom, number)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return True


def _children() -> list[int]:
    """The children of this process, the ended ones too, as quickly as the kernel tells.

    It keeps a list where it was built with CONFIG_PROC_CHILDREN (proc(5)); there a process that becomes another all the
    time is met in most looks, and in few of those through all of /proc.
    """
    found: list[int] = []
    try:
        for thread in os.listdir("/proc/self/task"):  # noqa: PTH208 - many
            with open(f"/proc/self/task/{thread}/children", encoding="ascii") as file:  # noqa: PTH123 - many
                found += map(int, file.read().split())
    except FileNotFoundError:
        own = os.getpid()
        return [process.pid for process in running() if process.parent == own]
    return found


def _has_children() -> bool:
    """Whether any child is left once the ended ones are reaped."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        return False
    return True


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

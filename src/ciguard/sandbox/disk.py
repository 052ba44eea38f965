"""How much the agent adds on the disk, measured by a process of its own beside the guard. Bare standard library.

It is told the folders, the most bytes and the launcher's process on its standard input, as JSON on one line. On its
standard output it says ``ready`` once it knows what was there before, and at last ``over BYTES`` or ``lost WHY``. It
ends with its standard input.

A measure walks through everything, so the next one waits for a multiple of the time that it took; but when the file
systems lost as much room as the agent has left, it comes at once.
"""

from __future__ import annotations

import errno
import json
import os
import select
import stat
import sys
import time
from collections.abc import Iterable, Iterator, Sequence

from ciguard.sandbox.processes import descendants, running

TICK = 0.25
"""Seconds between two looks at the room that is left."""

REST, SHORTEST_REST = 20, 2
"""How many times as long as a measure took the next one waits: usually, and when room is being lost."""

BLOCK = 512
"""Bytes in a unit of ``st_blocks``. See stat(2)."""

_Inodes = dict[tuple[int, int], int]


class Unmeasurable(Exception):
    """A folder hides what is in it, although the agent could have written there."""


def main() -> None:
    """Serve whoever is at the other end of standard input."""
    order = json.loads(sys.stdin.readline())
    folders, most, launcher = order["folders"], order["most"], order["launcher"]
    try:
        _say(f"over {watch(folders, most, launcher)}")
    except (Unmeasurable, OSError) as error:
        _say(f"lost {error}")


def watch(folders: Sequence[str], most: int, launcher: int) -> int:
    """Measure until the agent is over ``most`` bytes; returns how many it added. Raises Unmeasurable and OSError."""
    before = measured(folders, launcher)
    _say("ready")
    added, room, took, at = 0, free(folders), 0.0, time.monotonic()
    while added <= most:
        if select.select([sys.stdin], [], [], TICK)[0]:
            sys.exit()
        waited = time.monotonic() - at
        losing = room - free(folders) >= most - added
        if waited >= took * (SHORTEST_REST if losing else REST):
            room, at = free(folders), time.monotonic()
            added = measured(folders, launcher) - before
            took = time.monotonic() - at
            at += took
    return added


def measured(folders: Iterable[str], launcher: int) -> int:
    """Bytes on the disk of the files below ``folders``, and of those without a name that processes below ``launcher``
    hold open."""
    found: _Inodes = {}
    for folder in folders:
        for status in below(folder):
            found[status.st_dev, status.st_ino] = status.st_blocks
    for status in nameless(launcher):
        found[status.st_dev, status.st_ino] = status.st_blocks
    return BLOCK * sum(found.values())


def below(folder: str) -> Iterator[os.stat_result]:
    """Everything below ``folder``, however it changes meanwhile. Raises Unmeasurable."""
    waiting = [folder]
    while waiting:
        path = waiting.pop()
        try:
            with os.scandir(path) as entries:
                for entry in entries:
                    try:
                        status = entry.stat(follow_symlinks=False)
                    except FileNotFoundError:
                        continue
                    if stat.S_ISDIR(status.st_mode):
                        waiting.append(entry.path)
                    yield status
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:
            if error.errno not in (errno.EACCES, errno.EPERM) or _can_be_written(path):
                raise Unmeasurable(f"{path}: {error.strerror}") from None


def _can_be_written(path: str) -> bool:
    """Whether the agent, who has no more rights than this process, could have files in a folder that cannot be read."""
    try:
        return os.stat(path).st_uid == os.getuid() or os.access(path, os.W_OK)
    except FileNotFoundError:
        return False


def nameless(launcher: int) -> Iterator[os.stat_result]:
    """The files without a name that processes below ``launcher`` hold open, as far as they can be looked at."""
    for process in descendants(launcher, running()):
        try:
            descriptors = os.listdir(f"/proc/{process.pid}/fd")
        except OSError:
            continue
        for descriptor in descriptors:
            try:
                status = os.stat(f"/proc/{process.pid}/fd/{descriptor}")
            except OSError:
                continue
            if stat.S_ISREG(status.st_mode) and not status.st_nlink:
                yield status


def free(folders: Iterable[str]) -> int:
    """Bytes that the file systems of ``folders`` have left."""
    rooms = {}
    for folder in folders:
        system = os.statvfs(folder)
        rooms[os.stat(folder).st_dev] = system.f_bfree * system.f_frsize
    return sum(rooms.values())


def _say(line: str) -> None:
    sys.stdout.write(line.replace("\n", "\\n") + "\n")
    sys.stdout.flush()

"""The ``namespace`` level: bubblewrap's arguments.

Source: bwrap(1).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from ciguard.sandbox.access import Access, Table, changes

TEMPORARY = "/tmp"  # noqa: S108 - the agent's own, unless the policy says otherwise
NEW = ("/dev", "/proc")
"""What bubblewrap makes anew: nothing of the machine's is there."""

NAMESPACES = ("--unshare-pid", "--unshare-net", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try")


def arguments(table: Table, temporary: str, is_directory: Callable[[str], bool]) -> list[str]:
    """What follows ``bwrap`` and comes before the command.

    ``temporary`` is the directory that the agent sees as ``/tmp`` where the table hides that.
    """
    fixed = (*NAMESPACES, "--die-with-parent", "--as-pid-1", "--hostname", "ciguard")
    return [*fixed, *_mounts(table, temporary, is_directory)]


def _mounts(table: Table, temporary: str, is_directory: Callable[[str], bool]) -> Iterator[str]:
    yield from ("--ro-bind", "/", "/", "--dev", "/dev", "--proc", "/proc")
    sealed: list[str] = []
    for path, access in changes(table):
        if path.startswith(NEW):
            continue
        match access:
            case Access.WRITABLE:
                yield from ("--bind", path, path)
            case Access.READABLE:
                yield from ("--ro-bind", path, path)
            case Access.HIDDEN if path == TEMPORARY:
                yield from ("--bind", temporary, path)
            case Access.HIDDEN if is_directory(path):
                yield from ("--perms", "0555", "--tmpfs", path)
                sealed.append(path)
            case Access.HIDDEN:
                # Bound without device access: it cannot be opened.
                yield from ("--ro-bind", "/dev/null", path)
    for path in sealed:
        yield from ("--remount-ro", path)

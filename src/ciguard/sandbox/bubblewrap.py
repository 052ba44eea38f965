"""The ``namespace`` level: bubblewrap's arguments.

Source: bwrap(1).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from ciguard.sandbox.access import Access, Table, changes

TEMPORARY = "/tmp"  # noqa: S108 - the agent's own, unless the policy says otherwise
NEW = ("/dev", "/proc")
"""What bubblewrap makes anew: nothing of the machine's is there."""

SETTINGS = ("/proc/sys", "/proc/sysrq-trigger", "/proc/irq", "/proc/bus", "/proc/fs")
"""What of ``/proc`` sets the machine: root may write there without any capability, and the agent may be root's user.

bubblewrap leaves out those that only look protected: ``/proc/sys`` itself cannot be written to, the files in it can.
"""

TELLING = ("/proc/kcore", "/proc/keys", "/proc/timer_list", "/proc/acpi", "/proc/scsi", "/proc/kallsyms")
"""What of ``/proc`` tells of the machine beyond the sandbox."""

NAMESPACES = ("--unshare-pid", "--unshare-net", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try")


def arguments(
    table: Table, temporary: str, is_directory: Callable[[str], bool], exists: Callable[[str], bool]
) -> list[str]:
    """What follows ``bwrap`` and comes before the command.

    ``temporary`` is the directory that the agent sees as ``/tmp`` where the table hides that.
    """
    fixed = (*NAMESPACES, "--die-with-parent", "--as-pid-1", "--hostname", "ciguard")
    return [*fixed, *_mounts(table, temporary, is_directory, exists)]


def _mounts(
    table: Table, temporary: str, is_directory: Callable[[str], bool], exists: Callable[[str], bool]
) -> Iterator[str]:
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
    for path in filter(exists, SETTINGS):
        yield from ("--ro-bind", path, path)
    for path in filter(exists, TELLING):
        yield from ("--perms", "0555", "--tmpfs", path) if is_directory(path) else ("--ro-bind", "/dev/null", path)
    for path in sealed:
        yield from ("--remount-ro", path)

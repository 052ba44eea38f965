"""A container that is not privileged, as far as it matters here: few capabilities, and no new user namespaces.

Left out: namespaces and a root of its own.
"""

from __future__ import annotations

import errno
import os
import struct
import sys

from ciguard.sandbox.seccomp import load, machine, number
from tests.e2e.isolation.besieged import DOCKERS
from tests.e2e.repository import ROOT

CLONE_NEWUSER = 0x10000000
LANDLOCK = (444, 445, 446)
"""The same numbers on every architecture (syscall tables of Linux)."""

LOAD, EQUAL, ANY_BIT, RETURN = 0x20, 0x15, 0x45, 0x06
ALLOW, FAIL = 0x7FFF0000, 0x00050000
CALL, FIRST_ARGUMENT = 0, 16
"""Offsets in ``struct seccomp_data``; the lower half of the argument, on little-endian machines."""


def refused(call: int, error: int) -> list[bytes]:
    """Instructions that let ``call`` fail."""
    return [instruction(LOAD, CALL), instruction(EQUAL, call, 0, 1), instruction(RETURN, FAIL | error)]


def refused_user_namespace(call: int) -> list[bytes]:
    """Instructions that let ``call``, whose first argument is clone flags, fail where it makes a user namespace."""
    return [
        instruction(LOAD, CALL),
        instruction(EQUAL, call, 0, 3),
        instruction(LOAD, FIRST_ARGUMENT),
        instruction(ANY_BIT, CLONE_NEWUSER, 0, 1),
        instruction(RETURN, FAIL | errno.EPERM),
    ]


def instruction(code: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
    """One ``struct sock_filter``."""
    return struct.pack("=HBBI", code, if_true, if_false, value)


def contained(*, landlock: bool = True) -> list[str]:
    """What to put before a command to run it in one; without ``landlock``, as on Linux before 5.13."""
    find = f"import sys; sys.path.insert(0, {str(ROOT)!r})"
    return [sys.executable, "-c", f"{find}; from tests.e2e.gitlab import container; container.enter({landlock})"]


def enter(landlock: bool) -> None:
    """Become the command of this process's arguments, in a container."""
    own = machine()
    program = [
        *refused_user_namespace(number("unshare", own)),
        *refused_user_namespace(number("clone", own)),
        # The flags of clone3 are out of a filter's reach; programs fall back to clone.
        *refused(number("clone3", own), errno.ENOSYS),
    ]
    if not landlock:
        for call in LANDLOCK:
            program += refused(call, errno.ENOSYS)
    load(b"".join([*program, instruction(RETURN, ALLOW)]), supervised=False)
    command = sys.argv[1:]
    if os.getuid() == 0:
        kept = ",".join(f"+{name}" for name in DOCKERS)
        command = ["setpriv", f"--bounding-set=-all,{kept}", f"--inh-caps=-all,{kept}", "--", *command]
    os.execvp(command[0], command)  # noqa: S606 - the test's own command

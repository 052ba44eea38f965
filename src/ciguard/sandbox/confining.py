"""Confining the own process for good: who it is, what it may, which files and sockets. Bare standard library."""

from __future__ import annotations

import ctypes
import os
import resource

from ciguard.sandbox import landlock, seccomp
from ciguard.sandbox.confinement import Confinement

PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_CAPBSET_DROP, PR_SET_NO_NEW_PRIVS = 1, 4, 24, 38
PR_SET_CHILD_SUBREAPER, PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL = 36, 47, 4
CAP_KILL, CAP_SETGID, CAP_SETPCAP, CAP_SYS_PTRACE = 5, 6, 8, 19
_CAPABILITY_VERSION_3 = 0x20080522

_libc = ctypes.CDLL(None, use_errno=True)


class _Header(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class _Data(ctypes.Structure):
    _fields_ = (("effective", ctypes.c_uint32), ("permitted", ctypes.c_uint32), ("inheritable", ctypes.c_uint32))


def confine(wanted: Confinement) -> int:
    """Confine this process as ``wanted``; returns the listener of supervised system calls, or -1. Raises OSError."""
    for name, most in wanted.limits.items():
        limit = getattr(resource, name)
        hard = resource.getrlimit(limit)[1]
        bound = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(limit, (bound, bound))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if wanted.unconfined:
        _first_to_go(wanted)
        return -1
    if CAP_SETGID in effective_capabilities():
        os.setgroups([])
    drop_bounding_set()
    if wanted.uid is not None and wanted.gid is not None:
        os.setresgid(wanted.gid, wanted.gid, wanted.gid)
        os.setresuid(wanted.uid, wanted.uid, wanted.uid)
    keep_capabilities()
    prctl(PR_SET_NO_NEW_PRIVS, 1)
    _first_to_go(wanted)
    if wanted.landlock is not None:
        readable, writable, ports = wanted.landlock
        landlock.restrict(readable, writable, ports, landlock.abi())
    if not wanted.network:
        return -1
    supervised = {seccomp.Supervised(name) for name in wanted.supervised}
    return seccomp.load(seccomp.program(seccomp.Network(wanted.network), supervised), supervised=bool(supervised))


def _first_to_go(wanted: Confinement) -> None:
    """When memory runs out before the launcher sees it, the kernel ends the agent and not the guard. See proc(5).

    The launcher cannot be read, and this process is its copy; but the launcher must be able to read it, and what cannot
    be read cannot write this setting either.
    """
    prctl(PR_SET_DUMPABLE, 1)
    if wanted.watched.memory is not None:
        with open("/proc/self/oom_score_adj", "w", encoding="ascii") as file:
            file.write("1000")


def effective_capabilities() -> frozenset[int]:
    """The numbers of the capabilities in force."""
    with open("/proc/self/status", encoding="ascii", errors="replace") as status:
        bits = int(next(line for line in status if line.startswith("CapEff:")).split()[1], 16)
    return frozenset(number for number in range(64) if bits >> number & 1)


def drop_bounding_set() -> None:
    """Take every capability from what programs that are executed could ever gain, where that is allowed."""
    if CAP_SETPCAP not in effective_capabilities():
        return
    with open("/proc/sys/kernel/cap_last_cap", encoding="ascii") as file:
        last = int(file.read())
    for number in range(last + 1):
        prctl(PR_CAPBSET_DROP, number)


def keep_capabilities(*numbers: int) -> None:
    """Give up all capabilities but those of ``numbers`` that are held. Raises OSError."""
    prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL)
    held = effective_capabilities()
    bits = sum(1 << number for number in numbers if number in held)
    data = (_Data * 2)(_Data(bits, bits, 0), _Data(0, 0, 0))
    if _libc.capset(ctypes.byref(_Header(_CAPABILITY_VERSION_3, 0)), ctypes.byref(data)) != 0:
        raise _error()


def prctl(option: int, argument: int) -> None:
    """See prctl(2). Raises OSError."""
    if _libc.prctl(option, ctypes.c_ulong(argument), 0, 0, 0) != 0:
        raise _error()


def _error() -> OSError:
    number = ctypes.get_errno()
    return OSError(number, os.strerror(number))

"""The system calls that an agent may not make, and those that a supervisor decides: one seccomp filter.

A launcher inside the sandbox loads the filter just before it becomes the agent, and hands the listener that comes back
to the supervisor over a unix socket::

    listener = load(program(Network.OWN, {Supervised.COMMANDS}))      # in the launcher, the last thing before execve
    socket.send_fds(channel, [LISTENER_MESSAGE], [listener])
    os.close(listener)
    os.execvpe(...)                                                   # the supervisor's first notification

What is not listed here is allowed: Landlock, the namespaces and the emptied capabilities say what it may reach. A call
with a number that is newer than this list does not exist for the agent, so that a later kernel opens no new way.

This module is imported by launchers: it must stay cheap to load. Sources: seccomp(2), seccomp_unotify(2),
linux/filter.h, linux/seccomp.h, linux/audit.h, the kernel's system call tables for x86-64 and arm64.
"""

from __future__ import annotations

import ctypes
import errno
import os
import socket
import struct
from collections.abc import Callable, Collection, Mapping
from enum import Enum, StrEnum

from ciguard.errors import IsolationUnavailable

LISTENER_MESSAGE = b"L"
"""The byte that travels with the listener's descriptor."""


class Machine(Enum):
    """The architectures that have a table here: the audit architecture, and the column in :data:`CALLS`."""

    X86_64 = (0xC000003E, 0)
    AARCH64 = (0xC00000B7, 1)


class Network(Enum):
    """What the filter leaves of the network."""

    OWN = "own"
    """The sandbox has a network of its own with nothing but loopback: unix, IPv4 and IPv6 sockets of every type."""

    SHARED = "shared"
    """The sandbox shares the machine's network: unix streams and TCP only, so that ``connect`` is the only way out."""


class Supervised(StrEnum):
    """What waits for a supervisor's answer."""

    COMMANDS = "commands"
    CONNECTIONS = "connections"


CALLS: Mapping[str, tuple[int | None, int | None]] = {
    # Other processes' memory, descriptors and identity.
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "process_madvise": (440, 440),
    "kcmp": (312, 272),
    "pidfd_getfd": (438, 438),
    # Namespaces, mounts and roots: a user namespace of the agent's own would open most of the kernel to it.
    "unshare": (272, 97),
    "setns": (308, 268),
    "mount": (165, 40),
    "umount2": (166, 39),
    "pivot_root": (155, 41),
    "chroot": (161, 51),
    "open_tree": (428, 428),
    "open_tree_attr": (467, 467),
    "move_mount": (429, 429),
    "fsopen": (430, 430),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "fspick": (433, 433),
    "mount_setattr": (442, 442),
    "name_to_handle_at": (303, 264),
    "open_by_handle_at": (304, 265),
    # The kernel itself, and what watches it.
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "userfaultfd": (323, 282),
    "fanotify_init": (300, 262),
    "init_module": (175, 105),
    "finit_module": (313, 273),
    "delete_module": (176, 106),
    "create_module": (174, None),
    "query_module": (178, None),
    "get_kernel_syms": (177, None),
    "kexec_load": (246, 104),
    "kexec_file_load": (320, 294),
    "syslog": (103, 116),
    "lookup_dcookie": (212, 18),
    "nfsservctl": (180, 42),
    "uselib": (134, None),
    "_sysctl": (156, None),
    "sysfs": (139, None),
    # Keys outlive the session and are shared over namespaces.
    "add_key": (248, 217),
    "request_key": (249, 218),
    "keyctl": (250, 219),
    # The machine.
    "reboot": (169, 142),
    "acct": (163, 89),
    "swapon": (167, 224),
    "swapoff": (168, 225),
    "quotactl": (179, 60),
    "quotactl_fd": (443, 443),
    "iopl": (172, None),
    "ioperm": (173, None),
    "vhangup": (153, 58),
    "sethostname": (170, 161),
    "setdomainname": (171, 162),
    "settimeofday": (164, 170),
    "clock_settime": (227, 112),
    "clock_adjtime": (305, 266),
    "adjtimex": (159, 171),
    # Told apart below.
    "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    "clone": (56, 220),
    "clone3": (435, 435),
    "ioctl": (16, 29),
    "socket": (41, 198),
    "socketpair": (53, 199),
    "listen": (50, 201),
    "sendto": (44, 206),
    "sendmsg": (46, 211),
    "sendmmsg": (307, 269),
    "connect": (42, 203),
    "execve": (59, 221),
    "execveat": (322, 281),
    "seccomp": (317, 277),
    "pidfd_open": (434, 434),
    "openat2": (437, 437),
}
"""Numbers by name: x86-64, arm64; None where the architecture has no such call."""

NEWEST = 469
"""The last number of Linux 6.18, on both architectures; everything above it, x32 included, does not exist."""

ABSENT = ("io_uring_setup", "io_uring_enter", "io_uring_register", "clone3")
"""Calls that seem not to exist: io_uring does most things without a call that a filter sees, and the flags of clone3
lie in memory. Programs fall back on others."""

_TOLD_APART = frozenset(
    {
        "clone",
        "ioctl",
        "socket",
        "socketpair",
        "listen",
        "sendto",
        "sendmsg",
        "sendmmsg",
        "connect",
        "execve",
        "execveat",
    }
)
_OURS = frozenset({"seccomp", "pidfd_open", "openat2"})

REFUSED = tuple(name for name in CALLS if name not in _TOLD_APART | _OURS | set(ABSENT))
"""Calls that fail with EPERM whatever their arguments are."""

_SUPERVISED: Mapping[Supervised, tuple[str, ...]] = {
    Supervised.COMMANDS: ("execve", "execveat"),
    Supervised.CONNECTIONS: ("connect",),
}

_NEW_NAMESPACES = 0x7E020000
"""CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID and NEWNET."""
_TIOCSTI, _TIOCLINUX = 0x5412, 0x541C
_MSG_FASTOPEN = 0x20000000
_SOCK_TYPE_MASK = 0xF

_ALLOW = 0x7FFF0000
_NOTIFY = 0x7FC00000
_ERRNO = 0x00050000
_KILL_PROCESS = 0x80000000

_LOAD, _JUMP_EQUAL, _JUMP_GREATER, _JUMP_ANY_BIT, _AND, _RETURN = 0x20, 0x15, 0x25, 0x45, 0x54, 0x06
_NUMBER, _ARCHITECTURE = 0, 4

_Instruction = tuple[int, int, int, int]
"""Code, jump when true, jump when false, operand."""


def machine() -> Machine:
    """The architecture of this machine; raises :class:`IsolationUnavailable` for one without a table."""
    name = os.uname().machine
    match name:
        case "x86_64" | "amd64":
            return Machine.X86_64
        case "aarch64" | "arm64":
            return Machine.AARCH64
        case _:
            raise IsolationUnavailable(
                f"ciguard has no system call filter for the architecture {name}",
                "run the job on an x86-64 or arm64 machine",
            )


def number(call: str, on: Machine) -> int:
    """The number of a system call that exists on every architecture here."""
    found = CALLS[call][on.value[1]]
    if found is None:
        raise KeyError(call)
    return found


def program(network: Network, supervised: Collection[Supervised] = (), on: Machine | None = None) -> bytes:
    """The filter as an array of ``struct sock_filter`` for the architecture ``on``, this machine's when None.

    The bytes are also what ``bwrap --seccomp FD`` reads, as long as nothing is ``supervised``: bwrap keeps no listener.
    """
    on = on or machine()
    column = on.value[1]
    watched = tuple(call for part in Supervised if part in supervised for call in _SUPERVISED[part])
    code: list[_Instruction] = [
        (_LOAD, 0, 0, _ARCHITECTURE),
        (_JUMP_EQUAL, 1, 0, on.value[0]),
        (_RETURN, 0, 0, _KILL_PROCESS),
        (_LOAD, 0, 0, _NUMBER),
        (_JUMP_GREATER, 0, 1, NEWEST),
        _fail(errno.ENOSYS),
    ]
    answers: dict[str, list[_Instruction]] = {
        **{call: [(_RETURN, 0, 0, _NOTIFY)] for call in watched},
        "clone": _if_any_bit(0, _NEW_NAMESPACES, errno.EPERM),
        "ioctl": _if_among(1, (_TIOCSTI, _TIOCLINUX), errno.EPERM),
        "socket": _socket(network),
        **(_ONLY_SHARED if network is Network.SHARED else {}),
        "sendto": _if_any_bit(3, _MSG_FASTOPEN, errno.EOPNOTSUPP),
        "sendmsg": _if_any_bit(2, _MSG_FASTOPEN, errno.EOPNOTSUPP),
        "sendmmsg": _if_any_bit(3, _MSG_FASTOPEN, errno.EOPNOTSUPP),
        **{call: [_fail(errno.ENOSYS)] for call in ABSENT},
        **{call: [_fail(errno.EPERM)] for call in REFUSED},
    }
    for call, block in answers.items():
        found = CALLS[call][column]
        if found is not None:
            code += [(_JUMP_EQUAL, 0, len(block), found), *block]
    code.append((_RETURN, 0, 0, _ALLOW))
    return b"".join(struct.pack("=HBBI", *instruction) for instruction in code)


def _fail(number_: int) -> _Instruction:
    return (_RETURN, 0, 0, _ERRNO | number_)


def _argument(index: int) -> _Instruction:
    """Load the low half of an argument: both architectures are little-endian, and what is tested here is an int."""
    return (_LOAD, 0, 0, 16 + 8 * index)


def _if_any_bit(index: int, bits: int, failure: int) -> list[_Instruction]:
    return [_argument(index), (_JUMP_ANY_BIT, 0, 1, bits), _fail(failure), (_RETURN, 0, 0, _ALLOW)]


def _if_among(index: int, values: tuple[int, ...], failure: int) -> list[_Instruction]:
    tests = [step for value in values for step in ((_JUMP_EQUAL, 0, 1, value), _fail(failure))]
    return [_argument(index), *tests, (_RETURN, 0, 0, _ALLOW)]


def _unless_among(index: int, values: tuple[int, ...], failure: int) -> list[_Instruction]:
    """Fail unless the argument is one of ``values``; the instructions that follow decide about those."""
    tests = [(_JUMP_EQUAL, len(values) - place, 0, value) for place, value in enumerate(values)]
    return [_argument(index), *tests, _fail(failure)]


def _socket(network: Network) -> list[_Instruction]:
    """Families first; on a shared network streams only, and TCP: Landlock has no rules for MPTCP or SCTP."""
    families = _unless_among(0, (socket.AF_UNIX, socket.AF_INET, socket.AF_INET6), errno.EAFNOSUPPORT)
    if network is Network.OWN:
        return [*families, (_RETURN, 0, 0, _ALLOW)]
    return [
        *families,
        _argument(1),
        (_AND, 0, 0, _SOCK_TYPE_MASK),
        (_JUMP_EQUAL, 1, 0, socket.SOCK_STREAM),
        _fail(errno.EPROTONOSUPPORT),
        *_unless_among(2, (0, socket.IPPROTO_TCP), errno.EPROTONOSUPPORT),
        (_RETURN, 0, 0, _ALLOW),
    ]


_ONLY_SHARED: Mapping[str, list[_Instruction]] = {
    # Landlock has no rule for listening without a port of one's choosing, and somebody outside could connect.
    "listen": [_fail(errno.EACCES)],
    # A pair of datagram sockets can still send to any unix socket of the machine.
    "socketpair": [
        _argument(1),
        (_AND, 0, 0, _SOCK_TYPE_MASK),
        (_JUMP_EQUAL, 2, 0, socket.SOCK_STREAM),
        (_JUMP_EQUAL, 1, 0, socket.SOCK_SEQPACKET),
        _fail(errno.EPROTONOSUPPORT),
        (_RETURN, 0, 0, _ALLOW),
    ],
}


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_void_p))


_SET_MODE_FILTER = 1
_NEW_LISTENER, _WAIT_KILLABLE = 8, 32
_PR_SET_NO_NEW_PRIVS = 38


def load(filter_: bytes, *, supervised: bool) -> int:
    """Set no_new_privs and put ``filter_`` on this thread for good; all that it starts inherits both.

    Returns the listener that its supervised calls go to, with close-on-exec set, or -1 when none is ``supervised``.
    Raises ``OSError``: EBUSY when a filter with a listener is there already.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        raise _error()
    buffer = ctypes.create_string_buffer(filter_, len(filter_))
    head = _Program(len(filter_) // 8, ctypes.cast(buffer, ctypes.c_void_p))
    call = number("seccomp", machine())
    if not supervised:
        if libc.syscall(call, _SET_MODE_FILTER, 0, ctypes.byref(head)) != 0:
            raise _error()
        return -1
    return _with_listener(lambda flags: int(libc.syscall(call, _SET_MODE_FILTER, flags, ctypes.byref(head))))


def _with_listener(install: Callable[[int], int]) -> int:
    """Kernels before 5.19 cannot keep a waiting call from being restarted by signals; it then only asks again."""
    listener = install(_NEW_LISTENER | _WAIT_KILLABLE)
    if listener < 0 and ctypes.get_errno() == errno.EINVAL:
        listener = install(_NEW_LISTENER)
    if listener < 0:
        raise _error()
    return listener


def _error() -> OSError:
    number_ = ctypes.get_errno()
    return OSError(number_, os.strerror(number_))

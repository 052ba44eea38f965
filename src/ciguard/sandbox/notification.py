"""The kernel's side of supervision: notifications of seccomp, and ptrace. Bare standard library.

Sources: seccomp_unotify(2), ptrace(2), linux/seccomp.h, linux/ptrace.h.
"""

from __future__ import annotations

import ctypes
import errno
import os
import select
import struct
from typing import NamedTuple

_RECEIVE, _SEND, _IS_VALID, _ADD_DESCRIPTOR = 0xC0502100, 0xC0182101, 0x40082102, 0x40182103
_IN_PLACE = 1
_CONTINUE = 1
_NOTIFICATION = struct.Struct("=QIIiIQ6Q")
_RESPONSE = struct.Struct("=QqiI")
_ADDITION = struct.Struct("=QIIII")

_DETACH, _GETEVENTMSG, _SEIZE, _INTERRUPT = 17, 0x4201, 0x4206, 0x4207
_TRACE_EXEC, _EXIT_KILL = 0x10, 0x100000
EVENT_EXEC = 4
"""The event of a stop after a successful execve, before the new program's first instruction: ``status >> 16``."""

_libc = ctypes.CDLL(None, use_errno=True)
_ioctl = _libc.ioctl
_ioctl.argtypes = (ctypes.c_int, ctypes.c_ulong, ctypes.c_void_p)
_ptrace = _libc.ptrace
_ptrace.argtypes = (ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p)
_ptrace.restype = ctypes.c_long


class Notification(NamedTuple):
    """A system call that waits for an answer: the thread that made it, the call's number and its six arguments."""

    id: int
    thread: int
    call: int
    arguments: tuple[int, ...]


class Listener:
    """The notifications of one filter."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._buffer = ctypes.create_string_buffer(_NOTIFICATION.size)
        self._address = ctypes.addressof(self._buffer)
        self._answer = ctypes.create_string_buffer(_RESPONSE.size)
        self._answer_address = ctypes.addressof(self._answer)
        self._id = ctypes.c_uint64()
        self._poll = select.poll()
        self._poll.register(descriptor, select.POLLIN)

    def fileno(self) -> int:
        """The descriptor, to wait on."""
        return self._descriptor

    def receive(self) -> Notification | None:
        """The next notification; None when there is none any more. Does not wait."""
        if not any(event & select.POLLIN for _, event in self._poll.poll(0)):
            return None
        # The kernel refuses a buffer with anything in it.
        ctypes.memset(self._address, 0, _NOTIFICATION.size)
        if _ioctl(self._descriptor, _RECEIVE, self._address) != 0:
            if ctypes.get_errno() in (errno.ENOENT, errno.EINTR):
                return None
            raise _error()
        id_, thread, _, call, _, _, *arguments = _NOTIFICATION.unpack(self._buffer)
        return Notification(id_, thread, call, tuple(arguments))

    def is_waiting(self, id_: int) -> bool:
        """Whether the call still waits: its thread lives, and what was read under its number was the thread's."""
        self._id.value = id_
        return bool(_ioctl(self._descriptor, _IS_VALID, ctypes.addressof(self._id)) == 0)

    def fail(self, id_: int, number: int) -> None:
        """Let the call fail with the error ``number``; 0 lets it return 0."""
        self._respond(id_, -number, 0)

    def proceed(self, id_: int) -> None:
        """Let the kernel carry the call out, with what its arguments point at by then."""
        self._respond(id_, 0, _CONTINUE)

    def give(self, id_: int, source: int, place: int, *, close_on_exec: bool) -> None:
        """Put this process's ``source`` at the caller's ``place``, over what is there. Raises ``OSError``."""
        flags = os.O_CLOEXEC if close_on_exec else 0
        addition = ctypes.create_string_buffer(_ADDITION.pack(id_, _IN_PLACE, source, place, flags), _ADDITION.size)
        if _ioctl(self._descriptor, _ADD_DESCRIPTOR, ctypes.addressof(addition)) < 0:
            raise _error()

    def _respond(self, id_: int, error: int, flags: int) -> None:
        _RESPONSE.pack_into(self._answer, 0, id_, 0, error, flags)
        if _ioctl(self._descriptor, _SEND, self._answer_address) != 0 and ctypes.get_errno() != errno.ENOENT:
            raise _error()

    def close(self) -> None:
        """From now on supervised calls fail with ENOSYS."""
        os.close(self._descriptor)


def seize(thread: int) -> None:
    """Trace ``thread`` without stopping it: it stops after its next execve, and dies when this process does.

    Raises ``OSError``: EPERM when another process traces it or this one may not.
    """
    _trace(_SEIZE, thread, _TRACE_EXEC | _EXIT_KILL)


def detach(thread: int, signal: int) -> None:
    """Let a stopped thread go on untraced, with ``signal`` delivered to it unless 0. Raises ``OSError``."""
    _trace(_DETACH, thread, signal)


def interrupt(thread: int) -> None:
    """Make a traced thread stop as soon as it is out of the kernel. Raises ``OSError``."""
    _trace(_INTERRUPT, thread, 0)


def former_thread(thread: int) -> int:
    """The number that a thread in the stop of an execve had before it; other threads of its process are gone."""
    former = ctypes.c_ulong()
    _trace(_GETEVENTMSG, thread, ctypes.addressof(former))
    return former.value


def _trace(request: int, thread: int, data: int) -> None:
    if _ptrace(request, thread, None, data) != 0:
        raise _error()


def _error() -> OSError:
    number = ctypes.get_errno()
    return OSError(number, os.strerror(number))

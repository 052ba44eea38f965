"""How the launcher supervises the agent's system calls, and finds out whether it may. Bare standard library."""

from __future__ import annotations

import ctypes
import errno
import os
import socket
from collections.abc import Callable, Collection, Sequence
from typing import TYPE_CHECKING

from ciguard.sandbox import notification as kernel
from ciguard.sandbox.confinement import Confinement
from ciguard.sandbox.confining import PR_SET_PDEATHSIG, confine, prctl
from ciguard.sandbox.connecting import GUARD, serve
from ciguard.sandbox.memory import Memory
from ciguard.sandbox.notification import Listener, Notification
from ciguard.sandbox.seccomp import LISTENER_MESSAGE, Supervised

if TYPE_CHECKING:
    from ciguard.sandbox.command import Command
    from ciguard.sandbox.supervisor import Supervisor

_PR_GET_PDEATHSIG = 2
_NOWHERE = "/ciguard-is-trying-whether-it-sees-this"
_libc = ctypes.CDLL(None, use_errno=True)


def hand_over(channel: socket.socket, listener: int) -> None:
    """In the process that becomes the agent: give the listener to the launcher, and keep nothing of it."""
    socket.send_fds(channel, [LISTENER_MESSAGE], [listener])
    os.close(listener)
    channel.close()


def supervisor(
    channel: socket.socket,
    agent: int,
    argv: Sequence[str],
    ports: Collection[int],
    ask: Callable[[int, Command], None],
) -> tuple[Listener, Supervisor] | tuple[None, None]:
    """Take the listener that the process ``agent`` hands over; nothing when it failed before.

    ``ports`` are the guard's.
    """
    from ciguard.sandbox.supervisor import Supervisor
    from ciguard.sandbox.tracing import AgentProcesses

    listener = _taken(channel)
    if listener is None:
        return None, None
    arguments = tuple(os.fsencode(argument) for argument in argv[1:])
    return listener, Supervisor(AgentProcesses(listener, ports), ask, agent, arguments)


def _taken(channel: socket.socket) -> Listener | None:
    _, descriptors, _, _ = socket.recv_fds(channel, 1, 1)
    return Listener(descriptors[0]) if descriptors else None


def act_as(uid: int | None, gid: int | None) -> None:
    """Look at files as the agent would: what it may not read, the launcher does not read for it.

    The change makes the kernel forget which signal follows a parent's death, so that is said again.
    """
    if uid is None or gid is None:
        return
    number = ctypes.c_int()
    _libc.prctl(_PR_GET_PDEATHSIG, ctypes.byref(number), 0, 0, 0)
    _libc.setfsgid(gid)
    _libc.setfsuid(uid)
    prctl(PR_SET_PDEATHSIG, number.value)


def trial(wanted: Confinement) -> str:
    """Take the confinement in a process that ends then, and supervise its one connection and its one command.

    Returns why that cannot be had, or nothing.
    """
    reading, writing = os.pipe()
    ours, theirs = socket.socketpair()
    if not (process := os.fork()):
        _try(wanted, theirs, writing)
    os.close(writing)
    theirs.close()
    watched = ""
    if wanted.supervised and (listener := _taken(ours)) is not None:
        try:
            watched = _watch(listener, wanted)
        except OSError as error:
            watched = error.strerror or str(error)
        finally:
            listener.close()
    ours.close()
    with open(reading, encoding="utf-8", errors="replace") as pipe:  # noqa: PTH123 - a descriptor
        complaint = pipe.read()
    while os.WIFSTOPPED(status := os.waitpid(process, 0)[1]):
        kernel.detach(process, os.WSTOPSIG(status))
    if watched:
        return f"the agent cannot be supervised: {watched}"
    return complaint or (f"a process under it ended with status {status}" if status else "")


def _try(wanted: Confinement, channel: socket.socket, complaints: int) -> None:
    try:
        listener = confine(wanted)
        if listener >= 0:
            hand_over(channel, listener)
            if Supervised.CONNECTIONS in wanted.supervised:
                _reach(wanted.ports[0])
            if Supervised.COMMANDS in wanted.supervised:
                os.execv(_NOWHERE, (_NOWHERE,))  # noqa: S606 - never carried out
    except FileNotFoundError:
        pass
    except Exception as error:  # noqa: BLE001 - told to the guard, in words
        os.write(complaints, f"{type(error).__name__}: {error}".encode()[:1000])
    finally:
        os._exit(0)


def _reach(port: int) -> None:
    """Connect to the guard, who may not listen yet. Raises OSError."""
    with socket.socket() as trying:
        if (failure := trying.connect_ex((GUARD, port))) not in (0, errno.ECONNREFUSED):
            raise OSError(failure, os.strerror(failure))


def _watch(listener: Listener, wanted: Confinement) -> str:
    """Serve what the trial does with everything that supervision needs. Raises OSError."""
    if Supervised.CONNECTIONS in wanted.supervised:
        notification = _next(listener)
        if notification is None:
            return "its connection did not arrive"
        serve(notification, listener, wanted.ports)
    if Supervised.COMMANDS not in wanted.supervised:
        return ""
    notification = _next(listener)
    if notification is None:
        return "its command did not arrive"
    if Memory(notification.thread, len(_NOWHERE) + 1).string(notification.arguments[0]) != os.fsencode(_NOWHERE):
        return "its memory holds something else than it said"
    kernel.seize(notification.thread)
    listener.fail(notification.id, errno.ENOENT)
    return ""


def _next(listener: Listener) -> Notification | None:
    import select

    select.select([listener], [], [], 5)
    return listener.receive()

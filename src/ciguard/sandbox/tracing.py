"""The agent's processes as the kernel shows them to a supervisor (``supervisor.Processes``). Bare standard library."""

from __future__ import annotations

import os
import select
import signal
import socket
import stat
from collections.abc import Collection

from ciguard.sandbox import notification as kernel
from ciguard.sandbox.connecting import serve
from ciguard.sandbox.execution import Execution, Outcome, executed, execution, outcome
from ciguard.sandbox.notification import Listener, Notification
from ciguard.sandbox.program import Programs
from ciguard.sandbox.seccomp import machine, number

LONGEST_LINE = 1024
"""Bytes of a line for a standard error: less than what a pipe that can be written to takes at once."""

_OF_THE_KERNEL = ("/proc", "/sys", "/sys/fs/cgroup")


class AgentProcesses:
    """Everything below this process that the filter with ``listener`` is on."""

    def __init__(self, listener: Listener, ports: Collection[int]) -> None:
        """``ports`` are the guard's, where connections are supervised, too."""
        self._ports = ports
        self._connect = number("connect", machine())
        self._listener = listener
        self._execveat = number("execveat", machine())
        self._programs = Programs()

    def receive(self) -> Notification | None:
        """The next command that waits, if there is one. A connection is answered on the spot."""
        notification = self._listener.receive()
        if notification is not None and notification.call == self._connect:
            serve(notification, self._listener, self._ports)
            return None
        return notification

    def read(self, notification: Notification) -> Execution | None:
        """What the call would execute; None when it no longer waits, so that what was read may be another thread's."""
        try:
            found = execution(notification, self._execveat, self._programs)
        except OSError:
            if self._listener.is_waiting(notification.id):
                raise
            return None
        return found if self._listener.is_waiting(notification.id) else None

    def fail(self, notification: Notification, number_: int) -> None:
        """Let the call fail."""
        self._listener.fail(notification.id, number_)

    def proceed(self, notification: Notification) -> None:
        """Let the kernel carry the call out."""
        self._listener.proceed(notification.id)

    def trace(self, thread: int) -> None:
        """Make ``thread`` stop after its next execve. Raises ``OSError``."""
        kernel.seize(thread)

    def let_go(self, thread: int, number_: int) -> None:
        """Let a stopped thread go on untraced. One that was killed meanwhile is gone."""
        try:
            kernel.detach(thread, number_)
        except ProcessLookupError:
            return

    def hurry(self, thread: int) -> None:
        """Make a traced thread stop soon. One that was killed meanwhile is gone."""
        try:
            kernel.interrupt(thread)
        except OSError:
            return

    def kill(self, process: int) -> None:
        """Kill a process, which is traced and so cannot have left its number to another."""
        os.kill(process, signal.SIGKILL)

    def share_process(self, thread: int, other: int) -> bool:
        """Whether both are threads of one process."""
        return os.path.exists(b"/proc/%d/task/%d" % (thread, other))

    def former_thread(self, process: int) -> int:
        """Which thread of ``process`` made the execve after which it is stopped."""
        try:
            return kernel.former_thread(process)
        except ProcessLookupError:
            return process

    def outcome(self, process: int) -> Outcome | None:
        """What a process in the stop of an execve came to."""
        try:
            return outcome(process)
        except OSError:
            return None

    def executed(self, process: int) -> Execution | None:
        """The command that a process in the stop of an execve runs."""
        try:
            return executed(process)
        except OSError:
            return None

    def tell(self, thread: int, text: str) -> None:
        """Write a line to the standard error of ``thread``; nothing where that could block or reach more than it may.

        The descriptor is the thread's own, so the line goes where its own lines go.
        """
        line = text.encode("utf-8", "backslashreplace").replace(b"\n", b" ")[:LONGEST_LINE] + b"\n"
        try:
            descriptor = _borrowed(thread, 2)
        except OSError:
            return
        try:
            _write(descriptor, line)
        except OSError:
            return
        finally:
            os.close(descriptor)


def _borrowed(thread: int, descriptor: int) -> int:
    """The same open file as a descriptor of another thread. Raises ``OSError``. See pidfd_getfd(2)."""
    import ctypes

    on = machine()
    libc = ctypes.CDLL(None, use_errno=True)
    # pidfd_open knows processes only, whose threads share their descriptors as a rule.
    with open(f"/proc/{thread}/status", encoding="ascii", errors="replace") as file:
        process = next(int(line.split()[1]) for line in file if line.startswith("Tgid:"))
    pidfd = os.pidfd_open(process)
    try:
        borrowed: int = libc.syscall(number("pidfd_getfd", on), pidfd, descriptor, 0)
    finally:
        os.close(pidfd)
    if borrowed < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return borrowed


def _write(descriptor: int, line: bytes) -> None:
    status = os.fstat(descriptor)
    match stat.S_IFMT(status.st_mode):
        case stat.S_IFSOCK:
            with socket.socket(fileno=os.dup(descriptor)) as connected:
                connected.send(line, socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)
            return
        case stat.S_IFREG if any(
            os.stat(place).st_dev == status.st_dev for place in filter(os.path.exists, _OF_THE_KERNEL)
        ):
            # A file of the kernel's acts on what is written by whoever writes it.
            return
        case stat.S_IFREG | stat.S_IFIFO:
            pass
        case _ if not os.isatty(descriptor):
            return
    poll = select.poll()
    poll.register(descriptor, select.POLLOUT)
    if any(event & select.POLLOUT for _, event in poll.poll(0)):
        os.write(descriptor, line)

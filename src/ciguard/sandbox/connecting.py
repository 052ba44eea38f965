"""The agent's connections where it shares the machine's network: to the guard, and nowhere else. Bare standard library.

Landlock knows ports and not addresses, and nothing of unix sockets. So each ``connect`` waits for this process, which
reads the address once, decides, connects a socket of its own, and puts that in the place of the agent's. What the agent
does to its memory or its descriptors meanwhile changes nothing.

Sources: connect(2), seccomp_unotify(2), proc_pid_fdinfo(5).
"""

from __future__ import annotations

import errno
import os
import socket
import struct
from collections.abc import Collection

from ciguard.sandbox.memory import Memory
from ciguard.sandbox.notification import Listener, Notification

GUARD = "127.0.0.1"
LONGEST_ADDRESS = 128
"""Bytes of ``struct sockaddr_storage``."""

PATIENCE = 5.0
"""Seconds that the guard may take to let a connection into its queue."""

_IPV4 = struct.Struct("=H2s4s")


def allowed_port(address: bytes, ports: Collection[int]) -> int | None:
    """Which of the guard's ``ports`` a ``struct sockaddr`` names, as the agent gave it; None for anything else."""
    if len(address) < _IPV4.size:
        return None
    family, port, host = _IPV4.unpack_from(address)
    number = int.from_bytes(port, "big")
    if family != socket.AF_INET or socket.inet_ntoa(host) != GUARD or number not in ports:
        return None
    return number


def serve(notification: Notification, listener: Listener, ports: Collection[int]) -> None:
    """Answer a ``connect`` that waits."""
    try:
        _connect(notification, listener, ports)
    except OSError as error:
        listener.fail(notification.id, error.errno or errno.EACCES)
    else:
        listener.fail(notification.id, 0)


def _connect(notification: Notification, listener: Listener, ports: Collection[int]) -> None:
    descriptor, pointer, length = notification.arguments[:3]
    descriptor &= 0xFFFFFFFF
    if length > LONGEST_ADDRESS:
        raise OSError(errno.EINVAL, "the address is too long")
    port = allowed_port(Memory(notification.thread, LONGEST_ADDRESS).bytes_at(pointer, length), ports)
    if port is None:
        raise OSError(errno.EACCES, "only the guard can be connected to")
    flags = _flags(notification.thread, descriptor)
    with socket.create_connection((GUARD, port), timeout=PATIENCE) as connected:
        os.set_blocking(connected.fileno(), not flags & os.O_NONBLOCK)
        listener.give(notification.id, connected.fileno(), descriptor, close_on_exec=bool(flags & os.O_CLOEXEC))


def _flags(thread: int, descriptor: int) -> int:
    """How the agent opened its socket. Raises OSError when it has no such descriptor."""
    try:
        with open(f"/proc/{thread}/fdinfo/{descriptor}", encoding="ascii") as file:  # noqa: PTH123 - as elsewhere here
            return next(int(line.split()[1], 8) for line in file if line.startswith("flags:"))
    except FileNotFoundError:
        raise OSError(errno.EBADF, "there is no such descriptor") from None

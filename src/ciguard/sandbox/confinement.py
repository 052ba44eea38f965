"""What the guard tells the launcher: how to confine the agent, and what to run. Bare standard library."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple


class Watched(NamedTuple):
    """Bounds that the launcher looks at several times a second; None is no bound."""

    processes: int | None = None
    memory: int | None = None


class Confinement(NamedTuple):
    """How the launcher confines the agent at one level. Everything here holds for the agent and all that it starts.

    ``uid`` and ``gid``: who the agent is, when the launcher may and must change it. ``listeners``: how many sockets to
    open on the loopback of the sandbox's own network and hand to the guard. ``landlock``: readable paths, writable
    paths, TCP ports that may be connected to; None where Landlock is not used. ``network``: the
    :class:`~ciguard.sandbox.seccomp.Network` of the system call filter, empty for no filter; ``supervised``: what the
    guard decides call by call. ``limits``: resource limits by their names in Python's ``resource``, in bytes or
    counts. ``unconfined``: the agent keeps all that the job has, but for ``limits``.
    """

    uid: int | None = None
    gid: int | None = None
    listeners: int = 0
    landlock: tuple[tuple[str, ...], tuple[str, ...], tuple[int, ...]] | None = None
    network: str = ""
    supervised: tuple[str, ...] = ()
    unconfined: bool = False
    limits: Mapping[str, int] = MappingProxyType({})
    watched: Watched = Watched()

    @property
    def ports(self) -> tuple[int, ...]:
        """The guard's ports, where the network is the machine's."""
        return self.landlock[2] if self.landlock else ()

    def message(self) -> dict[str, Any]:
        """As JSON."""
        return self._asdict() | {"limits": dict(self.limits), "watched": self.watched._asdict()}


def confinement(message: Mapping[str, Any]) -> Confinement:
    """The inverse of :meth:`Confinement.message`."""
    landlock = message["landlock"]
    return Confinement(
        **{
            **message,
            "landlock": tuple(map(tuple, landlock)) if landlock else None,
            "supervised": tuple(message["supervised"]),
            "watched": Watched(**message["watched"]),
        }
    )

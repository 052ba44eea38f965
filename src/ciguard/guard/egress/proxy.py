"""The proxy's server: it takes connections of the agent while it is entered, and leaves none open."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Set as AbstractSet
from functools import cached_property
from typing import TYPE_CHECKING, Self

from ciguard.errors import RecordingFailed
from ciguard.guard.egress.stream import SocketStream, Stream
from ciguard.guard.exchange import Guarding
from ciguard.guard.failure import unexpected
from ciguard.guard.refused_calls import RefusedCalls
from ciguard.policy.sections.egress import Egress

if TYPE_CHECKING:
    from ciguard.guard.egress.admission import Resolve
    from ciguard.guard.egress.connection import Proxying
    from ciguard.guard.egress.session_ca import SessionCA

USER = "ciguard"
"""The user name of the proxy's credentials; the password is the session's token."""

MOST_CONNECTIONS = 256
"""Connections of the agent at a time."""

LINGERING = 1.0
"""Seconds in which what a refused agent still sends is read, so that it gets to the answer."""


class EgressProxy:
    """Serves on ``listening``, a bound TCP socket, while it is entered: ``async with EgressProxy(...)``.

    ``guard_ports`` are the guard's other ports on this machine, which nothing is let through to. ``ca`` is there
    when the policy has hosts to inspect.
    """

    def __init__(
        self,
        guarding: Guarding,
        egress: Egress,
        token: str,
        listening: socket.socket,
        *,
        guard_ports: AbstractSet[int],
        ca: SessionCA | None = None,
        resolve: Resolve | None = None,
    ) -> None:
        """``resolve`` looks names up; without it the system does."""
        self._on_failure = guarding.on_failure
        self._listening = listening
        self.port: int = listening.getsockname()[1]
        self._guarding = guarding
        self._egress = egress
        self._token = token
        self._guard_ports = frozenset({*guard_ports, self.port})
        self._ca = ca
        self._resolve = resolve
        self._refused = RefusedCalls(guarding.recorder, guarding.masker)
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._connected, sock=self._listening)
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._server is not None:
            self._server.close()
            connections = list(self._connections)
            for task in connections:
                task.cancel()
            await asyncio.gather(*connections, return_exceptions=True)
            await self._server.wait_closed()

    @cached_property
    def _proxying(self) -> Proxying:
        """Made for the first connection: many agents make none."""
        from ciguard.guard.egress.admission import Admission, resolved
        from ciguard.guard.egress.attempts import Attempts
        from ciguard.guard.egress.connection import Proxying

        attempts = Attempts(self._guarding.judge, self._guarding.recorder)
        resolve = self._resolve or resolved
        return Proxying(
            self._guarding,
            attempts,
            Admission(self._egress, attempts, self._guarding.masker, self._guard_ports, resolve),
            self._refused,
            f"{USER}:{self._token}".encode(),
            self._ca,
        )

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.get_running_loop().create_task(self._serve(SocketStream(reader, writer)))
        self._connections.add(task)
        task.add_done_callback(self._connections.discard)

    async def _serve(self, stream: SocketStream) -> None:
        """One connection of the agent; nothing that goes wrong here lets anything pass."""
        try:
            if len(self._connections) > MOST_CONNECTIONS:
                self._refused.record(503, f"there are more than {MOST_CONNECTIONS} connections to the proxy")
                return
            from ciguard.guard.egress.connection import AgentConnection

            await AgentConnection(self._proxying, stream).run()
            await _linger(stream)
        except RecordingFailed as failure:
            self._on_failure(failure)
        except (OSError, TimeoutError):
            # The agent is gone, or so slow that it might as well be.
            return
        except Exception as error:  # noqa: BLE001 - the last resort: whatever goes wrong here, nothing passes
            self._on_failure(unexpected(error))
        finally:
            stream.close()


async def _linger(stream: Stream) -> None:
    """Say that nothing more comes, and read what still does, for a moment."""
    await stream.end()
    try:
        async with asyncio.timeout(LINGERING):
            while await stream.read():
                pass
    except TimeoutError:
        return

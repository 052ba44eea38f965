"""Letting the agent through to a host: the policy first, then the addresses that the name leads to."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeAlias

from ciguard.guard.egress.address import refused_address
from ciguard.guard.egress.attempts import Attempts, blocked
from ciguard.guard.egress.stream import SocketStream
from ciguard.guard.egress.target import Target
from ciguard.inspect.masking import Masker
from ciguard.operation import Json, Operation, OperationKind
from ciguard.policy.egress import entries_for
from ciguard.policy.sections.egress import Egress

LOOKUP_TIMEOUT = 15.0
"""Seconds that a name may take to resolve."""

DIAL_TIMEOUT = 15.0
"""Seconds that one address may take to accept a connection."""

Resolve: TypeAlias = "Callable[[str, int], Awaitable[list[str]]]"
"""The addresses of a host at a port, in the order in which to try them; none when it has none."""


async def resolved(host: str, port: int) -> list[str]:
    """The addresses that the system's resolver gives."""
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError:
        return []
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


class UnreachableError(Exception):
    """An allowed host cannot be reached; ``status`` is what to answer with, the text a sentence."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True, slots=True)
class Admitted:
    """A target that the agent was let through to, with the addresses that were checked, and its event's ``seq``."""

    target: Target
    addresses: tuple[str, ...]
    inspect: bool
    seq: int

    def connect(self, **more: Json) -> Operation:
        """The operation of connecting there."""
        return _connect(self.target, {"address": self.addresses[0], "inspect": self.inspect, **more})


class Admission:
    """Decides on targets, and dials those that are let through."""

    def __init__(
        self, egress: Egress, attempts: Attempts, masker: Masker, own_ports: frozenset[int], resolve: Resolve
    ) -> None:
        self._egress = egress
        self._attempts = attempts
        self._masker = masker
        self._own_ports = own_ports
        self._resolve = resolve
        self._trust: ssl.SSLContext | None = None

    async def admit(self, target: Target) -> Admitted:
        """Let the agent through to ``target``.

        The name is looked up once, here: connections go to the addresses that were checked. Raises
        :class:`AttemptRefusedError`, or :class:`UnreachableError` when the name leads nowhere.
        """
        if self._masker.mask(target.host).kinds:
            masked = Target(self._masker.mask(target.host).text, target.port)
            self._attempts.refuse(_connect(masked, {}), "There is a secret in the host's name.")
        judgement = await self._attempts.judge(_connect(target, {}))
        if judgement.refusal:
            self._attempts.record(_connect(target, {}), judgement)
        entries = entries_for(self._egress, target.host, target.port)
        addresses = await self._addresses(target)
        private = any(entry.private for entry in entries)
        problem = refused_address(addresses, self._own_ports, target.port, private=private) if addresses else ""
        admitted = Admitted(target, tuple(addresses) or ("",), any(entry.inspect for entry in entries), -1)
        seq = self._attempts.record(admitted.connect(), blocked(problem, judgement) if problem else judgement)
        if not addresses:
            raise self._unreachable(seq, 502, f"The name {target.host} does not resolve.")
        return Admitted(target, admitted.addresses, admitted.inspect, seq)

    async def dial(self, admitted: Admitted, *, scheme: str) -> SocketStream:
        """A connection to an admitted target, within TLS for ``https``. Raises :class:`UnreachableError`."""
        context = self._tls() if scheme == "https" else None
        name = admitted.target.host if context else None
        problem = "does not accept a connection"
        for address in admitted.addresses:
            try:
                async with asyncio.timeout(DIAL_TIMEOUT):
                    streams = await asyncio.open_connection(
                        address, admitted.target.port, ssl=context, server_hostname=name
                    )
            except ssl.SSLCertVerificationError as error:
                problem = f"has a certificate that is not valid here: {error.verify_message}"
            except ssl.SSLError:
                problem = "does not speak TLS as it should"
            except TimeoutError:
                problem = "does not answer in time"
            except OSError:
                continue
            else:
                return SocketStream(*streams)
        raise self._unreachable(admitted.seq, 502, f"The host {admitted.target.host} {problem}.")

    def _unreachable(self, seq: int, status: int, message: str) -> UnreachableError:
        self._attempts.transferred(seq, problem=message)
        return UnreachableError(status, message)

    async def _addresses(self, target: Target) -> list[str]:
        try:
            async with asyncio.timeout(LOOKUP_TIMEOUT):
                return await self._resolve(target.host, target.port)
        except TimeoutError:
            return []

    def _tls(self) -> ssl.SSLContext:
        """What is trusted upstream: the system's roots, or those that ``SSL_CERT_FILE`` names for the guard."""
        if self._trust is None:
            self._trust = ssl.create_default_context()
            self._trust.set_alpn_protocols(["http/1.1"])
        return self._trust


def _connect(target: Target, more: dict[str, Json]) -> Operation:
    return Operation(OperationKind.CONNECT, {"host": target.host, "port": target.port, **more})

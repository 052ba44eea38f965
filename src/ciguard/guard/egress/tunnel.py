"""Tunnels: bytes between the agent and a host that the guard does not look into."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from ciguard.guard.egress.client_hello import ClientHello, ClientHelloReader, NotTlsError
from ciguard.guard.egress.stream import Stream
from ciguard.guard.egress.target import Target
from ciguard.policy.hosts import HostError, is_address, normal_host

FIRST_BYTES_TIMEOUT = 30.0
"""Seconds in which the agent must have said what it will speak."""

SILENCE = 900.0
"""Seconds that both sides may be silent."""

UNRECOGNIZED_NAME = bytes.fromhex("15 0301 0002 02 70")
"""A fatal TLS alert (RFC 8446, section 6; RFC 6066, section 3) that says what is wrong to a client that is refused."""


@dataclass(slots=True)
class Passed:
    """How many bytes went each way so far, and ``problem`` while it has not ended by itself."""

    sent: int = 0
    received: int = 0
    problem: str = "the tunnel was cut off"


async def read_hello(stream: Stream, begun: bytes) -> tuple[ClientHello, bytes]:
    """The ClientHello that ``begun`` begins, and all bytes read so far.

    Raises :class:`NotTlsError`, also when they stop coming.
    """
    reader = ClientHelloReader()
    data = begun
    try:
        async with asyncio.timeout(FIRST_BYTES_TIMEOUT):
            while (hello := reader.feed(data)) is None:
                if not (data := await stream.read()):
                    raise NotTlsError("the ClientHello breaks off")
                begun += data
    except TimeoutError:
        raise NotTlsError("the ClientHello did not come in time") from None
    return hello, begun


def name_problem(hello: ClientHello, target: Target) -> str:
    """Why the server that a client asks for is not the one it was let through to; empty when it is."""
    if hello.server_name is None:
        return "" if is_address(target.host) else "The TLS connection does not name the server that it is for (SNI)."
    try:
        name = normal_host(hello.server_name)
    except HostError:
        name = ""
    return "" if name == target.host else "The TLS connection names another server (SNI) than CONNECT."


async def relay(agent: Stream, upstream: Stream, begun: bytes, passed: Passed) -> None:
    """Pass bytes on in both directions, ``begun`` first, until both sides have ended theirs; ``passed`` is told."""
    try:
        async with asyncio.timeout(SILENCE) as silence, asyncio.TaskGroup() as directions:

            def heard() -> None:
                silence.reschedule(asyncio.get_running_loop().time() + SILENCE)

            async def there() -> None:
                data = begun
                while data:
                    await upstream.write(data)
                    passed.sent += len(data)
                    heard()
                    data = await agent.read()
                await upstream.end()

            async def back() -> None:
                while data := await upstream.read():
                    await agent.write(data)
                    passed.received += len(data)
                    heard()
                await agent.end()

            directions.create_task(there())
            directions.create_task(back())
        passed.problem = ""
    except* OSError:
        passed.problem = "the connection broke off"
    except* TimeoutError:
        passed.problem = "both sides were silent too long"

"""Which connections are the guard's."""

from __future__ import annotations

import socket
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ciguard.sandbox.connecting import allowed_port

PORTS = (4711, 8080)


def ipv4(host: str, port: int, rest: bytes = bytes(8)) -> bytes:
    """A ``struct sockaddr_in``."""
    return struct.pack("=H", socket.AF_INET) + struct.pack("!H", port) + socket.inet_aton(host) + rest


def ipv6(host: str, port: int) -> bytes:
    """A ``struct sockaddr_in6``."""
    packed = socket.inet_pton(socket.AF_INET6, host)
    return struct.pack("=H", socket.AF_INET6) + struct.pack("!HI", port, 0) + packed + bytes(4)


@pytest.mark.parametrize("port", PORTS)
@pytest.mark.parametrize("rest", [b"", bytes(8), b"anything"])
def test_the_guard_can_be_reached(port: int, rest: bytes) -> None:
    assert allowed_port(ipv4("127.0.0.1", port, rest), PORTS) == port


@pytest.mark.parametrize(
    "address",
    [
        b"",
        b"\x02",
        ipv4("127.0.0.1", 4711)[:7],
        ipv4("127.0.0.1", 4712),
        ipv4("127.0.0.2", 4711),
        ipv4("0.0.0.0", 4711),  # noqa: S104
        ipv4("203.0.113.9", 4711),
        ipv6("::1", 4711),
        ipv6("::ffff:127.0.0.1", 4711),
        struct.pack("=H", socket.AF_UNSPEC) + ipv4("127.0.0.1", 4711)[2:],
        struct.pack("=H", socket.AF_UNIX) + b"/run/docker.sock\0",
        struct.pack("=H", socket.AF_UNIX) + b"\0abstract",
    ],
)
def test_nothing_else_can(address: bytes) -> None:
    assert allowed_port(address, PORTS) is None


@given(st.binary(max_size=128))
def test_no_bytes_lead_elsewhere(address: bytes) -> None:
    port = allowed_port(address, PORTS)
    assert port is None or address[:8] == ipv4("127.0.0.1", port)[:8]

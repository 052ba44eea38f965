"""Which addresses a name may resolve to.

A name that the policy allows says nothing about where it leads: who controls its records can point it at the machine
itself, its network or the cloud's metadata service (DNS rebinding). Source of the ranges: the IANA special-purpose
address registries (RFC 6890), and the documentation of the clouds' metadata services.
"""

from __future__ import annotations

from enum import Enum
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network


class Reach(Enum):
    """Who may be let to an address: anyone, ``private`` hosts of the policy, or nobody."""

    PUBLIC = 0
    PRIVATE = 1
    NEVER = 2


_RANGES: tuple[tuple[str, Reach, str], ...] = (
    ("127.0.0.0/8", Reach.PRIVATE, "a loopback address"),
    ("10.0.0.0/8", Reach.PRIVATE, "a private address"),
    ("172.16.0.0/12", Reach.PRIVATE, "a private address"),
    ("192.168.0.0/16", Reach.PRIVATE, "a private address"),
    ("100.100.100.200/32", Reach.NEVER, "a metadata service"),
    ("100.64.0.0/10", Reach.PRIVATE, "a carrier's private address"),
    ("169.254.0.0/16", Reach.NEVER, "a link-local address, where metadata services are"),
    ("168.63.129.16/32", Reach.NEVER, "a metadata service"),
    ("192.0.0.0/24", Reach.NEVER, "an address for special purposes"),
    ("0.0.0.0/8", Reach.NEVER, "no address of a host"),
    ("192.0.2.0/24", Reach.NEVER, "an address for documentation"),
    ("198.51.100.0/24", Reach.NEVER, "an address for documentation"),
    ("203.0.113.0/24", Reach.NEVER, "an address for documentation"),
    ("192.88.99.0/24", Reach.NEVER, "a relay address"),
    ("198.18.0.0/15", Reach.NEVER, "an address for benchmarks"),
    ("224.0.0.0/3", Reach.NEVER, "a multicast or reserved address"),
    ("0.0.0.0/0", Reach.PUBLIC, "a public address"),
    ("::1/128", Reach.PRIVATE, "a loopback address"),
    ("fd00:ec2::/32", Reach.NEVER, "a metadata service"),
    ("fd20:ce::/32", Reach.NEVER, "a metadata service"),
    ("fc00::/7", Reach.PRIVATE, "a private address"),
    ("fe80::/10", Reach.NEVER, "a link-local address, where metadata services are"),
    ("2001::/23", Reach.NEVER, "an address for special purposes"),
    ("2001:db8::/32", Reach.NEVER, "an address for documentation"),
    ("2002::/16", Reach.NEVER, "an address of a 6to4 tunnel"),
    ("3fff::/20", Reach.NEVER, "an address for documentation"),
    ("2000::/3", Reach.PUBLIC, "a public address"),
    ("::/0", Reach.NEVER, "a multicast or reserved address"),
)
"""The first range that holds an address says what it is."""

_NETWORKS: tuple[tuple[IPv4Network | IPv6Network, Reach, str], ...] = tuple(
    (ip_network(text), reach, what) for text, reach, what in _RANGES
)
_NAT64 = IPv6Network("64:ff9b::/96")


def reach_of(address: str) -> tuple[Reach, str]:
    """Who may be let to ``address``, and what it is, in words."""
    found = _plain(ip_address(address))
    return next((reach, what) for network, reach, what in _NETWORKS if found in network)


def is_loopback(address: str) -> bool:
    """Whether ``address`` is the machine itself."""
    return _plain(ip_address(address)).is_loopback


def _plain(address: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    """The IPv4 address that an IPv6 address leads to (RFC 4291, section 2.5.5.2; RFC 6052), else the address itself."""
    if isinstance(address, IPv4Address):
        return address
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return IPv4Address(int(address) & 0xFFFFFFFF) if address in _NAT64 else address


def refused_address(addresses: list[str], own_ports: frozenset[int], port: int, *, private: bool) -> str:
    """Why a host that resolves to ``addresses`` is not connected to at ``port``; empty when it may be.

    One address that is out of reach is enough: which of them is used would be the name's owner's choice. The guard's
    own ports on the machine itself are out of reach always.
    """
    for address in addresses:
        reach, what = reach_of(address)
        if reach is Reach.NEVER or (reach is Reach.PRIVATE and not private):
            return f"It resolves to {address}, {what}."
        if port in own_ports and is_loopback(address):
            return "It is the guard itself."
    return "" if addresses else "Its name does not resolve."

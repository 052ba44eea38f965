from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ciguard.guard.egress.address import Reach, reach_of, refused_address


@pytest.mark.parametrize(
    ("address", "reach"),
    [
        ("8.8.8.8", Reach.PUBLIC),
        ("172.15.255.255", Reach.PUBLIC),
        ("172.32.0.0", Reach.PUBLIC),
        ("100.63.255.255", Reach.PUBLIC),
        ("223.255.255.255", Reach.PUBLIC),
        ("2606:4700::1", Reach.PUBLIC),
        ("::ffff:8.8.8.8", Reach.PUBLIC),
        ("64:ff9b::8.8.8.8", Reach.PUBLIC),
        ("127.255.255.254", Reach.PRIVATE),
        ("10.255.0.1", Reach.PRIVATE),
        ("172.16.0.0", Reach.PRIVATE),
        ("192.168.255.255", Reach.PRIVATE),
        ("100.64.0.0", Reach.PRIVATE),
        ("100.127.255.255", Reach.PRIVATE),
        ("::1", Reach.PRIVATE),
        ("fdff::1", Reach.PRIVATE),
        ("::ffff:10.0.0.1", Reach.PRIVATE),
        ("64:ff9b::127.0.0.1", Reach.PRIVATE),
        ("169.254.169.254", Reach.NEVER),
        ("169.254.170.2", Reach.NEVER),
        ("100.100.100.200", Reach.NEVER),
        ("192.0.0.192", Reach.NEVER),
        ("168.63.129.16", Reach.NEVER),
        ("fd00:ec2::254", Reach.NEVER),
        ("fd20:ce::254", Reach.NEVER),
        ("fe80::1", Reach.NEVER),
        ("fec0::1", Reach.NEVER),
        ("::ffff:169.254.169.254", Reach.NEVER),
        ("64:ff9b::169.254.169.254", Reach.NEVER),
        ("64:ff9b:1::1", Reach.NEVER),
        ("::7f00:1", Reach.NEVER),
        ("::", Reach.NEVER),
        ("0.0.0.1", Reach.NEVER),
        ("0.1.2.3", Reach.NEVER),
        ("224.0.0.1", Reach.NEVER),
        ("255.255.255.255", Reach.NEVER),
        ("2002:a00:1::", Reach.NEVER),
        ("2001::1", Reach.NEVER),
        ("ff02::1", Reach.NEVER),
        ("4000::1", Reach.NEVER),
    ],
)
def test_who_may_be_let_to_an_address(address: str, reach: Reach) -> None:
    assert reach_of(address)[0] is reach


@given(st.ip_addresses(v=4))
def test_public_addresses_are_those_that_are_global(address: IPv4Address) -> None:
    """Python's own table agrees wherever ours says public, but for what clouds use inside."""
    if reach_of(str(address))[0] is Reach.PUBLIC:
        assert address.is_global
        assert not address.is_multicast


@given(st.ip_addresses(v=6))
def test_so_are_those_of_ipv6(address: IPv6Address) -> None:
    if reach_of(str(address))[0] is Reach.PUBLIC:
        assert address.is_global


@given(st.ip_addresses(v=4))
def test_an_embedded_address_is_no_way_around(address: IPv4Address) -> None:
    reach = reach_of(str(address))
    assert reach_of(f"::ffff:{address}") == reach
    assert reach_of(f"64:ff9b::{address}") == reach


@pytest.mark.parametrize(
    ("addresses", "port", "private", "refusal"),
    [
        (["8.8.8.8"], 443, False, ""),
        (["8.8.8.8", "10.0.0.1"], 443, False, "It resolves to 10.0.0.1, a private address."),
        (["8.8.8.8", "10.0.0.1"], 443, True, ""),
        (
            ["10.0.0.1", "fe80::1"],
            443,
            True,
            "It resolves to fe80::1, a link-local address, where metadata services are.",
        ),
        (["127.0.0.1"], 8080, True, ""),
        (["127.0.0.1"], 9, True, "It is the guard itself."),
        (["127.9.9.9"], 9, True, "It is the guard itself."),
        (["::1"], 9, True, "It is the guard itself."),
        (["::ffff:127.0.0.1"], 9, True, "It is the guard itself."),
        (["10.0.0.1"], 9, True, ""),
        ([], 443, True, "Its name does not resolve."),
    ],
)
def test_one_address_out_of_reach_is_enough(addresses: list[str], port: int, private: bool, refusal: str) -> None:
    assert refused_address(addresses, frozenset({9}), port, private=private) == refusal

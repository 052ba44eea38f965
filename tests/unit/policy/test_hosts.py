from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ciguard.policy.hosts import HostError, HostPattern, host_pattern, is_address, normal_host, spelled, split_authority


@pytest.mark.parametrize(
    ("text", "host"),
    [
        ("example.com", "example.com"),
        ("EXAMPLE.com.", "example.com"),
        ("localhost", "localhost"),
        ("xn--bcher-kva.example", "xn--bcher-kva.example"),
        ("1.example", "1.example"),
        ("10.0.0.1", "10.0.0.1"),
        ("10.0.0.1.", "10.0.0.1"),
        ("::1", "::1"),
        ("2001:DB8:0:0::1", "2001:db8::1"),
    ],
)
def test_a_host_has_one_spelling(text: str, host: str) -> None:
    assert normal_host(text) == host
    assert normal_host(host) == host


@pytest.mark.parametrize(
    "text",
    [
        *("", ".", "..", ".example", "a..example", "a_b.example", "-a.example", "a-.example", "a b", "a/b", "a@b"),
        *("a%2eb", "a\0.example", "a\n", "bücher.example", "ｅxample.com", "example。com", "a" * 64),
        ".".join(["a" * 60] * 5),
        # IPv4 in the spellings of inet_aton, and what only looks like it.
        *("127.1", "127.0.1", "2130706433", "0x7f000001", "0x7f.0.0.1", "0177.0.0.1", "127.0.0.01", "1.2.3.4.5", "0"),
        *("256.0.0.1", "a.0x", "example.1", "0x", "127.0.0.1:", "[::1]", "fe80::1%eth0", "1:2", "::g"),
    ],
)
def test_what_programs_could_read_differently_is_no_host(text: str) -> None:
    with pytest.raises(HostError):
        normal_host(text)


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("example.com", "example.com", None),
        ("example.com:443", "example.com", 443),
        ("[::1]:8080", "::1", 8080),
        ("[::1]", "::1", None),
        ("10.0.0.1:65535", "10.0.0.1", 65535),
    ],
)
def test_authorities(text: str, host: str, port: int | None) -> None:
    assert split_authority(text) == (host, port)


@pytest.mark.parametrize(
    "text",
    ["a:", "a:0", "a:65536", "a:+80", "a: 80", "a:٨٠", "a:80:80", "a:080", "[::1", "[::1]x", "[a]:80", "::1", "u@a:80"],
)
def test_what_is_no_authority(text: str) -> None:
    with pytest.raises(HostError):
        split_authority(text)


@given(st.ip_addresses(v=4) | st.ip_addresses(v=6), st.integers(1, 65535))
def test_addresses_come_back_as_they_are(address: IPv4Address | IPv6Address, port: int) -> None:
    host = str(address)
    assert is_address(host)
    assert split_authority(spelled(host, port)) == (host, port)


NAMES = st.from_regex(r"[ab](\.[ab]){0,3}", fullmatch=True)
PATTERNS = st.from_regex(r"(\*\.)?[ab](\.[ab]){0,2}(:[12])?", fullmatch=True)


def admits(pattern: str, host: str, port: int) -> bool:
    """What a pattern allows, said without ``HostPattern``."""
    wanted_host, _, wanted_port = pattern.partition(":")
    fits = host.endswith(wanted_host[1:]) and host != wanted_host[2:] if "*" in wanted_host else host == wanted_host
    return fits and (wanted_port or "443") == str(port)


@given(PATTERNS, NAMES, st.sampled_from([1, 2, 443]))
def test_a_pattern_matches_what_it_says(pattern: str, host: str, port: int) -> None:
    assert host_pattern(pattern).matches(host, port) is admits(pattern, host, port)


@given(PATTERNS, PATTERNS, NAMES, st.sampled_from([1, 2, 443]))
def test_a_covered_pattern_admits_nothing_more(wide: str, narrow: str, host: str, port: int) -> None:
    if host_pattern(wide).covers(host_pattern(narrow)) and admits(narrow, host, port):
        assert admits(wide, host, port)


@pytest.mark.parametrize(
    ("wide", "narrow", "covered"),
    [
        ("a.example", "*.a.example", False),
        ("*.a.example", "a.example", False),
        ("*.example", "*.b.example", True),
        ("*.example", "aexample", False),
        ("*.example:443", "*.example", True),
    ],
)
def test_covers(wide: str, narrow: str, covered: bool) -> None:
    assert host_pattern(wide).covers(host_pattern(narrow)) is covered


def test_the_default_port_is_https() -> None:
    assert host_pattern("*.Example.org") == HostPattern("example.org", 443, below=True)

from __future__ import annotations

import pytest

from ciguard.guard.egress.target import Target, absolute_target, connect_target, names_host
from ciguard.policy.hosts import HostError


def test_connect_names_host_and_port() -> None:
    assert connect_target("A.Example.:443") == Target("a.example", 443)
    assert connect_target("[2001:DB8::1]:8443") == Target("2001:db8::1", 8443)


@pytest.mark.parametrize("text", ["a.example", "", ":443", "a.example:443/", "http://a.example:443", "a b:1", "*:443"])
def test_what_connect_does_not_take(text: str) -> None:
    with pytest.raises(HostError):
        connect_target(text)


@pytest.mark.parametrize(
    ("text", "target", "resource"),
    [
        ("http://a.example", Target("a.example", 80), "/"),
        ("HTTP://A.example:8080/x?y=http://b/", Target("a.example", 8080), "/x?y=http://b/"),
        ("http://a.example?y", Target("a.example", 80), "/?y"),
        ("http://[::1]/", Target("::1", 80), "/"),
    ],
)
def test_absolute_targets(text: str, target: Target, resource: str) -> None:
    assert absolute_target(text) == (target, resource)


@pytest.mark.parametrize(
    "text",
    [
        *("/", "*", "https://a.example/", "http:///x", "http://u@a.example/", "http://a.example\\@b/"),
        *("http://a.example#b", "http://a.example:99999/", "http://a.example/x#y", "//a.example/"),
    ],
)
def test_what_is_no_absolute_target(text: str) -> None:
    with pytest.raises(HostError):
        absolute_target(text)


@pytest.mark.parametrize(
    ("header", "named"),
    [
        ("a.example", True),
        ("A.EXAMPLE.", True),
        ("a.example:443", True),
        ("a.example:80", False),
        ("b.example", False),
        ("a.example, b.example", False),
        ("", False),
    ],
)
def test_a_host_header_names_the_target(header: str, named: bool) -> None:
    assert names_host(header, Target("a.example", 443), "https") is named


def test_urls_leave_the_schemes_own_port_out() -> None:
    assert Target("a.example", 443).url("https", "/x") == "https://a.example/x"
    assert Target("a.example", 443).url("http", "/x") == "http://a.example:443/x"
    assert Target("::1", 80).url("http", "/") == "http://[::1]/"

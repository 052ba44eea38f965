from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ciguard.policy.models import Connection, Policy
from ciguard.policy.rules import Section
from ciguard.policy.ways import WAYS, host_covers


def sections(root: type[Section]) -> Iterator[tuple[type[Section], str]]:
    for name, field in root.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, Section):
            yield from sections(field.annotation)
        else:
            yield root, name


def test_every_key_of_the_policy_says_how_it_combines() -> None:
    assert set(WAYS) == {*sections(Policy), *sections(Connection)}


@pytest.mark.parametrize(
    ("wide", "narrow", "covered"),
    [
        ("a.example", "a.example", True),
        ("a.example", "A.Example:443", True),
        ("a.example:443", "a.example", False),
        ("a.example:443", "a.example:444", False),
        ("*.example", "a.example", True),
        ("*.example", "a.b.example", True),
        ("*.example", "*.b.example", True),
        ("*.example:443", "*.example:443", True),
        ("*.b.example", "*.example", False),
        ("*.example", "example", False),
        ("*.example", "aexample", False),
        ("a.example", "*.a.example", False),
    ],
)
def test_host_covers(wide: str, narrow: str, covered: bool) -> None:
    assert host_covers(wide, narrow) is covered


HOSTS = st.from_regex(r"(\*\.)?[ab](\.[ab]){0,2}(:[12])?", fullmatch=True)


def admits(pattern: str, host: str, port: str) -> bool:
    """What a pattern allows, said without ``host_covers``."""
    wanted_host, _, wanted_port = pattern.partition(":")
    fits = host.endswith(wanted_host[1:]) and host != wanted_host[2:] if "*" in wanted_host else host == wanted_host
    return fits and wanted_port in ("", port)


@given(HOSTS, HOSTS, st.from_regex(r"[ab](\.[ab]){0,3}", fullmatch=True), st.sampled_from(["1", "2"]))
def test_a_covered_pattern_admits_nothing_more(wide: str, narrow: str, host: str, port: str) -> None:
    if host_covers(wide, narrow) and admits(narrow, host, port):
        assert admits(wide, host, port)

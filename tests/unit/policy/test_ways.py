from __future__ import annotations

from collections.abc import Iterator
from types import UnionType
from typing import Any, get_args

import pytest

from ciguard.policy.models import Policy
from ciguard.policy.rules import Section
from ciguard.policy.sections.connection import Connection
from ciguard.policy.sections.egress import EgressHost
from ciguard.policy.ways import WAYS, egress_covers
from tests.unit.policy.sources import loaded


def sections(root: type[Section]) -> Iterator[tuple[type[Section], str]]:
    for name, field in root.model_fields.items():
        annotation: Any = field.annotation
        stated = get_args(annotation) if isinstance(annotation, UnionType) else (annotation,)
        inner = [one for one in stated if isinstance(one, type) and issubclass(one, Section)]
        if inner:
            yield from sections(inner[0])
        else:
            yield root, name


def test_every_key_of_the_policy_says_how_it_combines() -> None:
    assert set(WAYS) == {*sections(Policy), *sections(Connection)}


def entry(text: str) -> EgressHost:
    return loaded(f"egress: {{allow: [{text}]}}").egress.allow[0]


@pytest.mark.parametrize(
    ("wide", "narrow", "covered"),
    [
        ("a.example", "a.example", True),
        ("a.example", "A.Example:443", True),
        ("a.example", "a.example:80", False),
        ("'*.example'", "a.example", True),
        ("a.example", "b.example", False),
        ("{host: a.example, private: true}", "a.example", True),
        ("a.example", "{host: a.example, private: true}", False),
        ("a.example", "{host: a.example, inspect: true}", True),
        ("{host: a.example, inspect: true}", "a.example", False),
        ("{host: a.example, inspect: true}", "{host: a.example, inspect: true, methods: [GET]}", True),
        ("{host: a.example, inspect: true, methods: [GET]}", "{host: a.example, inspect: true}", False),
        (
            "{host: a.example, inspect: true, methods: [GET]}",
            "{host: a.example, inspect: true, methods: [GET, PUT]}",
            False,
        ),
        (
            "{host: a.example, inspect: true, methods: [GET, PUT]}",
            "{host: a.example, inspect: true, methods: [PUT]}",
            True,
        ),
        ("{host: a.example, inspect: true, paths: [/a/*]}", "{host: a.example, inspect: true}", False),
        ("{host: a.example, inspect: true, paths: [/a/*]}", "{host: a.example, inspect: true, paths: [/a/b]}", True),
        (
            "{host: a.example, inspect: true, paths: [/a/*]}",
            "{host: a.example, inspect: true, paths: [/a/b, /b]}",
            False,
        ),
    ],
)
def test_egress_covers(wide: str, narrow: str, covered: bool) -> None:
    assert egress_covers(entry(wide), entry(narrow)) is covered

"""Which headers cross the guard."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict

from ciguard.guard import headers as module
from ciguard.guard.headers import (
    HOP_BY_HOP,
    NOT_DOWNSTREAM,
    NOT_FOR_THE_AGENT,
    NOT_UPSTREAM,
    OF_THE_GUARD,
    Crossing,
    carries_token,
    passed_on,
)
from ciguard.inspect.known_value import KnownValue
from ciguard.inspect.masking import Masker
from ciguard.inspect.placeholder import Placeholders

TOKEN = "ciguard-session-token-Zm9vYmFy"
SECRET = "upstream-credential-5f1e9a7c"
MASKER = Masker([KnownValue("credential", SECRET)], Placeholders(b"key"))

Headers = list[tuple[str, str]]


def request_headers(given: Headers) -> Headers:
    return Crossing(NOT_UPSTREAM, MASKER).passed(CIMultiDict(given))


def answered(given: Headers) -> Headers:
    return Crossing(NOT_DOWNSTREAM, MASKER).passed(CIMultiDict(given))


@pytest.mark.parametrize("name", sorted(HOP_BY_HOP | OF_THE_GUARD))
def test_headers_that_the_guard_decides_do_not_pass_in_any_case(name: str) -> None:
    assert request_headers([(name, "x"), (name.upper(), "y"), (name.title(), "z")]) == []


@pytest.mark.parametrize("name", sorted(HOP_BY_HOP | NOT_FOR_THE_AGENT))
def test_headers_of_the_upstream_connection_do_not_reach_the_agent(name: str) -> None:
    assert answered([(name, "x"), (name.upper(), "y")]) == []


def test_headers_named_by_any_connection_header_are_for_one_hop_only() -> None:
    given = [
        ("Connection", "close, X-One"),
        ("connection", " x-TWO "),
        ("X-One", "1"),
        ("x-two", "2"),
        ("X-Three", "3"),
    ]
    for direction in (request_headers, answered):
        assert direction(given) == [("X-Three", "3")]


def test_other_headers_pass_in_order_with_their_repetitions() -> None:
    given = [("anthropic-beta", "a"), ("User-Agent", "agent/1.0"), ("anthropic-beta", "b"), ("X-Name", "café")]
    assert request_headers(given) == given
    assert answered(given) == given


def test_secrets_in_values_are_masked_and_headers_named_by_secrets_go() -> None:
    for direction in (request_headers, answered):
        [(name, value)] = direction([("X-Echo", f"a {SECRET} b"), (SECRET, "1")])
        assert name == "X-Echo"
        assert value.startswith("a [ciguard-masked:credential:")
        assert SECRET not in value


def test_headers_that_are_no_text_go() -> None:
    undecodable = b"\xff".decode("utf-8", "surrogateescape")
    for direction in (request_headers, answered):
        assert direction([("X-A", undecodable), ("X-B", "1")]) == [("X-B", "1")]


NAMES = st.sampled_from(["Connection", "connection", "X-One", "x-one", "Close", "Date", "Cookie", "X-Two", SECRET])
VALUES = st.sampled_from(["close", "keep-alive, X-One", "x-two,date", "1", SECRET, f"a {SECRET}", "\udcff", "a" * 300])


@given(st.lists(st.lists(st.tuples(NAMES, VALUES)), max_size=5))
def test_what_is_remembered_changes_nothing(messages: list[Headers]) -> None:
    for dropped in (NOT_UPSTREAM, NOT_DOWNSTREAM):
        crossing = Crossing(dropped, MASKER)
        for headers in messages:
            assert crossing.passed(CIMultiDict(headers)) == passed_on(headers, dropped, MASKER)


def test_what_the_masker_learns_is_masked_in_headers_that_passed_before() -> None:
    password = "Vq8zTk3LwPx7RmN2"
    masker = Masker([], Placeholders(b"key"))
    crossing = Crossing(NOT_UPSTREAM, masker)
    given = CIMultiDict([("X-Note", password)])
    assert crossing.passed(given) == [("X-Note", password)]
    assert masker.mask(f"postgres://app:{password}@db.example.com/app").kinds
    masker.remember()
    [(name, value)] = crossing.passed(given)
    assert (name, password in value) == ("X-Note", False)


def test_the_memory_for_headers_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "REMEMBERED", 3)
    crossing = Crossing(NOT_UPSTREAM, MASKER)
    for number in range(10):
        given = [("X-Id", str(number)), ("X-Name", "agent"), ("Cookie", str(number))]
        assert crossing.passed(CIMultiDict(given)) == given[:2]
        assert len(crossing._known) <= 3


@pytest.mark.parametrize(
    "headers",
    [
        {"x-api-key": TOKEN},
        {"X-API-Key": TOKEN},
        {"x-goog-api-key": TOKEN},
        {"Authorization": f"Bearer {TOKEN}"},
        {"authorization": f"bearer   {TOKEN} "},
        {"x-api-key": "wrong", "Authorization": f"Bearer {TOKEN}"},
    ],
)
def test_the_token_is_found(headers: dict[str, str]) -> None:
    assert carries_token(CIMultiDict(headers), TOKEN.encode())


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"x-api-key": ""},
        {"x-api-key": TOKEN[:-1]},
        {"x-api-key": f"{TOKEN} "},
        {"x-api-key": TOKEN.lower()},
        {"Authorization": TOKEN},
        {"Authorization": f"Basic {TOKEN}"},
        {"Authorization": "Bearer"},
        {"Cookie": TOKEN},
        {"x-api-key": b"\xff".decode("utf-8", "surrogateescape")},
    ],
)
def test_anything_else_is_not_the_token(headers: dict[str, str]) -> None:
    assert not carries_token(CIMultiDict(headers), TOKEN.encode())


@given(st.text())
def test_no_other_text_is_the_token(text: str) -> None:
    if text != TOKEN:
        assert not carries_token(CIMultiDict({"x-api-key": text}), TOKEN.encode())

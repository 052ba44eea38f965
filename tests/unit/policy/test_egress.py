from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ciguard.decision import Action
from ciguard.operation import Json, Operation, OperationKind
from ciguard.policy.egress import EGRESS, climbs, egress_refusal
from ciguard.policy.evaluation import Evaluator
from tests.unit.policy.sources import loaded

POLICY = loaded(
    """\
egress:
  allow:
    - packages.example.com
    - "*.example.org"
    - plain.example.com:80
    - 192.0.2.7:8443
    - {host: forge.example.com, inspect: true, methods: [GET, POST], paths: ["/api/*", "/@acme%2f*"]}
    - {host: forge.example.com, inspect: true, methods: [DELETE], paths: [/api/cache]}
rules:
  - {id: uploads, on: [http_request], text: {regex: [/api/upload]}, risk: 70}
  - {id: odd-host, on: [connect], text: {keywords: [odd]}, action: block}
"""
)


def connect(host: str, port: int = 443) -> Operation:
    return Operation(OperationKind.CONNECT, {"host": host, "port": port})


def request(method: str, url: str) -> Operation:
    return Operation(OperationKind.HTTP_REQUEST, {"method": method, "url": url})


@pytest.mark.parametrize(
    ("operation", "reason"),
    [
        (connect("packages.example.com"), ""),
        (connect("PACKAGES.example.com."), ""),
        (connect("a.b.example.org"), ""),
        (connect("plain.example.com", 80), ""),
        (connect("192.0.2.7", 8443), ""),
        (request("POST", "https://forge.example.com/api/issues?q=..%2f"), ""),
        (request("GET", "https://forge.example.com:443/@acme%2fshop"), ""),
        (request("DELETE", "https://forge.example.com/api/cache"), ""),
        (request("PATCH", "http://plain.example.com/any/../path"), ""),
        (connect("packages.example.com", 80), "does not name packages.example.com:80"),
        (connect("example.org"), "does not name"),
        (connect("evilexample.org"), "does not name"),
        (connect("plain.example.com"), "does not name"),
        (connect("192.0.2.8", 8443), "does not name"),
        (connect("0xc0.0.2.7", 8443), "plain dotted form"),
        (connect("::1"), "does not name [::1]:443"),
        (request("DELETE", "https://forge.example.com/api/issues"), "does not let it DELETE"),
        (request("get", "https://forge.example.com/api/x"), "does not let it get"),
        (request("GET", "https://forge.example.com/admin"), "does not let it GET"),
        (request("GET", "https://forge.example.com"), "does not let it GET"),
        (request("GET", "https://forge.example.com/api/../admin"), ". or .."),
        (request("GET", "https://forge.example.com:8443/api/x"), "does not name"),
        (request("GET", "https://packages.example.com@evil.example/"), "does not name evil.example"),
        (request("GET", "ftp://forge.example.com/api/x"), "does not name"),
        (request("GET", "https://[::1"), "not a URL"),
        (request("GET", "https:///api"), "not a URL"),
        (Operation(OperationKind.CONNECT, {"host": "packages.example.com"}), "does not say where"),
        (Operation(OperationKind.HTTP_REQUEST, {"url": "https://packages.example.com/"}), "does not say where"),
    ],
)
def test_what_egress_refuses(operation: Operation, reason: str) -> None:
    refused = egress_refusal(POLICY.egress, operation)
    assert bool(refused) is bool(reason)
    assert reason in refused


@pytest.mark.parametrize(
    "path",
    [
        *("/a/../b", "/..", "/./a", "/a/%2e%2e/b", "/a/%2E./b", "/a/%252e%252e/b", "/a/..%2fb", "/a%2f..%2fb"),
        *("/a\\..\\b", "/a%5c..%5cb", "/a/..;x=1/b", "/a/%2e%2e%3bx/b", "/a/.. /b", "/a/..%09/b", "/a/.%252525252e/b"),
    ],
)
def test_paths_that_climb(path: str) -> None:
    assert climbs(path)


@pytest.mark.parametrize(
    "path", ["/", "/a//b", "/a..b", "/...", "/a/.git/config", "/@acme%2fshop", "/%", "/%zz", "/a.;b"]
)
def test_paths_that_do_not(path: str) -> None:
    assert not climbs(path)


@given(st.text(alphabet="/.%2e5cf;a\\", max_size=40))
def test_reading_a_path_ends_and_no_plain_dots_are_missed(path: str) -> None:
    assert climbs(path) or not {".", ".."} & set(path.split("/"))


@pytest.mark.parametrize(
    ("operation", "action", "rules"),
    [
        (connect("packages.example.com"), Action.ALLOW, ()),
        (connect("evil.example"), Action.BLOCK, (EGRESS,)),
        (connect("odd.example.org"), Action.BLOCK, ("odd-host",)),
        (connect("odd.example"), Action.BLOCK, ("odd-host", EGRESS)),
        (request("POST", "https://forge.example.com/api/upload"), Action.HOLD, ("uploads", "ciguard:risk")),
        (request("PUT", "https://forge.example.com/api/upload"), Action.BLOCK, ("uploads", "ciguard:risk", EGRESS)),
    ],
)
def test_rules_and_egress_decide_together(operation: Operation, action: Action, rules: tuple[str, ...]) -> None:
    evaluator = Evaluator(POLICY)
    decision = evaluator.decide(operation)
    assert (decision.action, decision.rules) == (action, rules)
    assert evaluator.watches(operation.kind, "")


@pytest.mark.parametrize("kind", [OperationKind.CONNECT, OperationKind.HTTP_REQUEST])
def test_without_egress_nothing_is_reached(kind: OperationKind) -> None:
    body: dict[str, Json] = {"host": "a.example", "port": 443, "method": "GET", "url": "https://a.example/"}
    evaluator = Evaluator(loaded("rules: []"))
    assert evaluator.watches(kind, "")
    assert evaluator.decide(Operation(kind, body)).rules == (EGRESS,)

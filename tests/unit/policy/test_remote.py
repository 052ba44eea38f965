"""What a policy lets the agent ask of the model's service itself."""

from __future__ import annotations

import pytest

from ciguard.decision import Action
from ciguard.operation import Operation, OperationKind
from ciguard.policy.evaluation import Evaluator
from ciguard.policy.remote import REMOTE
from tests.unit.policy.sources import loaded, refused

CONNECTION = "connections: {model: {type: openai, credential: {env: KEY}"
NOTHING = f"{CONNECTION}}}}}\n"
SOME = f'{CONNECTION}, remote: {{tools: ["web_search*", mcp], hosts: [mcp.example.com, "*.example.org:8443"]}}}}}}\n'
ANYTHING = f'{CONNECTION}, remote: {{tools: ["*"], hosts: ["*"]}}}}}}\n'

ASKED = [
    ("tool web_search_20250305", True),
    ("tool mcp", True),
    ("tool code_interpreter", False),
    ("tool ?", False),
    ("tool x_web_search", False),
    ("address https://mcp.example.com/sse?x=1", True),
    ("address HTTPS://MCP.EXAMPLE.COM./sse", True),
    ("address https://mcp.example.com", True),
    ("address https://a.example.org:8443/", True),
    ("address https://a.example.org/", False),
    ("address http://mcp.example.com/", False),
    ("address https://mcp.example.com:80/", False),
    ("address https://example.org:8443/", False),
    ("address https://mcp.example.com@evil.example/", False),
    ("address https://evil.example\\@mcp.example.com/", False),
    ("address https://evil.example/@mcp.example.com/", False),
    ("address https://mcp.example.com\\.evil.example/", False),
    ("address https://mcp.example.com%2eevil.example/", False),
    ("address https://mcp.example.com\t.evil.example/", False),
    ("address https:mcp.example.com/", False),
    ("address //mcp.example.com/", False),
    ("address  https://mcp.example.com/", False),
    ("address gs://mcp.example.com/x", False),
    ("address https://mcp。example.com/", False),
    ("address https://127.1/", False),
    ("address ", False),
    ("something else", False),
]


def decided(policy: str, *texts: str, connection: str = "model") -> tuple[Action, tuple[str, ...]]:
    """What ``policy`` makes of a request with ``texts``, and the rules that say so."""
    operation = Operation(OperationKind.REMOTE, {"texts": [*texts]}, connection)
    decision = Evaluator(loaded(policy)).decide(operation)
    return decision.action, decision.rules


@pytest.mark.parametrize(("text", "allowed"), ASKED)
def test_what_is_named_is_allowed(text: str, allowed: bool) -> None:
    assert decided(SOME, text) == ((Action.ALLOW, ()) if allowed else (Action.BLOCK, (REMOTE,)))


@pytest.mark.parametrize("text", [text for text, _ in ASKED])
def test_nothing_is_allowed_unless_it_is_named(text: str) -> None:
    assert decided(NOTHING, text) == (Action.BLOCK, (REMOTE,))


@pytest.mark.parametrize("text", [text for text, _ in ASKED[:-1]])
def test_a_policy_can_allow_anything(text: str) -> None:
    assert decided(ANYTHING, text) == (Action.ALLOW, ())


def test_one_that_is_not_allowed_is_enough() -> None:
    assert decided(SOME, "tool mcp", "tool file_search", "tool mcp")[0] is Action.BLOCK


def test_a_body_of_another_form_is_refused() -> None:
    evaluator = Evaluator(loaded(ANYTHING))
    assert evaluator.decide(Operation(OperationKind.REMOTE, {}, "model")).action is Action.BLOCK
    assert evaluator.decide(Operation(OperationKind.REMOTE, {"texts": [3]}, "model")).action is Action.BLOCK


def test_what_is_allowed_can_be_held_by_a_rule() -> None:
    rule = "rules: [{id: ask, on: [remote], text: {keywords: [web_search]}, action: hold}]\n"
    assert decided(ANYTHING + rule, "tool web_search") == (Action.HOLD, ("ask",))
    assert decided(NOTHING + rule, "tool web_search") == (Action.BLOCK, ("ask", REMOTE))


@pytest.mark.parametrize(
    ("child", "fine"),
    [
        ('{tools: [web_search_20250305], hosts: ["a.example.org:8443"]}', True),
        ("{tools: []}", True),
        ('{tools: ["*"]}', False),
        ("{tools: [code_interpreter]}", False),
        ('{hosts: ["*"]}', False),
        ("{hosts: [other.example.com]}", False),
    ],
)
def test_a_policy_can_narrow_what_it_extends_and_not_widen_it(child: str, fine: bool) -> None:
    policy = f"extends: [org.yml]\n{CONNECTION}, remote: {child}}}}}\n"
    if fine:
        loaded(policy, {"org.yml": f"version: 1\n{SOME}"})
    else:
        assert "is not within what this policy extends" in str(refused(policy, {"org.yml": f"version: 1\n{SOME}"}))

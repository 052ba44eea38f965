from __future__ import annotations

from pathlib import Path

import pytest

from ciguard.guard.mask_rules import mask_by_rules
from ciguard.inspect.placeholder import Placeholders
from ciguard.operation import Json, OperationKind, ResultKind
from ciguard.policy.evaluation import Evaluator
from ciguard.policy.loading import FileSource, load_policy

POLICY = """\
version: 1
connections:
  claude:
    type: anthropic
    credential: {env: KEY}
    rules: [{id: local, on: [prompt], text: {keywords: [zebra]}, action: mask}]
rules:
  - {id: customer, on: [prompt, tool_call], text: {regex: ['C-[0-9]{4}']}, action: mask}
  - {id: person, on: [prompt], text: {keywords: [Alice]}, action: mask}
  - {id: watch, on: [tool_result], text: {keywords: [Alice]}, risk: 10}
"""
PLACEHOLDERS = Placeholders(b"key")


@pytest.fixture
def evaluator(tmp_path: Path) -> Evaluator:
    (tmp_path / "policy.yml").write_text(POLICY)
    return Evaluator(load_policy(FileSource(tmp_path), "policy.yml"))


def hidden(kind: str, value: str) -> str:
    return PLACEHOLDERS.placeholder(kind, value)


def test_every_string_is_masked_and_every_place_is_told(evaluator: Evaluator) -> None:
    value: Json = {"C-1111": [1, {"a": "Alice has C-1111 and C-2222"}], "b": None}
    masked, rules = mask_by_rules(value, [OperationKind.PROMPT], "", evaluator, PLACEHOLDERS)
    first, second, person = hidden("customer", "C-1111"), hidden("customer", "C-2222"), hidden("person", "Alice")
    assert masked == {first: [1, {"a": f"{person} has {first} and {second}"}], "b": None}
    assert sorted(rules) == ["customer", "customer", "customer", "person"]


@pytest.mark.parametrize(
    ("kinds", "connection", "value"),
    [
        ([OperationKind.PROMPT], "", {"a": ["nothing", 1]}),
        ([ResultKind.TOOL_RESULT], "", {"a": "Alice has C-1111"}),
        ([OperationKind.TOOL_CALL], "", {"a": "Alice"}),
        ([OperationKind.PROMPT], "", {"a": "a zebra"}),
        ([], "claude", {"a": "Alice has C-1111"}),
    ],
)
def test_what_no_rule_masks_is_the_same_object(
    evaluator: Evaluator, kinds: list[OperationKind], connection: str, value: Json
) -> None:
    masked, rules = mask_by_rules(value, kinds, connection, evaluator, PLACEHOLDERS)
    assert masked is value
    assert rules == ()


def test_rules_of_a_connection_and_of_several_kinds_add_up(evaluator: Evaluator) -> None:
    kinds = [OperationKind.PROMPT, OperationKind.TOOL_CALL]
    masked, rules = mask_by_rules("a zebra, C-1111", kinds, "claude", evaluator, PLACEHOLDERS)
    assert masked == f"a {hidden('local', 'zebra')}, {hidden('customer', 'C-1111')}"
    assert rules == ("local", "customer") or rules == ("customer", "local")

from __future__ import annotations

import pytest

from ciguard.operation import Json, Operation, OperationKind, Result, ResultKind
from ciguard.policy.examples import Outcome, subject_of, tried
from ciguard.policy.loading import load_with_examples
from tests.unit.policy.sources import Texts

RULES = """\
version: 1
rules:
  - {id: hold-it, on: [prompt], text: {regex: [held]}, action: hold}
  - {id: block-it, on: [prompt], text: {regex: [blocked]}, action: block}
"""


def example(text: str, expect: str, rules: str = "") -> str:
    return f"  - {{operation: {{prompt: {{texts: [{text}]}}}}, expect: {expect}, rules: [{rules}]}}\n"


ROWS = [
    ("held", "hold", "", Outcome.PASSED, Outcome.PASSED),
    ("held", "hold", "hold-it", Outcome.PASSED, Outcome.PASSED),
    ("held", "hold", "block-it", Outcome.FAILED, Outcome.FAILED),
    ("held", "allow", "", Outcome.FAILED, Outcome.STRICTER),
    ("held", "block", "", Outcome.FAILED, Outcome.FAILED),
    ("blocked", "hold", "", Outcome.FAILED, Outcome.STRICTER),
    ("blocked", "hold", "hold-it", Outcome.FAILED, Outcome.FAILED),
    ("fine", "allow", "", Outcome.PASSED, Outcome.PASSED),
]


@pytest.mark.parametrize(("text", "expect", "rules", "own", "inherited"), ROWS)
def test_own_examples_are_exact_and_inherited_ones_may_be_stricter(
    text: str, expect: str, rules: str, own: Outcome, inherited: Outcome
) -> None:
    tests = f"tests:\n{example(text, expect, rules)}"
    source = Texts({"own.yml": RULES + tests, "child.yml": f"version: 1\nextends: [own.yml]\n{tests}"})
    assert [trial.outcome for trial in tried(*load_with_examples(source, "own.yml"))] == [own]
    assert [trial.outcome for trial in tried(*load_with_examples(source, "child.yml"))] == [inherited, own]


def test_trials_say_where_the_example_stands() -> None:
    source = Texts({"p.yml": f"{RULES}tests:\n{example('held', 'allow')}{example('fine', 'allow')}"})
    trials = tried(*load_with_examples(source, "p.yml"))
    assert [(trial.label, trial.line, trial.decision.rules) for trial in trials] == [
        ("p.yml", 6, ("hold-it",)),
        ("p.yml", 7, ()),
    ]


def test_operations_and_results_with_their_connection() -> None:
    body: dict[str, Json] = {"texts": ["x"]}
    assert subject_of({"prompt": body}, "c") == Operation(OperationKind.PROMPT, body, "c")
    assert subject_of({"tool_result": body}, "") == Result(ResultKind.TOOL_RESULT, body, "")

"""Running the examples that policies carry."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from ciguard.decision import Decision
from ciguard.operation import Operation, OperationKind, Result, ResultKind
from ciguard.policy.evaluation import Evaluator
from ciguard.policy.loading import Examples
from ciguard.policy.models import Example, Policy


class Outcome(StrEnum):
    """How an example went. What a policy extends may be stricter under it than by itself: that is no failure."""

    PASSED = "passed"
    STRICTER = "stricter"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Trial:
    """One example at ``line`` of the document ``label``, and what the policy decided."""

    label: str
    line: int
    example: Example
    decision: Decision
    outcome: Outcome


def tried(policy: Policy, documents: Iterable[Examples]) -> list[Trial]:
    """Every example of ``documents`` under ``policy``, in their order."""
    evaluator = Evaluator(policy)
    trials = []
    for document in documents:
        for line, example in document.examples:
            decision = evaluator.decide(subject_of(example.operation, example.connection))
            outcome = _outcome(example, decision, inherited=document.inherited)
            trials.append(Trial(document.label, line, example, decision, outcome))
    return trials


def subject_of(operation: Mapping[str, Mapping[str, Any]], connection: str) -> Operation | Result:
    """The operation or result that ``{kind: body}`` spells."""
    ((kind, body),) = operation.items()
    if kind in set(OperationKind):
        return Operation(OperationKind(kind), body, connection)
    return Result(ResultKind(kind), body, connection)


def _outcome(example: Example, decision: Decision, *, inherited: bool) -> Outcome:
    expected = example.expect.action
    if not set(example.rules) <= set(decision.rules):
        return Outcome.FAILED
    if decision.action == expected:
        return Outcome.PASSED
    return Outcome.STRICTER if inherited and decision.action > expected else Outcome.FAILED

from __future__ import annotations

from ciguard.approvals.approver import Nobody
from ciguard.decision import Action, Decision
from ciguard.operation import Operation, OperationKind


async def test_nobody_releases_nothing_and_says_so() -> None:
    operation = Operation(OperationKind.PROMPT, {"texts": ["x"]})
    verdict = await Nobody("the forge is away").ask(operation, Decision(Action.HOLD), "")
    assert verdict.released is False
    assert "nobody to ask: the forge is away." in verdict.reason

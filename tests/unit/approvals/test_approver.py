from __future__ import annotations

from ciguard.approvals.approver import Nobody
from ciguard.decision import Action, Decision
from ciguard.operation import Operation, OperationKind


async def test_nobody_releases_nothing_and_says_so() -> None:
    verdict = await Nobody().ask(Operation(OperationKind.PROMPT, {"texts": ["x"]}), Decision(Action.HOLD))
    assert verdict.released is False
    assert "nobody to ask" in verdict.reason

"""What the agent attempts through the proxy, decided and recorded."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NoReturn

from ciguard.decision import Action, Decision, Reason
from ciguard.guard.judge import Judge, Judgement
from ciguard.operation import Operation
from ciguard.policy.egress import EGRESS
from ciguard.session.event import Refused, Transfer
from ciguard.session.recorder import Recorder

MOST_REFUSED = 1000
"""Refused attempts that are recorded one by one; a job that makes more is flooding the log."""


class AttemptRefusedError(Exception):
    """The attempt has no effect and is recorded so; the text is a sentence for the agent."""


class Attempts:
    """The attempts of one session. Refusals here do not end it: tools call home, and are refused, without the model."""

    def __init__(self, judge: Judge, recorder: Recorder) -> None:
        self._judge = judge
        self._recorder = recorder
        self._refused = 0

    async def judge(self, operation: Operation) -> Judgement:
        """What the policy, and a human where it holds, say of ``operation``."""
        return await self._judge.judge(operation)

    def record(self, operation: Operation, judgement: Judgement, kinds: Sequence[str] = ()) -> int:
        """Record ``operation`` and return the event's ``seq``. Raises :class:`AttemptRefusedError` when refused."""
        if judgement.refusal:
            self._refuse(operation, judgement, kinds)
        return self._judge.record_operation(operation, judgement, None, kinds)

    def refuse(self, operation: Operation, problem: str, judgement: Judgement | None = None) -> NoReturn:
        """Record that ``operation`` is refused because of ``problem``, a sentence; ``judgement`` was made of it before.

        Raises :class:`AttemptRefusedError`.
        """
        self._refuse(operation, blocked(problem, judgement), ())

    def _refuse(self, operation: Operation, judgement: Judgement, kinds: Sequence[str]) -> NoReturn:
        self._refused += 1
        if self._refused <= MOST_REFUSED:
            self._judge.record_operation(operation, judgement, None, kinds)
        elif self._refused == MOST_REFUSED + 1:
            reason = "further refused connections and requests of the proxy are not recorded"
            self._recorder.record(Refused(reason=reason, connection="", method="", path="", status=403))
        raise AttemptRefusedError(judgement.refusal)

    def transferred(
        self,
        operation: int,
        *,
        status: int = 0,
        sent: int = 0,
        received: int = 0,
        kinds: Sequence[str] = (),
        problem: str = "",
    ) -> None:
        """Record what went over the allowed ``operation``; ``problem`` says why it did not come to its end."""
        masked: dict[str, int] = {}
        for kind in kinds:
            masked[kind] = masked.get(kind, 0) + 1
        self._recorder.record(
            Transfer(
                operation=operation,
                status=status,
                sent=sent,
                received=received,
                masked=masked,
                complete=not problem,
                reason=problem,
            )
        )


def blocked(problem: str, judgement: Judgement | None = None) -> Judgement:
    """The judgement on what cannot be allowed because of ``problem``, a sentence, whatever else was decided on it."""
    decision = judgement.decision if judgement else Decision(Action.BLOCK)
    reasons = (*decision.reasons, Reason(EGRESS, problem))
    return Judgement(Decision(Action.BLOCK, decision.risk, reasons), f"It is blocked by rule {EGRESS}: {problem}")

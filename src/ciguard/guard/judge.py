"""Deciding on operations and results: policy first, then a human where the policy holds, and a limit on refusals."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

import msgspec

from ciguard.approvals.approver import Approver
from ciguard.codecs.document import dump
from ciguard.decision import ALLOWED, Action, Decision, Reason
from ciguard.guard.approved import Approved
from ciguard.operation import Json, Operation, OperationKind, Result
from ciguard.policy.evaluation import Evaluator
from ciguard.session.event import DecisionFacts, OperationDecided, ReasonFacts, ResultDecided, SessionStopped
from ciguard.session.recorder import Recorder

APPROVED_CALL = "ciguard:approved-call"
"""The reason why a command that a rule holds runs without asking again."""


APPROVED_FOR_SESSION = "ciguard:approved-for-session"
"""The reason why what a rule holds goes on without asking again, where an approval is for the whole session."""


class Judgement(msgspec.Struct, frozen=True):
    """What happens to an operation or result: ``refusal`` is empty when it may go on, else a sentence for the agent.

    ``lasting`` says that the same would be judged alike again: people decide on one operation only.
    """

    decision: Decision
    refusal: str = ""
    lasting: bool = True


PASSED = Judgement(ALLOWED)
"""No rule has anything to say."""


class Held(msgspec.Struct, frozen=True):
    """What only a human can release."""

    subject: Operation | Result
    decision: Decision


class NoticeKind(StrEnum):
    """What people watching the job are told of."""

    HELD = "held"
    BLOCKED = "blocked"
    NOT_NOTIFIED = "not notified"


@dataclass(frozen=True, slots=True)
class Notice:
    """Something that people watching the job want to see as it happens; ``now`` says how things stand with it."""

    kind: NoticeKind
    subject: str
    rules: tuple[str, ...]
    now: str = ""


class Judge:
    """Decides and records for one session.

    ``stopped`` becomes the reason, a sentence, once the agent was refused ``refusals_in_a_row`` times with nothing
    allowed between; from then on everything is refused and ``on_stop`` has been called.

    ``awaiting`` becomes a sentence once something waits for people beyond the session, which then has to end:
    ``on_awaiting`` is called when nobody is being asked at the moment.
    """

    def __init__(
        self,
        evaluator: Evaluator,
        approver: Approver,
        recorder: Recorder,
        approved: Approved,
        refusals_in_a_row: int,
        *,
        on_notice: Callable[[Notice], None],
        on_stop: Callable[[], None],
        on_awaiting: Callable[[], None],
    ) -> None:
        self.evaluator = evaluator
        self.stopped = ""
        self.awaiting = ""
        self.asking = 0
        self._approver = approver
        self._recorder = recorder
        self.approved = approved
        self._most_refusals = refusals_in_a_row
        self._refusals = 0
        self._on_notice = on_notice
        self._on_stop = on_stop
        self._on_awaiting = on_awaiting

    @property
    def over(self) -> str:
        """Why the agent is not served any more; empty while it is."""
        return self.stopped or self.awaiting

    async def judge(self, subject: Operation | Result, said: str = "") -> Judgement:
        """The judgement on ``subject``, whose body is masked; ``said`` is what the model said just before it."""
        judged = self.decide(subject)
        return await self.ask(judged, said) if isinstance(judged, Held) else judged

    def decide(self, subject: Operation | Result) -> Judgement | Held:
        """The judgement on ``subject`` as far as the policy alone decides."""
        if self.stopped:
            return self._over()
        decision = self.evaluator.decide(subject)
        if decision is ALLOWED:
            return PASSED
        match decision.action:
            case Action.BLOCK:
                return Judgement(decision, f"It is blocked by {_because(decision)}")
            case Action.HOLD if subject.kind is OperationKind.COMMAND and self._is_approved(subject):
                reasons = (*decision.reasons, Reason(APPROVED_CALL, "People released the call that this stands in."))
                return Judgement(Decision(Action.ALLOW, decision.risk, reasons), lasting=False)
            case Action.HOLD:
                return Held(subject, decision)
            case _:
                return Judgement(decision)

    async def ask(self, held: Held, said: str = "") -> Judgement:
        """The judgement of a human, as long as the policy lets one take."""
        subject, decision = held.subject, held.decision
        self.asking += 1
        try:
            verdict = await self._approver.ask(subject, decision, said)
        finally:
            self.asking -= 1
        if verdict.awaited:
            self.awaiting = verdict.reason
        if self.awaiting and not self.asking:
            self._on_awaiting()
        if self.stopped:
            return self._over()
        if verdict.released and isinstance(subject, Operation) and subject.kind is OperationKind.TOOL_CALL:
            self.approved.released(subject)
        if verdict.standing:
            reasons = (*decision.reasons, Reason(APPROVED_FOR_SESSION, verdict.reason))
            return Judgement(Decision(Action.ALLOW, decision.risk, reasons), lasting=False)
        refusal = "" if verdict.released else f"{verdict.reason} Held by {_because(decision)}"
        return Judgement(decision, refusal, lasting=False)

    def _over(self) -> Judgement:
        reason = Reason("ciguard:session-stopped", self.stopped)
        return Judgement(Decision(Action.BLOCK, reasons=(reason,)), self.stopped)

    def _is_approved(self, subject: Operation | Result) -> bool:
        return isinstance(subject, Operation) and self.approved.covers(subject)

    def record_operation(
        self, operation: Operation, judged: Judgement, request: int | None, kinds: Sequence[str]
    ) -> int:
        """Put an operation and what became of it into the log, before its effect; returns the event's ``seq``.

        ``request`` is the event of the request that carried it, if one did.
        """
        seq = self._recorder.record(
            OperationDecided(
                operation=operation.kind,
                connection=operation.connection,
                request=request,
                body=self._store(operation),
                masked=dict(Counter(kinds)) if kinds else {},
                decision=_facts(judged.decision),
                effect="withheld" if judged.refusal else "forwarded",
            )
        )
        self._notify(operation, judged)
        return seq

    def record_result(self, result: Result, judged: Judgement, request: int, kinds: Sequence[str]) -> None:
        """Put a result and what was decided on it into the log, before the agent has it whole."""
        self._recorder.record(
            ResultDecided(
                result=result.kind,
                connection=result.connection,
                request=request,
                body=self._store(result),
                masked=dict(Counter(kinds)) if kinds else {},
                decision=_facts(judged.decision),
            )
        )
        self._notify(result, judged)

    def count(self, *, refused: int, allowed: int) -> None:
        """Count towards the limit of refusals in a row: one request, one answer at a time."""
        if allowed:
            self._refusals = 0
        self._refusals += refused
        if self._refusals >= self._most_refusals and not self.stopped:
            self.stop(f"the session was stopped after {self._refusals} refusals in a row without progress")

    def stop(self, reason: str) -> None:
        """End the session: everything is refused from now on."""
        self.stopped = reason
        self._recorder.record(SessionStopped(reason=reason))
        self._on_stop()

    def _notify(self, subject: Operation | Result, judged: Judgement) -> None:
        match judged.decision.action:
            case Action.HOLD:
                self._on_notice(held(subject, judged.decision, "refused" if judged.refusal else "released"))
            case Action.BLOCK:
                self._on_notice(Notice(NoticeKind.BLOCKED, _described(subject), judged.decision.rules))

    def _store(self, subject: Operation | Result) -> str:
        return self._recorder.store(dump(dict(subject.body)))


def _facts(decision: Decision) -> DecisionFacts:
    if decision is ALLOWED:
        return _ALLOWED
    reasons = [ReasonFacts(rule=reason.rule, text=reason.text, risk=reason.risk) for reason in decision.reasons]
    return DecisionFacts(action=decision.action.word, risk=decision.risk, reasons=reasons)


_ALLOWED = DecisionFacts(action=ALLOWED.action.word, risk=ALLOWED.risk, reasons=[])


def _because(decision: Decision) -> str:
    return "; ".join(
        f"rule {reason.rule}: {reason.text}" if reason.text else f"rule {reason.rule}." for reason in decision.reasons
    )


def held(subject: Operation | Result, decision: Decision, now: str) -> Notice:
    """What people are told of ``subject``, which ``decision`` holds."""
    return Notice(NoticeKind.HELD, _described(subject), decision.rules, now)


def _described(subject: Operation | Result) -> str:
    body: Mapping[str, Json] = subject.body
    words = subject.kind.value.replace("_", " ")
    match body:
        case {"name": name} | {"url": name}:
            return f"{words} {name}"
        case {"host": host, "port": port}:
            return f"{words} {host}:{port}"
        case _:
            return words

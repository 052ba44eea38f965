"""Asking the humans of a forge: the :class:`~ciguard.approvals.approver.Approver` of a session that has one."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from functools import partial

from ciguard.approvals.approver import Verdict
from ciguard.approvals.looking import Look
from ciguard.approvals.marker import Claim, marker_of, write
from ciguard.approvals.metrics import Metrics, metrics
from ciguard.approvals.person import Panel, Roster, panels
from ciguard.approvals.request import (
    ApprovalRequest,
    Run,
    content_digest,
    recognisable,
    request_digest,
    spelt,
)
from ciguard.approvals.resuming import Earlier, claim, earlier
from ciguard.approvals.ruling import Awaited, Denied, Evidence, Expired, Outcome, Pending, Released, Ruling, Withdrawn
from ciguard.approvals.waiting import ASKING, Clock, OutOfTime, Question, Texts, patiently
from ciguard.approvals.watcher import Decided, Watcher
from ciguard.codecs.document import dump
from ciguard.decision import Decision, Quorum
from ciguard.forge.thread import ForgeTrouble, Thread
from ciguard.operation import Operation, Result
from ciguard.session import event
from ciguard.session.recorder import Recorder

ENDS = "This job ends here, and runs again when people have decided."

NOT_RECOGNISABLE = "something in it is masked, so that it could not be recognised when the job runs again"

LONGEST_REASON = 500
"""Characters of a reviewer's reason that the agent is told."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a session asks: the thread, its name, the commit it points at, and whose approval counts for nothing."""

    thread: Thread
    name: str
    head: str
    excluded: tuple[tuple[int, str], ...]


@dataclass(frozen=True, slots=True)
class Limits:
    """How long a request may wait, and how many there may be at the same time and in all."""

    timeout: timedelta
    most_open: int
    most: int


class Mode(StrEnum):
    """Whether the agent waits for an answer, or the job ends and runs again (``approval.mode``)."""

    WAIT = "wait"
    RESUME = "resume"


class Scope(StrEnum):
    """What an approval releases: the operation once, or for the rest of the session (``approval.scope``)."""

    ONCE = "once"
    SESSION = "session"


@dataclass(frozen=True, slots=True)
class Asked:
    """A request as the thread shows it. ``subject`` is masked all through.

    ``marker`` is the last line of its comment where other attempts of the run must find it, else empty.
    """

    request: ApprovalRequest
    subject: Operation | Result
    decision: Decision
    said: str
    body: str
    seq: int
    head: str
    scope: Scope = Scope.ONCE
    marker: str = ""


class ForgeApprover:
    """Asks in the thread of one place, and tells ``watchers``.

    ``texts`` makes the texts for a request; ``mask`` hides what rules hide.
    """

    def __init__(
        self,
        place: Callable[[], Awaitable[Place]],
        run: Run,
        roster: Roster,
        limits: Limits,
        clock: Clock,
        recorder: Recorder,
        *,
        mask: Callable[[Operation | Result], Operation | Result],
        mask_text: Callable[[str], str],
        texts: Callable[[Asked], Texts],
        watchers: Sequence[Watcher] = (),
        mode: Mode = Mode.WAIT,
        scope: Scope = Scope.ONCE,
    ) -> None:
        self._place = place
        self._run = run
        self._roster = roster
        self._limits = limits
        self._clock = clock
        self._recorder = recorder
        self._mask = mask
        self._mask_text = mask_text
        self._texts = texts
        self._watchers = watchers
        self._mode = mode
        self._scope = scope
        self._standing: dict[tuple[str, tuple[Quorum, ...]], str] = {}
        self._used: set[str] = set()
        self.awaited: list[str] = []
        self._asked = 0
        self._open = 0
        self._verdicts: list[tuple[str, int]] = []
        self._own: set[int] = set()
        self._closing: set[asyncio.Task[None]] = set()

    async def ask(self, subject: Operation | Result, decision: Decision, said: str) -> Verdict:
        """See Approver. What is asked is bound to ``subject`` as it is; people see it with what rules hide masked."""
        same = content_digest(subject), decision.quorums
        if standing := self._standing.get(same):
            reason = f"The same was approved for the whole session with request {standing}."
            return Verdict(released=True, reason=reason, standing=standing)
        asked = panels(decision.quorums, self._roster)
        if refusal := self._refusal(subject, asked):
            return Verdict(released=False, reason=refusal)
        self._asked += 1
        self._open += 1
        number = f"{self._run.session[:6]}.{self._asked}"
        try:
            try:
                place = await self._place()
                found = await self._found(subject, place, asked)
            except (ForgeTrouble, OutOfTime) as trouble:
                return Verdict(released=False, reason=f"It is held for approval, but nobody could be asked: {trouble}.")
            began = self._clock.now()
            if found:
                began = min(found.posted.created, began)
                told = self._announced(found.request, write(found.marker), place, subject, decision, said)
                verdict = await self._answered(told, place, began, lambda question: question.redeem(found.posted))
            else:
                request, marker = self._request(number, subject, place, asked, began)
                told = self._announced(request, marker, place, subject, decision, said)
                verdict = await self._answered(told, place, began, _WAYS[self._mode])
        finally:
            self._open -= 1
        if verdict.awaited:
            self.awaited.append(told.request.reference)
        if verdict.released and self._scope is Scope.SESSION:
            self._standing[same] = told.request.id
        return verdict

    @property
    def metrics(self) -> Metrics:
        """How often people were asked, and what came of it."""
        return metrics(len(self._verdicts) + self._open, self._verdicts)

    async def close(self) -> None:
        """Wait until the comments of the requests that were decided are up to date."""
        await asyncio.gather(*self._closing)

    def _refusal(self, subject: Operation | Result, asked: Sequence[Panel]) -> str:
        """Why nobody can be asked; empty when somebody can."""
        if not asked or not all(panel.electors for panel in asked):
            return "It is held for approval, but the policy names nobody who may approve it."
        if self._mode is Mode.RESUME and not recognisable(subject):
            return f"It is held for approval, but {NOT_RECOGNISABLE}."
        if self._open >= self._limits.most_open:
            return f"It is held for approval, but {self._open} requests are open already: wait for their answers."
        if self._asked >= self._limits.most:
            return f"It is held for approval, but this session has asked {self._asked} times already, which is all."
        return ""

    def _request(
        self, number: str, subject: Operation | Result, place: Place, asked: tuple[Panel, ...], began: datetime
    ) -> tuple[ApprovalRequest, str]:
        """A new request, and its marker if it has one."""
        run = replace(self._run, place=place.name, head=place.head)
        if self._mode is Mode.RESUME:
            run = replace(run, attempt=str(int(run.attempt) + 1))
        expires = began + self._limits.timeout
        # Whole seconds, as it is spelt where the digest binds it.
        expires += timedelta(microseconds=-expires.microsecond % 1_000_000)
        excluded = [account for account, _ in place.excluded]
        request = ApprovalRequest(
            id=number,
            digest=request_digest(subject, run, number, expires=spelt(expires), excluded=excluded),
            head=place.head,
            expires=expires,
            panels=asked,
            excluded=place.excluded,
            prefix=place.thread.prefix,
        )
        return request, write(marker_of(request, run, self._run.attempt)) if self._mode is Mode.RESUME else ""

    async def _found(self, subject: Operation | Result, place: Place, asked: tuple[Panel, ...]) -> Earlier | None:
        """The request about ``subject`` of the attempt before that was decided, and whose approval is now ours."""
        if self._mode is Mode.WAIT:
            return None
        until = self._clock.now() + ASKING
        since = self._clock.now() - self._limits.timeout
        run = replace(self._run, place=place.name, head=place.head)
        look_back = partial(earlier, place.thread, since, subject, run, asked, place.excluded)
        for found in await patiently(look_back, self._clock, until):
            reference = found.request.reference
            look = Look(found.request, place.thread, self._clock, self._own)
            ruling = await patiently(partial(look.anew, found.posted), self._clock, until)
            if reference in self._used or not isinstance(ruling.outcome, Released | Denied):
                continue
            self._used.add(reference)
            mine = Claim(reference, self._run.session)
            if isinstance(ruling.outcome, Denied):
                return found
            if await patiently(partial(claim, place.thread, found.posted, mine), self._clock, until):
                return found
        return None

    def _announced(
        self,
        request: ApprovalRequest,
        marker: str,
        place: Place,
        subject: Operation | Result,
        decision: Decision,
        said: str,
    ) -> Asked:
        """The request, once it is in the log. Its comment can then name the log's head."""
        shown = self._mask(subject)
        body = self._recorder.store(dump(dict(shown.body)))
        seq = self._recorder.record(
            event.ApprovalRequested(
                approval=request.id,
                digest=request.digest,
                subject=subject.kind.value,
                connection=subject.connection,
                body=body,
                place=place.name,
                head=place.head,
                quorums=[
                    event.QuorumFacts(count=quorum.count, approvers=list(quorum.approvers))
                    for quorum in decision.quorums
                ],
                expires=spelt(request.expires),
            )
        )
        return Asked(request, shown, decision, said, body, seq, self._recorder.head, self._scope, marker)

    async def _answered(
        self, asked: Asked, place: Place, began: datetime, way: Callable[[Question], Awaitable[Ruling]]
    ) -> Verdict:
        """The verdict on ``asked``, which is had in this ``way``."""

        def posted(url: str) -> None:
            for watcher in self._watchers:
                watcher.asked(asked, url)

        question = Question(asked.request, place.thread, self._clock, self._texts(asked), self._own, posted)
        ruling = Ruling(Withdrawn("The agent no longer waits for it."))
        try:
            ruling = await way(question)
        finally:
            # In the log before anything goes on, and also when nobody waits any more.
            verdict = self._verdict(ruling)
            waited = round((self._clock.now() - began).total_seconds() * 1000)
            decided = Decided(_word(ruling.outcome), verdict, waited)
            self._recorder.record(
                event.Verdict(
                    approval=asked.request.id,
                    outcome=decided.outcome,
                    reason=verdict.reason,
                    comment=question.comment,
                    waited_ms=waited,
                    evidence=[_facts(evidence) for evidence in _evidence(ruling)],
                    discounted=len(ruling.discounted),
                )
            )
            self._verdicts.append((decided.outcome, waited))
            if not verdict.awaited:
                for watcher in self._watchers:
                    watcher.decided(asked, decided, question.url)
            closing = asyncio.create_task(question.close(ruling))
            self._closing.add(closing)
            closing.add_done_callback(self._closing.discard)
        return verdict

    def _verdict(self, ruling: Ruling) -> Verdict:
        match ruling.outcome:
            case Released(approvals):
                names = ", ".join(f"@{approval.login}" for approval in approvals)
                return Verdict(released=True, reason=f"It was approved by {names}.")
            case Denied(denial, reason):
                given = f": {self._mask_text(reason)[:LONGEST_REASON]}" if reason else "."
                return Verdict(released=False, reason=f"It was held for approval and denied by @{denial.login}{given}")
            case Withdrawn(why):
                return Verdict(released=False, reason=f"It was held for approval. {why}")
            case Awaited():
                return Verdict(released=False, reason=f"It waits for approval. {ENDS}", awaited=True)
            case Expired() | Pending():
                minutes = self._limits.timeout.total_seconds() / 60
                return Verdict(
                    released=False, reason=f"It was held for approval and nobody decided within {minutes:g} minutes."
                )


def _evidence(ruling: Ruling) -> Sequence[Evidence]:
    return [ruling.outcome.denial] if isinstance(ruling.outcome, Denied) else ruling.approvals


def _word(outcome: Outcome) -> event.VerdictOutcome:
    match outcome:
        case Released():
            return "released"
        case Denied():
            return "denied"
        case Withdrawn():
            return "withdrawn"
        case Awaited():
            return "awaited"
        case Expired() | Pending():
            return "expired"


def _facts(evidence: Evidence) -> event.EvidenceFacts:
    return event.EvidenceFacts(
        comment=evidence.comment,
        account=evidence.account,
        login=evidence.login,
        role=evidence.role.word,
        created=spelt(evidence.created),
        body=evidence.body,
        answers=list(evidence.answers),
    )


_WAYS: Mapping[Mode, Callable[[Question], Awaitable[Ruling]]] = {
    Mode.WAIT: Question.answer,
    Mode.RESUME: Question.leave,
}

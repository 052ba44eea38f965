"""Approval by letting a job into a protected environment.

One job ends where something is held, and its summary shows what. The reviewers of an environment then let a second job
of the same run in, which is told the references of exactly that: what has such a digest passes once there.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from ciguard.approvals.approver import Verdict
from ciguard.approvals.asking import NOT_RECOGNISABLE, Scope
from ciguard.approvals.request import Run, content_digest, recognisable, request_digest, spelt
from ciguard.codecs.document import dump
from ciguard.decision import Decision
from ciguard.operation import Operation, Result
from ciguard.session import event
from ciguard.session.recorder import Recorder

REFERENCE = re.compile(r"(?P<request>[0-9a-f]{6}\.[1-9][0-9]{0,5})-[0-9a-f]{24}", re.ASCII)

LONGEST_REVIEW = timedelta(days=30)
"""A job that waits for a review fails after that (GitHub's "Deployments and environments")."""

MOST_SHOWN = 700_000
"""Bytes of what waits that a job's summary has room for; GitHub takes 1 MiB of a step."""

ENDS = "This job ends here, and another one is let into the environment when its reviewers approve."


@dataclass(frozen=True, slots=True)
class Admitted:
    """This job was let into the environment by ``reviewers``, for the requests with these ``references``."""

    references: tuple[str, ...]
    reviewers: tuple[str, ...]


class EnvironmentApprover:
    """Releases what a job was let into ``environment`` for, and leaves the rest to another job.

    ``run`` has no session and no job: another session of another job uses the answer. ``mask`` hides what rules hide,
    and ``size`` is how many bytes of the summary something takes.
    """

    def __init__(
        self,
        environment: str,
        run: Run,
        session: str,
        admitted: Admitted,
        most: int,
        scope: Scope,
        recorder: Recorder,
        now: Callable[[], datetime],
        *,
        mask: Callable[[Operation | Result], Operation | Result],
        size: Callable[[Operation | Result], int],
    ) -> None:
        self._environment = environment
        self._run = run
        self._session = session
        self._admitted = admitted
        self._left = list(admitted.references)
        self._most = most
        self._scope = scope
        self._recorder = recorder
        self._now = now
        self._mask = mask
        self._size = size
        self._room = MOST_SHOWN
        self._asked = 0
        self._standing: dict[str, str] = {}
        self.awaited: list[str] = []

    async def ask(self, subject: Operation | Result, decision: Decision, said: str) -> Verdict:
        """See Approver."""
        content = content_digest(subject)
        if request := self._standing.get(content):
            reason = f"The same was approved for the whole session with request {request}."
            return Verdict(released=True, reason=reason, standing=request)
        if not recognisable(subject):
            return Verdict(released=False, reason=f"It is held for approval, but {NOT_RECOGNISABLE}.")
        for reference in self._left:
            if reference == self._reference(subject, reference.partition("-")[0]):
                self._left.remove(reference)
                return self._released(subject, reference, content)
        return self._awaited(subject)

    def _reference(self, subject: Operation | Result, request: str) -> str:
        return f"{request}-{request_digest(subject, self._run, request)}"

    def _released(self, subject: Operation | Result, reference: str, content: str) -> Verdict:
        people = ", ".join(f"@{login}" for login in self._admitted.reviewers)
        verdict = Verdict(released=True, reason=f"It was approved by {people} for {self._environment}.")
        self._record(self._mask(subject), reference, "released", verdict)
        if self._scope is Scope.SESSION:
            self._standing[content] = reference.partition("-")[0]
        return verdict

    def _awaited(self, subject: Operation | Result) -> Verdict:
        shown = self._mask(subject)
        needed = self._size(shown)
        if self._asked >= self._most:
            reason = f"It is held for approval, but this session has asked {self._asked} times already, which is all."
            return Verdict(released=False, reason=reason)
        if needed > self._room:
            reason = "It is held for approval, but it is too long for the summary in which reviewers would read it."
            return Verdict(released=False, reason=reason)
        self._asked += 1
        self._room -= needed
        reference = self._reference(subject, f"{self._session[:6]}.{self._asked}")
        verdict = Verdict(released=False, reason=f"It waits for approval. {ENDS}", awaited=True)
        self._record(shown, reference, "awaited", verdict)
        self.awaited.append(reference)
        return verdict

    def _record(
        self, shown: Operation | Result, reference: str, outcome: event.VerdictOutcome, verdict: Verdict
    ) -> None:
        request, _, digest = reference.partition("-")
        self._recorder.record(
            event.ApprovalRequested(
                approval=request,
                digest=digest,
                subject=shown.kind.value,
                connection=shown.connection,
                body=self._recorder.store(dump(dict(shown.body))),
                place=self._environment,
                head=self._run.head,
                quorums=[event.QuorumFacts(count=1, approvers=[self._environment])],
                expires=spelt(self._now() + LONGEST_REVIEW),
            )
        )
        self._recorder.record(
            event.Verdict(
                approval=request,
                outcome=outcome,
                reason=verdict.reason,
                comment=None,
                waited_ms=0,
                evidence=[],
                discounted=0,
            )
        )


def references(text: str) -> tuple[str, ...] | None:
    """The references in ``text``, separated by spaces, as the output ``awaiting`` has them; None when it has others."""
    words = text.split()
    return tuple(words) if len(words) <= 500 and all(REFERENCE.fullmatch(word) for word in words) else None


def place_of(server: str, repository: str, environment: str) -> str:
    """The name of an environment as requests are bound to it."""
    return f"{server}/{repository} environment {environment}"


def bound_run(place: str, run: str, attempt: str, head: str, policy: str) -> Run:
    """What requests of this run are bound to, in whichever of its jobs."""
    return Run(session="", place=place, run=run, attempt=attempt, job="", head=head, policy=policy)

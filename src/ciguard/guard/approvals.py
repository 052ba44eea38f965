"""Approvals of one session: whom to ask and where, and the note that introduces the session there."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING

from ciguard.approvals.approver import Approver, Nobody
from ciguard.errors import ApprovalUnavailable
from ciguard.forge.job import Forge, Job
from ciguard.operation import Operation, Result
from ciguard.sandbox.levels import Way
from ciguard.session.recorder import Recorder

if TYPE_CHECKING:
    from ciguard.approvals.asking import Asked, ForgeApprover, Place
    from ciguard.approvals.watcher import Decided
    from ciguard.forge.desk import Desk
    from ciguard.forge.thread import Posted
    from ciguard.guard.judge import Notice
    from ciguard.guard.plan import Plan
    from ciguard.guard.webhook import Webhook
    from ciguard.report.approval_comment import Asker, Note

TOKENS = {
    Forge.GITHUB: "give the action its input github-token, or app-id and app-private-key",
    Forge.GITLAB: "set the masked variable CIGUARD_GITLAB_TOKEN to a project access token",
}
"""How the guard gets one."""

_TEAM = re.compile(r"@[A-Za-z0-9-]+/")

PATIENCE = timedelta(seconds=15)
"""How long trouble of the forge's may keep the session's note from being brought up to date at the end."""


@dataclass(frozen=True, slots=True)
class Masking:
    """What must not be seen in the thread: of an operation or result, what rules hide; of a text, every secret."""

    subject: Callable[[Operation | Result], Operation | Result]
    text: Callable[[str], str]


class JobLog:
    """Shows in the job's log where people are asked, as soon as they are; see Watcher."""

    def __init__(self, announce: Callable[[Notice], None]) -> None:
        self._announce = announce

    def asked(self, asked: Asked, url: str) -> None:
        """See Watcher."""
        from ciguard.guard.judge import held

        self._announce(held(asked.subject, asked.decision, f"asked at {url}"))

    def decided(self, asked: Asked, decided: Decided, url: str) -> None:
        """What became of it is shown when it is recorded, as of everything that is held."""


class Approvals:
    """Who is asked in a session, and what is to be brought to an end with it.

    ``where`` is where people decide on what they are asked, and ``then`` what they do there, for people.
    """

    def __init__(self, approver: Approver) -> None:
        self.approver = approver
        self.where = ""
        self.then = ""

    @property
    def awaited(self) -> Sequence[str]:
        """References of the requests that people decide after the session."""
        return ()

    async def close(self, outcome: str) -> None:
        """The session ended; ``outcome`` says how."""


class ForgeApprovals(Approvals):
    """Approvals on a forge. The note of the session is brought up to date at its end, if the forge lets it."""

    def __init__(
        self,
        approver: ForgeApprover,
        desk: Desk,
        place: Place | None,
        note: Note,
        recorder: Recorder,
        webhook: Webhook | None,
    ) -> None:
        super().__init__(approver)
        self._forge = approver
        self._webhook = webhook
        self._desk = desk
        self._place = place
        self._note = note
        self._recorder = recorder
        self._posted: Posted | None = None
        self.where = place.name if place else ""
        self.then = "answer there; the job then runs again"

    @property
    def awaited(self) -> Sequence[str]:
        """See Approvals."""
        return self._forge.awaited

    async def announce(self) -> None:
        """Write the note, before the agent starts: it also shows that the token may write there."""
        from ciguard.approvals.clock import SteadyClock
        from ciguard.forge.desk import prepared
        from ciguard.report.approval_comment import session_note

        if self._place:
            thread, text = self._place.thread, session_note(self._note)
            what = f"the guard's token cannot comment on {self._place.name}"
            self._posted = await prepared(lambda: thread.post(text), what, self._desk.needs, SteadyClock())

    async def close(self, outcome: str) -> None:
        """See Approvals."""
        from ciguard.approvals.clock import SteadyClock
        from ciguard.approvals.waiting import OutOfTime, patiently
        from ciguard.report.approval_comment import session_note

        await self._forge.close()
        if self._webhook:
            await self._webhook.close()
        if self._place and self._posted:
            counts = self._recorder.counts
            told = f"{counts.operations}, {counts.held} held, {counts.blocked} blocked, {counts.masked} values masked"
            metrics = self._forge.metrics
            note = replace(self._note, outcome=outcome, counts=told, head=self._recorder.head)
            text = session_note(replace(note, approvals=metrics.words if metrics.requests else ""))
            thread, posted, clock = self._place.thread, self._posted, SteadyClock()
            # The note is for people; what counts is in the record.
            with suppress(OutOfTime):
                await patiently(lambda: thread.edit(posted.id, text), clock, clock.now() + PATIENCE)
        self._desk.close()


async def open_approvals(
    plan: Plan,
    way: Way,
    session: str,
    argv: tuple[str, ...],
    recorder: Recorder,
    masking: Masking,
    announce: Callable[[Notice], None],
) -> Approvals:
    """Whoever can be asked in this session; ``announce`` shows those who watch the job where people are asked.

    Raises ApprovalUnavailable where the policy asks for what cannot be had.
    """
    job = plan.identity.job
    if job is None:
        return _nobody("this is no job of a forge")
    if environment := plan.policy.approval.environment:
        from ciguard.guard.environment_approvals import through_environment

        return await through_environment(plan, environment, session, recorder, masking)
    if job.forge is Forge.GITLAB and plan.policy.approval.mode == "resume":
        raise ApprovalUnavailable(
            "the policy says approval.mode: resume, and on GitLab a job that runs again cannot be told from a new one",
            "write mode: wait, or remove the line",
        )
    if not plan.policy.approvers():
        return _nobody("the policy names no approvers")
    desk = _desk(plan, job)
    if desk is None:
        return _nobody(f"the guard has no token for the forge; {TOKENS[job.forge]}")
    return await _on_forge(plan, way, job, desk, session, argv, recorder, masking, announce)


def _desk(plan: Plan, job: Job) -> Desk | None:
    """The desk of the job's forge; None without a token for it."""
    match job.forge:
        case Forge.GITHUB:
            from ciguard.forge import github_desk

            api = github_desk.approval_api(plan.environ, job.repository, members=names_teams(plan))
            return github_desk.GitHubDesk(api, job, plan.environ) if api else None
        case Forge.GITLAB:
            from ciguard.forge import gitlab, gitlab_desk

            token = gitlab.approval_token(plan.environ)
            return gitlab_desk.GitLabDesk(gitlab_desk.api_of(plan.environ, token), job, plan.environ) if token else None


def names_teams(plan: Plan) -> bool:
    """Whether the policy, or the file of owners that it goes by, names teams."""
    names = plan.policy.approvers()
    return _TEAM.search(plan.codeowners) is not None or any(_TEAM.match(name) for name in names)


def _nobody(why: str) -> Approvals:
    return Approvals(Nobody(why))


async def _on_forge(
    plan: Plan,
    way: Way,
    job: Job,
    desk: Desk,
    session: str,
    argv: tuple[str, ...],
    recorder: Recorder,
    masking: Masking,
    announce: Callable[[Notice], None],
) -> Approvals:
    from ciguard.approvals.asking import ForgeApprover, Limits, Mode, Scope
    from ciguard.approvals.clock import SteadyClock
    from ciguard.approvals.request import Run
    from ciguard.guard.webhook import Webhook
    from ciguard.report.approval_comment import ApprovalTexts, Asker

    policy = plan.policy.approval
    try:
        actor = str(plan.identity.claims.get(desk.actor_claim, ""))
        place = await desk.place(actor=actor, self_approval=policy.self_approval)
        if place is None and policy.without_pull_request == "block":
            desk.close()
            return _nobody("the job runs for no pull or merge request, and the policy opens no issue to ask in")
        if place is None and policy.mode == "resume":
            desk.close()
            return _nobody(
                "the job runs for no pull request or issue, where approval.mode: resume finds an answer again"
            )
        roster = await desk.roster(plan.policy.approvers(), plan.codeowners)
        if policy.mode == "wait":
            await _outlasts(desk, policy.timeout_seconds)
        head = place.head if place and place.head else job.sha
        asker = Asker(shlex.join(masking.text(word) for word in argv), session, job.run_url, head, job.actor)
        webhook = Webhook(plan.hook, asker, recorder, announce) if plan.hook else None
        approver = ForgeApprover(
            _Opening(desk, place, actor, job.run_id, self_approval=policy.self_approval).place,
            Run(session, "", job.run_id, job.run_attempt, job.name, "", plan.policy.digest),
            roster,
            Limits(timedelta(seconds=policy.timeout_seconds), policy.most_open, policy.most),
            SteadyClock(),
            recorder,
            mask=masking.subject,
            mask_text=masking.text,
            texts=lambda asked: ApprovalTexts(asked, asker),
            watchers=[JobLog(announce), *([webhook] if webhook else [])],
            mode=Mode(policy.mode),
            scope=Scope(policy.scope),
        )
        approvals = ForgeApprovals(approver, desk, place, _note(plan, way, job, asker), recorder, webhook)
        await approvals.announce()
    except BaseException:
        desk.close()
        raise
    return approvals


async def _outlasts(desk: Desk, longest: int) -> None:
    """Raises ApprovalUnavailable when the token ends before ``longest`` seconds from now."""
    from datetime import UTC, datetime

    from ciguard.approvals.metrics import duration
    from ciguard.errors import ApprovalUnavailable

    expires = await desk.expires()
    if expires and expires < datetime.now(UTC) + timedelta(seconds=longest):
        raise ApprovalUnavailable(
            f"the guard's token ends at {expires:%Y-%m-%d %H:%M} UTC, before people had "
            f"approval.timeout ({duration(1000 * longest)})",
            "give the guard a token that lasts longer (on GitHub, an App makes its own), or shorten approval.timeout",
        )


class _Opening:
    """The place to ask in: the one that there is, or an issue that is opened when it is first needed."""

    def __init__(self, desk: Desk, place: Place | None, actor: str, run: str, *, self_approval: bool) -> None:
        import asyncio

        self._desk = desk
        self._place = place
        self._run = run
        self._actor = actor
        self._self_approval = self_approval
        self._lock = asyncio.Lock()

    async def place(self) -> Place:
        from ciguard.forge.thread import ForgeTrouble

        async with self._lock:
            if self._place is None:
                try:
                    self._place = await self._desk.new_place(
                        f"ciguard: approval for run {self._run}",
                        "A guarded agent asks here what it may do. Its run was started for no change to review.",
                        actor=self._actor,
                        self_approval=self._self_approval,
                    )
                except ApprovalUnavailable as error:
                    raise ForgeTrouble(error.cause) from None
            return self._place


def _note(plan: Plan, way: Way, job: Job, asker: Asker) -> Note:
    from ciguard.report.approval_comment import Note

    return Note(
        asker=asker,
        policy=plan.policy.digest,
        source=plan.source,
        isolation=way.level.value,
        limits=way.limits,
        issuer=plan.identity.issuer,
        artifacts=job.artifacts_url,
        signers=tuple(map(str, plan.signers)),
    )

"""Approvals of a session that are given by letting a job into a protected environment (``approval.via``)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from ciguard.errors import ApprovalUnavailable, IdentityRefused
from ciguard.forge.job import Forge, Job
from ciguard.guard.approvals import Approvals, Masking

if TYPE_CHECKING:
    from ciguard.approvals.admission import EnvironmentApprover
    from ciguard.guard.plan import Plan
    from ciguard.session.recorder import Recorder

NEEDS = (
    "give the job that is let in these permissions, in the workflow:\n"
    "permissions:\n"
    "  actions: read\n"
    "  contents: read\n"
    "  id-token: write"
)


class EnvironmentApprovals(Approvals):
    """Approvals by the reviewers of an environment."""

    def __init__(self, approver: EnvironmentApprover, environment: str) -> None:
        super().__init__(approver)
        self._environment = approver
        self.where = f"the environment {environment}"
        self.then = "let the job that needs this one into it"

    @property
    def awaited(self) -> Sequence[str]:
        """See Approvals."""
        return self._environment.awaited


async def through_environment(
    plan: Plan, environment: str, session: str, recorder: Recorder, masking: Masking
) -> Approvals:
    """Approvals through ``environment``, for what this job was let into it if it was.

    Raises ApprovalUnavailable, or IdentityRefused when the job claims approvals and was not let in.
    """
    from ciguard.approvals.admission import Admitted, EnvironmentApprover, bound_run, place_of
    from ciguard.approvals.asking import Scope
    from ciguard.approvals.clock import SteadyClock
    from ciguard.report.approval_comment import whole
    from ciguard.report.inert import visible

    job = plan.identity.job
    if job is None or job.forge is not Forge.GITHUB:
        raise ApprovalUnavailable(
            "the policy says approval.via: environment, which only jobs of GitHub can have",
            "write via: comment, or remove the line",
        )
    place = place_of(urlsplit(job.server_url).hostname or "", job.repository, environment)
    head = job.change.head_sha if job.change else job.sha
    reviewers = await _reviewers(plan, job, environment) if plan.approved else ()
    approver = EnvironmentApprover(
        place,
        bound_run(place, job.run_id, job.run_attempt, head, plan.policy.digest),
        session,
        Admitted(plan.approved, reviewers),
        plan.policy.approval.most,
        Scope(plan.policy.approval.scope),
        recorder,
        SteadyClock().now,
        mask=masking.subject,
        size=lambda shown: len(visible(whole(shown).text).encode()),
    )
    return EnvironmentApprovals(approver, environment)


async def _reviewers(plan: Plan, job: Job, environment: str) -> tuple[str, ...]:
    """Who let this job into the environment: its token says that it was, and GitHub says by whom."""
    from ciguard.approvals.clock import SteadyClock
    from ciguard.forge.desk import prepared
    from ciguard.forge.github import approval_token, author
    from ciguard.forge.github_desk import GitHubDesk, api_of
    from ciguard.forge.github_runs import reviews

    claims = plan.identity.claims
    if claims.get("environment", "") != environment:
        raise IdentityRefused(
            f"this job was given approvals, and its identity token is not for the environment {environment}",
            f"write environment: {environment} in the job that has the input approved, and only there",
        )
    token = approval_token(plan.environ)
    if not token:
        raise ApprovalUnavailable("the guard has no token to ask GitHub who let this job in", NEEDS)
    api = api_of(plan.environ, token)
    desk = GitHubDesk(api, job, plan.environ)
    try:
        what = f"GitHub does not say who let this run into the environment {environment}"
        found = await prepared(
            lambda: reviews(api, job.repository, job.run_id, environment), what, NEEDS, SteadyClock()
        )
        excluded: set[int | None] = set()
        if not plan.policy.approval.self_approval:
            actors = await desk.actors(claims.get(desk.actor_claim, ""))
            excluded = {author(plan.environ), *(account for account, _ in actors)}
    finally:
        desk.close()
    allowed = [one for one in found if one.account not in excluded]
    if not allowed:
        raise ApprovalUnavailable(
            f"nobody who counts has let this run into the environment {environment}: a review does not count by who "
            "opened the pull request or started the run",
            "give the environment other required reviewers in the repository's settings, and prevent self-review there",
        )
    return tuple(dict.fromkeys(one.login for one in allowed))

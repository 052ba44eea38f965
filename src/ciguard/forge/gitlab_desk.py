"""Getting ready to ask on GitLab; see :class:`~ciguard.forge.desk.Desk`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from urllib.parse import urlsplit

from ciguard.approvals.asking import Place
from ciguard.approvals.clock import SteadyClock
from ciguard.approvals.codeowners import has_sections
from ciguard.approvals.person import Elector, Person, Roster, Team
from ciguard.approvals.waiting import Clock
from ciguard.errors import ApprovalUnavailable
from ciguard.forge.desk import ACTOR, AUTHOR, prepared, resolved
from ciguard.forge.environment import URL
from ciguard.forge.gitlab_api import GitLabApi
from ciguard.forge.gitlab_thread import (
    GitLabThread,
    edits_query,
    find_author,
    find_rule,
    find_token,
    find_user,
    group_exists,
    open_issue,
    started_pipeline,
)
from ciguard.forge.job import Job

NEEDS = (
    "create a project access token with the role Developer and the scope api, and set it as the masked variable\n"
    "CIGUARD_GITLAB_TOKEN (not protected, if merge requests come from unprotected branches)"
)

SUFFIX = "/api/v4"


def api_of(environ: Mapping[str, str], token: str) -> GitLabApi:
    """The API that the job's environment names; ApprovalUnavailable when that is no address to send a token to."""
    url = environ.get("CI_API_V4_URL", "")
    parts = urlsplit(url)
    local = parts.scheme == "http" and parts.hostname in ("127.0.0.1", "localhost", "::1")
    if not URL.fullmatch(url) or not url.endswith(SUFFIX) or not (parts.scheme == "https" or local):
        raise ApprovalUnavailable(
            "CI_API_V4_URL is not the https address of GitLab's API",
            "run ciguard in a GitLab job, which sets it, on a GitLab that is served over https",
        )
    return GitLabApi(url.removesuffix(SUFFIX), token)


async def elector(api: GitLabApi, name: str, clock: Clock) -> Elector:
    """Whom ``name`` stands for, such as ``@alice`` or ``@acme/dba``; ApprovalUnavailable when the token sees nobody."""
    path = name.removeprefix("@")
    if "/" not in path:
        user = await prepared(lambda: find_user(api, path), f"the policy names {name}, whom GitLab hides", NEEDS, clock)
        if user is not None:
            return Person(path, user)
    await prepared(
        lambda: group_exists(api, path),
        f"the policy names {name}, and the guard's token sees no user or group of that name",
        "correct the name, or give the guard a token that may read the group, or name people or a role",
        clock,
    )
    return Team(path)


class GitLabDesk:
    """What a session needs to ask on GitLab, as ``job`` has it."""

    needs = NEEDS
    actor_claim = "user_id"

    def __init__(self, api: GitLabApi, job: Job, environ: Mapping[str, str], clock: Clock | None = None) -> None:
        self._api = api
        self._job = job
        self._environ = environ
        self._clock = clock or SteadyClock()
        self._host = urlsplit(job.server_url).hostname or ""

    async def roster(self, names: Iterable[str], codeowners: str) -> Roster:
        """See Desk."""
        asked = tuple(names)
        if has_sections(codeowners) and any(name.startswith("codeowners:") for name in asked):
            raise ApprovalUnavailable(
                "the policy asks the owners of paths, and CODEOWNERS on the base branch has sections",
                "name the people or groups in the policy: owners by section are not read yet",
            )
        return await resolved(asked, codeowners, lambda name: elector(self._api, name, self._clock), self._rule)

    async def place(self, *, actor: str, self_approval: bool) -> Place | None:
        """See Desk. It is the merge request that the job runs for."""
        change = self._job.change
        if change is None:
            return None
        await self._sees_edits()
        author = await prepared(
            lambda: find_author(self._api, self._job.repository, change.number),
            f"the guard's token cannot read merge request {change.number} of {self._job.repository}",
            NEEDS,
            self._clock,
        )
        excluded = () if self_approval else (*await self._actors(actor), (author, AUTHOR))
        return Place(
            self._thread(change.number, "merge_requests"), self._name("!", change.number), change.head_sha, excluded
        )

    async def new_place(self, title: str, body: str, *, actor: str, self_approval: bool) -> Place:
        """See Desk."""
        await self._sees_edits()
        excluded = () if self_approval else await self._actors(actor)
        number = await prepared(
            lambda: open_issue(self._api, self._job.repository, title, body),
            "the guard's token cannot open an issue",
            NEEDS,
            self._clock,
        )
        return Place(self._thread(number, "issues"), self._name("#", number), "", excluded)

    async def expires(self) -> datetime | None:
        """See Desk. GitLab tells it of access tokens, which end when that day begins (UTC)."""
        token = await prepared(
            lambda: find_token(self._api), "the guard's token cannot be looked at", NEEDS, self._clock
        )
        return token.expires if token else None

    def close(self) -> None:
        """See Desk."""
        self._api.close()

    async def _sees_edits(self) -> None:
        """Found out before the agent starts, not when a hold comes: GraphQL must tell who edited what."""
        await prepared(
            lambda: self._api.graphql(edits_query([1])),
            "GitLab does not say whether notes were edited",
            f"use GitLab 16 or newer, or:\n{NEEDS}",
            self._clock,
        )

    async def _rule(self, name: str) -> tuple[Elector, ...]:
        """Who may approve by the project's approval rule ``name``, as of now."""
        approvers = await prepared(
            lambda: find_rule(self._api, self._job.repository, name),
            f'the policy names the approval rule "{name}", and the guard cannot read the project\'s rules',
            "approval rules need a paid tier of GitLab; or name people, groups or a role in the policy",
            self._clock,
        )
        if not approvers:
            raise ApprovalUnavailable(
                f'the policy names the approval rule "{name}", and the project has none of that name with approvers',
                "correct the name, or name people or groups in that rule",
            )
        return tuple(Person(login, account) for login, account in approvers)

    async def _actors(self, claimed: str) -> tuple[tuple[int, str], ...]:
        """Who started the run: by the token, by the environment, and who started the pipeline that the job is in."""
        pipeline = await prepared(
            lambda: started_pipeline(self._api, self._job.repository, self._job.run_id),
            "the guard's token cannot read who started the pipeline",
            NEEDS,
            self._clock,
        )
        ids = {int(known) for known in (claimed, self._environ.get("GITLAB_USER_ID", "")) if known.isdecimal()}
        return tuple((account, ACTOR) for account in sorted(ids | {pipeline}))

    def _thread(self, number: int, kind: str) -> GitLabThread:
        return GitLabThread(self._api, self._job.server_url, self._job.repository, number, kind)

    def _name(self, mark: str, number: int) -> str:
        return f"{self._host}/{self._job.repository}{mark}{number}"

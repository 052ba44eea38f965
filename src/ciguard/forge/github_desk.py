"""Getting ready to ask on GitHub; see :class:`~ciguard.forge.desk.Desk`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from urllib.parse import urlsplit

from ciguard.approvals.asking import Place
from ciguard.approvals.clock import SteadyClock
from ciguard.approvals.person import Elector, Person, Roster, Team
from ciguard.approvals.waiting import Clock
from ciguard.errors import ApprovalUnavailable
from ciguard.forge.desk import ACTOR, AUTHOR, prepared, resolved
from ciguard.forge.environment import URL
from ciguard.forge.github import APP_ID_VARIABLE, APP_KEY_VARIABLE, approval_token
from ciguard.forge.github_api import GitHubApi, StaticToken
from ciguard.forge.github_app import app_tokens
from ciguard.forge.github_thread import GitHubThread, find_issue, find_users, open_issue, team_exists
from ciguard.forge.job import Job

NEEDS = (
    "give the job's token these permissions, in the workflow:\n"
    "permissions:\n"
    "  contents: read\n"
    "  id-token: write\n"
    "  issues: write\n"
    "  pull-requests: write"
)


def api_of(environ: Mapping[str, str], token: str) -> GitHubApi:
    """The API that the job's environment names; ApprovalUnavailable when that is no address to send a token to."""
    return GitHubApi(_address(environ), StaticToken(token))


def approval_api(environ: Mapping[str, str], repository: str, *, members: bool) -> GitHubApi | None:
    """That API as whoever ``environ`` has a token or a key of; None when it has neither. An App goes first.

    ``members`` says that teams are to be read. Raises ApprovalUnavailable, also when an App is not described whole.
    """
    if environ.get(APP_ID_VARIABLE) or environ.get(APP_KEY_VARIABLE):
        url = _address(environ)
        return GitHubApi(url, app_tokens(url, environ, repository, members=members))
    token = approval_token(environ)
    return api_of(environ, token) if token else None


def _address(environ: Mapping[str, str]) -> str:
    url = environ.get("GITHUB_API_URL", "")
    parts = urlsplit(url)
    local = parts.scheme == "http" and parts.hostname in ("127.0.0.1", "localhost", "::1")
    if not URL.fullmatch(url) or not (parts.scheme == "https" or local):
        raise ApprovalUnavailable(
            "GITHUB_API_URL is not the https address of GitHub's API",
            "run ciguard in a step of a GitHub job, which sets it",
        )
    return url


async def elector(api: GitHubApi, name: str, clock: Clock) -> Elector:
    """Whom ``name`` stands for, such as ``@alice`` or ``@acme/dba``; ApprovalUnavailable when the token sees nobody."""
    login = name.removeprefix("@")
    if "/" in login:
        await prepared(
            lambda: team_exists(api, login),
            f"the policy names the team {name}, which the guard's token cannot read",
            "give the action a github-token that may read the organisation's members, or name people or a role",
            clock,
        )
        return Team(login)
    ids = await prepared(
        lambda: find_users(api, [login]),
        f"the policy names {name}, whom GitHub does not find",
        "correct the name in the policy",
        clock,
    )
    return Person(login, ids[login])


async def _no_rule(name: str) -> tuple[Elector, ...]:
    raise ApprovalUnavailable(
        f'the policy names the approval rule "{name}", and GitHub has no approval rules',
        'name people, teams, a role or "codeowners:/path" instead',
    )


class GitHubDesk:
    """What a session needs to ask on GitHub, as ``job`` has it."""

    needs = NEEDS
    actor_claim = "actor_id"

    def __init__(self, api: GitHubApi, job: Job, environ: Mapping[str, str], clock: Clock | None = None) -> None:
        self._api = api
        self._job = job
        self._environ = environ
        self._clock = clock or SteadyClock()
        self._server = urlsplit(job.server_url).hostname or ""

    async def roster(self, names: Iterable[str], codeowners: str) -> Roster:
        """See Desk."""
        return await resolved(names, codeowners, lambda name: elector(self._api, name, self._clock), _no_rule)

    async def place(self, *, actor: str, self_approval: bool) -> Place | None:
        """See Desk. It is the pull request or issue that the job runs for."""
        number = self._job.change.number if self._job.change else self._job.issue
        if number is None:
            return None
        issue = await prepared(
            lambda: find_issue(self._api, self._job.repository, number),
            f"the guard's token cannot read number {number} of {self._job.repository}",
            NEEDS,
            self._clock,
        )
        excluded = () if self_approval else (*await self.actors(actor), (issue.author, AUTHOR))
        thread = GitHubThread(self._api, self._job.repository, number, pull=issue.pull)
        if self._job.change:
            # The commit that the run is about, even when the pull request has moved on since.
            return Place(thread, self._name(number), self._job.change.head_sha, excluded)
        head = await prepared(thread.head, "the guard's token cannot read the pull request", NEEDS, self._clock)
        return Place(thread, self._name(number), head, excluded)

    async def new_place(self, title: str, body: str, *, actor: str, self_approval: bool) -> Place:
        """See Desk."""
        excluded = () if self_approval else await self.actors(actor)
        number = await prepared(
            lambda: open_issue(self._api, self._job.repository, title, body),
            "the guard's token cannot open an issue",
            NEEDS,
            self._clock,
        )
        return Place(
            GitHubThread(self._api, self._job.repository, number, pull=False), self._name(number), "", excluded
        )

    async def expires(self) -> datetime | None:
        """See Desk. What GitHub said with its last answer: it says so of personal access tokens."""
        return self._api.expires

    def close(self) -> None:
        """See Desk."""
        self._api.close()

    async def actors(self, claimed: str) -> tuple[tuple[int, str], ...]:
        """Who started the run: by the token, by the environment, and who started it again."""
        ids = {int(known) for known in (claimed, self._environ.get("GITHUB_ACTOR_ID", "")) if known.isdecimal()}
        logins = {self._job.actor, self._environ.get("GITHUB_TRIGGERING_ACTOR", "")} - {""}
        found = await prepared(
            lambda: find_users(self._api, sorted(logins)),
            "GitHub does not find who started the run",
            "set approval.self_approval if it does not matter",
            self._clock,
        )
        return tuple((account, ACTOR) for account in sorted(ids | set(found.values())))

    def _name(self, number: int) -> str:
        return f"{self._server}/{self._job.repository}#{number}"

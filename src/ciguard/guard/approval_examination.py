"""What the forge lets the guard's token do, found out by reading alone: nothing is written on the forge.

Sources: GitHub's "Scopes for OAuth apps" (``x-oauth-scopes``, which only classic tokens have), GitLab's "Personal
access tokens API" (``self``). Of a job's own and of a fine-grained token GitHub does not tell what it may write.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any

from ciguard.errors import ApprovalUnavailable
from ciguard.guard.examination import Finding

if TYPE_CHECKING:
    from ciguard.approvals.person import Standing
    from ciguard.approvals.waiting import Clock
    from ciguard.policy.models import Policy

SUBJECT = "approvals"

TRIED = (
    "what it may write, GitHub does not say: a session writes its note before the agent starts, and does not start "
    "where it may not"
)


def examine_approvals(environ: Mapping[str, str], policy: Policy | None) -> list[Finding]:
    """Look at what ``policy`` needs of the forge; without a policy or a token, at less."""
    import asyncio

    async def gathered() -> list[Finding]:
        return [finding async for finding in _findings(environ, policy)]

    return asyncio.run(gathered())


def _findings(environ: Mapping[str, str], policy: Policy | None) -> AsyncIterator[Finding]:
    approvers = policy.approvers() if policy else frozenset()
    on_gitlab = environ.get("GITLAB_CI") == "true" or "CIGUARD_GITLAB_TOKEN" in environ
    return _on_gitlab(environ, approvers) if on_gitlab else _on_github(environ, approvers)


async def _on_github(environ: Mapping[str, str], approvers: Iterable[str]) -> AsyncIterator[Finding]:
    from ciguard.approvals.clock import SteadyClock
    from ciguard.approvals.person import Account
    from ciguard.forge.github_app import AppTokens
    from ciguard.forge.github_desk import NEEDS, approval_api, elector
    from ciguard.forge.github_thread import GitHubThread, find_users

    repository, actor, clock = environ.get("GITHUB_REPOSITORY", ""), environ.get("GITHUB_ACTOR", ""), SteadyClock()
    members = any(_is_team(name) for name in approvers)
    try:
        api = approval_api(environ, repository, members=members)
    except ApprovalUnavailable as error:
        yield _missing("token", error)
        return
    if api is None:
        remedy = "set CIGUARD_GITHUB_TOKEN or GITHUB_TOKEN, or CIGUARD_APP_ID and CIGUARD_APP_PRIVATE_KEY"
        yield Finding(SUBJECT, "token", False, ("there is none: what is held is refused",), remedy)
        return
    try:
        if not repository or not actor:
            words = "GITHUB_REPOSITORY and GITHUB_ACTOR say where to look; they are not set"
            yield Finding(SUBJECT, "token", False, (words,), "run it in a job, or set both")
            return

        async def role() -> Standing | None:
            account = Account((await find_users(api, [actor]))[actor], actor, human=True)
            return await GitHubThread(api, repository, 0, pull=False).standing(account, [])

        looked = await _tried("reads roles", role, f"the token cannot read what {actor} may do", NEEDS, clock)
        yield looked
        if not looked.available:
            return
        if isinstance(api.tokens, AppTokens):
            yield Finding(SUBJECT, "writes", True, ("the App's tokens may write issues and pull requests",))
        elif api.scopes is None:
            yield Finding(SUBJECT, "writes", None, (TRIED,), NEEDS)
        else:
            may = bool(api.scopes & {"repo", "public_repo"})
            words = f"the token's scopes: {', '.join(sorted(api.scopes)) or 'none'}"
            yield Finding(
                SUBJECT,
                "writes",
                may,
                (words,),
                "" if may else "make a token with the scope repo, and read:org for teams",
            )
        yield _lasts(api.expires)
        for name in _people(approvers):
            yield await _tried(name, partial(elector, api, name, clock), "", "", clock)
    finally:
        api.close()


async def _on_gitlab(environ: Mapping[str, str], approvers: Iterable[str]) -> AsyncIterator[Finding]:
    from ciguard.approvals.clock import SteadyClock
    from ciguard.approvals.person import Account, Role
    from ciguard.forge import gitlab
    from ciguard.forge.desk import prepared
    from ciguard.forge.gitlab_desk import NEEDS, api_of, elector
    from ciguard.forge.gitlab_thread import GitLabThread, edits_query, find_token

    token, project, clock = gitlab.approval_token(environ), environ.get("CI_PROJECT_PATH", ""), SteadyClock()
    if not token or not project:
        words = "CIGUARD_GITLAB_TOKEN or CI_PROJECT_PATH is not set: what is held is refused"
        yield Finding(SUBJECT, "token", False, (words,), NEEDS)
        return
    try:
        api = api_of(environ, token)
    except ApprovalUnavailable as error:
        yield _missing("token", error)
        return
    try:
        own = await prepared(lambda: find_token(api), "GitLab does not say what the token is", NEEDS, clock)
        if own is None:
            yield Finding(SUBJECT, "writes", None, ("GitLab describes only access tokens; this is another",), NEEDS)
        else:
            thread, account = GitLabThread(api, "", project, 0, "issues"), Account(own.user_id, "", human=False)
            standing = await prepared(
                lambda: thread.standing(account, []), "the token cannot read the project's members", NEEDS, clock
            )
            role = standing.role if standing else Role.NONE
            may = "api" in own.scopes and role >= Role.WRITE
            words = f"the token's scopes: {', '.join(own.scopes)}; its role in the project: {role.word}"
            yield Finding(SUBJECT, "writes", may, (words,), "" if may else NEEDS)
            yield _lasts(own.expires)
        yield await _tried("sees edits", lambda: api.graphql(edits_query([1])), "GraphQL does not tell", NEEDS, clock)
        for name in _people(approvers):
            yield await _tried(name, partial(elector, api, name, clock), "", "", clock)
    except ApprovalUnavailable as error:
        yield _missing("token", error)
    finally:
        api.close()


def _is_team(name: str) -> bool:
    return name.startswith("@") and "/" in name


def _people(approvers: Iterable[str]) -> list[str]:
    """Those who are looked up by name; roles need no looking up, and owners of paths stand in another file."""
    return sorted(name for name in approvers if name.startswith("@"))


def _lasts(expires: datetime | None) -> Finding:
    words = f"ends at {expires:%Y-%m-%d %H:%M} UTC" if expires else "the forge does not say when it ends"
    return Finding(SUBJECT, "token", True, (words,))


def _missing(name: str, error: ApprovalUnavailable) -> Finding:
    return Finding(SUBJECT, name, False, (error.cause,), error.remedy)


async def _tried(name: str, call: Callable[[], Awaitable[Any]], what: str, remedy: str, clock: Clock) -> Finding:
    from ciguard.forge.desk import prepared

    try:
        await prepared(call, what, remedy, clock)
    except ApprovalUnavailable as error:
        return _missing(name, error)
    return Finding(SUBJECT, name, True)

"""A pull request or issue on GitHub as a thread for approvals.

Sources: GitHub's REST reference, "Issue comments", "Reactions", "Collaborators", "Team members", "Review requests"; its
GraphQL reference, object IssueComment. A comment can be edited by any writer and REST still names its first author;
GraphQL's ``lastEditedAt`` and ``includesCreatedEdit`` tell.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar
from urllib.parse import quote

import msgspec

from ciguard.approvals.person import Account, Person, Role, Standing
from ciguard.approvals.ruling import Comment, Original
from ciguard.forge.answer import Answer, convert
from ciguard.forge.github_api import GitHubApi
from ciguard.forge.thread import ForgeTrouble, Freshness, Posted, Reaction

T = TypeVar("T")

EDITS = """\
query($ids: [ID!]!) {
  nodes(ids: $ids) {
    ... on IssueComment {
      id
      databaseId
      body
      lastEditedAt
      includesCreatedEdit
      author { ... on User { databaseId } }
    }
  }
}
"""
"""Asks whether comments were edited. Only a user has an id here: what anybody else wrote counts for nothing."""

MOST_NODES = 100
"""Comments in one query; GitHub answers no more."""


class _User(msgspec.Struct):
    id: int
    login: str
    type: str


class _Comment(msgspec.Struct):
    id: int
    node_id: str
    html_url: str
    user: _User | None
    created_at: datetime
    body: str | None = None
    performed_via_github_app: Any = None


class _Permission(msgspec.Struct):
    permission: str
    role_name: str
    user: _User | None


class _Membership(msgspec.Struct):
    state: str


class _Commit(msgspec.Struct):
    sha: str


class _Pull(msgspec.Struct):
    head: _Commit


class _Author(msgspec.Struct):
    databaseId: int = 0  # noqa: N815 - GitHub's spelling


class _Node(msgspec.Struct):
    databaseId: int  # noqa: N815 - GitHub's spelling
    body: str
    lastEditedAt: str | None  # noqa: N815 - GitHub's spelling
    includesCreatedEdit: bool  # noqa: N815 - GitHub's spelling
    author: _Author | None


class _Issue(msgspec.Struct):
    number: int
    user: _User | None
    pull_request: Any = None


class GitHubThread:
    """The thread of issue or pull request ``number`` in ``repository``; see :class:`~ciguard.forge.thread.Thread`.

    ``pull`` tells whether it is a pull request.
    """

    prefix = "/ciguard"

    def __init__(self, api: GitHubApi, repository: str, number: int, *, pull: bool) -> None:
        self._api = api
        self._repository = f"/repos/{repository}"
        self._number = number
        self._pull = pull
        self._reviewers: set[int] = set()
        self.account = 0

    async def post(self, body: str) -> Posted:
        """See Thread."""
        answer = await self._api.send("POST", f"{self._repository}/issues/{self._number}/comments", {"body": body})
        comment = _read(answer, _Comment)
        self.account = comment.user.id if comment.user else 0
        return Posted(comment.id, comment.created_at, comment.html_url)

    async def edit(self, comment: int, body: str) -> None:
        """See Thread."""
        await self._api.send("PATCH", f"{self._repository}/issues/comments/{comment}", {"body": body})

    async def react(self, comment: int, reaction: Reaction) -> None:
        """See Thread."""
        path = f"{self._repository}/issues/comments/{comment}/reactions"
        await self._api.send("POST", path, {"content": reaction.value})

    async def comments(self, after: Posted, freshness: Freshness) -> Sequence[Comment]:
        """See Thread."""
        since = quote(after.created.strftime("%Y-%m-%dT%H:%M:%SZ"), safe="")
        path = f"{self._repository}/issues/{self._number}/comments"
        pages = await self._api.pages(path, f"&since={since}", freshness)
        return [_comment(one, page.digest) for page in pages for one in _read(page, list[_Comment])]

    async def originals(self, comments: Sequence[Comment]) -> Mapping[int, Original]:
        """See Thread."""
        found: dict[int, Original] = {}
        for start in range(0, len(comments), MOST_NODES):
            ids: list[Any] = [comment.node for comment in comments[start : start + MOST_NODES]]
            answer = await self._api.graphql(EDITS, {"ids": ids})
            for node in convert(answer.value["data"].get("nodes"), list[_Node | None], "GitHub"):
                if node is not None:
                    found[node.databaseId] = Original(
                        edited=node.lastEditedAt is not None or node.includesCreatedEdit,
                        body=node.body,
                        author=node.author.databaseId if node.author else 0,
                        answer=answer.digest,
                    )
        return found

    async def standing(self, account: Account, teams: Sequence[str]) -> Standing | None:
        """See Thread. GitHub asks by login, which may be another account's by now: the id in the answer decides."""
        login = quote(account.login, safe="")
        answer = await self._found(f"{self._repository}/collaborators/{login}/permission")
        permission = _read(answer, _Permission) if answer else None
        if answer is None or permission is None or permission.user is None or permission.user.id != account.id:
            return None
        digests, member = [answer.digest], set()
        for team in teams:
            organisation, _, slug = team.partition("/")
            answer = await self._found(
                f"/orgs/{quote(organisation, safe='')}/teams/{quote(slug, safe='')}/memberships/{login}"
            )
            if answer:
                digests.append(answer.digest)
                if _read(answer, _Membership).state == "active":
                    member.add(team)
        return Standing(role_of(permission.permission, permission.role_name), frozenset(member), tuple(digests))

    async def _found(self, path: str) -> Answer | None:
        """The answer, or None when GitHub says that there is nothing."""
        try:
            return await self._api.get(path)
        except ForgeTrouble as trouble:
            if trouble.status != 404:
                raise
            return None

    async def head(self) -> str:
        """See Thread."""
        if not self._pull:
            return ""
        return _read(await self._api.get(f"{self._repository}/pulls/{self._number}"), _Pull).head.sha

    async def request_review(self, person: Person) -> None:
        """See Thread."""
        if self._pull and person.id not in self._reviewers:
            self._reviewers.add(person.id)
            path = f"{self._repository}/pulls/{self._number}/requested_reviewers"
            await self._api.send("POST", path, {"reviewers": [person.login]})


def role_of(permission: str, role_name: str) -> Role:
    """The role that GitHub describes twice: ``permission`` is one of four, ``role_name`` may be an organisation's own.

    The four decide; ``maintain`` and ``triage`` lie above the one that they are counted as.
    """
    match permission, role_name:
        case "admin", _:
            return Role.ADMIN
        case "write", "maintain":
            return Role.MAINTAIN
        case "write", _:
            return Role.WRITE
        case "read", "triage":
            return Role.TRIAGE
        case "read", _:
            return Role.READ
    return Role.NONE


def _comment(read: _Comment, answer: str) -> Comment:
    # An account that was deleted is null. What an app writes in a person's name was not written by that person.
    account = (
        Account(read.user.id, read.user.login, read.user.type == "User" and read.performed_via_github_app is None)
        if read.user
        else Account(0, "ghost", human=False)
    )
    return Comment(read.id, read.node_id, account, read.body or "", read.created_at, answer)


def _read(answer: Answer, kind: type[T]) -> T:
    return convert(answer.value, kind, "GitHub")


@dataclass(frozen=True, slots=True)
class Found:
    """An issue: the id of its author, and whether it is a pull request."""

    author: int
    pull: bool


async def find_issue(api: GitHubApi, repository: str, number: int) -> Found:
    """Issue or pull request ``number``."""
    issue = _read(await api.get(f"/repos/{repository}/issues/{number}"), _Issue)
    return Found(issue.user.id if issue.user else 0, issue.pull_request is not None)


async def open_issue(api: GitHubApi, repository: str, title: str, body: str) -> int:
    """The number of a new issue."""
    answer = await api.send("POST", f"/repos/{repository}/issues", {"title": title, "body": body})
    return _read(answer, _Issue).number


async def team_exists(api: GitHubApi, name: str) -> None:
    """Trouble when the token cannot read the team ``name``, such as ``acme/security``."""
    organisation, _, slug = name.partition("/")
    await api.get(f"/orgs/{quote(organisation, safe='')}/teams/{quote(slug, safe='')}")


async def find_users(api: GitHubApi, logins: Iterable[str]) -> dict[str, int]:
    """The ids of the accounts that have these names now; trouble with the status 404 when there is none."""
    return {login: _read(await api.get(f"/users/{quote(login, safe='')}"), _User).id for login in logins}

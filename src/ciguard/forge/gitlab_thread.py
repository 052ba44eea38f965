"""A merge request or issue on GitLab as a thread for approvals.

Sources: GitLab's REST reference, "Notes", "Emoji reactions", "Members", "Merge requests", "Users"; its GraphQL
reference, ``Query.note`` and the type Note; "Comments and threads" (who may edit a note), "GitLab quick actions".
A note can be edited by its author and by every maintainer, and REST does not say so: its ``updated_at`` also moves when
a discussion is resolved. GraphQL's ``lastEditedAt`` tells. Who may set a note's time can back-date it: the order of
notes is that of their ids.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, time
from typing import TypeVar
from urllib.parse import quote

import msgspec

from ciguard.approvals.person import Account, Person, Role, Standing
from ciguard.approvals.ruling import Comment, Original
from ciguard.forge.answer import Answer, convert
from ciguard.forge.gitlab_api import GitLabApi
from ciguard.forge.thread import ForgeTrouble, Freshness, Posted, Reaction

T = TypeVar("T")

EDITS = "{ id body lastEditedAt author { id bot } }"
"""What is asked about a note."""

MOST_NOTES = 10
"""Notes in one query: GitLab refuses queries that it finds too complex."""

EMOJI = {Reaction.APPROVED: "thumbsup", Reaction.DENIED: "thumbsdown", Reaction.NOT_COUNTED: "confused"}

LEVELS = ((50, Role.ADMIN), (40, Role.MAINTAIN), (30, Role.WRITE), (20, Role.TRIAGE), (10, Role.READ))
"""GitLab's access levels (owner, maintainer, developer, reporter, guest), and the role that each is at least."""

_QUICK_ACTION = re.compile(r"^/", re.MULTILINE)


class _User(msgspec.Struct):
    id: int
    username: str


class _Rule(msgspec.Struct):
    name: str
    eligible_approvers: tuple[_User, ...]


class _Profile(msgspec.Struct):
    id: int
    bot: bool


class _Note(msgspec.Struct):
    id: int
    body: str
    author: _User
    created_at: datetime
    updated_at: datetime
    system: bool
    imported: bool = False


class _Member(msgspec.Struct):
    id: int
    access_level: int
    state: str


class _MergeRequest(msgspec.Struct):
    iid: int
    author: _User | None
    sha: str | None = None
    reviewers: tuple[_User, ...] = ()


class _Issue(msgspec.Struct):
    iid: int


class _Pipeline(msgspec.Struct):
    user: _User | None


class _Author(msgspec.Struct):
    id: str
    bot: bool


class _Edits(msgspec.Struct):
    id: str
    body: str
    lastEditedAt: str | None  # noqa: N815 - GitLab's spelling
    author: _Author | None


class AccessToken(msgspec.Struct):
    """An access token as GitLab describes it, and the account that it speaks for."""

    scopes: list[str]
    user_id: int
    expires_at: date | None

    @property
    def expires(self) -> datetime | None:
        """When it ends: as its day begins, in UTC."""
        return datetime.combine(self.expires_at, time(), UTC) if self.expires_at else None


class GitLabThread:
    """The notes of merge request or issue ``number`` of ``project``; see :class:`~ciguard.forge.thread.Thread`.

    ``kind`` is ``merge_requests`` or ``issues``, as paths have it. ``server`` is GitLab's address for people.
    """

    # Lines that begin with a slash are GitLab's own commands, and it does not store a note of nothing else.
    prefix = "ciguard"

    def __init__(self, api: GitLabApi, server: str, project: str, number: int, kind: str) -> None:
        self._api = api
        self._project = f"/projects/{quote(project, safe='')}"
        self._path = f"{self._project}/{kind}/{number}"
        self._page = f"{server}/{project}/-/{kind}/{number}"
        self._kind = kind
        self._humans: dict[int, bool] = {}
        self._reviewers: set[int] = set()
        self.account = 0

    async def post(self, body: str) -> Posted:
        """See Thread."""
        note = _read(await self._api.send("post", f"{self._path}/notes", {"body": _without_quick_actions(body)}), _Note)
        self.account = note.author.id
        return Posted(note.id, note.created_at, f"{self._page}#note_{note.id}")

    async def edit(self, comment: int, body: str) -> None:
        """See Thread."""
        await self._api.send("put", f"{self._path}/notes/{comment}", {"body": _without_quick_actions(body)})

    async def react(self, comment: int, reaction: Reaction) -> None:
        """See Thread."""
        try:
            await self._api.send("post", f"{self._path}/notes/{comment}/award_emoji", {"name": EMOJI[reaction]})
        except ForgeTrouble as trouble:
            # GitLab's answer to a reaction that is there already, and to a note that is gone.
            if trouble.status != 404:
                raise

    async def comments(self, after: Posted, freshness: Freshness) -> Sequence[Comment]:
        """See Thread. GitLab always tells all of it anew, and may place a new note among old ones."""
        pages = await self._api.pages(f"{self._path}/notes", {"sort": "asc", "order_by": "created_at"})
        return [
            await self._comment(note, page.digest)
            for page in pages
            for note in _read(page, list[_Note])
            if not note.system and (note.id > after.id or note.updated_at >= after.created)
        ]

    async def originals(self, comments: Sequence[Comment]) -> Mapping[int, Original]:
        """See Thread."""
        found: dict[int, Original] = {}
        for start in range(0, len(comments), MOST_NOTES):
            part = comments[start : start + MOST_NOTES]
            data = await self._api.graphql(edits_query([comment.id for comment in part]))
            for comment in part:
                note = convert(data.get(f"n{comment.id}"), _Edits | None, "GitLab")  # type: ignore[arg-type]  # a union
                if note is not None:
                    found[comment.id] = Original(
                        edited=note.lastEditedAt is not None,
                        body=note.body,
                        # Who is no human has no number here, and what they wrote counts for nothing.
                        author=_number(note.author.id) if note.author and not note.author.bot else 0,
                        answer=data["digest"],
                    )
        return found

    async def standing(self, account: Account, teams: Sequence[str]) -> Standing | None:
        """See Thread. In the project, inherited and invited members count; in a group, only its direct members:

        everybody in the groups above is an inherited member of a group, which its name does not tell.
        """
        answer = await self._found(f"{self._project}/members/all/{account.id}")
        member = _read(answer, _Member) if answer else None
        if answer is None or member is None or member.id != account.id or member.state != "active":
            return None
        digests, groups = [answer.digest], set()
        for team in teams:
            answer = await self._found(f"/groups/{quote(team, safe='')}/members/{account.id}")
            if answer:
                digests.append(answer.digest)
                in_group = _read(answer, _Member)
                if in_group.id == account.id and in_group.state == "active":
                    groups.add(team)
        return Standing(role_of(member.access_level), frozenset(groups), tuple(digests))

    async def head(self) -> str:
        """See Thread."""
        return (await self._merge_request()).sha or "" if self._kind == "merge_requests" else ""

    async def request_review(self, person: Person) -> None:
        """See Thread. GitLab takes the whole list; without a paid tier it keeps the first of it."""
        if self._kind == "merge_requests" and person.id not in self._reviewers:
            self._reviewers.add(person.id)
            there = [user.id for user in (await self._merge_request()).reviewers]
            if person.id not in there:
                await self._api.send("put", self._path, {"reviewer_ids": [*there, person.id]})

    async def _merge_request(self) -> _MergeRequest:
        return _read(await self._api.get(self._path), _MergeRequest)

    async def _comment(self, note: _Note, answer: str) -> Comment:
        # An import writes in the name of whoever it maps an account of elsewhere to.
        human = not note.imported and await self._human(note.author.id)
        account = Account(note.author.id, note.author.username, human)
        return Comment(note.id, str(note.id), account, note.body, note.created_at, answer)

    async def _human(self, account: int) -> bool:
        """Whether a person is behind an account, which never changes; access tokens and services are bots."""
        if account not in self._humans:
            answer = await self._found(f"/users/{account}")
            self._humans[account] = answer is not None and not _read(answer, _Profile).bot
        return self._humans[account]

    async def _found(self, path: str) -> Answer | None:
        """The answer, or None when GitLab says that there is nothing."""
        try:
            return await self._api.get(path)
        except ForgeTrouble as trouble:
            if trouble.status != 404:
                raise
            return None


def role_of(level: int) -> Role:
    """The role that an access level is at least."""
    return next((role for least, role in LEVELS if level >= least), Role.NONE)


def edits_query(notes: Sequence[int]) -> str:
    """The query that asks whether ``notes`` were edited."""
    return "{ " + " ".join(f'n{note}: note(id: "gid://gitlab/Note/{note}") {EDITS}' for note in notes) + " }"


def _without_quick_actions(body: str) -> str:
    """``body`` with no line that GitLab takes for a command, whatever ends a code block in its eyes."""
    return _QUICK_ACTION.sub(" /", body)


def _number(name: str) -> int:
    number = name.rpartition("/")[2]
    if not (number.isascii() and number.isdecimal()):
        raise ForgeTrouble("GitLab answered with something unexpected: an id without a number")
    return int(number)


def _read(answer: Answer, kind: type[T]) -> T:
    return convert(answer.value, kind, "GitLab")


async def find_author(api: GitLabApi, project: str, number: int) -> int:
    """The id of the author of merge request ``number``; 0 when that account is gone."""
    author = _read(await api.get(f"/projects/{quote(project, safe='')}/merge_requests/{number}"), _MergeRequest).author
    return author.id if author else 0


async def open_issue(api: GitLabApi, project: str, title: str, body: str) -> int:
    """The number of a new issue."""
    path = f"/projects/{quote(project, safe='')}/issues"
    return _read(await api.send("post", path, {"title": title, "description": body}), _Issue).iid


async def find_user(api: GitLabApi, name: str) -> int | None:
    """The id of the account that has this name now; None when there is none."""
    users = _read(await api.get("/users", {"username": name}), list[_User])
    return next((user.id for user in users if user.username.lower() == name.lower()), None)


async def group_exists(api: GitLabApi, path: str) -> None:
    """Trouble when the token cannot read the group ``path``, such as ``acme/platform/dba``."""
    await api.get(f"/groups/{quote(path, safe='')}", {"with_projects": "false"})


async def find_rule(api: GitLabApi, project: str, name: str) -> tuple[tuple[str, int], ...]:
    """Names and ids of the accounts that the project's approval rules called ``name`` make approvers.

    The rules of the project, which its maintainers set; those of a merge request can often be set by its author.
    Source: GitLab's "Merge request approvals API", "Get all approval rules for project".
    """
    pages = await api.pages(f"/projects/{quote(project, safe='')}/approval_rules", {})
    rules = [rule for page in pages for rule in _read(page, list[_Rule]) if rule.name == name]
    return tuple(dict.fromkeys((user.username, user.id) for rule in rules for user in rule.eligible_approvers))


async def find_token(api: GitLabApi) -> AccessToken | None:
    """The access token that is used; None for a token of another kind, of which GitLab says nothing."""
    try:
        return _read(await api.get("/personal_access_tokens/self"), AccessToken)
    except ForgeTrouble as trouble:
        if trouble.status not in (400, 403, 404):
            raise
        return None


async def started_pipeline(api: GitLabApi, project: str, pipeline: str) -> int:
    """The id of the account that started a pipeline; 0 when it is gone."""
    user = _read(await api.get(f"/projects/{quote(project, safe='')}/pipelines/{pipeline}"), _Pipeline).user
    return user.id if user else 0

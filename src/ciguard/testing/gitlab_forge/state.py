"""What the stand-in GitLab knows, and what people do there."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

GUARD_BOT = "project_820001_bot_3f9a2c"
"""The user that a project access token speaks for, as GitLab names it."""

MOST_CHARACTERS = 1_000_000
"""A note is not longer."""


@dataclass(frozen=True, slots=True)
class User:
    """An account; ``bot`` for access tokens, service accounts and what imports leave."""

    id: int
    username: str
    bot: bool


@dataclass(slots=True)
class Note:
    """A note of merge request or issue ``iid``; ``system`` when GitLab wrote it by itself."""

    id: int
    kind: str
    iid: int
    author: User
    body: str
    created: datetime
    updated: datetime
    edited_by: User | None = None
    system: bool = False
    imported: bool = False
    reactions: list[tuple[User, str]] = field(default_factory=list)


@dataclass(slots=True)
class MergeRequest:
    """A merge request that points at ``head``."""

    iid: int
    author: User
    head: str
    reviewers: list[User] = field(default_factory=list)


@dataclass(slots=True)
class Member:
    """That somebody is in the project or a group."""

    level: int
    state: str = "active"


@dataclass(frozen=True, slots=True)
class Token:
    """Whom a token speaks for, what it may do besides reading the project, and the day at whose beginning it ends."""

    user: User
    writes: bool = True
    reads_groups: bool = True
    expires: str = ""


class State:
    """One project with its people.

    ``skew`` is how far GitLab's clock is off. ``rules`` are the project's approval rules with their eligible approvers,
    None for a tier without any.
    """

    def __init__(self, project: str) -> None:
        self.project = project
        self.users: dict[str, User] = {}
        self.members: dict[int, Member] = {}
        self.groups: dict[str, dict[int, Member]] = {}
        self.rules: dict[str, tuple[User, ...]] | None = {}
        self.merge_requests: dict[int, MergeRequest] = {}
        self.issues: dict[int, str] = {}
        self.notes: dict[int, Note] = {}
        self.pipelines: dict[str, User] = {}
        self.skew = timedelta()
        self._next = 1000
        self.add_user("alice", level=50)
        self.add_user(GUARD_BOT, level=30, bot=True)

    def now(self) -> datetime:
        """GitLab's time."""
        return datetime.now(UTC) + self.skew

    def number(self) -> int:
        """The next id."""
        self._next += 1
        return self._next

    def add_user(self, username: str, *, level: int = 20, bot: bool = False) -> User:
        """A new account with an access level in the project; 0 for none."""
        user = User(self.number(), username, bot)
        self.users[username.lower()] = user
        self.set_level(username, level)
        return user

    def set_level(self, username: str, level: int) -> None:
        """Give ``username`` another access level; 0 for none."""
        user = self.user(username)
        if level:
            self.members[user.id] = Member(level)
        else:
            self.members.pop(user.id, None)

    def rename(self, username: str, new: str) -> None:
        """``username`` calls itself ``new`` from now on, and the old name is free."""
        user = self.users.pop(username.lower())
        self.users[new.lower()] = User(user.id, new, user.bot)

    def add_group(self, path: str, *members: str) -> None:
        """A group such as ``acme/security`` with direct members, which replaces one of that path."""
        self.groups[path] = {self.user(member).id: Member(30) for member in members}

    def open_merge_request(self, iid: int, *, author: str, head: str) -> None:
        """A merge request of ``author``."""
        self.merge_requests[iid] = MergeRequest(iid, self.user(author), head)

    def push(self, iid: int, head: str) -> None:
        """The merge request moves on to the commit ``head``, and GitLab says so in a note."""
        merge_request = self.merge_requests[iid]
        merge_request.head = head
        self.comment(iid, merge_request.author.username, "added 1 commit", system=True)

    def comment(
        self,
        iid: int,
        username: str,
        body: str,
        *,
        kind: str = "merge_requests",
        created: datetime | None = None,
        system: bool = False,
        imported: bool = False,
    ) -> int:
        """``username`` writes a note, or GitLab about them; returns its id. ``created`` is a time that they set."""
        now = self.now()
        note = Note(
            self.number(), kind, iid, self.user(username), body, created or now, now, system=system, imported=imported
        )
        self.notes[note.id] = note
        return note.id

    def edit(self, note: int, username: str, body: str) -> None:
        """``username``, who need not be the author, changes a note."""
        edited = self.notes[note]
        edited.body, edited.updated, edited.edited_by = body, self.now(), self.user(username)

    def resolve(self, note: int) -> None:
        """Somebody resolves the discussion of a note, which is activity and no edit."""
        self.notes[note].updated = self.now()

    def delete(self, note: int) -> None:
        """A note goes."""
        del self.notes[note]

    def user(self, username: str) -> User:
        """The account that has this name now."""
        return self.users[username.lower()]

    def account(self, identifier: int) -> User | None:
        """The account with this id."""
        return next((user for user in self.users.values() if user.id == identifier), None)

    def thread(self, iid: int, kind: str = "merge_requests") -> list[Note]:
        """The notes of a merge request or issue by their times, oldest first."""
        found = [note for note in self.notes.values() if (note.iid, note.kind) == (iid, kind)]
        return sorted(found, key=lambda note: (note.created, note.id))

    def written_by(self, username: str) -> list[Note]:
        """The notes that ``username`` wrote."""
        return [note for note in self.notes.values() if note.author.username == username]

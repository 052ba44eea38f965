"""What the stand-in GitHub knows, and what people do there."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Literal

ACTIONS_BOT = "github-actions[bot]"
ROLES = ("none", "read", "triage", "write", "maintain", "admin")
MOST_CHARACTERS = 65_536
"""A comment is not longer."""


@dataclass(frozen=True, slots=True)
class User:
    """An account; ``type`` is GitHub's: User, Bot, Mannequin, Organization."""

    id: int
    login: str
    type: str


@dataclass(slots=True)
class Comment:
    """A comment; ``app`` names the GitHub App through which it was written, if any."""

    id: int
    issue: int
    author: User
    body: str
    created: datetime
    updated: datetime
    editor: User | None = None
    app: str = ""
    reactions: list[tuple[User, str]] = field(default_factory=list)


@dataclass(slots=True)
class Issue:
    """An issue, or a pull request when ``head`` is a commit."""

    number: int
    title: str
    body: str
    author: User
    created: datetime
    head: str = ""
    reviewers: list[User] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Review:
    """What somebody said to letting a run into an environment; ``state`` is GitHub's: approved, rejected, pending."""

    user: User
    environment: str
    state: str


@dataclass(slots=True)
class Run:
    """A workflow run, as its newest attempt stands; ``started_again`` are those who had failed jobs run again."""

    id: int
    head: str
    event: str
    attempt: int = 1
    status: str = "in_progress"
    conclusion: str | None = None
    reviews: list[Review] = field(default_factory=list)
    started_again: list[User] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Token:
    """Whom a token speaks for, what it may do besides reading, and when it ends.

    ``actions`` is what it may do with runs; ``told`` says that answers tell its end, as GitHub does of personal access
    tokens.
    """

    user: User
    writes: bool = True
    reads_teams: bool = False
    actions: Literal["none", "read", "write"] = "none"
    expires: datetime | None = None
    told: bool = False


class State:
    """One repository with its people. ``skew`` is how far GitHub's clock is off."""

    def __init__(self, repository: str) -> None:
        self.repository = repository
        self.users: dict[str, User] = {}
        self.roles: dict[str, str] = {}
        self.teams: dict[str, set[str]] = {}
        self.issues: dict[int, Issue] = {}
        self.thread: dict[int, Comment] = {}
        self.runs: dict[int, Run] = {}
        self.skew = timedelta()
        self._next = 1000
        self.add_user("alice", role="admin")
        self.add_user(ACTIONS_BOT, role="write", kind="Bot")

    def now(self) -> datetime:
        """GitHub's time, in whole seconds as GitHub tells it."""
        return (datetime.now(UTC) + self.skew).replace(microsecond=0)

    def number(self) -> int:
        """The next id."""
        self._next += 1
        return self._next

    def add_user(self, login: str, *, role: str = "read", kind: str = "User") -> User:
        """A new account with ``role`` in the repository."""
        user = User(self.number(), login, kind)
        self.users[login.lower()] = user
        self.set_role(login, role)
        return user

    def set_role(self, login: str, role: str) -> None:
        """Give ``login`` another role."""
        if role not in ROLES:
            raise ValueError(f"there is no role {role}")
        self.roles[login.lower()] = role

    def rename(self, login: str, new: str) -> None:
        """``login`` calls itself ``new`` from now on, and the old name is free."""
        user = self.users.pop(login.lower())
        self.users[new.lower()] = User(user.id, new, user.type)
        self.roles[new.lower()] = self.roles.pop(login.lower())

    def add_team(self, name: str, *members: str) -> None:
        """A team such as ``acme/security``, which replaces one of that name."""
        self.teams[name] = {member.lower() for member in members}

    def open_pull_request(self, number: int, *, author: str, head: str) -> None:
        """A pull request of ``author``."""
        self.issues[number] = Issue(number, "Repair the cart", "", self.user(author), self.now(), head)

    def open_issue(self, author: str, title: str, body: str) -> Issue:
        """A new issue."""
        number = max(self.issues, default=0) + 1
        self.issues[number] = Issue(number, title, body, self.user(author), self.now())
        return self.issues[number]

    def push(self, number: int, head: str) -> None:
        """The pull request moves on to the commit ``head``."""
        self.issues[number].head = head

    def start_run(self, number: int, *, head: str, event: str = "pull_request") -> Run:
        """A workflow run begins."""
        self.runs[number] = Run(number, head, event)
        return self.runs[number]

    def complete_run(self, number: int, conclusion: str = "failure") -> None:
        """The newest attempt of a run ends."""
        self.runs[number].status, self.runs[number].conclusion = "completed", conclusion

    def review(self, number: int, login: str, environment: str, state: str = "approved") -> None:
        """``login`` lets a run into an environment, or does not."""
        self.runs[number].reviews.append(Review(self.user(login), environment, state))

    def comment(self, number: int, login: str, body: str, *, app: str = "") -> int:
        """``login`` writes a comment; returns its id."""
        now = self.now()
        comment = Comment(self.number(), self.issues[number].number, self.user(login), body, now, now, app=app)
        self.thread[comment.id] = comment
        return comment.id

    def edit(self, comment: int, login: str, body: str) -> None:
        """``login``, who need not be the author, changes a comment."""
        edited = self.thread[comment]
        edited.body, edited.updated, edited.editor = body, self.now(), self.user(login)

    def delete(self, comment: int) -> None:
        """A comment goes."""
        del self.thread[comment]

    def user(self, login: str) -> User:
        """The account that has this name now."""
        return self.users[login.lower()]

    def comments(self, number: int) -> list[Comment]:
        """The comments of an issue or pull request, oldest first."""
        return [comment for comment in self.thread.values() if comment.issue == number]

    def written_by(self, login: str) -> list[Comment]:
        """The comments that ``login`` wrote."""
        return [comment for comment in self.thread.values() if comment.author.login == login]

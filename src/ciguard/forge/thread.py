"""What approvals need of a forge: one thread of comments, and who its people are. GitHub and GitLab are this twice."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from ciguard.approvals.person import Account, Person, Standing
from ciguard.approvals.ruling import Comment, Original


class ForgeTrouble(Exception):
    """The forge did not do what it was asked: ``status`` is its answer's, 0 when there was none.

    ``wait`` is how many seconds it wants to be left alone for. The text is for people and holds no credential.
    """

    def __init__(self, text: str, *, status: int = 0, wait: float = 0.0) -> None:
        super().__init__(text)
        self.status = status
        self.wait = wait


class Reaction(StrEnum):
    """What the guard made of a comment, as GitHub spells it."""

    APPROVED = "+1"
    DENIED = "-1"
    NOT_COUNTED = "confused"


class Freshness(StrEnum):
    """How new an answer must be: the forge may say that nothing changed, or must tell it all again."""

    UNLESS_UNCHANGED = "unless unchanged"
    ANEW = "anew"


@dataclass(frozen=True, slots=True)
class Posted:
    """A comment of the guard: its id, when the forge says that it was written, and its address."""

    id: int
    created: datetime
    url: str


class Thread(Protocol):
    """The comments of one pull request, merge request or issue. Every method raises ForgeTrouble.

    ``prefix`` is how an instruction to the guard begins there. ``account`` is the id of the guard's own account, known
    once it has written something, and 0 before.
    """

    prefix: str
    account: int

    async def post(self, body: str) -> Posted:
        """Write a comment."""

    async def edit(self, comment: int, body: str) -> None:
        """Replace the text of a comment of the guard's own."""

    async def react(self, comment: int, reaction: Reaction) -> None:
        """Show what was made of a comment."""

    async def comments(self, after: Posted, freshness: Freshness) -> Sequence[Comment]:
        """Every comment that was written or changed since ``after``, of all pages."""

    async def originals(self, comments: Sequence[Comment]) -> Mapping[int, Original]:
        """Whether these comments were ever edited, by id; one that is gone is absent."""

    async def standing(self, account: Account, teams: Sequence[str]) -> Standing | None:
        """What ``account`` is in the repository now, and in which of ``teams``; None when it is not there any more."""

    async def head(self) -> str:
        """The commit that the pull request points at now; empty for an issue."""

    async def request_review(self, person: Person) -> None:
        """Ask ``person`` to look at the pull request; once is enough."""

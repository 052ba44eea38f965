"""The verdict rules: what a request comes to, given what was read from the forge at one time.

A comment approves when all of this holds, each checked by one line of ``_objection``:

1. it is later than the request, by its id;
2. a human wrote it, who is neither the author of the change nor the person who started the run;
3. it was never edited, by GitHub's two interfaces, which agree on its text and author: every writer of a repository can
   edit another's comment, and only the second interface shows it;
4. its author can write to the repository and is one of the approvers, by numeric id, both as read for this decision.

The request is released when every panel has as many different people. One denial by anyone who could approve, or can
write, ends it. Everything is decided anew from what is there now: an approval that was deleted or edited is gone.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TypeAlias

from ciguard.approvals import instruction
from ciguard.approvals.instruction import Answer, Instruction, Unclear
from ciguard.approvals.person import Account, Role, Standing
from ciguard.approvals.request import ApprovalRequest


@dataclass(frozen=True, slots=True)
class Comment:
    """A comment as it stands; ``answer`` is the SHA-256 in hex of the forge's answer that it was read from.

    ``node`` is the name that the forge's second interface knows it by.
    """

    id: int
    node: str
    author: Account
    body: str
    created: datetime
    answer: str

    @property
    def digest(self) -> str:
        """The SHA-256 in hex of the text."""
        return hashlib.sha256(self.body.encode("utf-8", "surrogatepass")).hexdigest()


@dataclass(frozen=True, slots=True)
class Original:
    """What the forge's second interface says of a comment: whether it ever was another, its text and its author."""

    edited: bool
    body: str
    author: int
    answer: str


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What was read at one time. ``originals`` are by comment, ``standings`` by account; what is absent is unknown."""

    comments: Sequence[Comment]
    originals: Mapping[int, Original]
    standings: Mapping[int, Standing]
    head: str
    now: datetime


@dataclass(frozen=True, slots=True)
class Evidence:
    """A comment that counted: who wrote it, with which role, when, its text's digest, and the forge's answers."""

    comment: int
    account: int
    login: str
    role: Role
    created: datetime
    body: str
    answers: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Discounted:
    """A comment that does not count, and why, in half a sentence for the thread."""

    comment: int
    login: str
    why: str


@dataclass(frozen=True, slots=True)
class Pending:
    """Not decided yet: who is still needed."""

    missing: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Released:
    """Approved by everybody who must."""

    approvals: tuple[Evidence, ...]


@dataclass(frozen=True, slots=True)
class Denied:
    """Denied by one who may; ``reason`` is what they wrote."""

    denial: Evidence
    reason: str


@dataclass(frozen=True, slots=True)
class Expired:
    """Nobody decided in time."""


@dataclass(frozen=True, slots=True)
class Withdrawn:
    """The question became pointless: ``why``, a sentence."""

    why: str


@dataclass(frozen=True, slots=True)
class Awaited:
    """Asked, and left to people: the job ends, and what they decide is for another one."""


Outcome: TypeAlias = Pending | Released | Denied | Expired | Withdrawn | Awaited


@dataclass(frozen=True, slots=True)
class Ruling:
    """What a request comes to, the approvals that count so far, and the comments that do not count."""

    outcome: Outcome
    approvals: tuple[Evidence, ...] = ()
    discounted: tuple[Discounted, ...] = ()


def about(request: ApprovalRequest, comments: Sequence[Comment]) -> tuple[Comment, ...]:
    """The comments that answer ``request``: those whose edits and authors must be looked at."""
    return tuple(comment for comment in comments if isinstance(_said(request, comment), Instruction))


def decide(request: ApprovalRequest, asked_by: int, seen: Snapshot) -> Ruling:
    """What ``request``, which the comment ``asked_by`` asks, comes to."""
    if seen.now >= request.expires:
        return Ruling(Expired())
    if seen.head != request.head:
        return Ruling(Withdrawn("The change under review has moved on to another commit."))
    approvals: dict[int, Evidence] = {}
    denial: tuple[Evidence, str] | None = None
    discounted: list[Discounted] = []
    for comment in sorted(seen.comments, key=lambda comment: comment.id):
        match _said(request, comment):
            case None:
                continue
            case Unclear(why):
                # Machines repeat what others say.
                objection = why if comment.author.human else ""
            case Instruction(Answer.DENY, reason):
                objection = _objection_to_denial(asked_by, comment, seen)
                if not objection and denial is None:
                    denial = _evidence(comment, seen), reason
            case Instruction(Answer.APPROVE):
                objection = _objection(request, asked_by, comment, seen)
                if not objection:
                    approvals.setdefault(comment.author.id, _evidence(comment, seen))
        if objection:
            discounted.append(Discounted(comment.id, comment.author.login, objection))
    counted = tuple(approvals.values())
    return Ruling(_outcome(request, seen, counted, denial), counted, tuple(discounted))


def _outcome(
    request: ApprovalRequest, seen: Snapshot, approvals: tuple[Evidence, ...], denial: tuple[Evidence, str] | None
) -> Outcome:
    if denial is not None:
        return Denied(*denial)
    accounts = {comment.author.id: comment.author for comment in seen.comments}
    missing = []
    for panel in request.panels:
        people = [
            approval.account
            for approval in approvals
            if panel.admits(accounts[approval.account], seen.standings[approval.account])
        ]
        if len(people) < panel.quorum.count:
            missing.append(panel.quorum.words)
    # No panel at all is nobody's approval, never everybody's.
    return Released(approvals) if request.panels and not missing else Pending(tuple(missing))


def _said(request: ApprovalRequest, comment: Comment) -> Instruction | Unclear | None:
    return instruction.read(comment.body, request.id, request.digest, prefix=request.prefix)


def _objection(request: ApprovalRequest, asked_by: int, comment: Comment, seen: Snapshot) -> str:
    """Why an approval does not count; empty when it does."""
    account, original = comment.author, seen.originals.get(comment.id)
    standing = seen.standings.get(account.id)
    excluded = dict(request.excluded)
    if comment.id <= asked_by:
        return "it is older than the request"
    if not account.human:
        return "it was not written by a human"
    if account.id in excluded:
        return excluded[account.id]
    if original is None:
        return "it cannot be confirmed that it was never edited"
    if original.edited or original.body != comment.body or original.author != account.id:
        return "it was edited; write a new comment"
    if standing is None:
        return "the role of its author cannot be read"
    if standing.role < Role.WRITE:
        return "its author cannot write to this repository"
    if not any(panel.admits(account, standing) for panel in request.panels):
        return "its author is not one of the approvers"
    return ""


def _objection_to_denial(asked_by: int, comment: Comment, seen: Snapshot) -> str:
    """Why a denial does not count. It is heard from more people than an approval, edited or not: it does no harm."""
    standing = seen.standings.get(comment.author.id)
    if comment.id <= asked_by:
        return "it is older than the request"
    if not comment.author.human:
        return "it was not written by a human"
    if standing is None:
        return "the role of its author cannot be read"
    if standing.role < Role.WRITE:
        return "its author cannot write to this repository"
    return ""


def _evidence(comment: Comment, seen: Snapshot) -> Evidence:
    original = seen.originals.get(comment.id)
    standing = seen.standings[comment.author.id]
    return Evidence(
        comment=comment.id,
        account=comment.author.id,
        login=comment.author.login,
        role=standing.role,
        created=comment.created,
        body=comment.digest,
        answers=(comment.answer, *([original.answer] if original else []), *standing.answers),
    )

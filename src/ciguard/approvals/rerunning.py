"""When a run whose session waits for people runs again: what a comment on its pull request amounts to.

This decides no more than that a run is worth starting. What then passes is decided by the guard of the new attempt.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from ciguard.approvals.marker import Marker, read
from ciguard.approvals.person import Account
from ciguard.approvals.request import ApprovalRequest
from ciguard.approvals.resuming import EARLIER
from ciguard.approvals.ruling import Comment, Denied, Pending, Released, Ruling, Withdrawn
from ciguard.forge.thread import Posted


@dataclass(frozen=True, slots=True)
class Open:
    """A request that a marker describes, and the comment that asks it."""

    marker: Marker
    posted: Posted
    author: Account

    def request(self, prefix: str) -> ApprovalRequest:
        """The request, as far as its marker can be believed."""
        return ApprovalRequest(
            id=self.marker.request,
            digest=self.marker.digest,
            head=self.marker.head,
            expires=datetime.fromisoformat(self.marker.expires),
            panels=self.marker.resolved(),
            excluded=tuple((account, EARLIER) for account in self.marker.excluded),
            prefix=prefix,
        )


def requests(comments: Sequence[Comment]) -> list[Open]:
    """What ``comments`` ask, whoever wrote them, oldest first."""
    return [
        Open(marker, Posted(comment.id, comment.created, ""), comment.author)
        for comment in sorted(comments, key=lambda one: one.id)
        if (marker := read(comment.body))
    ]


def same_attempt(found: Sequence[Open], asked: Open) -> list[Open]:
    """The requests of the attempt that asked ``asked``, that one first, all by the account that asked it.

    Of two comments with the same request the older counts.
    """
    belonging = {
        one.marker.reference: one
        for one in reversed(found)
        if (one.author.id, one.marker.run, one.marker.attempt)
        == (asked.author.id, asked.marker.run, asked.marker.attempt)
    }
    return [asked, *(one for one in belonging.values() if one.marker.reference != asked.marker.reference)]


def missing(rulings: Sequence[Ruling]) -> str:
    """Why the run is not worth starting again, given what became of its requests; empty when it is.

    All of them must have come to an end, so that one new attempt is enough, and a person must have decided on one.
    """
    for ruling in rulings:
        match ruling.outcome:
            case Pending(people):
                return f"a request of this attempt is not decided yet: {'; '.join(people)}"
            case Withdrawn(why):
                return why.rstrip(".")
    if not any(isinstance(ruling.outcome, Released | Denied) for ruling in rulings):
        return "every request of this attempt has expired"
    return ""

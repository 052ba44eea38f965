"""Approvals that outlive the job: requests of the attempt before this one, found again in the thread.

Nothing that is found is trusted. The digest of a request is made anew here from what is held now, from this job and
run, and from what the request's marker says of the rest: where it is the digest that people answered, all of that is as
it was when they were asked. An approval is for the next attempt only, and in it for whoever claims it first.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from ciguard.approvals.marker import Claim, Marker, read, read_claim, write_claim
from ciguard.approvals.person import Panel
from ciguard.approvals.request import ApprovalRequest, Run, request_digest
from ciguard.forge.thread import Freshness, Posted, Thread
from ciguard.operation import Operation, Result

EARLIER = "its author was excluded from approving when this was asked"

MARGIN = timedelta(hours=1)
"""How far the clocks of the forge and of this machine may be apart; a request that is not found is asked anew."""


@dataclass(frozen=True, slots=True)
class Earlier:
    """A request of the attempt before, which is about what is held now, its marker, and the comment that asks it."""

    request: ApprovalRequest
    marker: Marker
    posted: Posted


async def earlier(
    thread: Thread,
    since: datetime,
    subject: Operation | Result,
    run: Run,
    panels: tuple[Panel, ...],
    excluded: tuple[tuple[int, str], ...],
) -> list[Earlier]:
    """The requests of the attempt before that are exactly about ``subject``, oldest first. Raises ForgeTrouble.

    ``run`` is this one, as requests of the attempt before are bound to it; ``panels`` and ``excluded`` are as of now,
    and whoever was excluded then is, too. What was written before ``since`` has expired.
    """
    comments = await thread.comments(Posted(0, since - MARGIN, ""), Freshness.ANEW)
    found = []
    for comment in sorted(comments, key=lambda one: one.id):
        marker = read(comment.body) if comment.author.id == thread.account else None
        if marker and is_about(marker, subject, run):
            request = ApprovalRequest(
                id=marker.request,
                digest=marker.digest,
                head=run.head,
                expires=datetime.fromisoformat(marker.expires),
                panels=panels,
                excluded=(*((account, EARLIER) for account in marker.excluded), *excluded),
                prefix=thread.prefix,
            )
            found.append(Earlier(request, marker, Posted(comment.id, comment.created, "")))
    return found


def is_about(marker: Marker, subject: Operation | Result, run: Run) -> bool:
    """Whether ``marker`` is that of a request about ``subject``, whose approval is for ``run``."""
    bound = replace(run, session=marker.session)
    digest = request_digest(subject, bound, marker.request, expires=marker.expires, excluded=marker.excluded)
    return marker.run == run.run and marker.next_attempt == run.attempt and digest == marker.digest


async def claim(thread: Thread, asked: Posted, mine: Claim) -> bool:
    """Use an approval: whether ``mine`` is the first claim of it after ``asked``.

    It can be repeated. Raises ForgeTrouble.
    """
    await thread.post(f"ciguard uses the approval of request `{mine.reference}`.\n\n{write_claim(mine)}")
    comments = await thread.comments(asked, Freshness.ANEW)
    claims = [
        (one.id, claimed.session)
        for one in comments
        if one.author.id == thread.account and (claimed := read_claim(one.body)) and claimed.reference == mine.reference
    ]
    return min(claims, default=(0, ""))[1] == mine.session

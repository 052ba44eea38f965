"""One look at a thread: everything that a decision on a request rests on is read, and the request is decided anew."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from ciguard.approvals.person import Standing, Team
from ciguard.approvals.request import ApprovalRequest
from ciguard.approvals.ruling import Comment, Original, Ruling, Snapshot, about, decide
from ciguard.forge.thread import Freshness, Posted, Thread

if TYPE_CHECKING:
    from ciguard.approvals.waiting import Clock


class Look:
    """Looks for what ``request`` comes to in ``thread``. Every method raises ForgeTrouble.

    ``own`` are the ids of the guard's own comments, in which nobody answers anything; it may grow.
    """

    def __init__(self, request: ApprovalRequest, thread: Thread, clock: Clock, own: set[int]) -> None:
        self._request = request
        self._thread = thread
        self._clock = clock
        self._own = own
        self._seen: tuple[tuple[int, str], ...] = ()
        self._snapshot: Snapshot | None = None
        self._standings: dict[int, tuple[int, Standing | None]] = {}
        self._teams = sorted(
            {elector.name for panel in request.panels for elector in panel.electors if isinstance(elector, Team)}
        )

    async def at(self, posted: Posted) -> Ruling:
        """What the request, which ``posted`` asks, comes to. While its comments are the same, only time changes it."""
        return await self._decided(posted, Freshness.UNLESS_UNCHANGED)

    async def anew(self, posted: Posted) -> Ruling:
        """The same, with nothing of it remembered from before."""
        self._standings.clear()
        return await self._decided(posted, Freshness.ANEW)

    async def _decided(self, posted: Posted, freshness: Freshness) -> Ruling:
        comments = [one for one in await self._thread.comments(posted, freshness) if one.id not in self._own]
        seen = tuple((comment.id, comment.digest) for comment in comments)
        if self._snapshot is None or seen != self._seen or freshness is Freshness.ANEW:
            self._snapshot = await self._read(comments)
            self._seen = seen
        return decide(self._request, posted.id, replace(self._snapshot, now=self._clock.now()))

    async def _read(self, comments: Sequence[Comment]) -> Snapshot:
        """Everything that a decision on ``comments`` needs; nothing more is asked when none of them answers."""
        relevant = about(self._request, comments)
        head, originals = self._request.head, dict[int, Original]()
        if relevant:
            originals |= await self._thread.originals(relevant)
            head = await self._thread.head()
        newest = {comment.author: comment.id for comment in relevant if comment.author.human}
        for account, comment in newest.items():
            # Once for each comment: who has lost or won a role comments again, and nobody can make this a flood.
            if self._standings.get(account.id, (0, None))[0] != comment:
                self._standings[account.id] = comment, await self._thread.standing(account, self._teams)
        standings = {account: standing for account, (_, standing) in self._standings.items() if standing}
        return Snapshot(comments, originals, standings, head, self._clock.now())

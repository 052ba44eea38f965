"""Waiting for the answer to one request: its comment, the looks at the thread, and what people are told meanwhile.

Every look reads the thread and decides anew. A look that finds a release is not believed: everything that it rests on
is read once more, without any cache, and decided again. Trouble with the forge only ever takes time, never the
decision: at the end of the time the answer is no.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from typing import Protocol, TypeVar

from ciguard.approvals.person import Person, Standing, Team
from ciguard.approvals.request import ApprovalRequest
from ciguard.approvals.ruling import (
    Comment,
    Denied,
    Discounted,
    Evidence,
    Expired,
    Original,
    Pending,
    Released,
    Ruling,
    Snapshot,
    about,
    decide,
)
from ciguard.forge.thread import ForgeTrouble, Freshness, Posted, Reaction, Thread

T = TypeVar("T")

INTERVALS = ((120.0, 2.0), (600.0, 5.0))
"""Up to how many seconds of waiting the thread is looked at how often; a look at an unchanged thread is free."""

LONGEST_INTERVAL = 15.0
FIRST_PAUSE = 1.0
LONGEST_PAUSE = 60.0
"""Seconds before a failed look is repeated: doubled each time, and never shorter than the forge wants."""

MOST_REPLIES = 5
"""Comments that get an answer saying why they do not count; the thread must not be drowned by it."""

CLOSING = timedelta(seconds=30)
"""How long a decided request's comment may take to be brought up to date."""


class Clock(Protocol):
    """The time, and waiting. It never goes back, whatever the machine's clock does."""

    def now(self) -> datetime:
        """The time, in UTC."""

    async def sleep(self, seconds: float) -> None:
        """Wait."""


class Texts(Protocol):
    """What is written into the thread, as Markdown."""

    def parts(self) -> Sequence[str]:
        """What does not fit into the request's comment, in comments of its own; empty when all of it fits."""

    def asking(self, ruling: Ruling, parts: Sequence[str]) -> str:
        """The request's comment, as things stand; ``parts`` are the addresses of the comments with all of it."""

    def reply(self, discounted: Discounted) -> str:
        """The short answer to a comment that does not count."""


class OutOfTime(Exception):
    """The forge was in trouble until the end."""


class Question:
    """One request for approval in ``thread``.

    ``own`` gathers the ids of the guard's own comments, in which nobody answers anything. ``posted`` is told the
    address of the request's comment once people can read it.
    """

    def __init__(
        self,
        request: ApprovalRequest,
        thread: Thread,
        clock: Clock,
        texts: Texts,
        own: set[int],
        posted: Callable[[str], None],
    ) -> None:
        self._request = request
        self._thread = thread
        self._clock = clock
        self._texts = texts
        self._own = own
        self._on_posted = posted
        self._posted: Posted | None = None
        self._parts: list[str] = []
        self._seen: tuple[tuple[int, str], ...] = ()
        self._snapshot: Snapshot | None = None
        self._standings: dict[int, tuple[int, Standing | None]] = {}
        self._told: set[int] = set()
        self._progress: tuple[Evidence, ...] = ()
        self._teams = sorted(
            {elector.name for panel in request.panels for elector in panel.electors if isinstance(elector, Team)}
        )

    @property
    def comment(self) -> int | None:
        """The id of the comment that asks, once it is written."""
        return self._posted.id if self._posted else None

    @property
    def url(self) -> str:
        """The address of that comment; empty until then."""
        return self._posted.url if self._posted else ""

    async def answer(self) -> Ruling:
        """Ask, and wait until there is an outcome other than Pending."""
        missing = tuple(panel.quorum.words for panel in self._request.panels)
        try:
            # Before the request, so that whoever can answer it can read all of it.
            for part in self._texts.parts():
                self._parts.append((await self._write(part)).url)
            text = self._texts.asking(Ruling(Pending(missing)), self._parts)
            self._posted = posted = await self._write(text)
        except OutOfTime:
            return Ruling(Expired())
        self._on_posted(posted.url)
        excluded = dict(self._request.excluded)
        for elector in (elector for panel in self._request.panels for elector in panel.electors):
            if isinstance(elector, Person) and elector.id not in excluded:
                # The comment mentions them as well: this only puts it on their list of reviews.
                with suppress(ForgeTrouble):
                    await self._thread.request_review(elector)
        began, pause = self._clock.now(), FIRST_PAUSE
        while True:
            try:
                ruling = await self._look(posted, Freshness.UNLESS_UNCHANGED)
                if isinstance(ruling.outcome, Released):
                    for evidence in ruling.approvals:
                        self._standings.pop(evidence.account, None)
                    ruling = await self._look(posted, Freshness.ANEW)
                if not isinstance(ruling.outcome, Pending):
                    return ruling
                # Told at the next look if not at this one; it must not hold up the decision.
                with suppress(ForgeTrouble):
                    await self._tell(posted, ruling)
                wait, pause = interval((self._clock.now() - began).total_seconds()), FIRST_PAUSE
            except ForgeTrouble as trouble:
                wait, pause = max(trouble.wait, pause), min(2 * pause, LONGEST_PAUSE)
            left = (self._request.expires - self._clock.now()).total_seconds()
            if left <= 0:
                return Ruling(Expired())
            await self._clock.sleep(min(wait, left))

    async def close(self, ruling: Ruling) -> None:
        """Bring the comment up to date with the outcome, and show what was made of the comments that decided.

        Gives up when the forge is in trouble for long: the record has the outcome.
        """
        if self._posted is None:
            return
        until = self._clock.now() + CLOSING
        try:
            edit = partial(self._thread.edit, self._posted.id, self._texts.asking(ruling, self._parts))
            await patiently(edit, self._clock, until)
            match ruling.outcome:
                case Released(approvals):
                    for approval in approvals:
                        react = partial(self._thread.react, approval.comment, Reaction.APPROVED)
                        await patiently(react, self._clock, until)
                case Denied(denial):
                    react = partial(self._thread.react, denial.comment, Reaction.DENIED)
                    await patiently(react, self._clock, until)
        except OutOfTime:
            return

    async def _write(self, text: str) -> Posted:
        """A comment of the guard's own, before the request expires; else OutOfTime."""
        posted = await patiently(partial(self._thread.post, text), self._clock, self._request.expires)
        self._own.add(posted.id)
        return posted

    async def _look(self, posted: Posted, freshness: Freshness) -> Ruling:
        """What the request comes to now. While the comments are the same, only the time can change it."""
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

    async def _tell(self, posted: Posted, ruling: Ruling) -> None:
        """Answer what does not count, once each, and show how far the request is."""
        for discounted in ruling.discounted:
            if discounted.comment not in self._told and len(self._told) < MOST_REPLIES:
                await self._thread.react(discounted.comment, Reaction.NOT_COUNTED)
                self._own.add((await self._thread.post(self._texts.reply(discounted))).id)
                self._told.add(discounted.comment)
        if ruling.approvals != self._progress:
            await self._thread.edit(posted.id, self._texts.asking(ruling, self._parts))
            self._progress = ruling.approvals


async def patiently(call: Callable[[], Awaitable[T]], clock: Clock, until: datetime) -> T:
    """The result of ``call``, repeated while the forge is in trouble; OutOfTime at ``until``."""
    pause = FIRST_PAUSE
    while True:
        try:
            return await call()
        except ForgeTrouble as trouble:
            wait, pause, last = max(trouble.wait, pause), min(2 * pause, LONGEST_PAUSE), str(trouble)
        left = (until - clock.now()).total_seconds()
        if left <= 0:
            raise OutOfTime(last)
        await clock.sleep(min(wait, left))


def interval(waited: float) -> float:
    """Seconds until the next look, after ``waited`` seconds."""
    return next((pause for bound, pause in INTERVALS if waited < bound), LONGEST_INTERVAL)

"""Waiting for the answer to one request: its comment, the looks at the thread, and what people are told meanwhile.

A look that finds a release is not believed: everything that it rests on is read once more, without any cache, and
decided again. Trouble with the forge only ever takes time, never the decision: at the end of the time the answer is no.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from functools import partial
from typing import Protocol, TypeVar

from ciguard.approvals.looking import Look
from ciguard.approvals.person import Person
from ciguard.approvals.request import ApprovalRequest
from ciguard.approvals.ruling import (
    Awaited,
    Denied,
    Discounted,
    Evidence,
    Expired,
    Pending,
    Released,
    Ruling,
    Withdrawn,
)
from ciguard.forge.thread import ForgeTrouble, Posted, Reaction, Thread

T = TypeVar("T")

INTERVALS = ((120.0, 2.0), (600.0, 5.0))
"""Up to how many seconds of waiting the thread is looked at how often; a look at an unchanged thread is free."""

LONGEST_INTERVAL = 15.0
FIRST_PAUSE = 1.0
LONGEST_PAUSE = 60.0
"""Seconds before a failed look is repeated: doubled each time, and never shorter than the forge wants."""

MOST_REPLIES = 5
"""Comments that get an answer saying why they do not count; the thread must not be drowned by it."""

ASKING = timedelta(minutes=5)
"""How long the forge may be in trouble while a request is written or claimed that nobody waits for here."""

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
        self._told: set[int] = set()
        self._progress: tuple[Evidence, ...] = ()
        self._look = Look(request, thread, clock, own)

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
        posted = await self._ask(self._request.expires)
        return await self._answer(posted) if posted else Ruling(Expired())

    async def leave(self) -> Ruling:
        """Ask, and leave the answer to another attempt of the run."""
        posted = await self._ask(self._clock.now() + ASKING)
        return Ruling(Awaited()) if posted else Ruling(Withdrawn("Nobody could be asked."))

    async def redeem(self, posted: Posted) -> Ruling:
        """What ``posted`` came to, a request of an earlier attempt that was decided: all of it is read once more."""
        self._posted = posted
        try:
            ruling = await patiently(partial(self._look.anew, posted), self._clock, self._clock.now() + ASKING)
        except OutOfTime:
            return Ruling(Withdrawn("The forge could not be asked what became of it."))
        return Ruling(Withdrawn("The approval was taken back.")) if isinstance(ruling.outcome, Pending) else ruling

    async def _ask(self, until: datetime) -> Posted | None:
        """The comment that asks; None when the forge did not take it until then."""
        missing = tuple(panel.quorum.words for panel in self._request.panels)
        try:
            # Before the request, so that whoever can answer it can read all of it.
            for part in self._texts.parts():
                self._parts.append((await self._write(part, until)).url)
            text = self._texts.asking(Ruling(Pending(missing)), self._parts)
            self._posted = posted = await self._write(text, until)
        except OutOfTime:
            return None
        self._on_posted(posted.url)
        excluded = dict(self._request.excluded)
        for elector in (elector for panel in self._request.panels for elector in panel.electors):
            if isinstance(elector, Person) and elector.id not in excluded:
                # The comment mentions them as well: this only puts it on their list of reviews.
                with suppress(ForgeTrouble):
                    await self._thread.request_review(elector)
        return posted

    async def _answer(self, posted: Posted) -> Ruling:
        began, pause = self._clock.now(), FIRST_PAUSE
        while True:
            try:
                ruling = await self._look.at(posted)
                if isinstance(ruling.outcome, Released):
                    ruling = await self._look.anew(posted)
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
        if self._posted is None or isinstance(ruling.outcome, Awaited):
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

    async def _write(self, text: str, until: datetime) -> Posted:
        """A comment of the guard's own; OutOfTime when the forge did not take it until then."""
        posted = await patiently(partial(self._thread.post, text), self._clock, until)
        self._own.add(posted.id)
        return posted

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

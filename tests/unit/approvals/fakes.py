"""A thread and a clock in memory: what happens on the forge is a script over time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta

from ciguard.approvals.person import Account, Person, Standing
from ciguard.approvals.ruling import Comment, Discounted, Original, Ruling
from ciguard.forge.thread import ForgeTrouble, Freshness, Posted, Reaction
from tests.unit.approvals.scene import RUN, STANDINGS, START


class FakeClock:
    """Time passes by sleeping only; ``at`` runs something when it is that late."""

    def __init__(self) -> None:
        self.passed = 0.0
        self._sleepers: list[float] = []
        self._script: list[tuple[float, Callable[[], object]]] = []

    def at(self, seconds: float, act: Callable[[], object]) -> None:
        """Let ``act`` happen ``seconds`` after the start."""
        self._script.append((seconds, act))
        self._script.sort(key=lambda entry: entry[0])

    def now(self) -> datetime:
        """See Clock."""
        return START + timedelta(seconds=self.passed)

    async def sleep(self, seconds: float) -> None:
        """See Clock."""
        until = self.passed + seconds
        self._sleepers.append(until)
        try:
            while self.passed < until:
                await asyncio.sleep(0)
                # The next to wake moves the time, once everybody sleeps.
                if until == min(self._sleepers):
                    while self._script and self._script[0][0] <= until:
                        self.passed, act = self._script.pop(0)
                        act()
                    self.passed = until
        finally:
            self._sleepers.remove(until)


class FakeThread:
    """A thread whose people have the standings of the scene; ``trouble`` is raised by the methods that it names."""

    prefix = "/ciguard"

    def __init__(self, clock: FakeClock) -> None:
        self.clock = clock
        self.written: dict[int, str] = {}
        self.people: list[Comment] = []
        self.edited: dict[int, Original] = {}
        self.standings = dict(STANDINGS)
        self.commit = RUN.head
        self.reactions: list[tuple[int, Reaction]] = []
        self.reviews: list[str] = []
        self.looks: list[float] = []
        self.trouble: dict[str, ForgeTrouble] = {}
        self.asked: list[str] = []
        self.on_anew: Callable[[], None] = lambda: None
        self.account = 0
        self._last = 100

    def say(self, author: Account, body: str) -> int:
        """Somebody writes a comment."""
        self._last += 1
        self.people.append(Comment(self._last, f"IC_{self._last}", author, body, self.clock.now(), "0" * 64))
        return self._last

    def _ask(self, name: str) -> None:
        self.asked.append(name)
        if name in self.trouble:
            raise self.trouble[name]

    async def post(self, body: str) -> Posted:
        """See Thread."""
        self._ask("post")
        self._last += 1
        self.written[self._last] = body
        return Posted(self._last, self.clock.now(), "https://forge.example.com/1")

    async def edit(self, comment: int, body: str) -> None:
        """See Thread."""
        self._ask("edit")
        self.written[comment] = body

    async def react(self, comment: int, reaction: Reaction) -> None:
        """See Thread."""
        self._ask("react")
        self.reactions.append((comment, reaction))

    async def comments(self, after: Posted, freshness: Freshness) -> Sequence[Comment]:
        """See Thread."""
        self.looks.append(self.clock.passed)
        self._ask("comments")
        if freshness is Freshness.ANEW:
            self.on_anew()
        return list(self.people)

    async def originals(self, comments: Sequence[Comment]) -> Mapping[int, Original]:
        """See Thread."""
        self._ask("originals")
        there = {comment.id for comment in self.people}
        return {
            comment.id: Original(edited=False, body=comment.body, author=comment.author.id, answer="1" * 64)
            for comment in comments
            if comment.id in there
        } | self.edited

    async def standing(self, account: Account, teams: Sequence[str]) -> Standing | None:
        """See Thread."""
        self._ask("standing")
        return self.standings.get(account.id)

    async def head(self) -> str:
        """See Thread."""
        self._ask("head")
        return self.commit

    async def request_review(self, person: Person) -> None:
        """See Thread."""
        self._ask("request_review")
        self.reviews.append(person.login)


GUARD = Account(41, "github-actions[bot]", human=False)


class ListingThread(FakeThread):
    """A thread that also lists what the guard writes, as its account."""

    def __init__(self, clock: FakeClock) -> None:
        super().__init__(clock)
        self.account = GUARD.id

    async def post(self, body: str) -> Posted:
        """See Thread."""
        self._ask("post")
        return Posted(self.say(GUARD, body), self.clock.now(), "https://forge.example.com/1")


class PlainTexts:
    """Texts that say only what they are; ``further`` are those of further comments."""

    def __init__(self, *further: str) -> None:
        self._further = further

    def parts(self) -> Sequence[str]:
        """See Texts."""
        return self._further

    def asking(self, ruling: Ruling, parts: Sequence[str]) -> str:
        """See Texts."""
        more = f", {len(parts)} parts" if parts else ""
        return f"asking: {type(ruling.outcome).__name__}, {len(ruling.approvals)} approvals{more}"

    def reply(self, discounted: Discounted) -> str:
        """See Texts."""
        return f"reply: {discounted.why}"

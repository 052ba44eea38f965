"""Attempts of one run on one thread: what is asked in one is used in the next, once, and nowhere else."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from ciguard.approvals import marker
from ciguard.approvals.approver import Verdict
from ciguard.approvals.asking import ENDS, Asked, ForgeApprover, Limits, Mode, Place, Scope
from ciguard.approvals.person import Account, Role, Standing, Team
from ciguard.approvals.ruling import Discounted, Ruling
from ciguard.decision import Action, Decision, Quorum, Reason
from ciguard.forge.thread import ForgeTrouble
from ciguard.operation import Operation
from ciguard.session.event import EventType
from ciguard.session.reading import open_session
from tests.unit.approvals.fakes import GUARD, FakeClock, ListingThread
from tests.unit.approvals.scene import ALICE, BOB, CAROL, RUN, operation
from tests.unit.session import sample

HELD = Decision(Action.HOLD, 60, (Reason("r", "Because.", 60),), (Quorum(("@acme/security",)),))
ROSTER = {"@acme/security": (Team("acme/security"),)}
DAY = timedelta(hours=24)
AWAITED = Verdict(released=False, reason=f"It waits for approval. {ENDS}", awaited=True)


class Texts:
    """The marker, as the real ones have it."""

    def __init__(self, asked: Asked) -> None:
        self.asked = asked

    def parts(self) -> tuple[str, ...]:
        """See Texts."""
        return ()

    def asking(self, ruling: Ruling, parts: object) -> str:
        """See Texts."""
        return f"{type(ruling.outcome).__name__}\n{self.asked.marker}"

    def reply(self, discounted: Discounted) -> str:
        """See Texts."""
        return discounted.why


class Attempts:
    """Sessions on one thread; each has a record of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.clock = FakeClock()
        self.thread = ListingThread(self.clock)
        self.sessions = 0

    def session(
        self,
        attempt: int,
        changes: dict[str, str] | None = None,
        *,
        scope: Scope = Scope.ONCE,
        mode: Mode = Mode.RESUME,
    ) -> Session:
        """A session of an attempt."""
        self.sessions += 1
        name = f"{self.sessions:06x}" + "0" * 26
        return Session(self, replace(RUN, session=name, attempt=str(attempt), **(changes or {})), scope, mode)

    def answer(self, body: str, author: Account = BOB) -> int:
        """Somebody answers what was asked last."""
        markers = [read for one in self.thread.people if (read := marker.read(one.body))]
        return self.thread.say(author, body.format(markers[-1].reference))


class Session:
    """One session, whose approver can be asked."""

    def __init__(self, attempts: Attempts, run: Any, scope: Scope, mode: Mode) -> None:
        self.folder = attempts.folder / run.session
        self.recorder = sample.start(self.folder)
        self.place = Place(attempts.thread, run.place, run.head, ((ALICE.id, "the author"),))
        self.approver = ForgeApprover(
            self.where,
            replace(run, place="", head=""),
            ROSTER,
            Limits(DAY, 5, 20),
            attempts.clock,
            self.recorder,
            mask=lambda subject: subject,
            mask_text=lambda text: text,
            texts=Texts,
            mode=mode,
            scope=scope,
        )

    async def where(self) -> Place:
        """Where it asks."""
        return self.place

    async def ask(self, subject: Operation | None = None) -> Verdict:
        """The verdict on an operation, with its comment brought up to date."""
        verdict = await self.approver.ask(subject or operation(), HELD, "I ship it.")
        await self.approver.close()
        return verdict

    def verdicts(self) -> list[str]:
        """The outcomes that were recorded."""
        self.recorder.finish("done")
        return [event["outcome"] for event in open_session(self.folder).events if event["type"] == EventType.VERDICT]


@pytest.fixture
def attempts(tmp_path: Path) -> Attempts:
    return Attempts(tmp_path)


async def test_what_is_held_is_left_to_people_at_once(attempts: Attempts) -> None:
    session = attempts.session(1)
    assert await session.ask() == AWAITED
    assert attempts.clock.passed == 0
    (asked,) = attempts.thread.people
    read = marker.read(asked.body)
    assert read
    assert session.approver.awaited == [read.reference]
    assert session.verdicts() == ["awaited"]


async def test_an_approval_passes_once_in_the_next_attempt(attempts: Attempts) -> None:
    await attempts.session(1).ask()
    attempts.answer("/ciguard approve {}")
    following = attempts.session(2)
    assert (await following.ask()).released
    again = await following.ask()
    assert (again.released, again.awaited) == (False, True)
    assert following.verdicts() == ["released", "awaited"]
    assert following.approver.metrics.outcomes == (("awaited", 1), ("released", 1))
    assert attempts.thread.written[101].startswith("Released")


async def test_two_calls_at_the_same_time_have_one_approval(attempts: Attempts) -> None:
    await attempts.session(1).ask()
    attempts.answer("/ciguard approve {}")
    following = attempts.session(2)
    verdicts = await asyncio.gather(following.ask(), following.ask())
    assert sorted(verdict.released for verdict in verdicts) == [False, True]


async def test_two_jobs_at_the_same_time_have_one_approval(attempts: Attempts) -> None:
    await attempts.session(1).ask()
    attempts.answer("/ciguard approve {}")
    verdicts = await asyncio.gather(attempts.session(2).ask(), attempts.session(2).ask())
    assert sorted(verdict.released for verdict in verdicts) == [False, True]


async def test_a_denial_refuses_with_its_reason(attempts: Attempts) -> None:
    await attempts.session(1).ask()
    attempts.answer("/ciguard deny {} not on a Friday", CAROL)
    verdict = await attempts.session(2).ask()
    assert (verdict.released, verdict.awaited) == (False, False)
    assert verdict.reason.endswith("denied by @carol: not on a Friday")


async def test_what_nobody_answered_is_asked_anew(attempts: Attempts) -> None:
    await attempts.session(1).ask()
    assert await attempts.session(2).ask() == AWAITED
    assert len({read.reference for one in attempts.thread.people if (read := marker.read(one.body))}) == 2


def late(attempts: Attempts) -> None:
    """The request expires before anybody answers."""
    attempts.clock.passed = DAY.total_seconds()


def no_change(attempts: Attempts) -> None:
    """Nothing happens."""


def loses_the_role(attempts: Attempts) -> None:
    """Who answers can only read by then."""
    attempts.thread.standings[BOB.id] = Standing(Role.READ, frozenset({"acme/security"}), ())


def pushes(attempts: Attempts) -> None:
    """The pull request gets another commit."""
    attempts.thread.commit = "e" * 40


def takes_back(attempts: Attempts) -> None:
    """The answer is deleted."""
    attempts.thread.people.pop()


@pytest.mark.parametrize(
    ("before", "answer", "author", "after"),
    [
        (no_change, "/ciguard approve {}", ALICE, no_change),
        (no_change, "/ciguard approve {}", GUARD, no_change),
        (no_change, "/ciguard approve {}", CAROL, no_change),
        (no_change, "> /ciguard approve {}", BOB, no_change),
        (late, "/ciguard approve {}", BOB, no_change),
        (no_change, "/ciguard approve {}", BOB, loses_the_role),
        (no_change, "/ciguard approve {}", BOB, pushes),
        (no_change, "/ciguard approve {}", BOB, takes_back),
    ],
    ids=["the author", "the guard", "no approver", "a quotation", "too late", "lost the role", "a push", "taken back"],
)
async def test_what_does_not_count_is_asked_anew(
    attempts: Attempts,
    before: Callable[[Attempts], None],
    answer: str,
    author: Account,
    after: Callable[[Attempts], None],
) -> None:
    await attempts.session(1).ask()
    before(attempts)
    attempts.answer(answer, author)
    after(attempts)
    assert await attempts.session(2).ask() == AWAITED


@pytest.mark.parametrize(
    ("attempt", "changes", "subject"),
    [
        (1, {}, operation()),
        (3, {}, operation()),
        (2, {"run": "4712"}, operation()),
        (2, {"job": "another"}, operation()),
        (2, {"policy": "sha256:" + "e" * 64}, operation()),
        (2, {}, operation("psql -c 'DROP TABLE orders'")),
    ],
)
async def test_an_approval_is_for_nothing_else(
    attempts: Attempts, attempt: int, changes: dict[str, str], subject: Operation
) -> None:
    await attempts.session(1).ask()
    attempts.answer("/ciguard approve {}")
    assert await attempts.session(attempt, changes).ask(subject) == AWAITED


async def test_it_is_taken_back_between_the_claim_and_its_use(attempts: Attempts) -> None:
    await attempts.session(1).ask()
    answer = attempts.answer("/ciguard approve {}")

    def take_back() -> None:
        if any(marker.read_claim(one.body) for one in attempts.thread.people):
            attempts.thread.people[:] = [one for one in attempts.thread.people if one.id != answer]

    attempts.thread.on_anew = take_back
    verdict = await attempts.session(2).ask()
    assert (verdict.released, verdict.awaited) == (False, False)
    assert "taken back" in verdict.reason


@pytest.mark.parametrize("method", ["comments", "originals", "standing", "head", "post"])
async def test_trouble_never_releases(attempts: Attempts, method: str) -> None:
    await attempts.session(1).ask()
    attempts.answer("/ciguard approve {}")
    attempts.thread.trouble[method] = ForgeTrouble("down", status=503)
    assert not (await attempts.session(2).ask()).released


async def test_what_is_masked_is_refused_and_says_so(attempts: Attempts) -> None:
    verdict = await attempts.session(1).ask(operation("curl -H [ciguard-masked:github-token:0123456789ab] example.com"))
    assert (verdict.released, verdict.awaited) == (False, False)
    assert "could not be recognised" in verdict.reason
    assert attempts.thread.people == []


async def test_a_waiting_session_does_not_use_it(attempts: Attempts) -> None:
    """With mode: wait an answer is for the attempt that asks."""
    await attempts.session(1).ask()
    attempts.answer("/ciguard approve {}")
    waiting = attempts.session(2, mode=Mode.WAIT)
    assert not (await waiting.ask()).released
    assert waiting.verdicts() == ["expired"]


@pytest.mark.parametrize(("scope", "passes"), [(Scope.ONCE, False), (Scope.SESSION, True)])
async def test_the_scope_says_whether_the_same_passes_again(attempts: Attempts, scope: Scope, passes: bool) -> None:
    await attempts.session(1, scope=scope).ask()
    attempts.answer("/ciguard approve {}")
    following = attempts.session(2, scope=scope)
    assert (await following.ask()).released
    again = await following.ask()
    assert again.released is passes
    assert bool(again.standing) is passes
    assert await following.ask(operation("psql -c 'DROP TABLE orders'")) == AWAITED
    assert not (await attempts.session(3, scope=scope).ask()).released


async def test_the_time_to_decision_counts_from_when_people_were_asked(attempts: Attempts) -> None:
    await attempts.session(1).ask()
    attempts.clock.passed = 3600
    attempts.answer("/ciguard approve {}")
    following = attempts.session(2)
    assert (await following.ask()).released
    assert following.approver.metrics.longest_ms == 3600_000

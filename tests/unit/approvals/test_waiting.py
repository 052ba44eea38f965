"""Waiting over time: what is read when, and what a bad day of the forge does to a decision (THREATS A4, A6)."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ciguard.approvals.person import Account, AtLeast, Person, Role, Standing
from ciguard.approvals.request import ApprovalRequest
from ciguard.approvals.ruling import Denied, Expired, Original, Released, Ruling, Withdrawn
from ciguard.approvals.waiting import LONGEST_INTERVAL, MOST_REPLIES, Question, interval
from ciguard.forge.thread import ForgeTrouble, Reaction
from tests.unit.approvals.fakes import FakeClock, FakeThread, PlainTexts
from tests.unit.approvals.scene import ALICE, APPROVE, BOB, CAROL, DENY, REQUEST, STRANGER, panel

TIMEOUT = 1800.0
METHODS = ["comments", "originals", "standing", "head"]


class Scene:
    """A question that is asked at the start."""

    def __init__(self, request: ApprovalRequest = REQUEST, texts: PlainTexts | None = None) -> None:
        self.clock = FakeClock()
        self.thread = FakeThread(self.clock)
        self.own: set[int] = set()
        self.posted: list[str] = []
        self.question = Question(request, self.thread, self.clock, texts or PlainTexts(), self.own, self.posted.append)

    async def answered(self) -> Ruling:
        """The ruling, with the comment brought up to date."""
        ruling = await self.question.answer()
        decided = self.clock.passed
        await self.question.close(ruling)
        self.clock.passed = decided
        return ruling

    def says(self, seconds: float, author: Account = BOB, body: str = APPROVE) -> None:
        """Somebody comments then."""
        self.clock.at(seconds, lambda: self.thread.say(author, body))


@pytest.mark.parametrize("when", [1.0, 60.0, 119.0, 121.0, 500.0, 700.0, 1700.0])
async def test_an_approval_releases_within_the_poll_interval(when: float) -> None:
    scene = Scene()
    scene.says(when)
    ruling = await scene.answered()
    assert isinstance(ruling.outcome, Released)
    assert scene.clock.passed - when <= interval(when)
    assert scene.thread.written == {101: "asking: Released, 1 approvals"}
    assert scene.thread.reactions == [(102, Reaction.APPROVED)]


async def test_all_of_it_is_there_before_the_request_and_nobody_answers_it() -> None:
    scene = Scene(texts=PlainTexts("part 1", "part 2"))
    scene.says(10)
    ruling = await scene.answered()
    assert isinstance(ruling.outcome, Released)
    assert scene.thread.written == {
        101: "part 1",
        102: "part 2",
        103: "asking: Released, 1 approvals, 2 parts",
    }
    assert scene.own == {101, 102, 103}
    assert scene.posted == ["https://forge.example.com/1"]


async def test_what_cannot_be_shown_in_time_is_not_asked() -> None:
    scene = Scene(texts=PlainTexts("part 1"))
    scene.thread.trouble["post"] = ForgeTrouble("no", status=503)
    assert (await scene.answered()).outcome == Expired()
    assert (scene.thread.written, scene.posted) == ({}, [])


async def test_a_denial_ends_it() -> None:
    scene = Scene()
    scene.says(10.0, BOB, f"{DENY} no")
    ruling = await scene.answered()
    assert isinstance(ruling.outcome, Denied)
    assert scene.thread.written[101].startswith("asking: Denied")
    assert scene.thread.reactions == [(102, Reaction.DENIED)]


async def test_nobody_answers() -> None:
    scene = Scene()
    assert (await scene.answered()).outcome == Expired()
    assert scene.clock.passed == TIMEOUT
    assert scene.thread.written == {101: "asking: Expired, 0 approvals"}
    assert set(scene.thread.asked) == {"post", "comments", "edit"}


async def test_an_approval_at_the_last_moment_is_too_late() -> None:
    scene = Scene()
    scene.says(TIMEOUT)
    assert (await scene.answered()).outcome == Expired()


class TestReadAgainJustBeforeRelease:
    async def changed(self, scene: Scene, act: str) -> Ruling:
        def change() -> None:
            if act == "deleted":
                scene.thread.people.clear()
            elif act == "edited":
                scene.thread.edited = {102: Original(edited=True, body=APPROVE, author=BOB.id, answer="2" * 64)}
            elif act == "denied":
                scene.thread.say(CAROL, DENY)
            elif act == "removed":
                scene.thread.standings[BOB.id] = Standing(Role.READ, frozenset(), ())
            elif act == "pushed":
                scene.thread.commit = "e" * 40

        scene.says(10.0)
        scene.thread.on_anew = change
        return await scene.answered()

    @pytest.mark.parametrize(
        ("act", "outcome"),
        [("deleted", Expired), ("edited", Expired), ("denied", Denied), ("removed", Expired), ("pushed", Withdrawn)],
    )
    async def test_what_changed_between_reading_and_release_counts(self, act: str, outcome: type) -> None:
        ruling = await self.changed(Scene(), act)
        assert isinstance(ruling.outcome, outcome)

    async def test_nothing_changed(self) -> None:
        scene = Scene()
        assert isinstance((await self.changed(scene, "nothing")).outcome, Released)
        assert scene.thread.asked.count("originals") == 2
        assert scene.thread.asked.count("standing") == 2
        assert scene.thread.asked.count("head") == 2


class TestTrouble:
    @pytest.mark.parametrize("method", METHODS)
    async def test_for_ever_refuses_at_the_end(self, method: str) -> None:
        scene = Scene()
        scene.says(10.0)
        scene.thread.trouble[method] = ForgeTrouble("GitHub does not accept the token", status=401)
        assert (await scene.answered()).outcome == Expired()
        assert scene.clock.passed == TIMEOUT

    @pytest.mark.parametrize("method", METHODS)
    async def test_for_a_while_only_takes_time(self, method: str) -> None:
        scene = Scene()
        scene.says(10.0)
        scene.thread.trouble[method] = ForgeTrouble("GitHub has trouble of its own", status=502)
        scene.clock.at(600.0, scene.thread.trouble.clear)
        assert isinstance((await scene.answered()).outcome, Released)
        assert 600 <= scene.clock.passed <= 665

    async def test_that_keeps_the_request_from_being_posted(self) -> None:
        scene = Scene()
        scene.thread.trouble["post"] = ForgeTrouble("down")
        scene.clock.at(100.0, scene.thread.trouble.clear)
        scene.says(200.0)
        assert isinstance((await scene.answered()).outcome, Released)

    async def test_that_keeps_it_from_being_posted_at_all(self) -> None:
        scene = Scene()
        scene.thread.trouble["post"] = ForgeTrouble("down")
        ruling = await scene.answered()
        assert (ruling.outcome, scene.question.comment) == (Expired(), None)

    async def test_is_waited_out_as_long_as_the_forge_wants(self) -> None:
        scene = Scene()
        scene.thread.trouble["comments"] = ForgeTrouble("rate limit", status=403, wait=500.0)
        scene.clock.at(1.0, scene.thread.trouble.clear)
        await scene.answered()
        assert scene.thread.looks[:2] == [0.0, 500.0]

    async def test_of_telling_does_not_hold_up_the_decision(self) -> None:
        scene = Scene(replace(REQUEST, panels=(panel(AtLeast(Role.WRITE), count=2),)))
        scene.thread.trouble = {name: ForgeTrouble("down") for name in ("react", "edit", "request_review")}
        scene.says(10.0)
        scene.says(20.0, STRANGER)
        scene.says(30.0, CAROL)
        ruling = await scene.question.answer()
        assert isinstance(ruling.outcome, Released)
        assert scene.clock.passed <= 32.0


class TestTelling:
    async def test_what_does_not_count_is_answered_once(self) -> None:
        scene = Scene()
        scene.says(10.0, ALICE)
        scene.says(20.0)
        await scene.answered()
        assert scene.thread.reactions == [(102, Reaction.NOT_COUNTED), (104, Reaction.APPROVED)]
        assert scene.thread.written[103] == "reply: its author opened the pull request"

    async def test_the_thread_is_not_drowned(self) -> None:
        scene = Scene()
        for number in range(20):
            scene.says(10.0 + number, STRANGER)
        await scene.answered()
        assert len([text for text in scene.thread.written.values() if text.startswith("reply")]) == MOST_REPLIES

    async def test_progress_is_shown(self) -> None:
        scene = Scene(replace(REQUEST, panels=(panel(AtLeast(Role.WRITE), count=2),)))
        shown: list[str] = []
        scene.says(10.0)
        scene.clock.at(15.0, lambda: shown.append(scene.thread.written[101]))
        scene.says(20.0, CAROL)
        assert isinstance((await scene.answered()).outcome, Released)
        assert shown == ["asking: Pending, 1 approvals"]

    async def test_people_are_asked_for_a_review_except_who_may_not_approve(self) -> None:
        people = (Person("bob", BOB.id), Person("alice", ALICE.id))
        scene = Scene(replace(REQUEST, panels=(panel(*people),)))
        scene.says(10.0)
        await scene.answered()
        assert scene.thread.reviews == ["bob"]

    async def test_the_guards_own_comments_are_nobodys_answer(self) -> None:
        scene = Scene()
        scene.clock.at(1.0, lambda: scene.own.add(scene.thread.say(BOB, APPROVE)))
        assert (await scene.answered()).outcome == Expired()


async def test_a_flood_of_answers_by_strangers_is_read_once_each() -> None:
    scene = Scene()
    for number in range(30):
        scene.says(10.0 * number, Account(5000 + number, f"stranger-{number}", human=True))
    await scene.answered()
    assert scene.thread.asked.count("standing") == 30


async def test_who_wins_a_role_comments_again() -> None:
    scene = Scene()
    scene.says(10.0, STRANGER)
    promoted = Standing(Role.WRITE, frozenset({"acme/security"}), ())
    scene.clock.at(20.0, lambda: scene.thread.standings.update({STRANGER.id: promoted}))
    scene.says(30.0, STRANGER)
    assert isinstance((await scene.answered()).outcome, Released)
    assert 30 <= scene.clock.passed <= 32


@given(st.floats(0, 10_000))
def test_the_interval_grows_and_has_a_bound(waited: float) -> None:
    assert 2.0 <= interval(waited) <= interval(waited + 1) <= LONGEST_INTERVAL

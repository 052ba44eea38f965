"""Asking on a forge: what is recorded before anybody is asked, the caps, and several requests at once."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from ciguard.approvals.approver import Verdict
from ciguard.approvals.asking import Asked, ForgeApprover, Limits, Place
from ciguard.approvals.person import Account, Elector, Team
from ciguard.approvals.ruling import Discounted, Ruling
from ciguard.approvals.waiting import CLOSING
from ciguard.approvals.watcher import Decided
from ciguard.codecs.document import dump
from ciguard.decision import Action, Decision, Quorum, Reason
from ciguard.errors import RecordingFailed
from ciguard.forge.thread import ForgeTrouble
from ciguard.operation import Operation, Result
from ciguard.session.event import EventType
from ciguard.session.reading import open_session
from ciguard.session.recorder import Recorder
from tests.unit.approvals.fakes import FakeClock, FakeThread
from tests.unit.approvals.scene import ALICE, BOB, CAROL, RUN, operation
from tests.unit.session import sample

HELD = Decision(Action.HOLD, 60, (Reason("r", "Because.", 60),), (Quorum(("@acme/security",)),))
ROSTER: dict[str, tuple[Elector, ...]] = {"@acme/security": (Team("acme/security"),), "@acme/nobody": ()}


class Texts:
    """Names the request, as the real ones do."""

    def __init__(self, asked: Asked) -> None:
        self.asked = asked

    def parts(self) -> Sequence[str]:
        """See Texts."""
        return ()

    def asking(self, ruling: Ruling, parts: Sequence[str]) -> str:
        """See Texts."""
        return f"{type(ruling.outcome).__name__}: {self.asked.request.reference}"

    def reply(self, discounted: Discounted) -> str:
        """See Texts."""
        return discounted.why


class Told:
    """A watcher that keeps what it was told, with how many events were recorded by then."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self.told: list[tuple[str, str, int]] = []

    def asked(self, asked: Asked, url: str) -> None:
        """See Watcher."""
        assert asked.subject.body["input"] == "[masked]"
        self.told.append(("asked", url, self._recorder.count))

    def decided(self, asked: Asked, decided: Decided, url: str) -> None:
        """See Watcher."""
        self.told.append((f"{decided.outcome} after {decided.waited_ms}", url, self._recorder.count))


class Scene:
    """An approver on a thread in memory, with a real recorder."""

    def __init__(self, folder: Path, limits: Limits = Limits(timedelta(minutes=30), 5, 20)) -> None:  # noqa: B008
        self.clock = FakeClock()
        self.thread = FakeThread(self.clock)
        self.asked: list[Asked] = []
        self.folder = folder / "session"
        self.recorder = sample.start(self.folder)
        self.watcher = Told(self.recorder)
        self.places = 0
        self.trouble: ForgeTrouble | None = None
        self.approver = ForgeApprover(
            self.place,
            replace(RUN, place="", head=""),
            ROSTER,
            limits,
            self.clock,
            self.recorder,
            mask=lambda subject: structs.replace(subject, body={**subject.body, "input": "[masked]"}),
            mask_text=lambda text: text.replace("secret", "[masked]"),
            texts=self.texts,
            watchers=[self.watcher],
        )

    async def place(self) -> Place:
        """Where it asks."""
        self.places += 1
        if self.trouble:
            raise self.trouble
        return Place(self.thread, RUN.place, RUN.head, ((ALICE.id, "the author"),))

    def texts(self, asked: Asked) -> Texts:
        """The texts of a request, which is remembered."""
        self.asked.append(asked)
        return Texts(asked)

    async def ask(self, subject: Operation | Result | None = None, decision: Decision = HELD) -> Verdict:
        """Ask, and let the comments be brought up to date."""
        return await self.approver.ask(subject or operation(), decision, "I ship it.")

    def events(self, kind: EventType) -> list[dict[str, Any]]:
        """What was recorded."""
        self.recorder.finish("done")
        return [dict(event) for event in open_session(self.folder).events if event["type"] == kind]


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    scene = Scene(tmp_path)
    yield scene
    scene.recorder.close()


def answers(
    scene: Scene, seconds: float, number: int, word: str = "approve", author: Account = BOB, more: str = ""
) -> None:
    """Somebody answers request ``number`` then."""
    scene.clock.at(
        seconds,
        lambda: scene.thread.say(author, f"/ciguard {word} {scene.asked[number].request.reference}{more}"),
    )


async def test_a_release_is_recorded_with_its_evidence_before_it_is_told(scene: Scene) -> None:
    answers(scene, 10, 0)
    verdict = await scene.ask()
    assert verdict == Verdict(released=True, reason="It was approved by @bob.")
    await scene.approver.close()
    (asked,), told = scene.events(EventType.APPROVAL_REQUESTED), open_session(scene.folder).events
    (given,) = [event for event in told if event["type"] == EventType.VERDICT]
    assert (asked["approval"], asked["place"], asked["head"]) == ("3f9a2c.1", RUN.place, RUN.head)
    assert asked["quorums"] == [{"count": 1, "approvers": ["@acme/security"]}]
    assert (given["outcome"], given["waited_ms"] // 1000, given["comment"]) == ("released", 10, 101)
    assert [evidence["account"] for evidence in given["evidence"]] == [BOB.id]
    shown = dump({**operation().body, "input": "[masked]"})
    assert asked["body"] == hashlib.sha256(shown).hexdigest()
    assert open_session(scene.folder).body(asked["body"]) == shown
    assert scene.thread.written[101].startswith("Released")


async def test_what_people_see_is_masked_and_what_they_approve_is_not_another(scene: Scene) -> None:
    answers(scene, 10, 0)
    await scene.ask()
    (asked,) = scene.asked
    assert asked.subject.body["input"] == "[masked]"
    assert (asked.said, asked.decision) == ("I ship it.", HELD)
    assert asked.head == sample_head(scene)


def sample_head(scene: Scene) -> str:
    """The hash of the line that asked: the log's head when the comment was written."""
    lines = (scene.folder / "events.jsonl").read_bytes().splitlines()
    return hashlib.sha256(lines[scene.asked[0].seq]).hexdigest()


async def test_the_same_again_is_another_request(scene: Scene) -> None:
    answers(scene, 10, 0)
    answers(scene, 20, 0)
    assert (await scene.ask()).released
    again = asyncio.create_task(scene.ask())
    assert not (await again).released
    assert scene.asked[0].request.digest != scene.asked[1].request.digest


async def test_a_denial_tells_the_agent_the_reason_masked_and_cut(scene: Scene) -> None:
    answers(scene, 10, 0, "deny", CAROL, " my secret " + "x" * 1000)
    verdict = await scene.ask()
    assert verdict.reason.startswith("It was held for approval and denied by @carol: my [masked] xxx")
    assert len(verdict.reason) < 600


async def test_watchers_are_told_what_is_in_the_log_already(scene: Scene) -> None:
    answers(scene, 10, 0, "deny")
    before = scene.recorder.count
    await scene.ask()
    url = "https://forge.example.com/1"
    assert scene.watcher.told == [("asked", url, before + 1), ("denied after 10000", url, before + 2)]
    assert scene.approver.metrics.words == "1 asked; 1 denied; decided after 10 s (median), 10 s (longest)"


async def test_who_could_not_be_asked_is_not_said_to_be_asked(scene: Scene) -> None:
    scene.thread.trouble["post"] = ForgeTrouble("no", status=503)
    await scene.ask()
    assert [(what.split(" ")[0], url) for what, url, _ in scene.watcher.told] == [("expired", "")]


async def test_silence_says_how_long(scene: Scene) -> None:
    assert "nobody decided within 30 minutes" in (await scene.ask()).reason


async def test_several_wait_independently(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    answers(scene, 30, 0)
    answers(scene, 10, 1, "deny")
    first, second = await asyncio.gather(scene.ask(), scene.ask(operation("rm -rf build")))
    assert (first.released, second.released) == (True, False)
    assert len({asked.request.reference for asked in scene.asked}) == 2
    scene.recorder.close()


async def test_an_approval_of_one_is_none_of_the_other(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    answers(scene, 10, 0)
    first, second = await asyncio.gather(scene.ask(), scene.ask(operation("rm -rf build")))
    assert (first.released, second.released) == (True, False)
    scene.recorder.close()


@pytest.mark.parametrize(
    "quorums", [(), (Quorum(()),), (Quorum(("@acme/security",)), Quorum(())), (Quorum(("@acme/nobody",)),)]
)
async def test_nobody_is_asked_where_nobody_may_approve(scene: Scene, quorums: tuple[Quorum, ...]) -> None:
    verdict = await scene.ask(decision=replace(HELD, quorums=quorums))
    assert not verdict.released
    assert "names nobody" in verdict.reason
    assert scene.thread.asked == []


async def test_only_so_many_are_open(tmp_path: Path) -> None:
    scene = Scene(tmp_path, Limits(timedelta(minutes=30), 2, 20))
    verdicts = await asyncio.gather(*(scene.ask() for _ in range(3)))
    assert ["2 requests are open already" in verdict.reason for verdict in verdicts] == [False, False, True]
    assert len(scene.asked) == 2
    assert "open already" not in (await scene.ask()).reason
    scene.recorder.close()


async def test_only_so_many_in_all(tmp_path: Path) -> None:
    scene = Scene(tmp_path, Limits(timedelta(minutes=30), 5, 2))
    verdicts = [await scene.ask() for _ in range(3)]
    assert "has asked 2 times already" in verdicts[2].reason
    assert len(scene.asked) == 2
    scene.recorder.close()


async def test_a_place_that_cannot_be_had_refuses(scene: Scene) -> None:
    scene.trouble = ForgeTrouble("GitHub has trouble of its own")
    verdict = await scene.ask()
    assert not verdict.released
    assert "nobody could be asked: GitHub has trouble" in verdict.reason
    assert scene.events(EventType.APPROVAL_REQUESTED) == []


async def test_who_stops_waiting_withdraws(scene: Scene) -> None:
    waiting = asyncio.create_task(scene.ask())
    scene.clock.at(50, waiting.cancel)
    with pytest.raises(asyncio.CancelledError):
        await waiting
    await scene.approver.close()
    (verdict,) = scene.events(EventType.VERDICT)
    assert verdict["outcome"] == "withdrawn"
    assert scene.thread.written[101].startswith("Withdrawn")


async def test_closing_ends_also_when_the_forge_does_not_come_back(scene: Scene) -> None:
    answers(scene, 10, 0)
    scene.thread.trouble["edit"] = ForgeTrouble("down")
    assert (await scene.ask()).released
    await scene.approver.close()
    assert scene.clock.passed <= 10 + CLOSING.total_seconds()


async def test_what_cannot_be_recorded_is_not_asked(scene: Scene) -> None:
    scene.recorder.close()
    with pytest.raises(RecordingFailed):
        await scene.ask()
    assert scene.thread.asked == []

"""What a job was let into an environment for passes once there; everything else is left to its reviewers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from ciguard.approvals.admission import (
    MOST_SHOWN,
    Admitted,
    EnvironmentApprover,
    bound_run,
    place_of,
    references,
)
from ciguard.approvals.approver import Verdict
from ciguard.approvals.asking import Scope
from ciguard.approvals.request import Run
from ciguard.decision import Action, Decision, Quorum, Reason
from ciguard.operation import Operation
from ciguard.session.event import EventType
from ciguard.session.reading import open_session
from tests.unit.approvals.scene import RUN, START, operation
from tests.unit.session import sample

HELD = Decision(Action.HOLD, 60, (Reason("r", "Because.", 60),), (Quorum(()),))
PLACE = place_of("github.com", "acme/shop", "agent-approved")
BOUND = bound_run(PLACE, RUN.run, "1", RUN.head, RUN.policy)


class Job:
    """One job of a run."""

    def __init__(
        self,
        folder: Path,
        admitted: tuple[str, ...] = (),
        *,
        run: Run = BOUND,
        session: str = RUN.session,
        scope: Scope = Scope.ONCE,
        size: int = 100,
        most: int = 20,
    ) -> None:
        self.folder = folder
        self.recorder = sample.start(folder)
        self.approver = EnvironmentApprover(
            PLACE,
            run,
            session,
            Admitted(admitted, ("bob",)),
            most,
            scope,
            self.recorder,
            lambda: START,
            mask=lambda subject: structs.replace(subject, body={**subject.body, "input": "[masked]"}),
            size=lambda _: size,
        )

    async def ask(self, subject: Operation | None = None) -> Verdict:
        """The verdict on an operation."""
        return await self.approver.ask(subject or operation(), HELD, "I ship it.")

    def events(self) -> list[dict[str, Any]]:
        """What was recorded of requests."""
        self.recorder.finish("done")
        kinds = (EventType.APPROVAL_REQUESTED, EventType.VERDICT)
        return [dict(event) for event in open_session(self.folder).events if event["type"] in kinds]


async def asked(folder: Path, *subjects: Operation) -> tuple[str, ...]:
    """What the first job leaves to reviewers."""
    job = Job(folder / "first")
    for subject in subjects or (operation(),):
        verdict = await job.ask(subject)
        assert (verdict.released, verdict.awaited) == (False, True)
    return tuple(job.approver.awaited)


OTHER = "a" * 32


async def test_what_a_job_was_let_in_for_passes_once(tmp_path: Path) -> None:
    job = Job(tmp_path / "second", await asked(tmp_path), session=OTHER)
    verdict = await job.ask()
    assert verdict == Verdict(released=True, reason=f"It was approved by @bob for {PLACE}.")
    again = await job.ask()
    assert (again.released, again.awaited) == (False, True)
    requested, released, *_ = job.events()
    assert (requested["approval"], released["outcome"]) == ("3f9a2c.1", "released")
    assert requested["quorums"] == [{"count": 1, "approvers": [PLACE]}]
    assert requested["expires"] == "2026-12-02T09:30:00Z"


async def test_what_was_shown_twice_passes_twice(tmp_path: Path) -> None:
    job = Job(tmp_path / "second", await asked(tmp_path, operation(), operation()), session=OTHER)
    assert [(await job.ask()).released for _ in range(3)] == [True, True, False]


@pytest.mark.parametrize(
    "change",
    [
        {"run": "4712"},
        {"attempt": "2"},
        {"head": "e" * 40},
        {"policy": "sha256:" + "e" * 64},
        {"place": place_of("github.com", "acme/shop", "staging")},
    ],
)
async def test_it_is_for_this_run_attempt_commit_policy_and_environment(tmp_path: Path, change: dict[str, str]) -> None:
    job = Job(tmp_path / "second", await asked(tmp_path), session=OTHER, run=replace(BOUND, **change))
    assert not (await job.ask()).released


async def test_it_is_for_nothing_else(tmp_path: Path) -> None:
    awaiting = await asked(tmp_path)
    job = Job(tmp_path / "second", (*awaiting, "3f9a2c.2-" + "0" * 24), session=OTHER)
    assert not (await job.ask(operation("psql -c 'DROP TABLE orders'"))).released


@pytest.mark.parametrize(("scope", "passes"), [(Scope.ONCE, False), (Scope.SESSION, True)])
async def test_the_scope_says_whether_it_passes_again(tmp_path: Path, scope: Scope, passes: bool) -> None:
    job = Job(tmp_path / "second", await asked(tmp_path), session=OTHER, scope=scope)
    assert (await job.ask()).released
    assert (await job.ask()).released is passes


async def test_what_the_summary_has_no_room_for_is_refused(tmp_path: Path) -> None:
    job = Job(tmp_path / "first", size=MOST_SHOWN // 2)
    assert [(await job.ask()).awaited for _ in range(3)] == [True, True, False]
    assert len(job.approver.awaited) == 2
    assert "too long for the summary" in (await job.ask()).reason


async def test_only_so_many_wait(tmp_path: Path) -> None:
    job = Job(tmp_path / "first", most=1)
    assert [(await job.ask()).awaited for _ in range(2)] == [True, False]


async def test_what_is_masked_is_refused(tmp_path: Path) -> None:
    job = Job(tmp_path / "first")
    verdict = await job.ask(operation("echo [ciguard-masked:github-token:0123456789ab]"))
    assert (verdict.released, verdict.awaited) == (False, False)


def test_references_are_read_as_they_are_written() -> None:
    one, other = "3f9a2c.1-" + "0" * 24, "3f9a2c.12-" + "a" * 24
    assert references(f"{one} {other}") == (one, other)
    assert references("") == ()
    for text in (f"{one},{other}", "3f9a2c.0-" + "0" * 24, "$(id)", one[:-1], f"{one}\x00", " ".join([one] * 501)):
        assert references(text) is None

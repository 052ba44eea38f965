"""What a comment makes of a run that waits: it is started again, or one line says why not."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from ciguard.approvals import marker
from ciguard.approvals.marker import marker_of
from ciguard.approvals.person import Person
from ciguard.approvals.request import ApprovalRequest, Run
from ciguard.cli import main
from ciguard.cli import resume as command
from ciguard.testing.github_forge import GitHubForge
from ciguard.testing.github_forge.state import ACTIONS_BOT
from tests.unit.approvals.scene import panel

HEAD = "c" * 40
RUN = 4711
DIGEST = "167f9a88eec590f4f364f492"


@dataclass
class Scene:
    """A run that failed because its session waits for bob, and the forge that it waits on."""

    forge: GitHubForge
    folder: Path
    monkeypatch: pytest.MonkeyPatch
    capsys: pytest.CaptureFixture[str]
    asked: int = 0

    def ask(self, *, attempt: str = "1", author: str = ACTIONS_BOT, hours: int = 24) -> str:
        """A session asks; the reference of its request."""
        self.asked += 1
        request = ApprovalRequest(
            id=f"3f9a2c.{self.asked}",
            digest=DIGEST,
            head=HEAD,
            expires=(datetime.now(UTC) + timedelta(hours=hours)).replace(microsecond=0),
            panels=(panel(Person("bob", self.forge.user("bob").id)),),
            excluded=((self.forge.user("alice").id, "the author"),),
        )
        run = Run("3f9a2c" + "0" * 26, "", str(RUN), "", "agent", "", "")
        self.forge.comment(7, author, f"Please.\n\n{marker.write(marker_of(request, run, attempt))}")
        return request.reference

    def comment(self, body: str, *, by: str = "bob") -> tuple[int, str]:
        """Somebody comments, and the workflow runs for it: exit status and what it says."""
        self.forge.comment(7, by, body)
        return self.resume(body)

    def resume(self, body: str, *, event: str = "issue_comment", action: str = "created") -> tuple[int, str]:
        """The workflow runs."""
        payload = {"action": action, "issue": {"number": 7, "pull_request": {}}, "comment": {"body": body}}
        (self.folder / "event.json").write_text(json.dumps(payload))
        self.monkeypatch.setenv("GITHUB_EVENT_NAME", event)
        status = main(["resume"])
        out, err = self.capsys.readouterr()
        return status, out + err

    @property
    def started(self) -> int:
        """How often the run was started again."""
        return len(self.forge.runs[RUN].started_again)


@pytest.fixture
def scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Scene]:
    with GitHubForge() as forge:
        forge.add_user("bob", role="maintain")
        forge.add_user("carol", role="write")
        forge.add_user("mallory", role="read")
        forge.open_pull_request(7, author="alice", head=HEAD)
        forge.start_run(RUN, head=HEAD)
        forge.complete_run(RUN)
        monkeypatch.setenv("GITHUB_REPOSITORY", "acme/shop")
        monkeypatch.setenv("GITHUB_EVENT_PATH", str(tmp_path / "event.json"))
        monkeypatch.setenv("GITHUB_API_URL", forge.url)
        monkeypatch.setenv("CIGUARD_GITHUB_TOKEN", forge.issue_token(ACTIONS_BOT, writes=False, actions="write"))
        monkeypatch.setattr(command, "PATIENCE", timedelta())
        yield Scene(forge, tmp_path, monkeypatch, capsys)
        assert forge.surprises == []


@pytest.mark.parametrize("answer", ["approve {}", "deny {} not on a Friday"])
def test_a_decision_starts_the_run_again(scene: Scene, answer: str) -> None:
    status, said = scene.comment(f"/ciguard {answer.format(scene.ask())}\nThank you.")
    assert (status, said, scene.started) == (0, "run 4711 runs again: attempt 2\n", 1)


def test_it_is_started_once(scene: Scene) -> None:
    reference = scene.ask()
    scene.comment(f"/ciguard approve {reference}")
    scene.forge.complete_run(RUN)
    _, said = scene.comment(f"/ciguard approve {reference}")
    assert "is at attempt 2, and the answer is for the one after 1" in said
    assert scene.started == 1


def test_it_waits_for_every_request_of_the_attempt(scene: Scene) -> None:
    first, second = scene.ask(), scene.ask()
    scene.ask(attempt="2")
    scene.ask(author="carol")
    _, said = scene.comment(f"/ciguard approve {first}")
    assert said == "nothing to do: a request of this attempt is not decided yet: 1 of @bob\n"
    assert scene.started == 0
    _, said = scene.comment(f"/ciguard deny {second}", by="carol")
    assert "runs again" in said
    assert scene.started == 1


def test_an_expired_request_holds_nobody_up_and_is_no_reason_to_start(scene: Scene) -> None:
    expired = scene.ask(hours=-1)
    assert "has expired" in scene.comment(f"/ciguard approve {expired}")[1]
    assert scene.started == 0
    assert "runs again" in scene.comment(f"/ciguard approve {scene.ask()}")[1]


def moved_on(scene: Scene) -> None:
    """The pull request gets another commit."""
    scene.forge.push(7, "e" * 40)


def of_another_commit(scene: Scene) -> None:
    """The run that the marker names is for another commit."""
    scene.forge.runs[RUN].head = "e" * 40


def at_work(scene: Scene) -> None:
    """Other jobs of the run are not over."""
    scene.forge.runs[RUN].status = "in_progress"


@pytest.mark.parametrize(
    ("prepare", "said"),
    [
        (moved_on, "nothing to do: The change under review has moved on to another commit"),
        (of_another_commit, "nothing to do: run 4711 is for another commit"),
        (at_work, "not started again: run 4711 is not over yet"),
    ],
)
def test_a_run_that_cannot_go_on_is_not_started(scene: Scene, prepare: Callable[[Scene], None], said: str) -> None:
    reference = scene.ask()
    prepare(scene)
    status, told = scene.comment(f"/ciguard approve {reference}")
    assert (status, scene.started) == (0, 0)
    assert said in told


@pytest.mark.parametrize("by", ["alice", "carol", "mallory", ACTIONS_BOT])
def test_who_is_no_approver_starts_nothing(scene: Scene, by: str) -> None:
    status, said = scene.comment(f"/ciguard approve {scene.ask()}", by=by)
    assert (status, scene.started) == (0, 0)
    assert "not decided yet" in said


def test_an_approval_that_was_edited_starts_nothing(scene: Scene) -> None:
    body = f"/ciguard approve {scene.ask()}"
    scene.forge.edit(scene.forge.comment(7, "bob", "Nice."), "mallory", body)
    assert "not decided yet" in scene.resume(body)[1]
    assert scene.started == 0


@pytest.mark.parametrize(
    "body",
    [
        "Looks good.",
        "",
        "> /ciguard approve 3f9a2c.1-167f9a88eec590f4f364f492",
        "Hello\n/ciguard approve 3f9a2c.1-167f9a88eec590f4f364f492",
        "ciguard approve 3f9a2c.1-167f9a88eec590f4f364f492",
        "/ciguard approve 3f9a2c.1-$(id)",
    ],
)
def test_other_comments_are_no_answer(scene: Scene, body: str) -> None:
    scene.ask()
    assert scene.resume(body) == (0, "nothing to do: the comment answers no request\n")


def test_a_request_that_nobody_made_is_none(scene: Scene) -> None:
    assert "no request 3f9a2c.1-000 waits here" in scene.comment("/ciguard approve 3f9a2c.1-000")[1]


def test_a_reader_cannot_write_a_request(scene: Scene) -> None:
    """At worst a run would be wasted; not by just anybody."""
    reference = scene.ask(author="mallory")
    assert "no request" in scene.comment(f"/ciguard approve {reference}")[1]
    assert scene.started == 0


def test_a_copy_in_an_older_comment_does_not_stand_in_the_way(scene: Scene) -> None:
    old = scene.forge.comment(7, "mallory", "Nice.")
    reference = scene.ask()
    (asked,) = scene.forge.written_by(ACTIONS_BOT)
    scene.forge.edit(old, "mallory", asked.body)
    assert "runs again" in scene.comment(f"/ciguard approve {reference}")[1]


def test_what_a_machine_account_asks_counts_when_it_can_write(scene: Scene) -> None:
    assert "runs again" in scene.comment(f"/ciguard approve {scene.ask(author='carol')}")[1]


@pytest.mark.parametrize(("event", "action"), [("issue_comment", "edited"), ("pull_request", "created")])
def test_another_event_is_a_mistake_in_the_workflow(scene: Scene, event: str, action: str) -> None:
    status, said = scene.resume(f"/ciguard approve {scene.ask()}", event=event, action=action)
    assert status == 64
    assert "issue_comment" in said


def test_a_token_that_may_not_is_said_with_the_permissions_that_are_missing(scene: Scene) -> None:
    scene.monkeypatch.setenv("CIGUARD_GITHUB_TOKEN", scene.forge.issue_token(ACTIONS_BOT, writes=False))
    status, said = scene.comment(f"/ciguard approve {scene.ask()}")
    assert status == 75
    assert "error: run 4711 of acme/shop cannot be started again" in said
    assert "actions: write" in said

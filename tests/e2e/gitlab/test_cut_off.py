"""Jobs whose guard does not come to its end: after_script seals what there is, and the artifact verifies."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable

import pytest

from tests.e2e.gitlab.runner import Finished, Running, arguments
from tests.e2e.gitlab.stage import Stage, until_started, verified

pytestmark = pytest.mark.timeout(300)


def kill_the_guard(running: Running) -> None:
    os.kill(running.guard(), signal.SIGKILL)


def kill_everything(running: Running) -> None:
    running.signal(signal.SIGKILL)


async def test_a_cancelled_job_leaves_a_complete_record(stage: Stage) -> None:
    running = await stage.push(stage.policy(), ["touch started", "sleep 60", "touch too-late"])
    await until_started(running)
    running.signal(signal.SIGTERM)
    finished = await running.ended()
    assert finished.status == 143, finished.said
    assert "session is sealed already" in finished.log
    assert finished.kept() == {"ciguard-session", "ciguard-report.html"}
    verification = verified(finished)
    assert verification.returncode == 0, verification.stdout + verification.stderr
    is_cleaned_up(finished)


@pytest.mark.parametrize("kill", [kill_the_guard, kill_everything])
async def test_a_killed_guard_leaves_a_record_that_says_so(stage: Stage, kill: Callable[[Running], None]) -> None:
    running = await stage.push(stage.policy(), ["touch started", "sleep 60", "touch too-late"])
    await until_started(running)
    before = running.processes()
    kill(running)
    finished = await running.ended()
    assert [argv for pid, argv in before.items() if arguments(pid) == argv] == []
    assert finished.status == 137, finished.said
    assert "sealed session as incomplete" in finished.log
    assert finished.kept() == {"ciguard-session", "ciguard-report.html"}
    assert verified(finished).returncode == 65
    verification = verified(finished, "--allow-incomplete")
    assert verification.returncode == 0, verification.stdout + verification.stderr
    assert 'errors="1"' in (finished.checkout.path / "ciguard-junit.xml").read_text()
    is_cleaned_up(finished)


def is_cleaned_up(finished: Finished) -> None:
    """The agent did not go on, and nothing of the guard's is beside the checkout any more."""
    assert not (finished.checkout.path / "too-late").exists()
    assert list(finished.checkout.path.with_name(f"{finished.checkout.path.name}.tmp").iterdir()) == []

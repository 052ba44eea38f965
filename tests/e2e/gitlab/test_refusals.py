"""What a job is refused for: one clear error with its remedy in the log and in the artifact, and no agent."""

from __future__ import annotations

import pytest

from tests.e2e.gitlab.container import contained
from tests.e2e.gitlab.runner import PROJECT, Finished
from tests.e2e.gitlab.stage import Stage, started, verified

pytestmark = pytest.mark.timeout(300)


def refused(finished: Finished, status: int) -> tuple[str, str]:
    """The one error in the log and what to do about it; no agent ran."""
    assert finished.status == status, finished.said
    assert not (finished.checkout.path / "ran").exists()
    lines = finished.log.splitlines()
    [begin] = [number for number, line in enumerate(lines) if line.startswith("error: ")]
    assert [number for number, line in enumerate(lines) if line.startswith("help: ")] == [begin + 1]
    assert "Traceback" not in finished.log
    return lines[begin], lines[begin + 1]


def refused_before_a_session(finished: Finished, status: int) -> tuple[str, str]:
    """See refused; the artifact says the same."""
    cause, remedy = refused(finished, status)
    assert finished.kept() == {"ciguard-refusal.txt"}
    assert (finished.artifact / "ciguard-refusal.txt").read_text().splitlines()[:2] == [cause, remedy]
    return cause, remedy


async def test_a_job_without_identity_token(stage: Stage) -> None:
    stage.without.add("CIGUARD_ID_TOKEN")
    finished = await (await stage.push(stage.policy(), ["touch ran"])).ended()
    cause, _ = refused_before_a_session(finished, 77)
    assert "CIGUARD_ID_TOKEN is not set" in cause
    assert "id_tokens:\n  CIGUARD_ID_TOKEN:\n    aud: ciguard\n" in finished.log


async def test_a_token_for_another_audience(stage: Stage) -> None:
    stage.inputs["audience"] = "somebody-else"
    finished = await (await stage.push(stage.policy(), ["touch ran"])).ended()
    cause, remedy = refused_before_a_session(finished, 77)
    assert "somebody-else" in cause
    assert "aud" in remedy


async def test_a_kernel_without_landlock(stage: Stage) -> None:
    stage.prefix = contained(landlock=False)
    finished = await (await stage.push(stage.policy(), ["touch ran"])).ended()
    cause, _ = refused_before_a_session(finished, 69)
    assert "Landlock" in cause
    assert "Linux 6.7" in finished.log


@pytest.mark.parametrize("script", [[], ["# nothing"]])
async def test_a_script_without_commands(stage: Stage, script: list[str]) -> None:
    finished = await (await stage.push(stage.policy(), script)).ended()
    cause, _ = refused_before_a_session(finished, 1)
    assert "'script' has no commands" in cause


async def test_a_posting_token_that_may_not_post(stage: Stage) -> None:
    forge = stage.runner.forge
    token = forge.issue_token("alice", writes=False)
    stage.variables["CIGUARD_GITLAB_TOKEN"] = token
    finished = await (await stage.propose(stage.policy(), ["touch ran"])).ended()
    cause, remedy = refused(finished, 75)
    assert "cannot comment on" in cause
    assert "scope api" in remedy
    assert finished.kept() == {"ciguard-session", "ciguard-report.html"}
    assert "cannot comment on" in (finished.checkout.path / "ciguard-junit.xml").read_text()
    assert verified(finished).returncode == 0
    assert started(finished)["job"]["change"]["number"] == 7
    assert token not in finished.said


async def test_a_merge_request_from_a_fork(stage: Stage) -> None:
    finished = await (await stage.propose(stage.policy(), ["touch ran"], fork="mallory/shop")).ended()
    cause, _ = refused_before_a_session(finished, 77)
    assert "comes from a fork" in cause
    assert f'{{project_path: THE/FORK, job_project_path: "{PROJECT}"}}' in finished.log


async def test_a_fork_that_the_policy_names_with_the_project_is_let_in(stage: Stage) -> None:
    stage.allow = f"{{project_path: mallory/shop, job_project_path: {PROJECT}}}"
    finished = await (await stage.propose(stage.policy(), ["touch ran"], fork="mallory/shop")).ended()
    assert finished.status == 0, finished.said
    assert (finished.checkout.path / "ran").exists()
    assert verified(finished).returncode == 0
    claims = started(finished)["identity"]["claims"]
    assert (claims["project_path"], claims["job_project_path"]) == ("mallory/shop", PROJECT)

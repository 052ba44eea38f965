"""What ``ciguard doctor`` finds."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ciguard.cli import main
from ciguard.guard.examination import AGENTS, agents, identity, isolation
from ciguard.policy.sections.isolation import IsolationLevel
from tests.sandboxed import OFFERED

GITHUB = {
    "GITHUB_ACTIONS": "true",
    "GITHUB_REPOSITORY": "acme/shop",
    "GITHUB_SERVER_URL": "https://github.example.com",
    "GITHUB_EVENT_NAME": "push",
    "GITHUB_RUN_ID": "1",
    "GITHUB_RUN_ATTEMPT": "1",
    "GITHUB_SHA": "0" * 40,
}


def test_each_level_is_there_or_says_why_not_and_what_helps(tmp_path: Path) -> None:
    found = list(isolation({"PATH": "/usr/bin:/bin", "HOME": str(tmp_path)}, tmp_path))
    assert [finding.name for finding in found] == list(IsolationLevel)
    assert [IsolationLevel(finding.name) for finding in found if finding.available] == OFFERED
    assert all(finding.words and bool(finding.remedy) is not finding.available for finding in found)
    assert list(tmp_path.iterdir()) == []


def test_the_identity_of_a_job() -> None:
    outside = identity({})
    assert (outside.available, "not a GitHub or GitLab job" in outside.words[0]) == (False, True)
    tokenless = identity(GITHUB)
    assert not tokenless.available
    assert "id-token: write" in tokenless.remedy
    able = identity({**GITHUB, "ACTIONS_ID_TOKEN_REQUEST_TOKEN": "never-shown"})
    assert able.available
    assert "never-shown" not in repr(able)


def test_agents_are_looked_for_on_the_path(tmp_path: Path) -> None:
    program = tmp_path / "codex"
    program.write_text("")
    program.chmod(0o755)
    found = {finding.name: finding for finding in agents({"PATH": str(tmp_path)})}
    assert found["Codex"].words == (str(program),)
    assert {name for name, finding in found.items() if finding.available} == {"Codex"}
    assert set(found) == set(AGENTS.values())


@pytest.mark.parametrize("option", [[], ["--json"]])
def test_doctor_prints_it(option: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path)
        for name in ("CIGUARD_GITHUB_TOKEN", "GITHUB_TOKEN", "CIGUARD_GITLAB_TOKEN", "GITLAB_CI"):
            patch.delenv(name, raising=False)
        assert main(["doctor", *option]) == 0
    printed = capsys.readouterr().out
    if option:
        assert {"isolation", "identity", "approvals", "agent"} == {
            finding["subject"] for finding in json.loads(printed)
        }
    else:
        assert "✓ isolation none\n" in printed
        assert "✗ identity job\n" in printed or "✓ identity job\n" in printed

"""What ``ciguard doctor`` says of approvals: found out without writing anything."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from ciguard.cli import main
from ciguard.guard.approval_examination import examine_approvals
from ciguard.guard.examination import Finding
from ciguard.policy.loading import FileSource, load_policy
from ciguard.policy.models import Policy
from ciguard.testing.github_forge import GitHubForge
from ciguard.testing.gitlab_forge import GitLabForge
from tests.unit.forge.test_github_app import APP, PEM

POLICY = 'version: 1\napproval: {approvers: ["@bob", "@acme/security", "@nobody", "role:maintain"]}\n'


@pytest.fixture
def policy(tmp_path: Path) -> Policy:
    (tmp_path / ".ciguard.yml").write_text(POLICY)
    return load_policy(FileSource(tmp_path), ".ciguard.yml")


@pytest.fixture
def github() -> Iterator[GitHubForge]:
    with GitHubForge() as forge:
        forge.add_user("bob", role="maintain")
        forge.add_team("acme/security", "bob")
        yield forge
        assert forge.surprises == []
        assert forge.thread == {}
        assert {call.method for call in forge.calls if "access_tokens" not in call.path} <= {"GET"}


@pytest.fixture
def gitlab() -> Iterator[GitLabForge]:
    with GitLabForge() as forge:
        forge.add_user("bob", level=40)
        forge.add_group("acme/security", "bob")
        yield forge
        assert forge.surprises == []
        assert {call.method for call in forge.calls if "graphql" not in call.path} <= {"GET"}


def on_github(forge: GitHubForge, policy: Policy | None, **changes: str) -> list[Finding]:
    """What is found with the environment of a job."""
    environ = {"GITHUB_API_URL": forge.url, "GITHUB_REPOSITORY": "acme/shop", "GITHUB_ACTOR": "alice"}
    return examine_approvals({**environ, "GITHUB_TOKEN": forge.token, **changes}, policy)


def on_gitlab(forge: GitLabForge, policy: Policy | None, **changes: str) -> list[Finding]:
    """What is found with the environment of a job."""
    environ = {"GITLAB_CI": "true", "CI_API_V4_URL": forge.api, "CI_PROJECT_PATH": "acme/platform/shop"}
    return examine_approvals({**environ, "CIGUARD_GITLAB_TOKEN": forge.token, **changes}, policy)


def told(findings: list[Finding]) -> dict[str, bool | None]:
    """Each with whether it is there. What is not has a remedy, and every one a name of its own."""
    assert all(finding.remedy for finding in findings if finding.available is not True)
    assert len({finding.name for finding in findings}) == len(findings)
    return {finding.name: finding.available for finding in findings}


def test_of_a_jobs_own_token_only_trying_shows_what_it_writes(github: GitHubForge, policy: Policy) -> None:
    findings = on_github(github, policy)
    assert told(findings) == {
        "reads roles": True,
        "writes": None,
        "token": True,
        "@acme/security": False,
        "@bob": True,
        "@nobody": False,
    }
    assert "issues: write" in findings[1].remedy


def test_the_scopes_and_the_end_of_a_classic_token(github: GitHubForge, policy: Policy) -> None:
    token = github.issue_token("bob", reads_teams=True, expires=datetime(2199, 1, 2, tzinfo=UTC))
    findings = on_github(github, policy, CIGUARD_GITHUB_TOKEN=token)
    assert told(findings) == {
        "reads roles": True,
        "writes": True,
        "token": True,
        "@acme/security": True,
        "@bob": True,
        "@nobody": False,
    }
    assert findings[1].words == ("the token's scopes: read:org, repo",)
    assert findings[2].words == ("ends at 2199-01-02 00:00 UTC",)
    reading = github.issue_token("bob", writes=False)
    assert told(on_github(github, None, CIGUARD_GITHUB_TOKEN=reading))["writes"] is False


def test_an_app_may_what_its_tokens_were_made_for(github: GitHubForge, policy: Policy) -> None:
    app = {"CIGUARD_APP_ID": "61", "CIGUARD_APP_PRIVATE_KEY": PEM}
    github.install_app(replace(APP, permissions={**APP.permissions, "members": "read"}))
    assert told(on_github(github, policy, **app))["writes"] is True
    github.install_app(APP)
    (finding,) = on_github(github, policy, **app)
    assert (finding.available, "lacks one of the permissions" in finding.words[0]) == (False, True)
    assert told(on_github(github, policy, CIGUARD_APP_ID="61")) == {"token": False}


def test_a_token_of_somebody_who_may_not_write(github: GitHubForge) -> None:
    github.add_user("reader", role="read")
    (finding,) = on_github(github, None, CIGUARD_GITHUB_TOKEN=github.issue_token("reader"))
    assert (finding.name, finding.available) == ("reads roles", False)


@pytest.mark.parametrize(
    "changes", [{"GITHUB_TOKEN": ""}, {"GITHUB_ACTOR": ""}, {"GITHUB_REPOSITORY": ""}, {"GITHUB_TOKEN": "wrong"}]
)
def test_what_is_missing_on_github(github: GitHubForge, changes: dict[str, str]) -> None:
    assert list(told(on_github(github, None, **changes)).values()) == [False]


def test_an_access_token_of_gitlab(gitlab: GitLabForge, policy: Policy) -> None:
    findings = on_gitlab(gitlab, policy)
    assert told(findings) == {
        "writes": True,
        "token": True,
        "sees edits": True,
        "@acme/security": True,
        "@bob": True,
        "@nobody": False,
    }
    assert findings[0].words == ("the token's scopes: api; its role in the project: write",)
    day = f"{datetime.now(UTC) + timedelta(days=400):%Y-%m-%d}"
    late = on_gitlab(gitlab, None, CIGUARD_GITLAB_TOKEN=gitlab.issue_token("bob", writes=False, expires=day))
    assert told(late) == {"writes": False, "token": True, "sees edits": True}
    assert late[1].words == (f"ends at {day} 00:00 UTC",)


@pytest.mark.parametrize("changes", [{"CIGUARD_GITLAB_TOKEN": ""}, {"CIGUARD_GITLAB_TOKEN": "wrong"}])
def test_what_is_missing_on_gitlab(gitlab: GitLabForge, changes: dict[str, str]) -> None:
    assert told(on_gitlab(gitlab, None, **changes)) == {"token": False}


def test_an_old_gitlab_does_not_tell_edits() -> None:
    with GitLabForge(old=True) as forge:
        assert told(on_gitlab(forge, None))["sees edits"] is False


def test_doctor_shows_it(
    github: GitHubForge, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "policy.yml").write_text(POLICY)
    monkeypatch.chdir(tmp_path)
    environ = {"GITHUB_API_URL": github.url, "GITHUB_REPOSITORY": "acme/shop", "GITHUB_ACTOR": "alice"}
    for name, value in {**environ, "GITHUB_TOKEN": github.token}.items():
        monkeypatch.setenv(name, value)
    assert main(["doctor", "--policy", "policy.yml"]) == 0
    printed = capsys.readouterr().out
    assert "? approvals writes\n" in printed
    assert "✗ approvals @nobody\n" in printed
    assert github.token not in printed
    (tmp_path / "policy.yml").write_text("version: 2\n")
    assert main(["doctor", "--policy", "policy.yml", "--json"]) == 0
    found = [one for one in json.loads(capsys.readouterr().out) if one["subject"] == "approvals"]
    assert (found[0]["name"], found[0]["available"]) == ("policy", False)

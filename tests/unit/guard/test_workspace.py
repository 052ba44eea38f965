"""What of a workspace comes from the base branch, and what is put back after the agent."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from ciguard.forge import checkout as git
from ciguard.guard.workspace import MOST_NAMED, event, prepare
from ciguard.policy.sections.isolation import Protection
from ciguard.policy.trust import BaseCommit
from ciguard.sandbox import protected

SECRET = "ghs-of-the-job-123"


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository on a branch that changes what protects it, and something else."""
    root = tmp_path / "repository"

    def do(*arguments: str) -> None:
        identity = ("-c", "user.name=A", "-c", "user.email=a@example.com")
        subprocess.run(["git", "-C", root, *identity, *arguments], check=True, capture_output=True)

    subprocess.run(["git", "init", "--quiet", "--initial-branch=main", root], check=True)
    (root / ".github/workflows").mkdir(parents=True)
    (root / ".github/workflows/ci.yml").write_text("on: push\n")
    (root / ".github/run.sh").write_text("#!/bin/sh\n")
    (root / ".github/run.sh").chmod(0o755)
    (root / "CLAUDE.md").symlink_to(".github/run.sh")
    (root / "code.py").write_text("1\n")
    do("add", ".")
    do("commit", "--quiet", "--message", "base")
    do("checkout", "--quiet", "-b", "change")
    (root / ".github/workflows/ci.yml").write_text("on: pull_request_target\n")
    (root / ".github/new.yml").write_text("x\n")
    (root / ".github/run.sh").unlink()
    (root / "CLAUDE.md").unlink()
    (root / "CLAUDE.md").write_text("Obey.\n")
    (root / ".mcp.json").write_text("{}\n")
    (root / "code.py").write_text("2\n")
    do("add", ".")
    do("commit", "--quiet", "--message", "change")
    return root


def base_of(root: Path) -> BaseCommit:
    """The commit of main."""
    told = subprocess.run(["git", "-C", root, "rev-parse", "main"], check=True, capture_output=True, text=True)
    checkout = git.find(root)
    assert checkout is not None
    return BaseCommit(checkout, root, told.stdout.strip(), "main")


def test_what_protects_comes_from_the_base_branch(repository: Path) -> None:
    restored: list[str] = []
    prepare(repository, base_of(repository), [], restored.extend)
    assert restored == [".github/new.yml", ".github/run.sh", ".github/workflows/ci.yml", ".mcp.json", "CLAUDE.md"]
    assert (repository / ".github/workflows/ci.yml").read_text() == "on: push\n"
    assert (repository / ".github/run.sh").stat().st_mode & 0o111
    assert (repository / "CLAUDE.md").is_symlink()
    assert not (repository / ".mcp.json").exists()
    assert (repository / "code.py").read_text() == "2\n"


def test_nothing_is_restored_twice_nor_without_a_base(repository: Path) -> None:
    def unexpected(paths: list[str]) -> None:
        raise AssertionError(paths)

    prepare(repository, None, [], unexpected)
    assert (repository / "CLAUDE.md").read_text() == "Obey.\n"
    prepare(repository, base_of(repository), [], lambda _: None)
    prepare(repository, base_of(repository), [], unexpected)


@pytest.mark.parametrize("protection", Protection)
def test_changes_are_undone_or_told(repository: Path, protection: Protection) -> None:
    config = repository / ".git/config"
    config.write_text(config.read_text() + f"[x]\n\ty = {SECRET}\n")
    given = config.read_text()
    workspace = prepare(repository, None, [SECRET], lambda _: None)
    assert SECRET not in config.read_text()
    (repository / ".mcp.json").write_text("[]")
    (repository / ".git/hooks/post-checkout").write_text("x")
    assert workspace.conclude(protection) == [".git/hooks/post-checkout", ".mcp.json"]
    undone = protection is Protection.READ_ONLY
    assert (repository / ".mcp.json").read_text() == ("{}\n" if undone else "[]")
    assert (repository / ".git/hooks/post-checkout").exists() is not undone
    assert config.read_text() == given


def test_more_than_can_be_kept_is_taken_away(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    workspace = prepare(repository, None, [], lambda _: None)
    monkeypatch.setattr(protected, "MOST_BYTES", 100_000)
    (repository / ".github/big").write_bytes(bytes(200_000))
    assert ".github" in workspace.conclude(Protection.READ_ONLY)
    assert not (repository / ".github/big").exists()
    assert (repository / ".github/new.yml").exists()


def test_an_event_names_a_hundred_paths() -> None:
    told = event("after", "restored", [f"path-{number}" for number in range(130)], str.upper)
    assert (len(told.paths), told.paths[0], told.more) == (MOST_NAMED, "PATH-0", 30)

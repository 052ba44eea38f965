"""Protected files: kept, compared, and put back whatever the agent made of them."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from ciguard.sandbox import protected
from ciguard.sandbox.protected import PROTECTED, File, TooMuch, capture, differences, protected_paths, put_back


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    """A workspace with some of the protected files, and a file beside it that must never change."""
    root = tmp_path / "workspace"
    for name in (".git/hooks", ".github/workflows", ".claude"):
        (root / name).mkdir(parents=True)
    (root / ".git/config").write_text("[core]\n")
    (root / ".git/hooks/pre-commit").write_text("#!/bin/sh\n")
    (root / ".git/hooks/pre-commit").chmod(0o755)
    (root / ".github/workflows/ci.yml").write_text("on: push\n")
    (root / ".claude/settings.json").symlink_to("../settings.json")
    (root / "CLAUDE.md").write_text("Be kind.\n")
    (tmp_path / "beside").mkdir()
    (tmp_path / "beside/config").write_text("kept")
    (tmp_path / "beside/workflows").mkdir()
    (tmp_path / "beside/workflows/ci.yml").write_text("kept")
    return root


def _replace_by_link(path: Path, target: str) -> None:
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    path.symlink_to(target)


def _folder_becomes_file(root: Path) -> None:
    shutil.rmtree(root / ".claude")
    (root / ".claude").write_text("x")


def _file_becomes_folder(root: Path) -> None:
    (root / "CLAUDE.md").unlink()
    (root / "CLAUDE.md/x").mkdir(parents=True)


ATTACKS: dict[str, Callable[[Path], object]] = {
    "content": lambda root: (root / "CLAUDE.md").write_text("Obey."),
    "mode": lambda root: (root / ".git/hooks/pre-commit").chmod(0o644),
    "deleted file": lambda root: (root / ".git/config").unlink(),
    "deleted folder": lambda root: shutil.rmtree(root / ".github"),
    "new file": lambda root: (root / ".git/hooks/post-checkout").write_text("x"),
    "new top": lambda root: (root / ".mcp.json").write_text("{}"),
    "new folder": lambda root: (root / ".codex/deep/er").mkdir(parents=True),
    "folder mode": lambda root: (root / ".github").chmod(0o700),
    "folder becomes a file": _folder_becomes_file,
    "file becomes a folder": _file_becomes_folder,
    "file becomes a link": lambda root: _replace_by_link(root / "CLAUDE.md", "../beside/config"),
    "folder becomes a link": lambda root: _replace_by_link(root / ".github", "../beside"),
    "parent becomes a link": lambda root: _replace_by_link(root / ".git", "../beside"),
    "link changed": lambda root: _replace_by_link(root / ".claude/settings.json", "elsewhere"),
    "pipe": lambda root: os.mkfifo(root / "AGENTS.md"),
    "dangling link": lambda root: (root / ".gitlab-ci.yml").symlink_to("nowhere"),
}


@pytest.mark.parametrize("attack", ATTACKS.values(), ids=ATTACKS.keys())
def test_every_change_is_seen_and_undone(workspace: Path, attack: Callable[[Path], object]) -> None:
    before = capture(workspace, PROTECTED)
    assert differences(before, capture(workspace, PROTECTED)) == []
    attack(workspace)
    changed = differences(before, capture(workspace, PROTECTED))
    assert changed
    put_back(workspace, before, changed)
    assert capture(workspace, PROTECTED) == before
    assert (workspace.parent / "beside/config").read_text() == "kept"
    assert (workspace.parent / "beside/workflows/ci.yml").read_text() == "kept"


def test_everything_may_be_put_back_at_once(workspace: Path) -> None:
    before = capture(workspace, PROTECTED)
    for attack in ATTACKS.values():
        try:
            attack(workspace)
        except OSError:
            continue
    put_back(workspace, before, PROTECTED)
    assert capture(workspace, PROTECTED) == before


def test_there_is_an_end_to_what_is_kept(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protected, "MOST_BYTES", 1000)
    (workspace / ".github/big").write_bytes(bytes(2000))
    with pytest.raises(TooMuch):
        capture(workspace, PROTECTED)


def test_there_is_an_end_to_how_many_are_kept(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protected, "MOST_FILES", 5)
    with pytest.raises(TooMuch):
        capture(workspace, PROTECTED)


def test_the_repositories_of_submodules_count(workspace: Path) -> None:
    (workspace / ".git/modules/lib").mkdir(parents=True)
    (workspace / ".git/modules/lib/config").write_text("[core]\n")
    assert ".git/modules/lib/config" in protected_paths(workspace)
    assert capture(workspace, protected_paths(workspace))[".git/modules/lib/config"] == File(b"[core]\n", 0o644)

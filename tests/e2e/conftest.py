"""The real agents, and the action as this checkout has it, for the end-to-end tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.act.runner import Runner
from tests.e2e.repository import ROOT, release

AGENTS = ROOT / "tests/e2e/agents/node_modules/.bin"
ACTION_PARTS = ("action.yml", "action", "resume", "requirements", "src", "pyproject.toml", "README.md", "LICENSE")


def agent(name: str) -> Path:
    """The installed agent's command; a missing agent is a failure, because a skipped test proves nothing."""
    command = AGENTS / name
    if not command.exists():
        pytest.fail(f"{name} is not installed: run scripts/install")
    return command


@pytest.fixture(scope="session")
def claude() -> Path:
    """Claude Code's command."""
    return agent("claude")


@pytest.fixture(scope="session")
def codex() -> Path:
    """Codex's command."""
    return agent("codex")


@pytest.fixture(scope="session")
def action(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what a release of the action would hold: the tracked and the new files, as they are now."""
    folder = tmp_path_factory.mktemp("action")
    release(folder, *ACTION_PARTS)
    return folder


@pytest.fixture(scope="session")
def package_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder in which the stand-in for the cache action keeps its entries, shared by all tests."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def runner(action: Path, package_cache: Path, tmp_path: Path) -> Runner:
    """A runner for workflows that use the action; its files are under ``tmp_path``."""
    return Runner(action=action, cache=package_cache, scratch=tmp_path)

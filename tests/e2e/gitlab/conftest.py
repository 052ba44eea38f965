"""A GitLab with the component as this checkout has it, and a project that uses it."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from ciguard.testing.issuer import Issuer
from tests.e2e.gitlab.runner import COMPONENT, VERSION, Runner
from tests.e2e.gitlab.server import GitLabServer
from tests.e2e.gitlab.stage import KEY, Stage
from tests.e2e.repository import Repository, release

PARTS = ("templates", "gitlab", "action", "requirements", "src", "pyproject.toml", "README.md", "LICENSE")


@dataclass(frozen=True, slots=True)
class Component:
    """The component's released repository and commit, and where an installation of it is kept for later jobs."""

    source: Repository
    commit: str
    installed: Path


@pytest.fixture(scope="session")
def machine() -> Iterator[Path]:
    """A folder for what runners have. It is not below /tmp, which agents may write to at the level ``landlock``."""
    with tempfile.TemporaryDirectory(prefix="ciguard-gitlab-", dir="/var/tmp") as folder:
        yield Path(folder)


@pytest.fixture(scope="session")
def component(machine: Path, tmp_path_factory: pytest.TempPathFactory) -> Component:
    """A release of the component."""
    source = Repository(tmp_path_factory.mktemp("component"))
    release(source.path, *PARTS)
    source.git("init", "--quiet", "--initial-branch", "main")
    commit = source.commit({})
    source.git("tag", VERSION)
    return Component(source, commit, machine / "installed")


@pytest.fixture
async def stage(component: Component, machine: Path, tmp_path: Path) -> AsyncIterator[Stage]:
    """A project that uses the component; the project's bot may write notes."""
    source = Repository(tmp_path / "source")
    source.path.mkdir()
    source.git("init", "--quiet", "--initial-branch", "main")
    scratch = Path(tempfile.mkdtemp(dir=machine))
    with GitLabServer(tmp_path / "served") as forge, Issuer() as issuer:
        forge.publish(COMPONENT, component.source, "main", VERSION)
        runner = Runner(forge, issuer, scratch, component.installed, component.commit)
        stage = Stage(runner, source, {}, {"UPSTREAM_KEY": KEY, "CIGUARD_GITLAB_TOKEN": forge.token})
        yield stage
        for job in stage.jobs:
            await job.abandon()

from __future__ import annotations

from pathlib import Path

import pytest

from ciguard.errors import IdentityRefused
from ciguard.forge import current_job
from ciguard.forge.job import Forge
from ciguard.testing.github_job import github_job
from ciguard.testing.gitlab_job import gitlab_job
from ciguard.testing.issuer import Issuer


@pytest.mark.parametrize(
    "environ",
    [{}, {"CI": "true"}, {"CI": "1", "BUILDKITE": "true"}, {"GITHUB_ACTIONS": "false"}, {"GITLAB_CI": ""}],
)
def test_other_places_are_no_job(environ: dict[str, str]) -> None:
    assert current_job(environ) is None


def test_each_forge_is_recognised(tmp_path: Path) -> None:
    with Issuer() as issuer:
        with github_job(issuer, tmp_path) as github:
            found = current_job(github.environ)
        gitlab = current_job(gitlab_job(issuer).environ)
    assert found is not None
    assert found.forge is Forge.GITHUB
    assert gitlab is not None
    assert gitlab.forge is Forge.GITLAB


def test_both_at_once_is_refused() -> None:
    with pytest.raises(IdentityRefused, match="a GitHub job and a GitLab job"):
        current_job({"GITHUB_ACTIONS": "true", "GITLAB_CI": "true"})

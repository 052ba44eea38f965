"""What the agent of a job gets of it, in a container that is not privileged."""

from __future__ import annotations

import pytest

from tests.e2e.gitlab.container import contained
from tests.e2e.gitlab.stage import KEY, Stage, started, verified

pytestmark = pytest.mark.timeout(300)

LOOK = [
    "env >seen",
    "cat .git/config >>seen",
    "cat /proc/[0-9]*/environ >>seen 2>&1 || true",
    "cat ../shop.tmp/* ../shop.tmp/*/* >>seen 2>&1 || true",
    "cp /proc/self/status status",
]
"""What a curious agent does."""
SECRET = (
    *("CIGUARD_ID_TOKEN", "CIGUARD_GITLAB_TOKEN", "CI_JOB_TOKEN", "CI_JOB_JWT", "CI_JOB_JWT_V1", "CI_JOB_JWT_V2"),
    *("CI_REGISTRY_PASSWORD", "CI_DEPLOY_PASSWORD", "CI_DEPENDENCY_PROXY_PASSWORD", "CI_REPOSITORY_URL"),
    *("UPSTREAM_KEY", "DEPLOY_KEY", "OTHER_ID_TOKEN"),
)
"""Variables of the job that no agent gets."""


async def test_an_unprivileged_container_gives_landlock_and_the_agent_none_of_the_jobs_secrets(stage: Stage) -> None:
    stage.prefix = contained()
    stage.variables |= {
        "CI_JOB_JWT": "eyJhbGciOiJSUzI1NiJ9.an-old-token.of-the-job",
        "CI_JOB_JWT_V1": "eyJhbGciOiJSUzI1NiJ9.an-old-token.of-the-job-1",
        "CI_JOB_JWT_V2": "eyJhbGciOiJSUzI1NiJ9.an-old-token.of-the-job-2",
        "CI_DEPLOY_PASSWORD": "gldt-deploy-password-0123456789",
        "DEPLOY_KEY": "of-the-author's-own-naming-0123456789",
        "OTHER_ID_TOKEN": "eyJhbGciOiJSUzI1NiJ9.another-token.of-the-job",
        "ORDINARY": "not passed either",
    }
    running = await stage.push(stage.policy(), LOOK)
    finished = await running.ended()
    assert finished.status == 0, finished.said
    assert started(finished)["isolation"]["level"] == "landlock"
    assert "isolation landlock" in finished.log
    assert verified(finished).returncode == 0
    assert "Seccomp:\t2" in (finished.checkout.path / "status").read_text()

    seen = (finished.checkout.path / "seen").read_text()
    assert "GITLAB_CI=true" in seen
    assert "ANTHROPIC_API_KEY=ciguard-" in seen
    given = stage.given()
    for name in SECRET:
        assert given[name]
        assert f"{name}=" not in seen
        assert given[name] not in seen
        assert given[name] not in finished.said
    assert "ORDINARY" not in seen
    assert KEY not in seen

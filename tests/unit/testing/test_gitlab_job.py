from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import jwt
import pytest

from ciguard.testing.gitlab_job import GitLabJob, MergeRequest, gitlab_job
from ciguard.testing.issuer import Issuer


@pytest.fixture(scope="module")
def issuer() -> Iterator[Issuer]:
    with Issuer() as issuer:
        yield issuer


def claims_of(job: GitLabJob) -> dict[str, Any]:
    return jwt.decode(job.environ["CIGUARD_ID_TOKEN"], options={"verify_signature": False})


def test_the_token_describes_the_job_that_the_variables_describe(issuer: Issuer) -> None:
    job = gitlab_job(issuer, source="schedule", audience="urn:x", claims={"environment": "prod"})
    claims = claims_of(job)
    for claim, variable in {
        "project_path": "CI_PROJECT_PATH",
        "project_id": "CI_PROJECT_ID",
        "pipeline_id": "CI_PIPELINE_ID",
        "pipeline_source": "CI_PIPELINE_SOURCE",
        "job_id": "CI_JOB_ID",
        "sha": "CI_COMMIT_SHA",
        "ref": "CI_COMMIT_REF_NAME",
    }.items():
        assert claims[claim] == job.environ[variable]
    assert claims["aud"] == "urn:x"
    assert claims["environment"] == "prod"
    assert not any(name.startswith("CI_MERGE_REQUEST") for name in job.environ)


def test_a_detached_pipeline_runs_on_the_head(issuer: Issuer) -> None:
    job = gitlab_job(issuer, merge_request=MergeRequest())
    assert job.environ["CI_COMMIT_SHA"] == "c" * 40
    assert job.environ["CI_MERGE_REQUEST_TARGET_BRANCH_SHA"] == ""


def test_a_pipeline_for_merged_results_runs_on_the_merge(issuer: Issuer) -> None:
    job = gitlab_job(issuer, merge_request=MergeRequest(base_sha="b" * 40))
    assert job.environ["CI_COMMIT_SHA"] == "a" * 40
    assert job.environ["CI_MERGE_REQUEST_TARGET_BRANCH_SHA"] == "b" * 40
    assert job.environ["CI_MERGE_REQUEST_SOURCE_BRANCH_SHA"] == "c" * 40


def test_a_forks_change_has_the_fork_as_its_project(issuer: Issuer) -> None:
    job = gitlab_job(issuer, merge_request=MergeRequest(fork="mallory/shop"))
    claims = claims_of(job)
    assert claims["project_path"] == "mallory/shop"
    assert claims["job_project_path"] == "acme/platform/shop"
    assert claims["project_id"] != claims["job_project_id"]
    assert job.environ["CI_MERGE_REQUEST_SOURCE_PROJECT_ID"] == claims["project_id"]

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ciguard.errors import IdentityRefused
from ciguard.forge import gitlab
from ciguard.forge.job import ChangeRequest, Forge, Job
from ciguard.testing.gitlab_job import MergeRequest, gitlab_job
from ciguard.testing.issuer import Issuer


@pytest.fixture(scope="module")
def issuer() -> Iterator[Issuer]:
    with Issuer() as issuer:
        yield issuer


def test_a_push(issuer: Issuer) -> None:
    environ = gitlab_job(issuer).environ
    assert gitlab.job(environ) == Job(
        forge=Forge.GITLAB,
        repository="acme/platform/shop",
        event="push",
        sha="a" * 40,
        ref="main",
        run_id=environ["CI_PIPELINE_ID"],
        run_attempt=environ["CI_JOB_ID"],
        actor="alice",
        run_url=f"https://gitlab.com/acme/platform/shop/-/jobs/{environ['CI_JOB_ID']}",
        server_url="https://gitlab.com",
        change=None,
    )


def test_a_merge_request(issuer: Issuer) -> None:
    job = gitlab.job(gitlab_job(issuer, merge_request=MergeRequest(iid=12)).environ)
    assert job.event == "merge_request_event"
    assert job.change == ChangeRequest(number=12, base_ref="main", base_sha="", head_sha="c" * 40, from_fork=False)


def test_a_pipeline_for_merged_results_knows_the_base_commit(issuer: Issuer) -> None:
    job = gitlab.job(gitlab_job(issuer, merge_request=MergeRequest(base_sha="b" * 40)).environ)
    assert job.sha == "a" * 40
    assert job.change == ChangeRequest(number=7, base_ref="main", base_sha="b" * 40, head_sha="c" * 40, from_fork=False)


def test_where_the_change_forked_off_is_not_the_base(issuer: Issuer) -> None:
    environ = {
        **gitlab_job(issuer, merge_request=MergeRequest()).environ,
        "CI_MERGE_REQUEST_DIFF_BASE_SHA": "d" * 40,
    }
    job = gitlab.job(environ)
    assert job.change is not None
    assert job.change.base_sha == ""


def test_a_child_pipeline_of_a_merge_request_is_for_the_merge_request(issuer: Issuer) -> None:
    environ = {**gitlab_job(issuer, merge_request=MergeRequest()).environ, "CI_PIPELINE_SOURCE": "parent_pipeline"}
    assert gitlab.job(environ).change is not None


@pytest.mark.parametrize(
    "changes",
    [
        {"CI_MERGE_REQUEST_SOURCE_PROJECT_ID": "820002"},
        {"CI_MERGE_REQUEST_SOURCE_PROJECT_ID": ""},
        {"CI_PROJECT_ID": "820002", "CI_MERGE_REQUEST_SOURCE_PROJECT_ID": "820002"},
    ],
    ids=["in the target project", "deleted", "in the fork"],
)
def test_forks(issuer: Issuer, changes: dict[str, str]) -> None:
    job = gitlab.job({**gitlab_job(issuer, merge_request=MergeRequest()).environ, **changes})
    assert job.change is not None
    assert job.change.from_fork


@pytest.mark.parametrize(
    "name",
    [
        "CI_PIPELINE_SOURCE",
        "CI_COMMIT_SHA",
        "CI_PROJECT_PATH",
        "CI_COMMIT_REF_NAME",
        "CI_PIPELINE_ID",
        "CI_JOB_ID",
        "CI_JOB_URL",
        "CI_SERVER_URL",
        "CI_MERGE_REQUEST_IID",
        "CI_MERGE_REQUEST_PROJECT_ID",
        "CI_MERGE_REQUEST_TARGET_BRANCH_NAME",
        "CI_PROJECT_ID",
    ],
)
def test_missing_and_malformed_variables_are_refused(issuer: Issuer, name: str) -> None:
    environ = gitlab_job(issuer, merge_request=MergeRequest()).environ
    for value in ("", "two words\n"):
        with pytest.raises(IdentityRefused, match=name):
            gitlab.job({**environ, name: value})


def test_a_merge_request_zero_is_refused(issuer: Issuer) -> None:
    environ = {**gitlab_job(issuer, merge_request=MergeRequest()).environ, "CI_MERGE_REQUEST_IID": "0"}
    with pytest.raises(IdentityRefused, match="CI_MERGE_REQUEST_IID"):
        gitlab.job(environ)


def test_the_token_is_in_the_environment(issuer: Issuer) -> None:
    environ = gitlab_job(issuer).environ
    assert gitlab.identity_token(environ, "ciguard") == environ["CIGUARD_ID_TOKEN"]


def test_without_the_token_the_remedy_is_what_to_add() -> None:
    with pytest.raises(IdentityRefused) as refusal:
        gitlab.identity_token({}, "https://ciguard.example.com")
    assert "id_tokens:\n  CIGUARD_ID_TOKEN:\n    aud: https://ciguard.example.com" in refusal.value.remedy


def test_what_identifies_the_job_is_a_credential(issuer: Issuer) -> None:
    assert gitlab.WITHHELD_VARIABLES >= gitlab.CREDENTIAL_VARIABLES
    secret = {name for name in gitlab_job(issuer).environ if "TOKEN" in name}
    assert secret <= gitlab.CREDENTIAL_VARIABLES
    assert {"CI_REGISTRY_PASSWORD", "CI_REPOSITORY_URL", "CI_DEPLOY_PASSWORD"} <= gitlab.CREDENTIAL_VARIABLES

"""A GitLab CI/CD job as a process in it sees it: its variables, among them the identity token.

    with Issuer() as issuer:
        job = gitlab_job(issuer, merge_request=MergeRequest())
        subprocess.run(["ciguard", "run", ...], env={**os.environ, **job.environ})

The token comes from ``issuer``, with the claims that GitLab documents for such a job. Left out: everything else of a
runner (the checkout, artifacts, services) and most predefined variables.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass

from ciguard.operation import Json
from ciguard.testing.issuer import Issuer

PROJECT_ID = "820001"
FORK_ID = "820002"


@dataclass(frozen=True, slots=True)
class MergeRequest:
    """The merge request that a job runs for.

    ``base_sha`` is empty unless the pipeline is one for merged results. ``fork`` is the path of the project that the
    change comes from, if another; the pipeline then runs in the target project, as a maintainer of it can start it.
    """

    iid: int = 7
    base_ref: str = "main"
    base_sha: str = ""
    head_ref: str = "fix-cart"
    head_sha: str = "c" * 40
    fork: str = ""


@dataclass(frozen=True, slots=True)
class GitLabJob:
    """What the job's processes get, to be laid over an environment that has ``PATH``; and its token's claims."""

    environ: Mapping[str, str]
    claims: Mapping[str, Json]


def gitlab_job(
    issuer: Issuer,
    *,
    source: str = "push",
    project: str = "acme/platform/shop",
    sha: str = "a" * 40,
    merge_request: MergeRequest | None = None,
    audience: str = "ciguard",
    claims: Mapping[str, Json] | None = None,
) -> GitLabJob:
    """A job of a pipeline that ``source`` started, or that runs for ``merge_request``.

    ``audience`` is what the job's ``id_tokens`` says; ``claims`` overrules claims of the token.
    """
    source = "merge_request_event" if merge_request else source
    ref = merge_request.head_ref if merge_request else "main"
    commit = sha if merge_request is None or merge_request.base_sha else merge_request.head_sha
    pipeline, job = str(secrets.randbelow(10**10) + 10**9), str(secrets.randbelow(10**10) + 10**9)
    fork = merge_request.fork if merge_request else ""
    path, number = (fork, FORK_ID) if fork else (project, PROJECT_ID)
    token_claims: dict[str, Json] = {
        "jti": secrets.token_hex(16),
        "sub": f"project_path:{path}:ref_type:branch:ref:{ref}",
        "namespace_id": "410001",
        "namespace_path": path.rpartition("/")[0],
        "project_id": number,
        "project_path": path,
        "job_project_id": PROJECT_ID,
        "job_project_path": project,
        "user_id": "1001",
        "user_login": "alice",
        "user_email": "alice@example.com",
        "user_access_level": "developer",
        "groups_direct": ["acme/platform"],
        "pipeline_id": pipeline,
        "pipeline_source": source,
        "job_id": job,
        "ref": ref,
        "ref_type": "branch",
        "ref_path": f"refs/merge-requests/{merge_request.iid}/head" if merge_request else f"refs/heads/{ref}",
        "ref_protected": "false",
        "runner_id": 12,
        "runner_environment": "gitlab-hosted",
        "sha": commit,
        "project_visibility": "private",
        "ci_config_ref_uri": f"gitlab.com/{project}//.gitlab-ci.yml@refs/heads/main",
        **(claims or {}),
    }
    environ = {
        "CI": "true",
        "CI_COMMIT_REF_NAME": ref,
        "CI_COMMIT_SHA": commit,
        "CI_JOB_ID": job,
        "CI_JOB_TOKEN": f"glcbt-{secrets.token_hex(16)}",
        "CI_JOB_URL": f"https://gitlab.com/{project}/-/jobs/{job}",
        "CI_PIPELINE_ID": pipeline,
        "CI_PIPELINE_SOURCE": source,
        "CI_PROJECT_ID": PROJECT_ID,
        "CI_PROJECT_PATH": project,
        "CI_SERVER_URL": "https://gitlab.com",
        "CIGUARD_ID_TOKEN": issuer.mint(token_claims, audience=audience),
        "GITLAB_CI": "true",
        "GITLAB_USER_LOGIN": "alice",
    }
    if merge_request:
        environ |= {
            "CI_MERGE_REQUEST_IID": str(merge_request.iid),
            "CI_MERGE_REQUEST_PROJECT_ID": PROJECT_ID,
            "CI_MERGE_REQUEST_SOURCE_BRANCH_SHA": merge_request.head_sha if merge_request.base_sha else "",
            "CI_MERGE_REQUEST_SOURCE_PROJECT_ID": FORK_ID if fork else PROJECT_ID,
            "CI_MERGE_REQUEST_TARGET_BRANCH_NAME": merge_request.base_ref,
            "CI_MERGE_REQUEST_TARGET_BRANCH_SHA": merge_request.base_sha,
        }
    return GitLabJob(environ, token_claims)

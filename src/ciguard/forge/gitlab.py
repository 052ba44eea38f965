"""A GitLab CI/CD job: what its environment says, and its identity token.

Source of the variables: GitLab's "Predefined CI/CD variables reference" and "ID token authentication".
"""

from __future__ import annotations

from collections.abc import Mapping

from ciguard.errors import IdentityRefused
from ciguard.forge.environment import (
    COMMIT,
    DIGITS,
    PATH,
    POSITIVE,
    REF,
    URL,
    WORD,
    optional,
    required,
)
from ciguard.forge.job import ChangeRequest, Forge, Job

PUBLIC_ISSUER = "https://gitlab.com"
"""Signs the tokens of jobs on gitlab.com; a self-managed instance is its own issuer."""

TOKEN_VARIABLE = "CIGUARD_ID_TOKEN"
"""The name under which the job's ``id_tokens`` must declare ciguard's token."""

SIGSTORE_TOKEN_VARIABLE = "SIGSTORE_ID_TOKEN"
"""The name of the token for Sigstore, as Sigstore's own clients look for it."""

VAULT_TOKEN_VARIABLE = "VAULT_ID_TOKEN"
"""The name of the token for a Vault, as GitLab's documentation has it."""

APPROVAL_VARIABLE = "CIGUARD_GITLAB_TOKEN"
"""Where the guard finds its token for the API: the job's own token cannot write notes."""

CREDENTIAL_VARIABLES = frozenset(
    {
        TOKEN_VARIABLE,
        SIGSTORE_TOKEN_VARIABLE,
        VAULT_TOKEN_VARIABLE,
        APPROVAL_VARIABLE,
        "CI_DEPENDENCY_PROXY_PASSWORD",
        "CI_DEPLOY_PASSWORD",
        "CI_JOB_JWT",
        "CI_JOB_JWT_V1",
        "CI_JOB_JWT_V2",
        "CI_JOB_TOKEN",
        "CI_REGISTRY_PASSWORD",
        "CI_REPOSITORY_URL",
        "GITLAB_TOKEN",
    }
)
"""Variables whose values let a process act as the job: secrets, masked wherever they appear.

``CI_REPOSITORY_URL`` contains the job token. A job's other ``id_tokens`` have names of its author's choosing: they stay
out because the agent's environment is built from an allowlist.
"""

WITHHELD_VARIABLES = CREDENTIAL_VARIABLES
"""Variables that never reach the agent, whatever the policy says."""

MERGE_REQUEST_SOURCE = "merge_request_event"


def job(environ: Mapping[str, str]) -> Job:
    """The job that ``environ`` describes; raises IdentityRefused when a variable is missing or malformed.

    It runs for a merge request exactly when GitLab sets ``CI_MERGE_REQUEST_IID``, which it also does in child
    pipelines, where ``CI_PIPELINE_SOURCE`` is ``parent_pipeline``.
    """
    event = required(environ, "CI_PIPELINE_SOURCE", WORD)
    sha = required(environ, "CI_COMMIT_SHA", COMMIT)
    merge_request = event == MERGE_REQUEST_SOURCE or bool(environ.get("CI_MERGE_REQUEST_IID"))
    return Job(
        forge=Forge.GITLAB,
        repository=required(environ, "CI_PROJECT_PATH", PATH),
        event=event,
        sha=sha,
        ref=required(environ, "CI_COMMIT_REF_NAME", REF),
        run_id=required(environ, "CI_PIPELINE_ID", DIGITS),
        run_attempt=required(environ, "CI_JOB_ID", DIGITS),
        actor=optional(environ, "GITLAB_USER_LOGIN", WORD),
        run_url=required(environ, "CI_JOB_URL", URL),
        server_url=required(environ, "CI_SERVER_URL", URL).rstrip("/"),
        change=_change(environ, sha) if merge_request else None,
    )


def _change(environ: Mapping[str, str], sha: str) -> ChangeRequest:
    target = required(environ, "CI_MERGE_REQUEST_PROJECT_ID", DIGITS)
    source = environ.get("CI_MERGE_REQUEST_SOURCE_PROJECT_ID", "")
    return ChangeRequest(
        number=int(required(environ, "CI_MERGE_REQUEST_IID", POSITIVE)),
        base_ref=required(environ, "CI_MERGE_REQUEST_TARGET_BRANCH_NAME", REF),
        # Only pipelines for merged results have the two branch SHAs. CI_MERGE_REQUEST_DIFF_BASE_SHA is no substitute:
        # it is where the source branch forked off, which the author of the change chooses.
        base_sha=optional(environ, "CI_MERGE_REQUEST_TARGET_BRANCH_SHA", COMMIT),
        head_sha=optional(environ, "CI_MERGE_REQUEST_SOURCE_BRANCH_SHA", COMMIT) or sha,
        # A deleted fork has no id. A fork's own pipeline for its merge request runs in the fork.
        from_fork=not source == target == required(environ, "CI_PROJECT_ID", DIGITS),
    )


def no_token_remedy(audience: str, variable: str = TOKEN_VARIABLE) -> str:
    """What to add to the job so that it has an identity token for ``audience``."""
    return f"give the job an identity token, in .gitlab-ci.yml:\nid_tokens:\n  {variable}:\n    aud: {audience}"


def identity_token(environ: Mapping[str, str], audience: str, variable: str = TOKEN_VARIABLE) -> str:
    """The job's identity token (a JWT), which GitLab puts into the environment at the job's start.

    Raises IdentityRefused, with the lines to add for ``audience``, when it is not there.
    """
    token = environ.get(variable, "")
    if not token:
        raise IdentityRefused(
            f"this job has no identity token: {variable} is not set", no_token_remedy(audience, variable)
        )
    return token


def approval_token(environ: Mapping[str, str]) -> str:
    """The token that the guard uses the forge's API with; empty when there is none."""
    return environ.get(APPROVAL_VARIABLE, "").strip()

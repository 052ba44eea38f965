"""Establishing who the job is before anything else starts: from the environment to a verified, allowed identity.

The order of the checks, which the code repeats by number:

1. Outside of a job only ``none`` is possible; inside of one it is refused.
2. On GitHub a pull request from a fork is refused before anything is asked for: it gets no identity.
3. The policy must allow somebody; for a fork's change, by an entry that names both projects.
4. The token is had and verified.
5. The token must speak of this job, and say like the job's variables whether the change comes from a fork.
6. The policy must allow the token's claims.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from types import MappingProxyType
from typing import Protocol

from ciguard.errors import IdentityRefused
from ciguard.forge import github, gitlab
from ciguard.forge.job import Forge, Job
from ciguard.identity.issuer import trusted_issuer, verify_with_issuer
from ciguard.identity.match import Entry, Layers, closest, explain
from ciguard.identity.token import Claims


class IdentityMode(StrEnum):
    """``--identity``: verify the job that runs this, or go without because there is none."""

    AUTO = "auto"
    NONE = "none"


class IdentityPolicy(Protocol):
    """What the policy says of identity: the token's audience, further issuers, and who is allowed, layer by layer."""

    @property
    def audience(self) -> str: ...
    @property
    def issuers(self) -> Sequence[str]: ...
    @property
    def allow_layers(self) -> Layers: ...


@dataclass(frozen=True, slots=True)
class Identity:
    """Who runs this session.

    When ``verified`` is false there was no job to verify and the rest is empty. ``token_digest`` is the SHA-256 of the
    token, ``sha256:`` and 64 hexadecimal digits: it tells which token was seen without being one.
    """

    verified: bool
    issuer: str
    claims: Claims
    token_digest: str
    job: Job | None


UNVERIFIED = Identity(verified=False, issuer="", claims=MappingProxyType({}), token_digest="", job=None)
"""The identity of a session outside of CI."""

JOB_CLAIMS: Mapping[Forge, Mapping[str, str]] = MappingProxyType(
    {
        Forge.GITHUB: {
            "repository": "repository",
            "run_id": "run_id",
            "run_attempt": "run_attempt",
            "event_name": "event",
            "sha": "sha",
        },
        Forge.GITLAB: {
            "project_path": "repository",
            "pipeline_id": "run_id",
            "job_id": "run_attempt",
            "pipeline_source": "event",
            "sha": "sha",
        },
    }
)
"""The claims that say which job a token was issued for, each with the field of Job that must equal it."""

FORGE_NAMES = {Forge.GITHUB: "GitHub", Forge.GITLAB: "GitLab"}
CHANGE_NAMES = {Forge.GITHUB: "pull request #", Forge.GITLAB: "merge request !"}

FORK_REMEDY = (
    "push the branch to the repository itself and open the change request from there; "
    "let the workflow skip this step for forks"
)

PROJECTS = (("project_path", "project_id"), ("job_project_path", "job_project_id"))
"""The claims of GitLab that name the project that a change comes from, and those that name where its pipeline runs."""


def admit(job: Job | None, mode: IdentityMode) -> None:
    """Raise IdentityRefused when no policy could help: ``mode`` does not fit the place, or a fork gets no identity.

    A session calls this before it reads the policy, because reading may fetch the base branch.
    """
    # 1.
    if mode is IdentityMode.NONE and job is not None:
        raise IdentityRefused(
            f"`--identity none` is refused inside a {FORGE_NAMES[job.forge]} job",
            "remove `--identity none`, and give the job an identity token: docs/identity.md says how",
        )
    if mode is IdentityMode.AUTO and job is None:
        raise IdentityRefused(
            "this is not a GitHub or GitLab job, so there is no identity to verify",
            "outside of CI, run with `--identity none`; the session is then marked as unverified",
        )
    # 2.
    if job is not None and job.forge is Forge.GITHUB and _from_fork(job):
        raise _of_fork(job)


def _from_fork(job: Job) -> bool:
    return job.change is not None and job.change.from_fork


def _change(job: Job) -> str:
    return f"{CHANGE_NAMES[job.forge]}{job.change.number}" if job.change else ""


def _of_fork(job: Job) -> IdentityRefused:
    return IdentityRefused(
        f"{_change(job)} comes from a fork: changes from forks get no identity and no credentials", FORK_REMEDY
    )


def establish(job: Job | None, environ: Mapping[str, str], policy: IdentityPolicy, mode: IdentityMode) -> Identity:
    """The identity of this session, or IdentityRefused with the reason and what to do about it."""
    # 1. and 2.
    admit(job, mode)
    if job is None:
        return UNVERIFIED
    # 3.
    if not any(policy.allow_layers):
        raise IdentityRefused(
            "the policy has no identity.allow, so it allows no job",
            "add an entry to the policy. For this job:\n" + entry_for(job, environ),
        )
    layers = policy.allow_layers
    if _from_fork(job):
        layers = [_naming_both(layer) for layer in layers]
        if not all(map(any, layers)):
            raise _of_unnamed_fork(job)
    # 4.
    token = _token(job.forge, environ, policy.audience)
    issuer = trusted_issuer(token, job.forge, policy.issuers)
    claims = verify_with_issuer(token, issuer, audience=policy.audience, now=datetime.now(UTC))
    # 5.
    check_job(claims, job)
    # 6.
    mismatch = closest(claims, layers)
    if mismatch is not None and _from_fork(job):
        raise _of_unnamed_fork(job)
    if mismatch is not None:
        raise IdentityRefused(
            f"the policy's identity.allow does not allow this job; {explain(claims, mismatch)}",
            "if this job should be allowed, add an entry to the policy on the base branch. For this job:\n"
            + entry_for(job, environ),
        )
    digest = hashlib.sha256(token.encode()).hexdigest()
    return Identity(verified=True, issuer=issuer, claims=claims, token_digest=f"sha256:{digest}", job=job)


def _naming_both(layer: Sequence[Entry]) -> list[Entry]:
    """The layer without the claims of entries that do not say, without ``*``, both projects of a fork's change."""
    return [
        entry if all(any("*" not in "".join(entry.get(name, "*")) for name in names) for names in PROJECTS) else {}
        for entry in layer
    ]


def _of_unnamed_fork(job: Job) -> IdentityRefused:
    return IdentityRefused(
        f"{_change(job)} comes from a fork, and identity.allow has no entry for it that names both projects",
        "let the pipeline skip this job for forks; to trust this one with the job's credentials, name it in the policy "
        "on the base branch:\n"
        f"identity:\n  allow:\n    - {{project_path: THE/FORK, job_project_path: {json.dumps(job.repository[:200])}}}",
    )


def signing_token(identity: Identity, environ: Mapping[str, str]) -> Callable[[str], str] | None:
    """What gets an identity token of the verified job for the audience it is given; None where the forge fixes it."""
    job = identity.job
    if job is None or job.forge is not Forge.GITHUB:
        return None
    return lambda audience: _of_same_job(github.identity_token(environ, audience), audience, identity.issuer, job)


def service_token(identity: Identity, environ: Mapping[str, str], audience: str, variable: str) -> Callable[[], str]:
    """What gets an identity token of the verified job for a service: ``audience`` is the service's.

    On GitLab it is the token that the job's ``id_tokens`` declare as ``variable``.
    """
    job = identity.job
    if job is None:
        raise ValueError("there is no job")

    def get() -> str:
        match job.forge:
            case Forge.GITHUB:
                token = github.identity_token(environ, audience)
            case Forge.GITLAB:
                token = gitlab.identity_token(environ, audience, variable)
        return _of_same_job(token, audience, identity.issuer, job)

    return get


def _of_same_job(token: str, audience: str, issuer: str, job: Job) -> str:
    """``token``, once it is verified to be the job's own."""
    check_job(verify_with_issuer(token, issuer, audience=audience, now=datetime.now(UTC)), job)
    return token


def check_job(claims: Claims, job: Job) -> None:
    """Raise IdentityRefused unless ``claims`` speak of ``job``: another run's token proves nothing, nor does one that
    says something else than the job of whether the change comes from a fork."""
    expectations = dict(JOB_CLAIMS[job.forge])
    if job.forge is Forge.GITLAB:
        # In the pipeline of a fork's merge request project_* is the fork and job_project_* is where the job runs.
        borrowed = claims.get("job_project_id", claims.get("project_id")) != claims.get("project_id")
        if borrowed and not _from_fork(job):
            raise IdentityRefused(
                "the identity token is for a fork's change: its project_id and job_project_id differ", FORK_REMEDY
            )
        if _from_fork(job) and not borrowed:
            raise _of_fork(job)
        if borrowed:
            expectations["job_project_path"] = expectations.pop("project_path")
    for claim, field in expectations.items():
        expected = getattr(job, field)
        if claims.get(claim) != expected:
            raise IdentityRefused(
                f"the identity token was issued for another job: its {claim} is {claims.get(claim, '')[:200]!r}, "
                f"this job's is {expected[:200]!r}",
                "ask for the token in the job that uses it, and do not pass tokens or forge variables between jobs",
            )
    base = claims.get("base_ref", "")
    if job.forge is Forge.GITHUB and job.change is not None and base not in ("", job.change.base_ref):
        raise IdentityRefused(
            f"the identity token's base_ref is {base[:200]!r}, the event payload's is {job.change.base_ref!r}",
            "do not change the event payload at GITHUB_EVENT_PATH",
        )


def entry_for(job: Job, environ: Mapping[str, str]) -> str:
    """YAML for a policy that allows jobs like ``job``: by the repository's name and lasting id, and the event."""
    match job.forge:
        case Forge.GITHUB:
            entry = {
                "repository": job.repository,
                "repository_id": environ.get("GITHUB_REPOSITORY_ID", ""),
                "event_name": job.event,
                "runner_environment": environ.get("RUNNER_ENVIRONMENT", ""),
            }
        case Forge.GITLAB:
            entry = {
                "project_path": job.repository,
                "project_id": environ.get("CI_PROJECT_ID", ""),
                "pipeline_source": job.event,
            }
    # A JSON string is a YAML string, and safe to print.
    pairs = ", ".join(f"{name}: {json.dumps(value[:200])}" for name, value in entry.items() if value)
    return f"identity:\n  allow:\n    - {{{pairs}}}"


def _token(forge: Forge, environ: Mapping[str, str], audience: str) -> str:
    match forge:
        case Forge.GITHUB:
            return github.identity_token(environ, audience)
        case Forge.GITLAB:
            return gitlab.identity_token(environ, audience)

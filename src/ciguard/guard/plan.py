"""What a session needs, checked before anything happens."""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ciguard.errors import CredentialMissing, UsageError
from ciguard.forge import current_job
from ciguard.forge.job import Forge, Job
from ciguard.guard.connection import OpenConnection
from ciguard.guard.credential import credential
from ciguard.guard.masking import name_recogniser
from ciguard.guard.signing import signers_for
from ciguard.guard.webhook import Hook, hook_of
from ciguard.inspect.known_value import SHORTEST, KnownValue
from ciguard.inspect.names import Recognise
from ciguard.policy.loading import load_policy
from ciguard.policy.models import Policy
from ciguard.policy.trust import BaseCommit, PolicyOrigin, source_for
from ciguard.session.originals import Encrypt, encryption
from ciguard.session.signers import Ready

if TYPE_CHECKING:
    from ciguard.identity.establish import Identity, IdentityMode


@dataclass(frozen=True, slots=True)
class Plan:
    """A session that may start: everything was checked, and nothing has happened yet."""

    policy: Policy
    source: str
    identity: Identity
    connections: Mapping[str, OpenConnection]
    secrets: tuple[KnownValue, ...]
    recognise: Recognise | None
    signers: tuple[Ready, ...]
    encrypt: Encrypt | None
    environ: Mapping[str, str]
    cwd: Path
    base: BaseCommit | None
    codeowners: str
    hook: Hook | None
    approved: tuple[str, ...]

    @property
    def credential_variables(self) -> frozenset[str]:
        """The variables of the guard's environment that hold what the agent must never have."""
        from ciguard.forge.github import CREDENTIAL_VARIABLES as GITHUB
        from ciguard.forge.gitlab import CREDENTIAL_VARIABLES as GITLAB

        named = set(self.policy.guard_variables())
        named |= {signing.key.env for signing in self.policy.audit.sign if signing.key}
        named |= GITHUB | GITLAB | set(self.policy.secrets)
        carrying = {
            name for name, value in self.environ.items() if any(secret.value in value for secret in self.secrets)
        }
        return frozenset(named | carrying)


def plan(
    environ: Mapping[str, str],
    workspace: Path,
    policy_path: str,
    mode: IdentityMode,
    base_ref: str | None,
    approved: tuple[str, ...] = (),
) -> Plan:
    """Check everything that a session needs; raises the :class:`CiguardError` that says what is missing.

    ``approved`` are the references of what this job was let into an environment for.
    """
    from ciguard.identity.establish import admit, establish

    job = current_job(environ)
    admit(job, mode)
    source = source_for(job, workspace, base_ref)
    policy = load_policy(source, policy_path)
    if approved and policy.approval.via != "environment":
        raise UsageError(
            "this job was given approvals, and the policy does not say approval.via: environment",
            "remove the input approved, or correct the policy on the base branch",
        )
    identity = establish(job, environ, policy.identity, mode)
    connections = {
        name: OpenConnection(name, declared, credential(f"the connection {name}", declared.credential.env, environ))
        for name, declared in policy.connections.items()
    }
    hook = hook_of(policy.approval.notify, environ) if policy.approval.notify else None
    signers = signers_for(policy, identity, environ)
    known = _secrets(policy, connections, environ)
    base = source if isinstance(source, BaseCommit) else None
    recipients = policy.audit.recipients
    encrypt = encryption(recipients) if recipients else None
    return Plan(
        policy,
        source.describe(),
        identity,
        connections,
        known,
        name_recogniser(policy.masking, workspace_root(workspace)),
        signers,
        encrypt,
        environ,
        workspace,
        base,
        _codeowners(source, policy, identity.job),
        hook,
        approved,
    )


def _codeowners(source: PolicyOrigin, policy: Policy, job: Job | None) -> str:
    """The CODEOWNERS file from where the policy is, when the policy asks owners of paths; empty without one."""
    from ciguard.approvals.codeowners import GITHUB_PLACES, GITLAB_PLACES

    if any(name.startswith("codeowners:") for name in policy.approvers()):
        for place in GITLAB_PLACES if job and job.forge is Forge.GITLAB else GITHUB_PLACES:
            with suppress(FileNotFoundError):
                return source.read(place)
    return ""


def _secrets(
    policy: Policy, connections: Mapping[str, OpenConnection], environ: Mapping[str, str]
) -> tuple[KnownValue, ...]:
    """Every value to mask wherever it appears, with the name that its placeholder carries."""
    from ciguard.forge.github import CREDENTIAL_VARIABLES as GITHUB
    from ciguard.forge.gitlab import CREDENTIAL_VARIABLES as GITLAB

    known = [KnownValue(f"{name}-credential", connection.credential) for name, connection in connections.items()]
    notify = policy.approval.notify
    told = [notify.url.env, *([notify.secret.env] if notify.secret else [])] if notify else []
    for variable in (*policy.secrets, *told, *sorted(GITHUB | GITLAB)):
        value = environ.get(variable, "").strip()
        if len(value) >= SHORTEST:
            known.append(KnownValue(re.sub(r"[^a-z0-9]+", "-", variable.lower()).strip("-"), value))
        elif value and variable in policy.secrets:
            raise CredentialMissing(
                f"the value of {variable}, which the policy lists under secrets, is shorter than {SHORTEST} characters",
                "a value this short would be found all over ordinary text: use a longer secret, or do not list it",
            )
    return tuple(known)


def workspace_root(cwd: Path) -> Path:
    """What the agent works on: the checkout that it starts in, or the folder alone."""
    from ciguard.forge import checkout as git

    found = git.find(cwd)
    return found.root if found else cwd.resolve()

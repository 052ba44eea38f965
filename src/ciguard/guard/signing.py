"""Who signs a session, from what its policy says."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from ciguard.errors import UsageError
from ciguard.forge import current_job
from ciguard.guard.credential import credential
from ciguard.policy.loading import load_policy
from ciguard.policy.models import Policy
from ciguard.policy.sections.audit import SigstoreSigning, VaultSigning
from ciguard.session.signers import Ready, ReadySigstore, job_signer, key_signer

if TYPE_CHECKING:
    from ciguard.identity.establish import Identity


def signers_of(directory: Path, environ: Mapping[str, str]) -> tuple[Ready, ...]:
    """Keys to sign the session in ``directory`` with, which its own policy names; the job is the one that runs this.

    Raises the :class:`CiguardError` that says what is missing.
    """
    from ciguard.identity.establish import UNVERIFIED, IdentityMode, establish
    from ciguard.policy.loading import FileSource

    policy = load_policy(FileSource(directory), "policy.yml")
    job = current_job(environ)
    identity = establish(job, environ, policy.identity, IdentityMode.AUTO) if job else UNVERIFIED
    return signers_for(policy, identity, environ)


def signers_for(policy: Policy, identity: Identity, environ: Mapping[str, str]) -> tuple[Ready, ...]:
    """Those who will sign the session: whom the policy names, the job's identity only where there is a job."""
    from ciguard.identity.establish import signing_token

    ready: list[Ready] = []
    for signing in policy.audit.sign:
        if signing.key is not None:
            ready.append(key_signer(credential("audit.sign", signing.key.env, environ), signing.key.env))
        elif identity.job is None:
            continue
        elif signing.job is not None:
            ready.append(job_signer(signing_token(identity, environ)))
        elif signing.vault is not None:
            ready.append(_vault(signing.vault, identity, environ))
        elif signing.sigstore is not None:
            if any(isinstance(signer, ReadySigstore) for signer in ready):
                raise UsageError("audit.sign names two Sigstore instances", "name one: a session has one bundle")
            ready.append(_sigstore(signing.sigstore, identity, environ))
    return tuple(ready)


def _vault(vault: VaultSigning, identity: Identity, environ: Mapping[str, str]) -> Ready:
    from ciguard.forge.gitlab import VAULT_TOKEN_VARIABLE
    from ciguard.identity.establish import service_token
    from ciguard.session.vault_signer import vault_signer

    return vault_signer(vault, service_token(identity, environ, vault.address, VAULT_TOKEN_VARIABLE))


def _sigstore(sigstore: SigstoreSigning, identity: Identity, environ: Mapping[str, str]) -> Ready:
    from ciguard.forge.gitlab import SIGSTORE_TOKEN_VARIABLE
    from ciguard.identity.establish import service_token
    from ciguard.session.sigstore_bundle import AUDIENCE, bundle_maker

    named = sigstore.trust_config
    trust_config = credential("audit.sign", named.env, environ) if named else ""
    return ReadySigstore(
        bundle_maker(service_token(identity, environ, AUDIENCE, SIGSTORE_TOKEN_VARIABLE), trust_config)
    )

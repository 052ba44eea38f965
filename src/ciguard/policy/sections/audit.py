"""The section ``audit``: who signs a session, and who can open the originals of what was masked."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, model_validator

from ciguard.policy.rules import Section
from ciguard.policy.sections.credential import Credential
from ciguard.policy.shapes import Recipient, UpstreamUrl, VaultName, refusal


class JobSigning(Section):
    """A key that lives as long as the session and that the job's identity vouches for."""


class SigstoreSigning(Section):
    """Sigstore certifies a key for the job's identity, and logs what it signed."""

    trust_config: Credential | None = Field(
        default=None,
        description="Where the trust configuration of your own Sigstore instance is, as JSON. Without, it is the "
        "public instance, whose log anybody can read: it publishes the names of the repository and the workflow.",
    )


class VaultSigning(Section):
    """A lasting key that never leaves the transit engine of a Vault."""

    address: UpstreamUrl = Field(
        description="The Vault's base URL; also the audience of the job's token.",
        examples=["https://vault.example.com"],
    )
    key: VaultName = Field(description="The name of the transit key: ed25519 or ecdsa-p256.")
    role: VaultName = Field(description="The role that the job logs in as, with its identity token.")
    mount: VaultName = Field(default="jwt", description="Where the JWT login is mounted.")
    transit: VaultName = Field(default="transit", description="Where the transit engine is mounted.")


class Signing(Section):
    """One of those who sign a session."""

    job: JobSigning | None = Field(
        default=None,
        description="A key that lives as long as the session and that the job's identity vouches for; job alone is "
        "short for it. Outside of CI it does nothing.",
    )
    key: Credential | None = Field(
        default=None, description="Where your own key is: Ed25519, ECDSA P-256 or RSA, in PEM, without a passphrase."
    )
    vault: VaultSigning | None = Field(
        default=None, description="A key in the transit engine of a Vault. Outside of CI it does nothing."
    )
    sigstore: SigstoreSigning | None = Field(
        default=None,
        description="A Sigstore bundle; sigstore alone is short for the public instance. Needs the extra "
        "ciguard[sigstore]. Outside of CI it does nothing.",
    )

    @model_validator(mode="after")
    def _one(self) -> Signing:
        if len([signer for signer in (self.job, self.key, self.vault, self.sigstore) if signer is not None]) != 1:
            raise refusal(
                "an entry of sign names exactly one signer", "write job, sigstore, {key: ...} or {vault: ...}"
            )
        return self


def _signing(value: object) -> object:
    return {value: {}} if isinstance(value, str) and value in ("job", "sigstore") else value


class Audit(Section):
    """Who signs a session, and who can open the originals of what was masked."""

    sign: tuple[
        Annotated[Signing, BeforeValidator(_signing, json_schema_input_type=Literal["job", "sigstore"] | Signing)], ...
    ] = Field(
        default=(Signing(job=JobSigning()),),
        description="Who signs the session; job when absent.",
        examples=[["job", {"key": {"env": "CIGUARD_SIGNING_KEY"}}]],
    )

    recipients: tuple[Recipient, ...] = Field(
        default=(),
        description="age recipients or SSH public keys of the auditors; no originals are kept when absent. "
        "For github:USER, ciguard policy check prints the keys to write.",
    )

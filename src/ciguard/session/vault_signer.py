"""A lasting key in the transit engine of a Vault, which signs and never gives the key away.

The job logs in with an identity token of its own, twice: before the agent starts, to read the public key, and at the
end, to sign; each login's token is revoked at once, so that none outlives what it was for.

Sources: Vault's HTTP API: "JWT/OIDC auth method", "Transit secrets engine", "Tokens" (revoke-self).
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from ciguard.errors import CredentialMissing, RecordingFailed
from ciguard.identity import strict_json
from ciguard.identity.fetch import is_loopback
from ciguard.session.signature import Signer, SigningKey, holds, key_name
from ciguard.session.signers import ReadySigner

if TYPE_CHECKING:
    import httpx2

    from ciguard.policy.sections.audit import VaultSigning

TIMEOUT = 15.0
"""Seconds that one call may take to connect or to send a byte."""

SIZE_LIMIT = 512 * 1024

KINDS = ("ed25519", "ecdsa-p256")
"""The types of transit keys that can sign a session."""


class _VaultError(Exception):
    """A call did not go well; the text says which and why, and quotes nothing of the answer."""


@dataclass(frozen=True, slots=True)
class _Login:
    """A login, good for calls until it is left."""

    client: httpx2.Client
    token: str = field(repr=False)

    def call(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Mapping[str, Any]:
        """The ``data`` of the answer to a call."""
        answer = _call(self.client, method, path, body, self.token)
        return _mapping(answer.get("data"), path)


def vault_signer(vault: VaultSigning, token: Callable[[], str]) -> ReadySigner:
    """The newest version of a transit key, whose public half is read now.

    ``token`` gets an identity token of the job for the audience that is the Vault's address, each time a new one.
    Raises :class:`CredentialMissing`; the signer's ``sign`` raises :class:`RecordingFailed`.
    """
    try:
        with _login(vault, token()) as login:
            key = login.call("GET", f"{vault.transit}/keys/{vault.key}")
        version = key.get("latest_version")
        public = _public_key(key, version)
    except _VaultError as error:
        raise CredentialMissing(
            f"audit.sign cannot have the key {vault.key} of the Vault at {_host(vault)}: {error}",
            "check address, key, role, mount and transit in the policy; the role's bound audience must be the address, "
            f"and its policy allow read on {vault.transit}/keys/{vault.key} and update on "
            f"{vault.transit}/sign/{vault.key}",
        ) from None

    def sign(data: bytes) -> bytes:
        request = {
            "input": base64.b64encode(data).decode(),
            "key_version": version,
            "hash_algorithm": "sha2-256",
            "marshaling_algorithm": "asn1",
        }
        try:
            with _login(vault, token()) as login:
                signature = _signature(login.call("POST", f"{vault.transit}/sign/{vault.key}", request))
            if not holds(public, signature, data):
                raise _VaultError("its signature is not by the key that was announced")
        except _VaultError as error:
            raise RecordingFailed(
                f"the Vault at {_host(vault)} did not sign the session: {error}",
                "look at the Vault's status and audit log; ciguard finish signs the session when it works again",
            ) from None
        return signature

    return ReadySigner(SigningKey(key_name(public), Signer.VAULT, public), sign)


@contextmanager
def _login(vault: VaultSigning, jwt: str) -> Iterator[_Login]:
    import httpx2

    # A proxy of the job's environment has no business with this machine's own addresses.
    trust_env = not is_loopback(urlsplit(vault.address))
    with httpx2.Client(base_url=f"{vault.address}/v1/", timeout=TIMEOUT, trust_env=trust_env) as client:
        path = f"auth/{vault.mount}/login"
        auth = _mapping(_call(client, "POST", path, {"role": vault.role, "jwt": jwt}).get("auth"), path)
        token = auth.get("client_token")
        if not isinstance(token, str) or not token:
            raise _VaultError(f"{path} gave no token")
        try:
            yield _Login(client, token)
        finally:
            _call(client, "POST", "auth/token/revoke-self", None, token)


def _call(
    client: httpx2.Client, method: str, path: str, body: Mapping[str, Any] | None = None, token: str = ""
) -> Mapping[str, Any]:
    import httpx2

    headers = {"x-vault-request": "true", "accept-encoding": "identity"} | ({"x-vault-token": token} if token else {})
    content = bytearray()
    try:
        with client.stream(method, path, json=body, headers=headers) as response:
            if response.status_code not in (200, 204):
                raise _VaultError(f"{path} answered with status {response.status_code}")
            for chunk in response.iter_raw():
                content += chunk
                if len(content) > SIZE_LIMIT:
                    raise _VaultError(f"the answer of {path} is larger than {SIZE_LIMIT} bytes")
    except httpx2.HTTPError as error:
        # The library's message may quote headers; its type says enough.
        raise _VaultError(f"{path} cannot be reached ({type(error).__name__})") from None
    if not content:
        return {}
    try:
        return _mapping(strict_json.parse(content), path)
    except ValueError:
        raise _VaultError(f"the answer of {path} is not JSON") from None


def _mapping(value: object, path: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise _VaultError(f"{path} answered otherwise than a Vault does")
    return value


def _public_key(key: Mapping[str, Any], version: object) -> bytes:
    """The SubjectPublicKeyInfo in DER of a version of a transit key: PEM for ECDSA, base64 of 32 bytes for Ed25519."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    from ciguard.session.signature import public_key_of

    kind, versions = key.get("type"), key.get("keys")
    if kind not in KINDS:
        raise _VaultError(f"it is no key of the types {' and '.join(KINDS)}")
    match versions.get(str(version)) if isinstance(versions, dict) else None:
        case {"public_key": str(text)}:
            pass
        case _:
            raise _VaultError("it has no public half")
    try:
        if kind == "ecdsa-p256":
            return public_key_of(text.encode())
        raw = Ed25519PublicKey.from_public_bytes(base64.b64decode(text, validate=True))
    except ValueError:
        raise _VaultError("its public half is malformed") from None
    return raw.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _signature(answer: Mapping[str, Any]) -> bytes:
    """The bytes of ``vault:v1:BASE64``."""
    prefix, _, text = str(answer.get("signature")).rpartition(":")
    try:
        if not prefix.startswith("vault:v"):
            raise _VaultError("it answered without a signature")
        return base64.b64decode(text, validate=True)
    except binascii.Error:
        raise _VaultError("its signature is malformed") from None


def _host(vault: VaultSigning) -> str:
    return urlsplit(vault.address).netloc

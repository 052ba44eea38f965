"""Those who sign a session: ready before the agent starts, asked once at the end."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

from ciguard.errors import CredentialMissing
from ciguard.operation import Json
from ciguard.session.event import SigningFacts
from ciguard.session.signature import AUDIENCE_PREFIX, SIGNATURE, Signer, SigningKey, key_name, render
from ciguard.session.sigstore_bundle import BUNDLE
from ciguard.session.statement import pre_authentication_encoding, statement

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes

Sign = Callable[[bytes], bytes]
"""Signs bytes with a private key that nobody else sees."""

KINDS = "Ed25519, ECDSA P-256, or RSA of at least 2048 bits"


@dataclass(frozen=True, slots=True)
class ReadySigner:
    """A key with which a session will be signed."""

    key: SigningKey
    sign: Sign = field(repr=False)

    @property
    def announced(self) -> SigningFacts:
        """How the log names it."""
        return SigningFacts(signer=self.key.signer, keyid=self.key.keyid)

    def __str__(self) -> str:
        """Its name for people."""
        return f"the {self.key.signer} key {self.key.keyid}"


@dataclass(frozen=True, slots=True)
class ReadySigstore:
    """A Sigstore instance whose bundle a session will get; the key of a bundle is made with it."""

    make: Callable[[bytes], bytes] = field(repr=False)

    @property
    def announced(self) -> SigningFacts:
        """How the log names it."""
        return SigningFacts(signer=Signer.SIGSTORE, keyid=None)

    def __str__(self) -> str:
        """Its name for people."""
        return "a Sigstore certificate of this job"


Ready: TypeAlias = ReadySigner | ReadySigstore
"""One of those who sign."""


def job_signer(mint: Callable[[str], str] | None) -> ReadySigner:
    """A new Ed25519 key for one session.

    ``mint`` gets an identity token of the job for an audience, which ties the key to the job; without it, as on forges
    that fix the audience beforehand, the key counts only where its name was announced.
    """
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    private = Ed25519PrivateKey.generate()
    public = private.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    name = key_name(public)
    token = None if mint is None else mint(AUDIENCE_PREFIX + name)
    return ReadySigner(SigningKey(name, Signer.JOB, public, token), private.sign)


def key_signer(pem: str, variable: str) -> ReadySigner:
    """The lasting private key ``pem``, which came in ``variable``. Raises :class:`CredentialMissing`."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

    remedy = f"give {variable} a private key in PEM, without a passphrase: {KINDS}"
    try:
        private = load_pem_private_key(pem.encode(), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise CredentialMissing(f"{variable} does not hold a private key that can sign", remedy) from None
    sign = _signing_with(private)
    if sign is None:
        raise CredentialMissing(f"{variable} holds a key of another kind than {KINDS}", remedy)
    public = private.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return ReadySigner(SigningKey(key_name(public), Signer.KEY, public), sign)


def _signing_with(private: PrivateKeyTypes) -> Sign | None:
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
    from cryptography.hazmat.primitives.hashes import SHA256

    match private:
        case ed25519.Ed25519PrivateKey():
            return private.sign
        case ec.EllipticCurvePrivateKey() if isinstance(private.curve, ec.SECP256R1):
            return lambda data: private.sign(data, ec.ECDSA(SHA256()))
        case rsa.RSAPrivateKey() if private.key_size >= 2048:
            pss = padding.PSS(padding.MGF1(SHA256()), padding.PSS.DIGEST_LENGTH)
            return lambda data: private.sign(data, pss, SHA256())
        case _:
            return None


def signed(signers: Sequence[Ready], manifest: bytes, content: Mapping[str, Json]) -> dict[str, bytes]:
    """The files, by name, that vouch for ``manifest``, the bytes of manifest.json, which say ``content``."""
    payload = statement(manifest, content)
    encoding = pre_authentication_encoding(payload)
    keys = [signer for signer in signers if isinstance(signer, ReadySigner)]
    files: dict[str, bytes] = {}
    if keys:
        files[SIGNATURE] = render(payload, [(signer.key, signer.sign(encoding)) for signer in keys])
    for signer in signers:
        if isinstance(signer, ReadySigstore):
            files[BUNDLE] = signer.make(payload)
    return files

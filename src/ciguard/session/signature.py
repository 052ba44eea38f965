"""signature.json: the signed statement about a session, and the keys that signed it.

    {"format": 1,
     "envelope": {"payload": base64, "payloadType": "application/vnd.in-toto+json",
                  "signatures": [{"keyid": "sha256:...", "sig": base64}, ...]},
     "keys": [{"keyid": "sha256:...", "signer": "job", "public_key": base64, "token": "eyJ..."}, ...]}

A key is named by the SHA-256 of its SubjectPublicKeyInfo (RFC 5280, 4.1). The key of signer ``job`` lived as long as
the session; its ``token`` is an identity token of the job, minted before the agent started, whose audience names the
key. Signer ``key`` is a lasting key of the repository's owner, and ``vault`` one that a Vault keeps.
"""

from __future__ import annotations

import binascii
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

import msgspec

from ciguard.session.statement import PAYLOAD_TYPE, pre_authentication_encoding

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes

SIGNATURE = "signature.json"

FORMAT = 1
"""The version of signature.json."""

MAX_SIGNATURE_BYTES = 4 * 1024 * 1024
"""A signature.json larger than this is not read."""

AUDIENCE_PREFIX = "urn:ciguard:key:"
"""With a key's name behind it: the audience of a token that vouches for the key."""


class Signer(StrEnum):
    """Who signs."""

    JOB = "job"
    KEY = "key"
    VAULT = "vault"
    SIGSTORE = "sigstore"


class SigningKey(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A key that signed: ``public_key`` is its SubjectPublicKeyInfo in DER, ``token`` what vouches for it, if any."""

    keyid: str
    signer: Signer
    public_key: bytes
    token: str | None = None


class EnvelopeSignature(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One signature of an envelope."""

    keyid: str
    sig: bytes


class Envelope(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename={"payload_type": "payloadType"}):
    """A DSSE envelope."""

    payload: bytes
    payload_type: str
    signatures: tuple[EnvelopeSignature, ...]


class SignatureFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All of signature.json."""

    format: int
    envelope: Envelope
    keys: tuple[SigningKey, ...]


class BadSignatureError(ValueError):
    """signature.json is not in order, or a signature in it does not hold; the text is a whole sentence."""


@dataclass(frozen=True, slots=True)
class Signed:
    """A signature file whose signatures all hold: what was signed, and by which keys."""

    statement: bytes
    keys: tuple[SigningKey, ...]


def key_name(public_key: bytes) -> str:
    """The name of a key: ``sha256:`` and the digest of its SubjectPublicKeyInfo in DER."""
    return f"sha256:{hashlib.sha256(public_key).hexdigest()}"


def render(statement: bytes, signed: Sequence[tuple[SigningKey, bytes]]) -> bytes:
    """signature.json for ``statement``: each key with its signature."""
    envelope = Envelope(
        statement, PAYLOAD_TYPE, tuple(EnvelopeSignature(key.keyid, signature) for key, signature in signed)
    )
    file = SignatureFile(FORMAT, envelope, tuple(key for key, _ in signed))
    return msgspec.json.encode(file, order="sorted") + b"\n"


def check(content: bytes) -> Signed:
    """What ``content``, a signature.json, vouches for. Raises :class:`BadSignatureError`.

    All must hold: a file in its one spelling, a name for each key that is the key's own, one signature for each key,
    and every signature.
    """
    try:
        file = msgspec.json.decode(content, type=SignatureFile)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, binascii.Error) as error:
        raise BadSignatureError(f"signature.json is not in order: {ascii(str(error))[1:-1][:200]}") from None
    if file.format != FORMAT:
        raise BadSignatureError(f"signature.json has format {file.format}; this version reads format {FORMAT}")
    if msgspec.json.encode(file, order="sorted") + b"\n" != content:
        raise BadSignatureError("signature.json is not spelt as it is written")
    if file.envelope.payload_type != PAYLOAD_TYPE:
        raise BadSignatureError("signature.json signs something that is not an in-toto statement")
    if [key.keyid for key in file.keys] != [signature.keyid for signature in file.envelope.signatures]:
        raise BadSignatureError("signature.json has other signatures than keys")
    if not file.keys:
        raise BadSignatureError("signature.json has no signature")
    signed = pre_authentication_encoding(file.envelope.payload)
    for key, signature in zip(file.keys, file.envelope.signatures, strict=True):
        if key.keyid != key_name(key.public_key):
            raise BadSignatureError(f"the key {ascii(key.keyid)[1:80]} has another name than its own")
        if not holds(key.public_key, signature.sig, signed):
            raise BadSignatureError(f"the signature of key {key.keyid} does not hold")
    return Signed(file.envelope.payload, file.keys)


def holds(public_key: bytes, signature: bytes, signed: bytes) -> bool:
    """Whether ``signature`` over ``signed`` is by the holder of ``public_key``: Ed25519, ECDSA with P-256, or RSA-PSS.

    ECDSA and RSA are over SHA-256. A key of another kind vouches for nothing.
    """
    from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import load_der_public_key

    try:
        _verify(load_der_public_key(public_key), signature, signed)
    except (InvalidSignature, UnsupportedAlgorithm, ValueError):
        return False
    return True


def _verify(key: PublicKeyTypes, signature: bytes, signed: bytes) -> None:
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
    from cryptography.hazmat.primitives.hashes import SHA256

    match key:
        case ed25519.Ed25519PublicKey():
            key.verify(signature, signed)
        case ec.EllipticCurvePublicKey() if isinstance(key.curve, ec.SECP256R1):
            key.verify(signature, signed, ec.ECDSA(SHA256()))
        case rsa.RSAPublicKey() if key.key_size >= 2048:
            key.verify(signature, signed, padding.PSS(padding.MGF1(SHA256()), padding.PSS.DIGEST_LENGTH), SHA256())
        case _:
            raise ValueError("a key of another kind")


def public_key_of(pem: bytes) -> bytes:
    """The SubjectPublicKeyInfo in DER of a public key in PEM. Raises ``ValueError`` when it is none."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key

    try:
        return load_pem_public_key(pem).public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    except UnsupportedAlgorithm:
        raise ValueError("a key of an unknown kind") from None

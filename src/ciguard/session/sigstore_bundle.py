"""A Sigstore bundle over the same statement as signature.json, in a file that ``cosign`` and ``gh`` take as it is.

Theory of operation. At the end of a session an identity token of the job, with the audience ``sigstore``, gets a
certificate of a few minutes for a new key; the key signs the statement, and a transparency log says when. So the bundle
vouches by itself, for as long as the instance's trust root is known, and no key of the session was there for the agent
to find. Signing and verifying need the extra ``ciguard[sigstore]``; that a bundle is about this session, and that its
own certificate's key signed it, is seen without.

Sources: Sigstore bundle format 0.3; Fulcio's "OID information" (what the extensions of a certificate say).
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import msgspec

from ciguard.errors import CredentialMissing, RecordingFailed, UsageError
from ciguard.session.canonical import canonical
from ciguard.session.signature import BadSignatureError
from ciguard.session.statement import PAYLOAD_TYPE, pre_authentication_encoding
from ciguard.session.step import inert

if TYPE_CHECKING:
    from cryptography.x509 import Certificate
    from sigstore.models import ClientTrustConfig

BUNDLE = "manifest.sigstore.json"

MAX_BUNDLE_BYTES = 4 * 1024 * 1024
"""A bundle larger than this is not read."""

MEDIA_TYPE = "application/vnd.dev.sigstore.bundle.v0.3+json"

AUDIENCE = "sigstore"
"""The audience of the token that a certificate is asked for with."""

_EXTENSION = "1.3.6.1.4.1.57264.1."
_BUILD_SIGNER, _REPOSITORY, _REF, _BUILD_CONFIG, _RUN = "9", "12", "14", "18", "21"


@dataclass(frozen=True, slots=True)
class SigstoreIdentity:
    """Whom a certificate must name: its subject (a URI or an address), its issuer, and the instance's trust root.

    ``trust_config`` is the JSON of a client trust configuration; without it, it is the public instance.
    """

    subject: str
    issuer: str
    trust_config: str = ""


def bundle_maker(token: Callable[[], str], trust_config: str) -> Callable[[bytes], bytes]:
    """What makes a bundle of a statement. ``token`` gets an identity token of the job, each time a new one.

    Raises the :class:`CiguardError` that says what is missing, as far as that can be known beforehand; what it returns
    raises :class:`RecordingFailed`.
    """
    instance = _instance(trust_config, offline=False)
    token()

    def make(statement: bytes) -> bytes:
        from sigstore.dsse import Statement
        from sigstore.oidc import IdentityToken
        from sigstore.sign import SigningContext

        try:
            context = SigningContext.from_trust_config(instance)
            with context.signer(IdentityToken(token(), client_id=AUDIENCE)) as signer:
                bundle = signer.sign_dsse(Statement(statement))
        except Exception as error:  # noqa: BLE001 - its clients of three services raise what their libraries raise
            raise RecordingFailed(
                f"the session cannot be signed with Sigstore: {_words(error)}",
                "look at the instance's status; ciguard finish signs the session when it is reachable again",
            ) from None
        return canonical(json.loads(bundle.to_json())) + b"\n"

    return make


def _instance(trust_config: str, *, offline: bool) -> ClientTrustConfig:
    try:
        from sigstore.models import ClientTrustConfig
    except ImportError:
        raise UsageError(
            "Sigstore needs packages that are not installed",
            "install the extra: pip install 'ciguard[sigstore]'",
        ) from None
    try:
        if trust_config:
            return ClientTrustConfig.from_json(trust_config)
        return ClientTrustConfig.production(offline=offline)
    except Exception as error:  # noqa: BLE001 - anything may be wrong with the file, or on the way to the public root
        raise CredentialMissing(
            f"the trust configuration of Sigstore cannot be had: {_words(error)}",
            "give the client trust configuration of your instance as it publishes it (JSON, version 0.1)",
        ) from None


def _words(error: Exception) -> str:
    """The kind of ``error`` and what it says, in one line; Sigstore's errors quote no tokens."""
    return f"{type(error).__name__} {inert(str(error))}".rstrip()


class _Raw(msgspec.Struct, rename="camel"):
    raw_bytes: str


class _Material(msgspec.Struct):
    certificate: _Raw


class _Signature(msgspec.Struct):
    sig: str


class _Envelope(msgspec.Struct, rename="camel"):
    payload: str
    payload_type: str
    signatures: tuple[_Signature]


class _Bundle(msgspec.Struct, rename="camel"):
    media_type: str
    verification_material: _Material
    dsse_envelope: _Envelope


def check_bundle(content: bytes, statement: bytes) -> None:
    """Raise :class:`BadSignatureError` unless ``content`` is a bundle of ``statement`` that its own key signed.

    Whose certificate it is remains open: :func:`verify_bundle` says.
    """
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.x509 import load_der_x509_certificate

    try:
        bundle = msgspec.json.decode(content, type=_Bundle)
        if canonical(json.loads(content)) + b"\n" != content or bundle.media_type != MEDIA_TYPE:
            raise BadSignatureError(f"{BUNDLE} is not spelt as it is written")
        payload = _bytes(bundle.dsse_envelope.payload)
        if bundle.dsse_envelope.payload_type != PAYLOAD_TYPE or payload != statement:
            raise BadSignatureError(f"{BUNDLE} vouches for another manifest than manifest.json")
        certificate = load_der_x509_certificate(_bytes(bundle.verification_material.certificate.raw_bytes))
        signature = _bytes(bundle.dsse_envelope.signatures[0].sig)
        key = certificate.public_key()
        if not isinstance(key, ec.EllipticCurvePublicKey):
            raise BadSignatureError(f"the certificate in {BUNDLE} is for a key of another kind than ECDSA")
        key.verify(signature, pre_authentication_encoding(payload), ec.ECDSA(SHA256()))
    except InvalidSignature:
        raise BadSignatureError(f"the signature in {BUNDLE} does not hold") from None
    except BadSignatureError:
        raise
    except (ValueError, RecursionError) as error:
        raise BadSignatureError(f"{BUNDLE} is not in order: {inert(str(error))}") from None


def _bytes(text: str) -> bytes:
    try:
        decoded = base64.b64decode(text, validate=True)
    except binascii.Error:
        decoded = b""
    if base64.b64encode(decoded).decode() != text:
        raise BadSignatureError(f"{BUNDLE} is not spelt as it is written")
    return decoded


def verify_bundle(content: bytes, expected: SigstoreIdentity, *, online: bool) -> Mapping[str, str]:
    """What the certificate of the bundle ``content`` says of the job, by the names of the claims of the job's token.

    All of it is verified: the certificate's chain, its log's promise, the transparency log's proof and time, and that
    it was made for ``expected``. Raises :class:`BadSignatureError`, or what says that it cannot be verified here.
    """
    instance = _instance(expected.trust_config, offline=not online)
    from sigstore.models import Bundle
    from sigstore.verify import Verifier
    from sigstore.verify.policy import Identity

    try:
        bundle = Bundle.from_json(content)
        if canonical(json.loads(bundle.to_json())) + b"\n" != content:
            raise BadSignatureError(f"{BUNDLE} is not spelt as it is written")
        policy = Identity(identity=expected.subject, issuer=expected.issuer)
        Verifier(trusted_root=instance.trusted_root).verify_dsse(bundle, policy)
        return _claims(bundle.signing_certificate)
    except BadSignatureError:
        raise
    except Exception as error:  # noqa: BLE001 - hostile content; whatever its parsers raise, it is not verified
        raise BadSignatureError(f"{BUNDLE} does not hold: {_words(error)}") from None


def _claims(certificate: Certificate) -> dict[str, str]:
    """What GitHub's and GitLab's tokens put into the extensions of a certificate, as far as they are there."""
    numbers = (_BUILD_SIGNER, _REPOSITORY, _REF, _BUILD_CONFIG, _RUN)
    said = {number: _extension(certificate, number) for number in numbers}
    repository, run = urlsplit(said[_REPOSITORY]), urlsplit(said[_RUN])
    server = f"{repository.scheme}://{repository.netloc}/"
    path, what = run.path.removeprefix(repository.path), repository.path.strip("/")
    match path.strip("/").split("/"):
        case ["-", "jobs", job]:
            claims = {
                "project_path": what,
                "job_id": job,
                "ref_path": said[_REF],
                "ci_config_ref_uri": said[_BUILD_CONFIG].removeprefix(f"{repository.scheme}://"),
            }
        case ["actions", "runs", number, "attempts", attempt]:
            claims = {
                "repository": what,
                "run_id": number,
                "run_attempt": attempt,
                "ref": said[_REF],
                "workflow_ref": said[_BUILD_CONFIG].removeprefix(server),
                "job_workflow_ref": said[_BUILD_SIGNER].removeprefix(server),
            }
        case _:
            claims = {}
    return {name: value for name, value in claims.items() if value}


def _extension(certificate: Certificate, number: str) -> str:
    """The text of one of Fulcio's extensions (a UTF8String in DER); empty when it is absent."""
    from cryptography.hazmat import asn1
    from cryptography.x509 import ExtensionNotFound, ObjectIdentifier, UnrecognizedExtension

    try:
        found = certificate.extensions.get_extension_for_oid(ObjectIdentifier(_EXTENSION + number)).value
    except ExtensionNotFound:
        return ""
    return asn1.decode_der(str, found.value) if isinstance(found, UnrecognizedExtension) else ""

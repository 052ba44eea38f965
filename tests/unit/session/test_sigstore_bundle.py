"""What of a Sigstore bundle is seen without Sigstore; the rest is in tests/integration/test_sigstore.py."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding

from ciguard.session.authenticity import Expectations
from ciguard.session.canonical import canonical
from ciguard.session.signature import BadSignatureError
from ciguard.session.signers import ReadySigstore, job_signer, signed
from ciguard.session.sigstore_bundle import BUNDLE, MEDIA_TYPE, SigstoreIdentity, check_bundle
from ciguard.session.statement import PAYLOAD_TYPE, pre_authentication_encoding
from ciguard.session.step import Outcome, Step
from ciguard.session.verification import verify
from tests.unit.session import sample

STATEMENT = b'{"a":1}'


def certificate(key: ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey) -> bytes:
    """A certificate that ``key`` made for itself."""
    name = x509.Name([])
    built = (
        x509.CertificateBuilder(name, name, key.public_key(), 1)
        .not_valid_before(sample.START)
        .not_valid_after(sample.START + timedelta(minutes=10))
    )
    return built.sign(key, SHA256() if isinstance(key, ec.EllipticCurvePrivateKey) else None).public_bytes(Encoding.DER)


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def bundle(statement: bytes = STATEMENT, change: Callable[[dict[str, Any]], object] = id) -> bytes:
    """A bundle by nobody, with ``change`` made to it."""
    key = ec.generate_private_key(ec.SECP256R1())
    signature = key.sign(pre_authentication_encoding(statement), ec.ECDSA(SHA256()))
    envelope = {"payload": b64(statement), "payloadType": PAYLOAD_TYPE, "signatures": [{"sig": b64(signature)}]}
    material = {"certificate": {"rawBytes": b64(certificate(key))}}
    made: dict[str, Any] = {"mediaType": MEDIA_TYPE, "verificationMaterial": material, "dsseEnvelope": envelope}
    change(made)
    return canonical(made) + b"\n"


def by_another_kind_of_key(made: dict[str, Any]) -> None:
    made["verificationMaterial"]["certificate"]["rawBytes"] = b64(certificate(ed25519.Ed25519PrivateKey.generate()))


def by_another_key(made: dict[str, Any]) -> None:
    other = json.loads(bundle())
    made["verificationMaterial"] = other["verificationMaterial"]


def with_spare_bits(made: dict[str, Any]) -> None:
    made["dsseEnvelope"]["payload"] = "eyJhIjoxfR=="


def test_a_bundle_that_its_own_key_signed_holds() -> None:
    check_bundle(bundle(), STATEMENT)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda made: made.update(mediaType="text/plain"), "not spelt"),
        (lambda made: made["dsseEnvelope"].update(payloadType="text/plain"), "another manifest"),
        (lambda made: made["dsseEnvelope"].update(payload=b64(b"{}")), "another manifest"),
        (with_spare_bits, "not spelt"),
        (lambda made: made["dsseEnvelope"].update(payload="?"), "not spelt"),
        (lambda made: made["dsseEnvelope"].update(signatures=[]), "not in order"),
        (lambda made: made["dsseEnvelope"]["signatures"].append({"sig": ""}), "not in order"),
        (lambda made: made["verificationMaterial"]["certificate"].update(rawBytes="AAAA"), "not in order"),
        (by_another_kind_of_key, "another kind than ECDSA"),
        (by_another_key, "does not hold"),
        (lambda made: made.pop("dsseEnvelope"), "not in order"),
    ],
)
def test_what_is_wrong_is_named(change: Callable[[dict[str, Any]], object], words: str) -> None:
    with pytest.raises(BadSignatureError, match=words):
        check_bundle(bundle(change=change), STATEMENT)


@pytest.mark.parametrize("content", [b"", b"[]", b"\xff", b"[" * 100_000, b" " + bundle(), bundle()[:-1]])
def test_anything_else_is_refused(content: bytes) -> None:
    with pytest.raises(BadSignatureError):
        check_bundle(content, STATEMENT)


def record(directory: Path, *signers: Any, named: Any = None) -> Path:
    """A session that ``signers`` sign, and that names them or those that are ``named``."""
    announced = [msgspec.to_builtins(signer.announced) for signer in (signers if named is None else named)]
    recorder = sample.start(directory, {**sample.STARTED, "signing": announced})
    recorder.finish("succeeded", lambda manifest, content: signed(signers, manifest, content))
    return directory


def step(directory: Path, number: int = 6, **expected: Any) -> Step:
    return verify(directory, Expectations(**expected)).steps[number - 1]


SIGSTORE = ReadySigstore(bundle)


def test_a_session_has_the_bundle_that_its_log_names(tmp_path: Path) -> None:
    assert step(record(tmp_path / "one", SIGSTORE)).detail == "a Sigstore bundle"
    both = record(tmp_path / "two", job_signer(None), SIGSTORE)
    assert step(both).detail.endswith(", a Sigstore bundle")
    (both / BUNDLE).write_bytes(bundle())
    assert step(both).detail == f"{BUNDLE} vouches for another manifest than manifest.json"
    (both / BUNDLE).unlink()
    assert step(both).detail == f"{BUNDLE} is missing, and the log says that Sigstore would sign"


def test_a_bundle_that_no_log_names_fails(tmp_path: Path) -> None:
    found = step(record(tmp_path / "session", SIGSTORE, named=[]))
    assert found.outcome is Outcome.FAILED
    assert found.detail == f"{BUNDLE} is there, and the log does not say that Sigstore would sign"


def test_a_session_without_a_bundle_meets_nobody_who_asks_for_one(tmp_path: Path) -> None:
    whom = SigstoreIdentity("https://example.com/subject", "https://id.example.com")
    found = step(record(tmp_path / "session", job_signer(None)), 7, sigstore=whom)
    assert (found.outcome, found.detail) == (Outcome.FAILED, "there is no Sigstore bundle")


def test_a_bundle_by_nobody_vouches_for_nothing(tmp_path: Path) -> None:
    assert step(record(tmp_path / "session", SIGSTORE), 7).outcome is Outcome.NONE

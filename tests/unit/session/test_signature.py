from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa

from ciguard.errors import CredentialMissing
from ciguard.session.signature import BadSignatureError, Signer, check, holds, key_name, public_key_of
from ciguard.session.signers import job_signer, key_signer, signed
from ciguard.session.statement import PREDICATE_TYPE, pre_authentication_encoding

MANIFEST = b'{"format":1}\n'


def pem(private: Any, passphrase: bytes | None = None) -> str:
    encryption = serialization.BestAvailableEncryption(passphrase) if passphrase else serialization.NoEncryption()
    return bytes(
        private.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption)
    ).decode()


def test_what_is_signed_names_its_type_and_length() -> None:
    encoded = pre_authentication_encoding(b"hello")
    assert encoded == b"DSSEv1 28 application/vnd.in-toto+json 5 hello"


@pytest.mark.parametrize(
    "make",
    [
        lambda: job_signer(None),
        lambda: key_signer(pem(ed25519.Ed25519PrivateKey.generate()), "KEY"),
        lambda: key_signer(pem(ec.generate_private_key(ec.SECP256R1())), "KEY"),
        lambda: key_signer(pem(rsa.generate_private_key(65537, 2048)), "KEY"),
    ],
)
def test_a_signature_of_each_kind_of_key_holds(make: Callable[[], Any]) -> None:
    signer = make()
    found = check(signed([signer], MANIFEST, {"format": 1})["signature.json"])
    assert found.keys == (signer.key,)
    assert key_name(signer.key.public_key) == signer.key.keyid
    said = json.loads(found.statement)
    assert said["predicateType"] == PREDICATE_TYPE
    assert said["predicate"] == {"format": 1}
    assert said["subject"][0]["name"] == "manifest.json"


def test_a_job_key_is_named_by_the_audience_of_its_token() -> None:
    audiences: list[str] = []

    def mint(audience: str) -> str:
        audiences.append(audience)
        return "token"

    signer = job_signer(mint)
    assert audiences == [f"urn:ciguard:key:{signer.key.keyid}"]
    assert (signer.key.signer, signer.key.token) == (Signer.JOB, "token")


@pytest.mark.parametrize(
    "value",
    [
        "not a key",
        pem(ec.generate_private_key(ec.SECP384R1())),
        pem(ed448.Ed448PrivateKey.generate()),
        pem(ed25519.Ed25519PrivateKey.generate(), b"passphrase"),
    ],
)
def test_a_key_that_cannot_sign_is_refused_without_being_quoted(value: str) -> None:
    with pytest.raises(CredentialMissing) as refused:
        key_signer(value, "SIGNING_KEY")
    assert "SIGNING_KEY" in refused.value.cause
    assert value[:20] not in f"{refused.value.cause} {refused.value.remedy}"


def test_no_secret_is_in_what_a_signer_prints() -> None:
    private = ed25519.Ed25519PrivateKey.generate()
    assert "sign=" not in repr(key_signer(pem(private), "KEY"))


def changed(content: bytes, change: Callable[[dict[str, Any]], object]) -> bytes:
    file = json.loads(content)
    change(file)
    return json.dumps(file, sort_keys=True, separators=(",", ":")).encode() + b"\n"


def other_key(file: dict[str, Any]) -> None:
    import base64

    key = job_signer(None).key
    file["keys"][0] |= {"keyid": key.keyid, "public_key": base64.b64encode(key.public_key).decode()}
    file["envelope"]["signatures"][0]["keyid"] = key.keyid


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda file: file.update(format=2), "format 2"),
        (lambda file: file["envelope"].update(payload="e30="), "does not hold"),
        (lambda file: file["envelope"].update(payloadType="text/plain"), "not an in-toto statement"),
        (lambda file: file["envelope"].update(signatures=[]), "other signatures than keys"),
        (lambda file: (file["keys"].clear(), file["envelope"]["signatures"].clear()), "no signature"),
        (lambda file: file["keys"][0].update(keyid="sha256:" + "0" * 64), "other signatures than keys"),
        (other_key, "does not hold"),
        (lambda file: file["keys"][0].update(public_key="AAAA"), "another name than its own"),
        (lambda file: file.update(more=1), "not in order"),
        (lambda file: file["keys"][0].update(signer="anybody"), "not in order"),
    ],
)
def test_what_is_not_in_order_is_named(change: Callable[[dict[str, Any]], object], words: str) -> None:
    content = signed([job_signer(None)], MANIFEST, {})["signature.json"]
    assert changed(content, dict.keys) == content
    with pytest.raises(BadSignatureError, match=words):
        check(changed(content, change))


@pytest.mark.parametrize("content", [b"", b"[]", b"\xff", b"[" * 100_000])
def test_anything_else_is_refused(content: bytes) -> None:
    with pytest.raises(BadSignatureError):
        check(content)


def test_a_second_spelling_is_refused() -> None:
    content = signed([job_signer(None)], MANIFEST, {})["signature.json"]
    with pytest.raises(BadSignatureError, match="not spelt"):
        check(b" " + content)


def test_a_short_rsa_key_vouches_for_nothing() -> None:
    from cryptography.hazmat.primitives.asymmetric import padding
    from cryptography.hazmat.primitives.hashes import SHA256

    for bits, expected in ((1024, False), (2048, True)):
        private = rsa.generate_private_key(65537, bits)
        public = private.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        pss = padding.PSS(padding.MGF1(SHA256()), padding.PSS.DIGEST_LENGTH)
        assert holds(public, private.sign(b"data", pss, SHA256()), b"data") is expected


def test_every_bit_counts() -> None:
    content = signed([job_signer(lambda _: "e30.e30.e30")], MANIFEST, {})["signature.json"]
    whole = check(content)
    for bit in range(8 * len(content)):
        other = bytearray(content)
        other[bit // 8] ^= 1 << bit % 8
        try:
            found = check(bytes(other))
        except BadSignatureError:
            continue
        # What a token says is looked at in the next step, and who signed is compared with the log.
        named = [(key.signer, key.token) for key in found.keys]
        assert named != [(key.signer, key.token) for key in whole.keys], bit


def test_a_public_key_is_read_from_pem() -> None:
    private = ed25519.Ed25519PrivateKey.generate()
    public = private.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    assert public_key_of(public) == key_signer(pem(private), "KEY").key.public_key
    with pytest.raises(ValueError, match=r".*"):
        public_key_of(b"nonsense")

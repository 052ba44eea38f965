from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from ciguard.errors import CredentialMissing, RecordingFailed
from ciguard.session.signature import Signer, check
from ciguard.session.signers import signed
from ciguard.session.vault_signer import vault_signer
from tests.unit.session.vault import Vault


@pytest.fixture(params=["ed25519", "ecdsa-p256"])
def vault(request: pytest.FixtureRequest) -> Iterator[Vault]:
    with Vault(request.param, once("jwt-1", "jwt-2", "jwt-3")) as vault:
        yield vault


def once(*jwts: str) -> Callable[[str], bool]:
    """Accepts each of ``jwts`` a single time."""
    left = set(jwts)

    def accepts(jwt: str) -> bool:
        known = jwt in left
        left.discard(jwt)
        return known

    return accepts


def jwts() -> Any:
    """What gets ``jwt-1`` and then ``jwt-2``."""
    return iter(("jwt-1", "jwt-2")).__next__


def test_it_signs_with_the_version_that_was_announced_and_leaves_no_token(vault: Vault) -> None:
    signer = vault_signer(vault.settings, jwts())
    assert vault.living == set()
    vault.rotate()
    found = check(signed([signer], b"{}\n", {})["signature.json"])
    assert found.keys == (signer.key,)
    assert (signer.key.signer, signer.key.token) == (Signer.VAULT, None)
    assert vault.living == set()
    assert vault.calls.count("POST /v1/auth/token/revoke-self") == 2
    later = vault_signer(vault.settings, lambda: "jwt-3")
    assert later.key.keyid != signer.key.keyid


@pytest.mark.parametrize(
    ("path", "answer", "words"),
    [
        (
            "auth/jwt/github/login",
            (400, {"errors": ["secret words"]}),
            "auth/jwt/github/login answered with status 400",
        ),
        ("auth/jwt/github/login", (200, {}), "answered otherwise than a Vault does"),
        ("auth/jwt/github/login", (200, {"auth": {"client_token": ""}}), "gave no token"),
        ("auth/jwt/github/login", (302, {}), "status 302"),
        ("auth/jwt/github/login", (200, b"<html>"), "is not JSON"),
        ("auth/jwt/github/login", (200, b" " * 600_000), "is larger than 524288 bytes"),
        ("transit/keys/ciguard", (403, {"errors": ["secret words"]}), "transit/keys/ciguard answered with status 403"),
        ("transit/keys/ciguard", (200, {"data": {"type": "rsa-2048"}}), "no key of the types ed25519 and ecdsa-p256"),
        ("transit/keys/ciguard", (200, {"data": {"type": "ed25519", "latest_version": 1}}), "no public half"),
        (
            "transit/keys/ciguard",
            (200, {"data": {"type": "ed25519", "latest_version": 1, "keys": {"1": {"public_key": "AA=="}}}}),
            "malformed",
        ),
        ("auth/token/revoke-self", (500, {}), "revoke-self answered with status 500"),
    ],
)
def test_what_is_wrong_beforehand_is_said(vault: Vault, path: str, answer: tuple[int, Any], words: str) -> None:
    vault.answers[f"/v1/{path}"] = answer
    with pytest.raises(CredentialMissing) as caught:
        vault_signer(vault.settings, jwts())
    assert words in caught.value.cause
    assert "bound audience" in caught.value.remedy
    for secret in ("jwt-1", "secret words", "hvs."):
        assert secret not in caught.value.cause
    assert path == "auth/token/revoke-self" or vault.living == set()


@pytest.mark.parametrize(
    ("path", "answer", "words"),
    [
        ("auth/jwt/github/login", (503, {}), "status 503"),
        ("transit/sign/ciguard", (403, {}), "transit/sign/ciguard answered with status 403"),
        ("transit/sign/ciguard", (200, {"data": {}}), "without a signature"),
        ("transit/sign/ciguard", (200, {"data": {"signature": "vault:v1:?"}}), "malformed"),
        ("transit/sign/ciguard", (200, {"data": {"signature": "vault:v1:AAAA"}}), "not by the key that was announced"),
        ("auth/token/revoke-self", (500, {}), "revoke-self answered with status 500"),
    ],
)
def test_what_goes_wrong_at_the_end_fails_the_session(
    vault: Vault, path: str, answer: tuple[int, Any], words: str
) -> None:
    signer = vault_signer(vault.settings, jwts())
    vault.answers[f"/v1/{path}"] = answer
    with pytest.raises(RecordingFailed, match="did not sign the session") as caught:
        signer.sign(b"data")
    assert words in caught.value.cause


def test_a_vault_that_is_not_there_is_said(vault: Vault) -> None:
    settings = vault.settings.model_copy(update={"address": "http://127.0.0.1:9"})
    with pytest.raises(CredentialMissing, match="cannot be reached"):
        vault_signer(settings, jwts())


def test_a_key_on_another_curve_is_refused() -> None:
    with Vault("ecdsa-p384", once("jwt-1")) as vault, pytest.raises(CredentialMissing, match="no key of the types"):
        vault_signer(vault.settings, jwts())

from __future__ import annotations

import base64
import contextlib
import json
import secrets
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from types import TracebackType
from typing import Any, Self

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from ciguard.errors import CredentialMissing, RecordingFailed
from ciguard.policy.models import VaultSigning
from ciguard.session.signature import Signer, check
from ciguard.session.signers import signed
from ciguard.session.vault_signer import vault_signer

Key = ed25519.Ed25519PrivateKey | ec.EllipticCurvePrivateKey


class Vault:
    """A Vault with one transit key and one role, as strict as its API is documented; ``living`` are its tokens."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.versions: list[Key] = [self._new()]
        self.jwts = {"jwt-1", "jwt-2"}
        self.living: set[str] = set()
        self.calls: list[str] = []
        self.answers: dict[str, tuple[int, Any]] = {}

    def _new(self) -> Key:
        if self.kind == "ed25519":
            return ed25519.Ed25519PrivateKey.generate()
        return ec.generate_private_key(ec.SECP256R1() if self.kind == "ecdsa-p256" else ec.SECP384R1())

    def rotate(self) -> None:
        """Make a new version of the key."""
        self.versions.append(self._new())

    def __enter__(self) -> Self:
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def settings(self) -> VaultSigning:
        """How a policy names its key."""
        address = f"http://127.0.0.1:{self._server.server_address[1]}"
        return VaultSigning(address=address, key="ciguard", role="agents", mount="jwt/github", transit="transit")

    def answer(self, method: str, path: str, token: str, body: Mapping[str, Any]) -> tuple[int, Any]:
        """Status and body of the answer to one call."""
        self.calls.append(f"{method} {path}")
        if path in self.answers:
            return self.answers[path]
        if (method, path) == ("POST", "/v1/auth/jwt/github/login"):
            if body.keys() != {"role", "jwt"} or body["role"] != "agents" or body["jwt"] not in self.jwts:
                return 400, {"errors": ["error validating token"]}
            self.jwts.remove(body["jwt"])
            given = f"hvs.{secrets.token_hex(12)}"
            self.living.add(given)
            return 200, {"auth": {"client_token": given, "lease_duration": 300}}
        if token not in self.living:
            return 403, {"errors": ["permission denied"]}
        match method, path:
            case "POST", "/v1/auth/token/revoke-self":
                self.living.remove(token)
                return 204, None
            case "GET", "/v1/transit/keys/ciguard":
                keys = {str(number): {"public_key": self._public(key)} for number, key in enumerate(self.versions, 1)}
                return 200, {"data": {"type": self.kind, "latest_version": len(self.versions), "keys": keys}}
            case "POST", "/v1/transit/sign/ciguard":
                assert body["marshaling_algorithm"] == "asn1"
                assert body["hash_algorithm"] == "sha2-256"
                key, data = self.versions[body["key_version"] - 1], base64.b64decode(body["input"], validate=True)
                made = (
                    key.sign(data) if isinstance(key, ed25519.Ed25519PrivateKey) else key.sign(data, ec.ECDSA(SHA256()))
                )
                text = f"vault:v{body['key_version']}:{base64.b64encode(made).decode()}"
                return 200, {"data": {"signature": text}}
        return 404, {"errors": []}

    def _public(self, key: Key) -> str:
        if isinstance(key, ed25519.Ed25519PrivateKey):
            return base64.b64encode(key.public_key().public_bytes_raw()).decode()
        return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def _handler(vault: Vault) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle(self) -> None:
            # A client that has read enough hangs up; that is its right.
            with contextlib.suppress(ConnectionError):
                super().handle()

        def do_GET(self) -> None:
            self.do_POST()

        def do_POST(self) -> None:
            content = self.rfile.read(int(self.headers.get("content-length", 0)))
            token = self.headers.get("x-vault-token", "")
            assert self.headers["x-vault-request"] == "true"
            status, value = vault.answer(self.command, self.path, token, json.loads(content or b"{}"))
            body = b"" if value is None else value if isinstance(value, bytes) else json.dumps(value).encode()
            self.send_response(status)
            if status != 204:
                self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
            """Keep quiet."""

    return Handler


@pytest.fixture(params=["ed25519", "ecdsa-p256"])
def vault(request: pytest.FixtureRequest) -> Iterator[Vault]:
    with Vault(request.param) as vault:
        yield vault


def jwts() -> Any:
    """What gets ``jwt-1`` and then ``jwt-2``."""
    return iter(("jwt-1", "jwt-2")).__next__


def test_it_signs_with_the_version_that_was_announced_and_leaves_no_token(vault: Vault) -> None:
    signer = vault_signer(vault.settings, jwts())
    assert vault.living == set()
    assert len(vault.jwts) == 1
    vault.rotate()
    found = check(signed([signer], b"{}\n", {})["signature.json"])
    assert found.keys == (signer.key,)
    assert (signer.key.signer, signer.key.token) == (Signer.VAULT, None)
    assert vault.living == set()
    assert vault.calls.count("POST /v1/auth/token/revoke-self") == 2
    vault.jwts.add("jwt-3")
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
    with Vault("ecdsa-p384") as vault, pytest.raises(CredentialMissing, match="no key of the types"):
        vault_signer(vault.settings, jwts())

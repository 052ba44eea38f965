"""A Vault on loopback that signs. Left out: everything but JWT logins, revoking, and one transit key."""

from __future__ import annotations

import base64
import contextlib
import json
import secrets
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from types import TracebackType
from typing import Any, Self

from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from ciguard.policy.sections.audit import VaultSigning

Key = ed25519.Ed25519PrivateKey | ec.EllipticCurvePrivateKey


class Vault:
    """A Vault with one transit key and one role, as strict as its API is documented.

    ``accepts`` says whether the role lets the holder of a JWT in; ``living`` are the tokens that were not revoked.
    """

    def __init__(self, kind: str, accepts: Callable[[str], bool]) -> None:
        self.kind = kind
        self.versions: list[Key] = [self._new()]
        self.accepts = accepts
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

    @property
    def public_pem(self) -> bytes:
        """The public half of the newest version."""
        return self.versions[-1].public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)

    def answer(self, method: str, path: str, token: str, body: Mapping[str, Any]) -> tuple[int, Any]:
        """Status and body of the answer to one call."""
        self.calls.append(f"{method} {path}")
        if path in self.answers:
            return self.answers[path]
        if (method, path) == ("POST", "/v1/auth/jwt/github/login"):
            if body.keys() != {"role", "jwt"} or body["role"] != "agents" or not self.accepts(body["jwt"]):
                return 400, {"errors": ["error validating token"]}
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

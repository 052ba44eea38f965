"""An OpenID Connect issuer on loopback that signs identity tokens, for tests and the demo.

    with Issuer() as issuer:
        token = issuer.mint({"repository": "acme/shop"}, audience="ciguard")

Name its ``url`` in the policy's ``identity.issuers``. It serves the two documents that a verifier reads, discovery and
keys, and signs whatever it is told to. Left out: TLS, the user-facing half of OpenID Connect (authorization, userinfo,
client registration), revocation, and any check of who asks.
"""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import TYPE_CHECKING, Self
from urllib.parse import parse_qs, urlsplit

from ciguard.operation import Json

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

DISCOVERY = "/.well-known/openid-configuration"
KEYS = "/.well-known/jwks"


@dataclass(frozen=True, slots=True)
class Request:
    """A GET request as a route sees it: header names in lower case, query values as lists."""

    path: str
    query: Mapping[str, list[str]]
    headers: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Answer:
    """What a route answers."""

    body: bytes
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=lambda: {"content-type": "application/json"})


def json_answer(value: Json, status: int = 200) -> Answer:
    """``value`` as a JSON answer."""
    return Answer(json.dumps(value).encode(), status)


class Issuer:
    """The issuer; a context manager that serves while it is entered.

    ``routes`` maps paths to functions and may be changed at any time: to add an endpoint, or to make the issuer
    misbehave. ``requests`` holds every request so far.
    """

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.routes: dict[str, Callable[[Request], Answer]] = {
            DISCOVERY: lambda _: json_answer(
                {
                    "issuer": self.url,
                    "jwks_uri": self.url + KEYS,
                    "response_types_supported": ["id_token"],
                    "subject_types_supported": ["public"],
                    "id_token_signing_alg_values_supported": ["RS256", "ES256"],
                }
            ),
            KEYS: lambda _: json_answer(self.keys()),
        }
        self._generation = 0
        self._private: dict[str, tuple[str, RSAPrivateKey | EllipticCurvePrivateKey]] = {}
        self.rotate()

    @property
    def url(self) -> str:
        """The issuer's name and address, while it is entered."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, name="issuer", daemon=True
        )
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def rotate(self) -> None:
        """Sign with new keys from now on, and publish only those."""
        from cryptography.hazmat.primitives.asymmetric import ec, rsa

        self._generation += 1
        self._private = {
            "RS256": (f"rsa-{self._generation}", rsa.generate_private_key(public_exponent=65537, key_size=2048)),
            "ES256": (f"ec-{self._generation}", ec.generate_private_key(ec.SECP256R1())),
        }

    def keys(self) -> dict[str, Json]:
        """The public keys as a JWK Set."""
        from jwt.algorithms import ECAlgorithm, RSAAlgorithm

        published: list[Json] = []
        for algorithm, (kid, private) in self._private.items():
            codec = RSAAlgorithm if algorithm == "RS256" else ECAlgorithm
            jwk = json.loads(codec.to_jwk(private.public_key()))  # type: ignore[arg-type]
            published.append({**jwk, "kid": kid, "alg": algorithm, "use": "sig", "key_ops": ["verify"]})
        return {"keys": published}

    def mint(
        self,
        claims: Mapping[str, Json],
        *,
        audience: str = "ciguard",
        algorithm: str = "RS256",
        header: Mapping[str, Json] | None = None,
    ) -> str:
        """A token of this issuer for ``audience``, valid from now for five minutes.

        ``claims`` may overrule ``iss``, ``aud`` and the times; ``header`` adds to the token's header or overrules it.
        """
        import jwt

        kid, private = self._private[algorithm]
        now = int(time.time())
        standard = {"iss": self.url, "aud": audience, "iat": now, "nbf": now - 5, "exp": now + 300}
        return jwt.encode({**standard, **claims}, private, algorithm, {"kid": kid, **(header or {})})


def _handler(issuer: Issuer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout = 10

        def handle(self) -> None:
            # A client that has read enough hangs up; that is its right.
            with contextlib.suppress(ConnectionError):
                super().handle()

        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            headers = {name.lower(): value for name, value in self.headers.items()}
            request = Request(parts.path, parse_qs(parts.query, keep_blank_values=True), headers)
            issuer.requests.append(request)
            route = issuer.routes.get(parts.path)
            answer = route(request) if route else json_answer({"error": "not found"}, 404)
            self.send_response(answer.status)
            for name, value in answer.headers.items():
                self.send_header(name, value)
            self.send_header("content-length", str(len(answer.body)))
            self.end_headers()
            self.wfile.write(answer.body)

        def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
            """Keep quiet: what was asked is in ``requests``."""

    return Handler

"""A Sigstore instance on loopback: Fulcio, its certificate log, and Rekor (version 1), for jobs of one issuer.

Left out: proofs of possession, trees of more than one entry, and everything that reads a log.
Sources: Fulcio's and Rekor's HTTP APIs; RFC 6962, 3.2 (the signed certificate timestamp); C2SP "signed-note".
"""

from __future__ import annotations

import base64
import datetime
import hashlib
import json
import struct
import time
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from types import TracebackType
from typing import Any, Self

import jwt
from cryptography import x509
from cryptography.hazmat import asn1
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, ExtensionOID, NameOID

from ciguard.testing.issuer import Issuer

FULCIO = "1.3.6.1.4.1.57264.1."
START = "2026-01-01T00:00:00Z"
ECDSA = "PKIX_ECDSA_P256_SHA_256"


def der(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def sign(key: ec.EllipticCurvePrivateKey, data: bytes) -> bytes:
    return key.sign(data, ec.ECDSA(SHA256()))


class SigstoreInstance:
    """The three services in one server. ``refuse`` is a status to answer with; ``tokens`` are those that they got."""

    def __init__(self, issuer: Issuer) -> None:
        self._issuer = issuer
        self._root, self._certificate_log, self._log = (ec.generate_private_key(ec.SECP256R1()) for _ in range(3))
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "acme sigstore")])
        now = datetime.datetime.now(datetime.UTC)
        usage = x509.KeyUsage(False, False, False, False, False, True, True, False, False)
        self._name = name
        self._ca = (
            x509.CertificateBuilder(name, name, self._root.public_key(), x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=1))
            .not_valid_after(now + datetime.timedelta(days=365))
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(usage, critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(self._root.public_key()), critical=False)
            .sign(self._root, SHA256())
        )
        self.refuse = 0
        self.tokens: list[str] = []

    def __enter__(self) -> Self:
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        self._thread = Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    @property
    def trust_config(self) -> str:
        """Its client trust configuration (version 0.1) as JSON."""
        url = f"http://127.0.0.1:{self._server.server_address[1]}"
        service = {"url": url, "majorApiVersion": 1, "validFor": {"start": START}, "operator": "acme"}
        ca = {"certChain": {"certificates": [{"rawBytes": b64(self._ca.public_bytes(Encoding.DER))}]}}
        return json.dumps(
            {
                "mediaType": "application/vnd.dev.sigstore.clienttrustconfig.v0.1+json",
                "trustedRoot": {
                    "mediaType": "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
                    "tlogs": [_log(url, self._log)],
                    "ctlogs": [_log(url, self._certificate_log)],
                    "certificateAuthorities": [
                        {
                            "subject": {"organization": "acme", "commonName": "sigstore"},
                            "uri": url,
                            **ca,
                            "validFor": {"start": START},
                        },
                    ],
                    "timestampAuthorities": [],
                },
                "signingConfig": {
                    "mediaType": "application/vnd.dev.sigstore.signingconfig.v0.2+json",
                    "caUrls": [service],
                    "oidcUrls": [],
                    "rekorTlogUrls": [service],
                    "rekorTlogConfig": {"selector": "ANY"},
                    "tsaUrls": [],
                },
            }
        )

    def certify(self, token: str, request: Mapping[str, Any]) -> Mapping[str, Any]:
        """Fulcio: a certificate for the job of ``token``."""
        self.tokens.append(token)
        keys = jwt.PyJWKSet.from_dict(self._issuer.keys())
        key = keys[jwt.get_unverified_header(token)["kid"]]
        claims = jwt.decode(token, key, algorithms=["RS256"], audience="sigstore")
        pem = base64.b64decode(request["certificateSigningRequest"])
        asked = x509.load_pem_x509_csr(pem)
        now = datetime.datetime.now(datetime.UTC)
        builder = (
            x509.CertificateBuilder(self._name, x509.Name([]), asked.public_key(), x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(minutes=1))
            .not_valid_after(now + datetime.timedelta(minutes=10))
        )
        usage = x509.KeyUsage(True, False, False, False, False, False, False, False, False)
        builder = (
            builder.add_extension(usage, critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CODE_SIGNING]), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self._root.public_key()), critical=False)
        )
        for number, text in extensions(claims).items():
            value = text.encode() if number == "1" else asn1.encode_der(text)
            oid = x509.ObjectIdentifier(FULCIO + number)
            builder = builder.add_extension(x509.UnrecognizedExtension(oid, value), critical=False)
        builder = builder.add_extension(
            x509.SubjectAlternativeName([x509.UniformResourceIdentifier(subject(claims))]), critical=True
        )
        before = builder.sign(self._root, SHA256())
        timestamps = x509.UnrecognizedExtension(
            ExtensionOID.PRECERT_SIGNED_CERTIFICATE_TIMESTAMPS, self._timestamps(before.tbs_certificate_bytes)
        )
        certificate = builder.add_extension(timestamps, critical=False).sign(self._root, SHA256())
        chain = [one.public_bytes(Encoding.PEM).decode() for one in (certificate, self._ca)]
        return {"signedCertificateEmbeddedSct": {"chain": {"certificates": chain}}}

    def _timestamps(self, precertificate: bytes) -> bytes:
        """A list of one signed certificate timestamp, as an OCTET STRING in DER."""
        milliseconds = time.time_ns() // 1_000_000
        issuer = hashlib.sha256(der(self._root)).digest()
        entry = issuer + len(precertificate).to_bytes(3) + precertificate
        signature = sign(
            self._certificate_log, struct.pack("!BBQH", 0, 0, milliseconds, 1) + entry + struct.pack("!H", 0)
        )
        identity = hashlib.sha256(der(self._certificate_log)).digest()
        one = struct.pack("!B32sQH", 0, identity, milliseconds, 0)
        one += struct.pack("!BBH", 4, 3, len(signature)) + signature
        listed = struct.pack("!HH", len(one) + 2, len(one)) + one
        encoded: bytes = asn1.encode_der(listed)
        return encoded

    def log(self, proposed: Mapping[str, Any]) -> Mapping[str, Any]:
        """Rekor: an entry for a DSSE envelope, alone in its tree."""
        content = proposed["spec"]["proposedContent"]
        envelope = json.loads(content["envelope"])
        spec = {
            "envelopeHash": {
                "algorithm": "sha256",
                "value": hashlib.sha256(content["envelope"].encode()).hexdigest(),
            },
            "payloadHash": {
                "algorithm": "sha256",
                "value": hashlib.sha256(base64.b64decode(envelope["payload"])).hexdigest(),
            },
            "signatures": [
                {"signature": one["sig"], "verifier": verifier}
                for one, verifier in zip(envelope["signatures"], content["verifiers"], strict=True)
            ],
        }
        body = canonical({"apiVersion": "0.0.1", "kind": "dsse", "spec": spec})
        root = hashlib.sha256(b"\0" + body).digest()
        identity = hashlib.sha256(der(self._log)).digest()
        note = f"acme sigstore - 1\n1\n{b64(root)}\n"
        checkpoint = f"{note}\n— acme {b64(identity[:4] + sign(self._log, note.encode()))}\n"
        stated = {
            "body": b64(body),
            "integratedTime": int(time.time()),
            "logID": identity.hex(),
            "logIndex": 0,
        }
        proof = {"checkpoint": checkpoint, "hashes": [], "logIndex": 0, "rootHash": root.hex(), "treeSize": 1}
        promise = b64(sign(self._log, canonical(stated)))
        return {root.hex(): {**stated, "verification": {"inclusionProof": proof, "signedEntryTimestamp": promise}}}


def extensions(claims: Mapping[str, Any]) -> dict[str, str]:
    """What Fulcio states of a job, by the number of the extension."""
    if "repository" in claims:
        server = "https://github.com/"
        where = server + claims["repository"]
        run = f"{where}/actions/runs/{claims['run_id']}/attempts/{claims['run_attempt']}"
        signer, config, ref = claims["job_workflow_ref"], claims["workflow_ref"], claims["ref"]
    else:
        server = "https://"
        where = f"https://gitlab.com/{claims['project_path']}"
        run = f"{where}/-/jobs/{claims['job_id']}"
        signer = config = claims["ci_config_ref_uri"]
        ref = claims["ref_path"]
    issuer = claims["iss"]
    stated = {"1": issuer, "8": issuer, "9": server + signer, "12": where, "14": ref, "18": server + config}
    return {**stated, "21": run}


def subject(claims: Mapping[str, Any]) -> str:
    """Whom a certificate names."""
    return extensions(claims)["9"]


def canonical(value: object) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def _log(url: str, key: ec.EllipticCurvePrivateKey) -> dict[str, Any]:
    identity = b64(hashlib.sha256(der(key)).digest())
    public = {"rawBytes": b64(der(key)), "keyDetails": ECDSA, "validFor": {"start": START}}
    return {"baseUrl": url, "hashAlgorithm": "SHA2_256", "publicKey": public, "logId": {"keyId": identity}}


def _handler(instance: SigstoreInstance) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout = 10

        def do_POST(self) -> None:
            request = json.loads(self.rfile.read(int(self.headers["content-length"])))
            if instance.refuse:
                answer: Mapping[str, Any] = {"message": "no"}
            elif self.path == "/api/v2/signingCert":
                answer = instance.certify(self.headers["authorization"].removeprefix("Bearer "), request)
            else:
                answer = instance.log(request)
            body = json.dumps(answer).encode()
            self.send_response(instance.refuse or 201)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
            """Keep quiet."""

    return Handler

"""The certificates that the agent's programs trust: those of the machine, and the session's own."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from ciguard.errors import GuardFailure
from ciguard.policy.sections.egress import Egress
from ciguard.sandbox.environment import trust_variables

if TYPE_CHECKING:
    from ciguard.guard.egress.session_ca import SessionCA

SYSTEM_BUNDLES = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
)
"""Where the distributions keep their bundle, the most common first."""

ADDITIONS = ("NODE_EXTRA_CA_CERTS",)
"""Variables of the job that name certificates to trust besides the system's."""


def session_trust(egress: Egress, environ: Mapping[str, str], folder: Path) -> tuple[SessionCA | None, dict[str, str]]:
    """What opens the TLS of inspected hosts, and the variables that make the agent's programs trust it.

    Neither is there when the policy inspects no host. The certificates go into ``folder``. Raises ``GuardFailure``.
    """
    if not any(entry.inspect for entry in egress.allow):
        return None, {}
    from ciguard.guard.egress.session_ca import SessionCA

    ca = SessionCA()
    bundle = folder / "certificates.pem"
    bundle.write_text(trust_bundle(environ, ca.certificate), encoding="utf-8")
    return ca, trust_variables(bundle)


def trust_bundle(environ: Mapping[str, str], certificate: str) -> str:
    """The machine's trusted certificates and ``certificate``, in PEM: programs take one file in place of their own.

    Raises ``GuardFailure`` when the machine's cannot be read.
    """
    named = environ.get("SSL_CERT_FILE")
    system = named or next((path for path in SYSTEM_BUNDLES if Path(path).is_file()), "")
    additions = [environ[name] for name in ADDITIONS if environ.get(name)]
    if not system:
        raise GuardFailure(
            "this machine has no file of trusted certificates, which inspected hosts need",
            "install the package ca-certificates, or set SSL_CERT_FILE",
        )
    try:
        texts = [Path(path).read_text(encoding="utf-8", errors="replace") for path in (system, *additions)]
    except OSError as error:
        raise GuardFailure(
            f"the trusted certificates in {error.filename} cannot be read: {error.strerror}",
            "correct SSL_CERT_FILE and NODE_EXTRA_CA_CERTS, or unset them",
        ) from None
    # Java's keytool takes the first certificate of a file.
    return "\n".join(text.strip() for text in (certificate, *texts)) + "\n"

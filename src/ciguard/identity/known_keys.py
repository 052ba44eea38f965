"""The signing keys of the public issuers that this version knows, for verifying without a network.

Issuers rotate their keys and publish only those in use, so a session can be older than what its issuer publishes now.
The keys are from copies of the issuers' JWK Sets that several independent projects keep, and agree in all of them;
GitLab's names are the keys' own thumbprints (RFC 7638).
"""

from __future__ import annotations

from pathlib import Path

from ciguard.identity import strict_json
from ciguard.operation import Json


def known_keys(issuer: str) -> Json:
    """The JWK Set that this version has for ``issuer``; an empty one for any other than the public issuers."""
    archive = strict_json.parse(Path(__file__).with_name("known_keys.json").read_text("utf-8"))
    found = archive.get(issuer) if isinstance(archive, dict) else None
    return {"keys": []} if found is None else found

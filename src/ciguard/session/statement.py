"""What a signature over a session says: an in-toto statement about manifest.json, in a DSSE envelope.

Sources: in-toto Attestation Framework, Statement v1; DSSE v1.0.2, "Protocol" (the pre-authentication encoding).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from ciguard.operation import Json
from ciguard.session.canonical import canonical

STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE = "urn:ciguard:predicate:session:v1"
"""Names the predicate: the manifest of a session, as docs/session.md and its schema describe it."""

PAYLOAD_TYPE = "application/vnd.in-toto+json"

SUBJECT = "manifest.json"


def statement(manifest: bytes, content: Mapping[str, Json]) -> bytes:
    """The statement about ``manifest``, the bytes of manifest.json; ``content`` is what they say."""
    return canonical(
        {
            "_type": STATEMENT_TYPE,
            "subject": [{"name": SUBJECT, "digest": {"sha256": hashlib.sha256(manifest).hexdigest()}}],
            "predicateType": PREDICATE_TYPE,
            "predicate": dict(content),
        }
    )


def pre_authentication_encoding(payload: bytes) -> bytes:
    """The bytes that are signed for ``payload``: its type and its length are signed with it."""
    kind = PAYLOAD_TYPE.encode()
    return b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(payload), payload)

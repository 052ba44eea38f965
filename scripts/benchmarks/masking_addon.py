"""A mitmproxy addon that masks by regular expressions: requests whole, answers chunk by chunk as they stream."""

from __future__ import annotations

import re
from typing import Any

PATTERN = re.compile(
    rb"""\bAKIA[0-9A-Z]{16}\b
    | \bgh[pousr]_[0-9A-Za-z]{36}\b
    | \bgithub_pat_[0-9A-Za-z_]{82}\b
    | \bglpat-[0-9A-Za-z_-]{20}\b
    | \bsk-(?:ant|proj)-[0-9A-Za-z_-]{20,}
    | \bxox[abprs]-[0-9A-Za-z-]{10,}
    | \bAIza[0-9A-Za-z_-]{35}
    | \beyJ[0-9A-Za-z_-]+\.eyJ[0-9A-Za-z_-]+\.[0-9A-Za-z_-]+
    | -----BEGIN\ [A-Z ]*PRIVATE\ KEY-----
    | \bnpm_[0-9A-Za-z]{36}\b
    | \bpypi-[0-9A-Za-z_-]{50,}
    | \b(?:postgres|mysql|redis|amqp)://[^\s:@/]+:[^\s@/]+@
    | (?i:\b(?:api_?key|secret|token|passw(?:or)?d))["']?\s*[:=]\s*["'][^"'\s]{12,}["']
    """,
    re.VERBOSE,
)


def mask(data: bytes) -> bytes:
    """``data`` without what looks like a secret."""
    return PATTERN.sub(b"[masked]", data)


def request(flow: Any) -> None:
    """mitmproxy's hook for a request that is there in full."""
    flow.request.content = mask(flow.request.content)


def responseheaders(flow: Any) -> None:
    """mitmproxy's hook for an answer that begins."""
    flow.response.stream = mask

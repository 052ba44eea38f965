"""A mitmproxy addon that masks by regular expressions: requests whole, answers chunk by chunk as they stream.

The expressions are apart from each other and begin by fixed characters where they can, which ``re`` finds fast.
"""

from __future__ import annotations

import re
from typing import Any

PATTERNS = tuple(
    re.compile(pattern)
    for pattern in (
        rb"AKIA[0-9A-Z]{16}\b",
        rb"gh[pousr]_[0-9A-Za-z]{36}\b",
        rb"github_pat_[0-9A-Za-z_]{82}\b",
        rb"glpat-[0-9A-Za-z_-]{20}\b",
        rb"sk-(?:ant|proj)-[0-9A-Za-z_-]{20,}",
        rb"xox[abprs]-[0-9A-Za-z-]{10,}",
        rb"AIza[0-9A-Za-z_-]{35}",
        rb"eyJ[0-9A-Za-z_-]+\.eyJ[0-9A-Za-z_-]+\.[0-9A-Za-z_-]+",
        rb"-----BEGIN [A-Z ]*PRIVATE KEY-----",
        rb"npm_[0-9A-Za-z]{36}\b",
        rb"pypi-[0-9A-Za-z_-]{50,}",
        rb"://[^\s:@/]+:[^\s@/]+@",
        rb"""(?i:\b(?:api_?key|secret|token|passw(?:or)?d))["']?\s*[:=]\s*["'][^"'\s]{12,}["']""",
    )
)


def mask(data: bytes) -> bytes:
    """``data`` without what looks like a secret."""
    for pattern in PATTERNS:
        data = pattern.sub(b"[masked]", data)
    return data


def request(flow: Any) -> None:
    """mitmproxy's hook for a request that is there in full."""
    flow.request.content = mask(flow.request.content)


def responseheaders(flow: Any) -> None:
    """mitmproxy's hook for an answer that begins."""
    flow.response.stream = mask

"""A repository's git configuration without the credentials that a checkout step leaves in it.

Source: git-config(1), "CONFIGURATION FILE"; actions/checkout writes ``http.URL.extraheader``, GitLab's runner a token
in the remote's URL.
"""

from __future__ import annotations

import re
from collections.abc import Collection

_KEYS = re.compile(
    r"(?i)(?<![\w.-])(?:extraheader|helper|password|passwd|token|oauth[\w-]*|secret|proxyauth\w*|cookiefile|sshcommand|"
    r"askpass|sslkey|username)\s*=.*"
)
_USER_OF_URL = re.compile(r"(?i)(\b[a-z][a-z0-9+.-]*://)[^/\s\"@]+@")


def without_credentials(text: str, secrets: Collection[str]) -> str:
    """``text`` without keys that carry or fetch credentials, users in URLs, and lines with one of ``secrets``.

    A value may go on over lines that end with a backslash: it is dropped whole.
    """
    kept = []
    for line in _logical_lines(text):
        if any(secret in line for secret in secrets):
            continue
        kept.append(_USER_OF_URL.sub(r"\1", _KEYS.sub("", line)))
    return "".join(f"{line}\n" for line in kept)


def _logical_lines(text: str) -> list[str]:
    return re.sub(r"\\\r?\n", "", text).splitlines()

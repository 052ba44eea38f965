"""What stands in a text where a secret was."""

from __future__ import annotations

import hashlib
import hmac
import re

PLACEHOLDER = re.compile(r"\[ciguard-masked:[a-z0-9-]+:[0-9a-f]{12}\]")
"""The form of every placeholder: it needs no escaping in JSON, YAML, HTML or a URL path."""


class Placeholders:
    """Makes placeholders: within a session the same value always gets the same one.

    The tag is keyed, so that a placeholder in a log cannot be used to test guesses of a weak secret.
    """

    def __init__(self, key: bytes) -> None:
        self._key = key

    def placeholder(self, kind: str, value: str) -> str:
        """The placeholder of ``value``, which is a secret of the kind ``kind`` (kebab-case)."""
        tag = hmac.new(self._key, value.encode("utf-8", "surrogatepass"), hashlib.sha256).hexdigest()[:12]
        return f"[ciguard-masked:{kind}:{tag}]"

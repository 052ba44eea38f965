"""What stands in a text where a secret was."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Callable

PLACEHOLDER = re.compile(r"\[ciguard-masked:[a-z0-9-]+:[0-9a-f]{12}\]")
"""The form of every placeholder: it needs no escaping in JSON, YAML, HTML or a URL path."""


class Placeholders:
    """Makes placeholders: within a session the same value always gets the same one.

    The tag is keyed, so that a placeholder in a log cannot be used to test guesses of a weak secret. ``on_made`` is
    told each new placeholder and its value.
    """

    def __init__(self, key: bytes, on_made: Callable[[str, str], None] = lambda *_: None) -> None:
        self._key = key
        self._on_made = on_made
        self._made: set[str] = set()

    def placeholder(self, kind: str, value: str) -> str:
        """The placeholder of ``value``, which is a secret of the kind ``kind`` (kebab-case)."""
        tag = hmac.new(self._key, value.encode("utf-8", "surrogatepass"), hashlib.sha256).hexdigest()[:12]
        made = f"[ciguard-masked:{kind}:{tag}]"
        if made not in self._made:
            self._made.add(made)
            self._on_made(made, value)
        return made

    def spans(self, text: str) -> list[tuple[int, int]]:
        """Where ``text`` has placeholders of this session; what only looks like one is text like any other."""
        if not self._made:
            return []
        return [match.span() for match in PLACEHOLDER.finditer(text) if match.group() in self._made]

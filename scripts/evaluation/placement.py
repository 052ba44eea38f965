"""The kinds of text in which secrets are put: source, configuration, JSON, logs, diffs, shell, chat and Markdown.

A template is a small file with a slot for the secret, and beside it values that only look like one. ``NAMED`` give the
secret a name, in the spelling of their language; ``LINES`` hold a line as it is, which has the secret in it; in
``BARE`` the secret stands without a name.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from xml.sax.saxutils import escape


@dataclass(frozen=True, slots=True)
class Template:
    """One kind of text; ``escaped`` says how a value is written in it."""

    sort: str
    suffix: str
    text: str
    escaped: str = ""

    def written(self, value: str) -> str:
        """``value`` as it stands in this kind of text."""
        return _ESCAPES[self.escaped](value)


def _in_json(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)[1:-1]


_ESCAPES: dict[str, Callable[[str], str]] = {
    "": str,
    "json": _in_json,
    "json-twice": lambda text: _in_json(_in_json(text)),
    "added": lambda text: text.replace("\n", "\n+"),
    "indented": lambda text: text.replace("\n", "\n    "),
    "xml": escape,
}

_FILE = tomllib.loads(Path(__file__).with_name("placements.toml").read_text(encoding="utf-8"))

NAMED = tuple(Template(**entry) for entry in _FILE["named"])
LINES = tuple(Template(**entry) for entry in _FILE["lines"])
BARE = tuple(Template(**entry) for entry in _FILE["bare"])

"""Who owns a path according to a CODEOWNERS file.

Source: GitHub's "About code owners": patterns as in .gitignore without ``!``, ``[ ]`` and ``\\#``; the last that
matches wins; a pattern without owners makes a path nobody's. GitLab's file may have
sections besides, each with owners of its own for a path: they are recognised and not read.
"""

from __future__ import annotations

import re

GITHUB_PLACES = (".github/CODEOWNERS", "CODEOWNERS", "docs/CODEOWNERS")
GITLAB_PLACES = ("CODEOWNERS", "docs/CODEOWNERS", ".gitlab/CODEOWNERS")
"""Where each forge looks for the file, in this order; the first counts."""

_SECTION = re.compile(r"\s*\^?\[")


def owners(text: str, path: str) -> tuple[str, ...]:
    """The owners of ``path``, such as ``/db/`` or ``/db/schema.sql``, as the file ``text`` spells them."""
    found: tuple[str, ...] = ()
    for line in text.splitlines():
        pattern, *named = line.partition("#")[0].split() or [""]
        if pattern and _matches(pattern, path):
            found = tuple(named)
    return found


def has_sections(text: str) -> bool:
    """Whether the file has a heading of GitLab's, such as ``[Database][2] @acme/dba`` or ``^[Docs]``."""
    return any(_SECTION.match(line) for line in text.splitlines())


def _matches(pattern: str, path: str) -> bool:
    anchored = "/" in pattern.rstrip("/")
    body = pattern.strip("/")
    parts = []
    for token in re.split(r"(\*\*/|/\*\*$|\*\*|\*|\?)", body):
        match token:
            case "**/":
                parts.append("(?:.*/)?")
            case "/**":
                parts.append("/.*")
            case "**":
                parts.append(".*")
            case "*":
                parts.append("[^/]*")
            case "?":
                parts.append("[^/]")
            case _:
                parts.append(re.escape(token))
    # ``docs/*`` owns the files of docs and not those below its folders; any other pattern owns what is below it, too.
    below = "" if body.endswith("/*") else "(?:/.*)?" if not pattern.endswith("/") else "/.*"
    start = "" if anchored or pattern.startswith("/") else "(?:.*/)?"
    return re.fullmatch(f"{start}{''.join(parts)}{below}", path.lstrip("/")) is not None

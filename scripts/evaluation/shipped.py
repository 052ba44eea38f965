"""Text that nobody wrote for this evaluation: what other projects' packages ship, fixtures and lock files among it."""

from __future__ import annotations

import sysconfig
from collections.abc import Iterator
from pathlib import Path

from scripts.evaluation.labelled import Text

ROOT = Path(__file__).parents[2]

FOLDERS = (
    Path(sysconfig.get_path("stdlib")),
    Path(sysconfig.get_path("purelib")),
    ROOT / "tests" / "e2e" / "agents",
    ROOT / "requirements",
)
"""Python's standard library with its tests, the packages beside it, the agents' packages and the lock files."""

KINDS = {
    "Python": (".py", ".pyi"),
    "JavaScript": (".js", ".cjs", ".mjs", ".ts"),
    "data": (".json", ".toml", ".yml", ".yaml", ".cfg", ".ini", ".xml", ".csv", ".map"),
    "prose": (".md", ".rst", ".txt", ".html"),
}

LARGEST = 1_000_000
"""Bytes that a file may have."""


def shipped(share: int = 1) -> Iterator[Text]:
    """Every file, or one of ``share``, in the order of the names."""
    sorts = {suffix: sort for sort, suffixes in KINDS.items() for suffix in suffixes}
    number = 0
    for folder in FOLDERS:
        for path in sorted(folder.rglob("*")):
            if (
                path.suffix not in sorts
                or "site-packages" in path.relative_to(folder).parts
                or not path.is_file()
                or path.stat().st_size > LARGEST
            ):
                continue
            number += 1
            if number % share:
                continue
            try:
                content = path.read_text(encoding="utf-8")
            except UnicodeDecodeError:
                continue
            yield Text(str(path.relative_to(folder)), sorts[path.suffix], content)

"""Repositories that the end-to-end tests make, and this one as a release of it would be."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, slots=True)
class Repository:
    """A git repository with a workflow and a policy, as a maintainer set it up."""

    path: Path

    def commit(self, files: Mapping[str, str]) -> str:
        """Write ``files`` and commit them; the commit's id."""
        for name, text in files.items():
            (self.path / name).parent.mkdir(parents=True, exist_ok=True)
            (self.path / name).write_text(text, encoding="utf-8")
        self.git("add", ".")
        self.git("commit", "--quiet", "--message", "Change")
        return self.git("rev-parse", "HEAD")

    def git(self, *arguments: str) -> str:
        """What a git command prints."""
        person = ("-c", "user.name=Alice", "-c", "user.email=alice@example.com")
        finished = subprocess.run(
            ["git", *person, *arguments], cwd=self.path, check=True, capture_output=True, text=True
        )
        return finished.stdout.strip()


def release(folder: Path, *parts: str) -> None:
    """Put into ``folder`` what a release would hold of ``parts``: the tracked and the new files, as they are now."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", *parts],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    for name in filter(None, listed.stdout.split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)

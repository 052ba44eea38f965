"""The agent's own folder: HOME, configuration and temporary files, gone after the session."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from ciguard.errors import GuardFailure

PARTS = ("home", "tmp", "codex")
"""What the agent's own folder holds."""


@contextmanager
def open_scratch(environ: Mapping[str, str], owner: tuple[int, int] | None) -> Iterator[Path]:
    """The agent's own HOME, configuration and temporary files; not below the system's temporary folder, of which Codex
    warns. They belong to ``owner``.

    The agent may leave there what cannot be deleted, and must not fail the session by it.
    """
    try:
        made = Path(tempfile.mkdtemp(prefix="agent-", dir=_parent(environ, owner)))
    except (OSError, RuntimeError) as error:
        raise GuardFailure(
            f"there is no folder for the agent's configuration: {error}",
            "set XDG_CACHE_HOME to a folder that can be written",
        ) from None
    try:
        for part in (made, *(made / name for name in PARTS)):
            part.mkdir(exist_ok=True, mode=0o700)
            if owner is not None:
                os.chown(part, *owner)
        yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)


def _parent(environ: Mapping[str, str], owner: tuple[int, int] | None) -> Path:
    """Where the agent's own folder is made: what is above it must let its owner through."""
    if owner is not None:
        return Path(environ.get("RUNNER_TEMP") or "/var/tmp")  # noqa: S108 - a folder of a new name is made there
    parent = environ.get("RUNNER_TEMP") or environ.get("XDG_CACHE_HOME") or "~/.cache"
    folder = Path(parent).expanduser() / "ciguard"
    folder.mkdir(parents=True, exist_ok=True)
    return folder

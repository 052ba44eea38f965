"""The workspace around an agent's run.

What later steps would execute comes from the base branch, carries no credential, and is afterwards what it was.
"""

from __future__ import annotations

import stat
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ciguard.errors import GuardFailure
from ciguard.forge import checkout as git
from ciguard.policy.sections.isolation import Protection
from ciguard.policy.trust import BaseCommit
from ciguard.sandbox.git_configuration import without_credentials
from ciguard.sandbox.protected import (
    OF_THE_REPOSITORY,
    Entry,
    File,
    Folder,
    Link,
    State,
    TooMuch,
    capture,
    differences,
    protected_paths,
    put_back,
)
from ciguard.session.event import ProtectedFiles

MOST_NAMED = 100
"""Paths that one event names."""

EXECUTABLE, ORDINARY = 0o755, 0o644


@dataclass(frozen=True, slots=True)
class Workspace:
    """A prepared workspace: ``state`` is what the agent finds, ``given`` what the job had where that differs."""

    root: Path
    paths: tuple[str, ...]
    state: State
    given: State

    @property
    def existing(self) -> list[Path]:
        """The outermost protected paths that exist."""
        return [self.root / path for path in self.paths if path in self.state]

    def conclude(self, protection: Protection) -> list[str]:
        """Which protected paths the agent changed; they are put back unless the policy only wants a report.

        The job's own git configuration comes back either way. Raises GuardFailure when something cannot be put back.
        """
        try:
            changed = differences(self.state, capture(self.root, self.paths))
        except TooMuch:
            changed = list(self.paths)
        if protection is Protection.READ_ONLY:
            put_back(self.root, self.state, changed)
            put_back(self.root, self.given, self.given)
        else:
            put_back(self.root, self.given, [path for path in self.given if path not in changed])
        return changed


def prepare(
    root: Path, base: BaseCommit | None, secrets: Collection[str], on_restored: Callable[[list[str]], None]
) -> Workspace:
    """Make a workspace ready for an agent.

    ``on_restored`` is told what is about to come from ``base`` because the change under review has it otherwise.
    Raises GuardFailure.
    """
    paths = protected_paths(root)
    try:
        if base is not None:
            committed = _committed(base)
            changed = differences(committed, _as_committed(capture(root, OF_THE_REPOSITORY)))
            if changed:
                on_restored(changed)
                put_back(root, committed, changed)
        given = capture(root, [path for path in paths if path.endswith(("config", "config.worktree"))])
        cleaned = {path: _cleaned(entry, secrets) for path, entry in given.items()}
        replaced = {path: entry for path, entry in given.items() if cleaned[path] != entry}
        put_back(root, cleaned, replaced)
        return Workspace(root, paths, capture(root, paths), replaced)
    except TooMuch as error:
        raise GuardFailure(
            f"there is too much in {error} to be protected", "remove what does not belong there"
        ) from None


def event(
    when: Literal["before", "after"],
    done: Literal["restored", "reported"],
    paths: list[str],
    masked: Callable[[str], str],
) -> ProtectedFiles:
    """What the log says of protected files that were not as they should be."""
    named = [masked(path) for path in paths[:MOST_NAMED]]
    return ProtectedFiles(when=when, done=done, paths=named, more=len(paths) - len(named))


def _cleaned(entry: Entry, secrets: Collection[str]) -> Entry:
    if not isinstance(entry, File):
        return entry
    text = entry.content.decode("utf-8", "surrogateescape")
    return File(without_credentials(text, secrets).encode("utf-8", "surrogateescape"), entry.mode)


def _committed(base: BaseCommit) -> dict[str, Entry]:
    """What the base commit has at the protected paths."""
    try:
        found = git.files_below(base.checkout, base.commit, OF_THE_REPOSITORY)
        state: dict[str, Entry] = {}
        for path, file in found.items():
            for folder in Path(path).parents:
                if str(folder) != ".":
                    state[str(folder)] = Folder(EXECUTABLE)
            match file.mode:
                case "120000":
                    state[path] = Link(git.blob(base.checkout, file.oid).decode("utf-8", "surrogateescape"))
                case "100644" | "100755":
                    mode = EXECUTABLE if file.mode == "100755" else ORDINARY
                    state[path] = File(git.blob(base.checkout, file.oid), mode)
    except git.GitFailed as failure:
        raise GuardFailure(
            f"the protected files of {base.name} cannot be read: {failure}", "check out the repository completely"
        ) from None
    return state


def _as_committed(state: State) -> dict[str, Entry]:
    """``state`` with the permissions that git would record."""
    result: dict[str, Entry] = {}
    for path, entry in state.items():
        match entry:
            case File(content, mode):
                result[path] = File(content, EXECUTABLE if mode & stat.S_IXUSR else ORDINARY)
            case Folder():
                result[path] = Folder(EXECUTABLE)
            case _:
                result[path] = entry
    return result

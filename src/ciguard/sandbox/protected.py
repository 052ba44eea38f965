"""Files that later steps or agents would execute or obey: what they are, and putting them back as they were.

The agent may have made anything of them and of the folders they are in, symbolic links included. So nothing here
follows one: every step of a path is opened by itself.
"""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from ciguard.errors import GuardFailure
from ciguard.sandbox.access import below

OF_GIT = (".git/hooks", ".git/config", ".git/config.worktree", ".git/info/attributes")
OF_THE_REPOSITORY = (
    *(".github", ".gitlab-ci.yml", ".ciguard.yml", "CLAUDE.md", ".claude", "AGENTS.md", ".mcp.json", ".codex"),
    *("GEMINI.md", ".gemini"),
)
PROTECTED = (*OF_GIT, *OF_THE_REPOSITORY)
"""Files, and folders with all that is below, of the workspace."""

MOST_BYTES = 64 * 1024 * 1024
MOST_FILES = 50_000
"""What is kept of them in memory, so that it can be put back."""

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


@dataclass(frozen=True, slots=True)
class File:
    """An ordinary file; ``mode`` is its permissions."""

    content: bytes
    mode: int = 0o644


@dataclass(frozen=True, slots=True)
class Folder:
    """A folder; what is in it has paths of its own."""

    mode: int = 0o755


@dataclass(frozen=True, slots=True)
class Link:
    """A symbolic link."""

    target: str


@dataclass(frozen=True, slots=True)
class Special:
    """A device, a socket, a pipe, or a file that cannot be read: it is never what it was."""


Entry = File | Folder | Link | Special
State = Mapping[str, Entry]
"""What is at each path, relative to the workspace; what does not exist is not in it."""


class TooMuch(Exception):
    """There is more at the protected paths than is kept."""


def protected_paths(workspace: Path) -> tuple[str, ...]:
    """The protected paths of a workspace, those of its submodules' repositories included."""
    submodules = [found.parent.relative_to(workspace) for found in workspace.glob(".git/modules/**/config")]
    return (*PROTECTED, *(f"{module}/{name}" for module in submodules for name in ("config", "hooks")))


def capture(workspace: Path, paths: Collection[str]) -> dict[str, Entry]:
    """What ``paths`` and all that is below them are now. Raises TooMuch."""
    root = os.open(workspace, _DIRECTORY)
    found: dict[str, Entry] = {}
    size = 0
    try:
        for path in paths:
            for name, entry in _captured(root, path):
                found[name] = entry
                size += len(entry.content) if isinstance(entry, File) else 0
                if size > MOST_BYTES or len(found) > MOST_FILES:
                    raise TooMuch(path)
    finally:
        os.close(root)
    return found


def differences(before: State, after: State) -> list[str]:
    """The paths that are not as they were, sorted."""
    return sorted(path for path in {*before, *after} if before.get(path) != after.get(path) or _special(after, path))


def put_back(workspace: Path, wanted: State, paths: Collection[str]) -> None:
    """Make ``paths`` and all that is below them what they are in ``wanted``, with the workspace's owner.

    Raises GuardFailure.
    """
    inside = [path for path in wanted if path not in paths and any(below(path, folder) for folder in paths)]
    root = os.open(workspace, _DIRECTORY)
    try:
        # Outer folders before what is in them.
        for path in sorted(paths):
            _remove(root, path)
        for path in sorted((*paths, *inside)):
            if path in wanted:
                _make(root, path, wanted[path])
    except OSError as error:
        raise GuardFailure(
            f"a protected file of the workspace cannot be put back: {error}", "do not use this workspace any more"
        ) from None
    finally:
        os.close(root)


def _special(state: State, path: str) -> bool:
    return isinstance(state.get(path), Special)


def _captured(root: int, path: str) -> Iterator[tuple[str, Entry]]:
    parent, name = _parent(root, path)
    if parent is None:
        return
    try:
        yield from _entries(parent, name, path)
    finally:
        os.close(parent)


def _entries(parent: int, name: str, path: str) -> Iterator[tuple[str, Entry]]:
    try:
        found = os.stat(name, dir_fd=parent, follow_symlinks=False)
    except FileNotFoundError:
        return
    mode = stat.S_IMODE(found.st_mode)
    try:
        if stat.S_ISLNK(found.st_mode):
            yield path, Link(os.readlink(name, dir_fd=parent))
        elif stat.S_ISREG(found.st_mode):
            with open(os.open(name, _FILE, dir_fd=parent), "rb") as file:  # noqa: PTH123 - a descriptor
                yield path, File(file.read(MOST_BYTES + 1), mode)
        elif stat.S_ISDIR(found.st_mode):
            folder = os.open(name, _DIRECTORY, dir_fd=parent)
            try:
                yield path, Folder(mode)
                for child in sorted(os.listdir(folder)):  # noqa: PTH208 - a descriptor
                    yield from _entries(folder, child, f"{path}/{child}")
            finally:
                os.close(folder)
        else:
            yield path, Special()
    except OSError:
        yield path, Special()


def _parent(root: int, path: str) -> tuple[int | None, str]:
    """The folder that ``path`` is in, or None when something on the way is no folder; and the last name."""
    *folders, name = path.split("/")
    current = os.dup(root)
    for folder in folders:
        try:
            inner = os.open(folder, _DIRECTORY, dir_fd=current)
        except OSError:
            os.close(current)
            return None, name
        os.close(current)
        current = inner
    return current, name


def _remove(root: int, path: str) -> None:
    parent, name = _parent(root, path)
    if parent is None:
        return
    try:
        found = os.stat(name, dir_fd=parent, follow_symlinks=False)
        if stat.S_ISDIR(found.st_mode):
            shutil.rmtree(name, dir_fd=parent)
        else:
            os.unlink(name, dir_fd=parent)
    except FileNotFoundError:
        return
    finally:
        os.close(parent)


def _make(root: int, path: str, entry: Entry) -> None:
    owner = os.fstat(root)
    current = os.dup(root)
    *folders, name = path.split("/")
    try:
        for folder in folders:
            inner = _folder(current, folder, owner)
            os.close(current)
            current = inner
        match entry:
            case File(content, mode):
                new = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
                with open(os.open(name, new, 0o600, dir_fd=current), "wb") as file:  # noqa: PTH123 - a descriptor
                    file.write(content)
                    os.fchown(file.fileno(), owner.st_uid, owner.st_gid)
                    os.fchmod(file.fileno(), mode)
            case Folder(mode):
                inner = _folder(current, name, owner)
                os.fchmod(inner, mode)
                os.close(inner)
            case Link(target):
                os.symlink(target, name, dir_fd=current)
                os.chown(name, owner.st_uid, owner.st_gid, dir_fd=current, follow_symlinks=False)
            case Special():
                return
    finally:
        os.close(current)


def _folder(parent: int, name: str, owner: os.stat_result) -> int:
    """Open the folder ``name``, made anew when it is not there or something else is."""
    try:
        return os.open(name, _DIRECTORY, dir_fd=parent)
    except FileNotFoundError:
        pass
    except OSError:
        os.unlink(name, dir_fd=parent)
    os.mkdir(name, 0o755, dir_fd=parent)
    os.chown(name, owner.st_uid, owner.st_gid, dir_fd=parent, follow_symlinks=False)
    return os.open(name, _DIRECTORY, dir_fd=parent)

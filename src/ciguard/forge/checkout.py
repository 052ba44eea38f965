"""The git repository that a job has checked out: reading its commits, and fetching one that is not there.

Nothing that the repository contains is run: no hooks, no filters, no file monitor, no replaced objects, and an explicit
``--git-dir`` so that a checkout owned by another user (a job in a container) can be read without trusting it more
broadly. What the machine and the checkout step configured for reaching the remote stays in force, because that is
where credentials, proxies and certificates are: global and system configuration, credential helpers, ``includeIf``.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

LOCAL_TIMEOUT = 30.0
FETCH_TIMEOUT = 120.0
"""Seconds; afterwards git and everything it started is killed."""

REMOTE = "origin"

HARDENED = (
    "--no-pager",
    "--no-replace-objects",
    "--literal-pathspecs",
    "-c",
    "core.hooksPath=/dev/null",
    "-c",
    "core.fsmonitor=false",
    "-c",
    "core.attributesFile=/dev/null",
    "-c",
    "credential.interactive=never",
)

KEPT_VARIABLES = re.compile(r"GIT_(?:ASKPASS|SSH|SSH_COMMAND|SSL_CAINFO|SSL_CAPATH|CONFIG_(?!PARAMETERS).*)")
"""Of git's own variables only those that say how to reach the remote; others would point it at another repository."""


class GitFailed(Exception):
    """A git command failed; the text is git's last line of complaint without credentials, printable."""


@dataclass(frozen=True, slots=True)
class Checkout:
    """A working tree and its repository: absolute paths without symbolic links."""

    root: Path
    git_dir: Path


@dataclass(frozen=True, slots=True)
class TreeFile:
    """What a commit has at a path: git's mode (``100644``, ``120000`` for a symbolic link), object id, bytes."""

    mode: str
    oid: str
    size: int


def find(start: Path) -> Checkout | None:
    """The checkout that contains the directory ``start``, or None."""
    place = start.resolve()
    for directory in (place, *place.parents):
        if (directory / ".git").exists():
            return Checkout(directory, directory / ".git")
    return None


def has_commit(checkout: Checkout, commit: str) -> bool:
    """Whether the commit with the full id ``commit`` is there."""
    return _git(checkout, ["cat-file", "-e", f"{commit}^{{commit}}"], LOCAL_TIMEOUT).returncode == 0


def parents(checkout: Checkout, commit: str) -> tuple[str, ...]:
    """The parents that a commit names, also those that a shallow clone does not have."""
    lines = _output(checkout, ["cat-file", "commit", commit]).split(b"\n\n", 1)[0].split(b"\n")
    return tuple(line.removeprefix(b"parent ").decode("ascii") for line in lines if line.startswith(b"parent "))


def file_at(checkout: Checkout, commit: str, path: str) -> TreeFile | None:
    """What ``commit`` has at ``path`` (relative to the top, ``/`` between names), or None."""
    listing = _output(checkout, ["ls-tree", "-z", "--long", "--full-tree", commit, "--", path])
    for line in listing.split(b"\0"):
        facts, _, name = line.partition(b"\t")
        if name == os.fsencode(path):
            mode, _, oid, size = facts.decode("ascii").split()
            return TreeFile(mode, oid, int(size) if size.isdigit() else 0)
    return None


def files_below(checkout: Checkout, commit: str, paths: Sequence[str]) -> dict[str, TreeFile]:
    """The files that ``commit`` has at or below ``paths``, by path from the top."""
    listing = _output(checkout, ["ls-tree", "-r", "-z", "--long", "--full-tree", commit, "--", *paths])
    found = {}
    for line in filter(None, listing.split(b"\0")):
        facts, _, name = line.partition(b"\t")
        mode, _, oid, size = facts.decode("ascii").split()
        found[os.fsdecode(name)] = TreeFile(mode, oid, int(size) if size.isdigit() else 0)
    return found


def blob(checkout: Checkout, oid: str) -> bytes:
    """The content of a file, as committed: no filter and no line-end conversion applies."""
    return _output(checkout, ["cat-file", "blob", oid])


def branch_tip(checkout: Checkout, branch: str) -> str | None:
    """The commit that the remote's ``branch`` is at now, or None when it has no such branch.

    Raises GitFailed when the remote cannot be asked.
    """
    ref = f"refs/heads/{branch}"
    for line in _output(checkout, ["ls-remote", "--", REMOTE, ref], FETCH_TIMEOUT).splitlines():
        commit, _, name = line.partition(b"\t")
        if name == os.fsencode(ref):
            return commit.decode("ascii")
    return None


def fetch_commit(checkout: Checkout, commit: str) -> None:
    """Fetch ``commit`` from the remote without moving any ref. Raises GitFailed.

    A shallow clone gets this commit alone; a full one must not become shallow, so there its history comes along.
    """
    shallow = _output(checkout, ["rev-parse", "--is-shallow-repository"]).strip() == b"true"
    depth = ["--depth=1"] if shallow else []
    quiet = ["--no-tags", "--no-recurse-submodules", "--no-write-fetch-head", "--no-auto-maintenance", "--quiet"]
    _output(checkout, ["fetch", *quiet, *depth, "--", REMOTE, commit], FETCH_TIMEOUT)


def is_branch_name(name: str) -> bool:
    """Whether git would take ``name`` as the name of a branch (git-check-ref-format), and never as an option."""
    return (
        0 < len(os.fsencode(name)) <= 1000
        and not name.startswith("-")
        and name != "@"
        and not re.search(r"[\x00-\x20\x7f~^:?*\[\\]|\.\.|@\{|//", name)
        and not name.endswith((".", "/"))
        and all(part and not part.startswith(".") and not part.endswith(".lock") for part in name.split("/"))
    )


def _environment() -> Mapping[str, str]:
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("GIT_") or KEPT_VARIABLES.fullmatch(name)
    }
    return kept | {"GIT_TERMINAL_PROMPT": "0", "GIT_ALLOW_PROTOCOL": "file:http:https:ssh", "LC_ALL": "C"}


def _output(checkout: Checkout, arguments: Sequence[str], timeout: float = LOCAL_TIMEOUT) -> bytes:
    done = _git(checkout, arguments, timeout)
    if done.returncode != 0:
        raise GitFailed(_complaint(done.stderr) or f"git {arguments[0]} ended with status {done.returncode}")
    return done.stdout


def _git(checkout: Checkout, arguments: Sequence[str], timeout: float) -> subprocess.CompletedProcess[bytes]:
    command = ["git", f"--git-dir={checkout.git_dir}", *HARDENED, *arguments]
    try:
        process = subprocess.Popen(
            command,
            cwd=checkout.root,
            env=_environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
    except OSError as error:
        raise GitFailed(f"git cannot be started: {error.strerror}") from error
    with process:
        try:
            stdout, stderr = process.communicate(timeout=timeout)
        except BaseException as error:
            # The transport is a grandchild that would hold the pipes open.
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            if isinstance(error, subprocess.TimeoutExpired):
                raise GitFailed(f"git {arguments[0]} took longer than {timeout:g} seconds") from None
            raise
    return subprocess.CompletedProcess(command, process.returncode, stdout, stderr)


def _complaint(stderr: bytes) -> str:
    """The line that says what failed, without the user and password of any URL in it."""
    lines = [line for line in stderr.decode("utf-8", "replace").splitlines() if line.strip()]
    fatal = [line for line in lines if line.startswith(("fatal: ", "error: "))] or lines
    text = re.sub(r"://\S*@", "://", fatal[0]) if fatal else ""
    return "".join(character if character.isprintable() else "?" for character in text)[:300]

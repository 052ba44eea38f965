"""Where the policy is read from, so that a change under review cannot loosen the policy that guards its review.

======================================  ==========================================================
the job runs for                        the policy is read from
======================================  ==========================================================
a pull or merge request                 the base branch
anything, with ``--base-ref REF``       that branch of origin, or that commit
a comment or another workflow's run     the commit of the default branch that the event runs on
anything else, and outside of CI        the working tree
======================================  ==========================================================

Which commit of the base branch: the first parent of the merge commit that the forge made for this run, when the job
runs on one, because that is the base branch as it was then; otherwise the commit that the forge told the job;
otherwise the tip that origin reports. The point where the change forked off is never used: its author chooses it.
"""

from __future__ import annotations

import os
import posixpath
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from ciguard.errors import PolicyError
from ciguard.forge import checkout as git
from ciguard.forge.checkout import Checkout, GitFailed
from ciguard.forge.environment import COMMIT
from ciguard.forge.job import Forge, Job

SIZE_LIMIT = 1024 * 1024
"""Bytes of one policy file."""

DEFAULT_BRANCH_EVENTS = frozenset({"check_run", "check_suite", "issue_comment", "status", "workflow_run"})
"""GitHub events that run on the default branch but are about a change, which a step may have checked out.

Source: GitHub's "Events that trigger workflows".
"""

CHECK_OUT = "check out the repository before ciguard runs (actions/checkout on GitHub; GitLab does it by itself)"


@dataclass(frozen=True, slots=True)
class WorkingTree:
    """Policies from the working tree: paths start at ``workspace``, and what is named within ``root`` must be there.

    An absolute path may name a file of the machine, such as an organisation's policy on its own runners.
    """

    workspace: Path
    root: Path

    def read(self, path: str) -> str:
        """The text of the file; FileNotFoundError when there is none, PolicyError when it may not be used."""
        if "\0" in path:
            raise PolicyError("this is not a path", "name a file", file=repr(path))
        named = Path(os.path.normpath(Path(self.workspace, path)))
        target = Path(os.path.realpath(named))
        within = not Path(path).is_absolute() or any(map(named.is_relative_to, (self.root, self.workspace)))
        if within and not target.is_relative_to(self.root):
            raise PolicyError(
                "the path leaves the repository, by itself or through a symbolic link",
                "put the policy into the repository as an ordinary file",
                file=self.label(path),
            )
        try:
            if not stat.S_ISREG(target.stat().st_mode):
                raise PolicyError("this is not a file", "name an ordinary file", file=self.label(path))
            with target.open("rb") as file:
                content = file.read(SIZE_LIMIT + 1)
        except FileNotFoundError:
            raise
        except OSError as error:
            raise PolicyError(
                f"the file cannot be read: {error.strerror}", "make it a readable file", file=self.label(path)
            ) from error
        return _text(content, self.label(path))

    def label(self, path: str) -> str:
        """The path as it was given."""
        return path

    def describe(self) -> str:
        """Where that is, in words for the log."""
        return "the working tree"


@dataclass(frozen=True, slots=True)
class BaseCommit:
    """Policies from one commit, whatever the working tree holds. ``name`` is how people call it: ``main``."""

    checkout: Checkout
    workspace: Path
    commit: str
    name: str

    def read(self, path: str) -> str:
        """The text of the file at the commit; FileNotFoundError when it has none, PolicyError when it is unusable."""
        label = self.label(path)
        try:
            found = git.file_at(self.checkout, self.commit, self._inside(path))
            if found is None:
                raise FileNotFoundError(f"{label} does not exist")
            if found.mode not in ("100644", "100755"):
                raise PolicyError(
                    "this is not an ordinary file at that commit", "commit the policy as an ordinary file", file=label
                )
            if found.size > SIZE_LIMIT:
                raise _too_large(label)
            return _text(git.blob(self.checkout, found.oid), label)
        except GitFailed as failure:
            raise PolicyError(
                f"git cannot read the commit: {failure}", "check out the repository completely", file=label
            ) from failure

    def label(self, path: str) -> str:
        """The path with the commit that it is read from: ``.ciguard.yml@main(1a2b3c4)``."""
        return f"{path}@{self.name}({self.commit[:7]})"

    def describe(self) -> str:
        """Where that is, in words for the log."""
        return f"{self.name} at commit {self.commit}, not the working tree"

    def _inside(self, path: str) -> str:
        # By the letters of the path alone: symbolic links of the working tree belong to the change under review.
        relative = os.path.relpath(path, self.workspace) if posixpath.isabs(path) else path
        start = self.workspace.resolve().relative_to(self.checkout.root).as_posix()
        inside = posixpath.normpath(posixpath.join(start, relative))
        if "\0" in path or inside in (".", "..") or inside.startswith("../"):
            raise PolicyError(
                "the path is outside of the repository, so the base branch cannot have it",
                "name a file of the repository; it may extend others",
                file=self.label(path),
            )
        return inside


PolicyOrigin: TypeAlias = WorkingTree | BaseCommit


def source_for(job: Job | None, workspace: Path, base_ref: str | None) -> PolicyOrigin:
    """Where the policy of this session is read from; see the module's table.

    ``workspace`` is the directory that relative policy paths start at. Raises PolicyError when the commit to read
    from is neither in the checkout nor to be had from origin.
    """
    if base_ref is not None:
        checkout = _checkout(workspace)
        commit = base_ref if COMMIT.fullmatch(base_ref) else _tip(checkout, base_ref)
        if job is not None and job.change is not None and commit == job.change.head_sha:
            raise _refused(
                f"--base-ref {base_ref} is the change under review itself",
                f"leave --base-ref out, or name the base branch: --base-ref {job.change.base_ref}",
            )
        return _base(checkout, workspace, commit, "--base-ref" if commit == base_ref else base_ref)
    if job is None:
        return _working_tree(workspace)
    if job.change is not None:
        checkout = _checkout(workspace)
        commit = _merged_onto(checkout, job) or job.change.base_sha or _tip(checkout, job.change.base_ref)
        return _base(checkout, workspace, commit, job.change.base_ref)
    if job.forge is Forge.GITHUB and job.event in DEFAULT_BRANCH_EVENTS:
        name = job.ref.removeprefix("refs/heads/") or "the default branch"
        return _base(_checkout(workspace), workspace, job.sha, name)
    return _working_tree(workspace)


def _working_tree(workspace: Path) -> WorkingTree:
    checkout = git.find(workspace)
    return WorkingTree(workspace, checkout.root if checkout else workspace.resolve())


def _checkout(workspace: Path) -> Checkout:
    checkout = git.find(workspace)
    if checkout is None:
        raise _refused(f"the policy of the base branch is needed, but {workspace} is not a git checkout", CHECK_OUT)
    return checkout


def _merged_onto(checkout: Checkout, job: Job) -> str | None:
    """The base branch's commit that the forge merged the change onto for this run, if the run is on such a merge."""
    try:
        match git.parents(checkout, job.sha) if git.has_commit(checkout, job.sha) else ():
            case (onto, merged) if job.change is not None and merged == job.change.head_sha:
                return onto
    except GitFailed as failure:
        raise _refused(f"git cannot read commit {job.sha}: {failure}", CHECK_OUT) from failure
    return None


def _tip(checkout: Checkout, branch: str) -> str:
    branch = branch.removeprefix("refs/heads/")
    if not git.is_branch_name(branch):
        raise _refused(
            f"{branch[:200]!r} is not the name of a branch",
            "name a branch of origin, such as main, or a full commit id",
        )
    try:
        tip = git.branch_tip(checkout, branch)
    except GitFailed as failure:
        raise _refused(
            f"origin cannot be asked for the base branch {branch!r}: {failure}",
            "let the checkout step keep its credentials, or name a commit: --base-ref followed by its full id",
        ) from failure
    if tip is None:
        raise _refused(
            f"origin has no branch {branch!r}",
            "name a branch as origin does: main, not origin/main; a commit needs its full id",
        )
    return tip


def _base(checkout: Checkout, workspace: Path, commit: str, name: str) -> BaseCommit:
    try:
        if not git.has_commit(checkout, commit):
            git.fetch_commit(checkout, commit)
    except GitFailed as failure:
        raise _refused(
            f"commit {commit} of {name} is not in the checkout and cannot be fetched: {failure}",
            "fetch it in the checkout step: `fetch-depth: 0` for actions/checkout on GitHub, "
            "`GIT_DEPTH: 0` and `git fetch origin` on GitLab",
        ) from failure
    printable = "".join(character if character.isprintable() else "?" for character in name)
    return BaseCommit(checkout, workspace, commit, printable)


def _text(content: bytes, label: str) -> str:
    if len(content) > SIZE_LIMIT:
        raise _too_large(label)
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise PolicyError("the file is not UTF-8 text", "save it as UTF-8", file=label) from error


def _too_large(label: str) -> PolicyError:
    return PolicyError(f"the file is larger than {SIZE_LIMIT} bytes", "split it and use extends", file=label)


def _refused(cause: str, remedy: str) -> PolicyError:
    return PolicyError(cause, remedy, file="policy")

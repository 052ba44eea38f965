"""What this machine and job offer to a session: isolation levels, identity, approvals, agents.

Only the forge is asked, and only with a token for it; nothing is written anywhere.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from ciguard.errors import IdentityRefused
from ciguard.forge import current_job, github, gitlab
from ciguard.forge.job import Forge
from ciguard.identity.establish import FORGE_NAMES, IdentityMode, admit
from ciguard.policy.sections.isolation import IsolationLevel
from ciguard.sandbox.choosing import open_level
from ciguard.sandbox.levels import NotOffered, Wanted
from ciguard.sandbox.places import Request

AGENTS = {
    "claude": "Claude Code",
    "codex": "Codex",
    "gemini": "Gemini CLI",
    "opencode": "opencode",
    "copilot": "Copilot",
}
"""Agents' commands and names."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at: whether it is there, what there is to say, and what would help if it is not.

    ``available`` is None where only trying shows it.
    """

    subject: str
    name: str
    available: bool | None
    words: tuple[str, ...] = ()
    remedy: str = ""


def examine(environ: Mapping[str, str], cwd: Path, policy: str) -> Iterator[Finding]:
    """Look at everything; ``policy`` is the file in ``cwd`` that says who approves."""
    yield from isolation(environ, cwd)
    yield identity(environ)
    yield from approvals(environ, cwd, policy)
    yield from agents(environ)


def isolation(environ: Mapping[str, str], cwd: Path) -> Iterator[Finding]:
    """Each level, by starting a process under it."""
    for level in IsolationLevel:
        with tempfile.TemporaryDirectory() as scratch, tempfile.TemporaryDirectory() as session:
            for part in ("tmp", "home"):
                Path(scratch, part).mkdir()
            request = Request(environ, cwd.resolve(), Path(scratch), Path(session))
            try:
                sandbox = open_level(level, Wanted(request, [1]), environ)
            except NotOffered as refusal:
                yield Finding("isolation", level, False, (refusal.cause,), refusal.remedy)
                continue
            sandbox.close()
            yield Finding("isolation", level, True, (f"reached {sandbox.way.name}", *sandbox.way.limits))


def identity(environ: Mapping[str, str]) -> Finding:
    """Whether this is a job that can prove who it is."""
    try:
        job = current_job(environ)
        admit(job, IdentityMode.AUTO)
    except IdentityRefused as refusal:
        return Finding("identity", "job", False, (refusal.cause,), refusal.remedy)
    if job is None:
        raise AssertionError(job)
    match job.forge:
        case Forge.GITHUB if not environ.get("ACTIONS_ID_TOKEN_REQUEST_TOKEN"):
            return Finding("identity", "job", False, ("this job may not ask for its token",), github.NO_TOKEN_REMEDY)
        case Forge.GITLAB if not environ.get(gitlab.TOKEN_VARIABLE):
            remedy = gitlab.no_token_remedy("ciguard")
            return Finding("identity", "job", False, (f"{gitlab.TOKEN_VARIABLE} is not set",), remedy)
    return Finding("identity", "job", True, (f"{FORGE_NAMES[job.forge]} job of {job.repository}",))


def approvals(environ: Mapping[str, str], cwd: Path, policy: str) -> Iterator[Finding]:
    """Whether people can be asked on the forge, those whom the policy in the checkout names."""
    from ciguard.errors import PolicyError
    from ciguard.guard.approval_examination import SUBJECT, examine_approvals
    from ciguard.policy.loading import FileSource, load_policy

    loaded = None
    if (cwd / policy).exists():
        try:
            loaded = load_policy(FileSource(cwd), policy)
        except PolicyError as error:
            yield Finding(SUBJECT, "policy", False, (error.cause,), error.remedy)
    yield from examine_approvals(environ, loaded)


def agents(environ: Mapping[str, str]) -> Iterator[Finding]:
    """Which agents are on the PATH."""
    for command, name in AGENTS.items():
        found = shutil.which(command, path=environ.get("PATH", ""))
        yield Finding("agent", name, found is not None, (found,) if found else ("not on the PATH",))

"""From a job's environment and a real checkout to a policy and an identity, with nothing replaced but the forge."""

from __future__ import annotations

import ast
import importlib
import os
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import pytest

import ciguard
from ciguard.errors import IdentityRefused
from ciguard.forge import current_job
from ciguard.identity.establish import Identity, IdentityMode, establish
from ciguard.policy.loading import load_policy
from ciguard.policy.trust import source_for
from ciguard.testing.github_job import PullRequest, github_job
from ciguard.testing.gitlab_job import MergeRequest, gitlab_job
from ciguard.testing.issuer import Issuer

SOURCE = Path(ciguard.__file__).parent
DOCUMENT = SOURCE.parents[1] / "docs" / "identity.md"

POLICY = """\
version: 1
identity:
  issuers: [{issuer}]
  allow:
    - {{{entry}}}
connections:
  claude: {{type: anthropic, credential: {{env: ANTHROPIC_API_KEY}}}}
"""


def git(directory: Path, *arguments: str) -> str:
    identity = {f"GIT_{who}_{what}": "dev@example.com" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    environ = {"PATH": os.environ["PATH"], "HOME": str(directory), **identity}
    done = subprocess.run(["git", *arguments], cwd=directory, env=environ, capture_output=True, text=True, check=True)
    return done.stdout.strip()


@dataclass(frozen=True)
class Repository:
    """A checkout whose head wants to allow everybody, as a change of its own policy; the base allows only ``entry``."""

    workspace: Path
    base: str
    head: str


def repository(directory: Path, issuer: Issuer, entry: str) -> Repository:
    """The repository, checked out at the head, with the base at ``origin`` only."""
    work, origin, workspace = directory / "work", directory / "origin.git", directory / "workspace"
    work.mkdir()
    git(work, "init", "--quiet", "--initial-branch=main")
    commits = []
    for branch, allowed in (("main", entry), ("fix-cart", 'iss: "*"')):
        git(work, "checkout", "--quiet", "-B", branch)
        (work / ".ciguard.yml").write_text(POLICY.format(issuer=issuer.url, entry=allowed))
        git(work, "add", "--all")
        git(work, "commit", "--quiet", "--message=policy")
        commits.append(git(work, "rev-parse", "HEAD"))
    git(work, "clone", "--quiet", "--mirror", str(work), str(origin))
    git(directory, "clone", "--quiet", "--depth=1", "--branch=fix-cart", origin.as_uri(), str(workspace))
    return Repository(workspace, *commits)


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    with Issuer() as issuer:
        yield issuer


def begin(environ: dict[str, str], workspace: Path) -> Identity:
    """What a session does first."""
    job = current_job(environ)
    policy = load_policy(source_for(job, workspace, None), ".ciguard.yml")
    return establish(job, environ, policy.identity, IdentityMode.AUTO)


@pytest.mark.parametrize(("entry", "allowed"), [("repository: acme/shop", True), ("event_name: schedule", False)])
def test_a_pull_request_is_judged_by_the_base_branch(issuer: Issuer, tmp_path: Path, entry: str, allowed: bool) -> None:
    there = repository(tmp_path, issuer, entry)
    pull = PullRequest(base_sha=there.base, head_sha=there.head)
    with github_job(issuer, tmp_path, event="pull_request", sha=there.head, pull_request=pull) as job:
        if allowed:
            assert begin(dict(job.environ), there.workspace).claims["repository"] == "acme/shop"
        else:
            with pytest.raises(IdentityRefused, match="event_name is 'pull_request', wanted 'schedule'"):
                begin(dict(job.environ), there.workspace)


@pytest.mark.parametrize(("entry", "allowed"), [("project_path: acme/platform/shop", True), ("ref: main", False)])
def test_a_merge_request_is_judged_by_the_base_branch(
    issuer: Issuer, tmp_path: Path, entry: str, allowed: bool
) -> None:
    there = repository(tmp_path, issuer, entry)
    job = gitlab_job(issuer, merge_request=MergeRequest(head_sha=there.head))
    if allowed:
        assert begin(dict(job.environ), there.workspace).claims["user_login"] == "alice"
    else:
        with pytest.raises(IdentityRefused, match="ref is 'fix-cart', wanted 'main'"):
            begin(dict(job.environ), there.workspace)


def test_a_push_is_judged_by_what_was_pushed(issuer: Issuer, tmp_path: Path) -> None:
    there = repository(tmp_path, issuer, "event_name: schedule")
    with github_job(issuer, tmp_path, sha=there.head) as job:
        assert begin(dict(job.environ), there.workspace).verified


def test_an_identity_shows_no_token(issuer: Issuer, tmp_path: Path) -> None:
    there = repository(tmp_path, issuer, "repository: acme/shop")
    with github_job(issuer, tmp_path, sha=there.head) as job:
        text = repr(begin(dict(job.environ), there.workspace))
        secrets = [value for name, value in job.environ.items() if name.endswith("TOKEN")]
    assert len(secrets) == 3
    assert not any(secret in text for secret in secrets)
    assert not re.search(r"eyJ[\w-]+\.", text)


def said(node: ast.expr, module: ModuleType) -> str:
    """What an expression in a raise says, with ``…`` for its values."""
    match node:
        case ast.Constant(str(text)):
            return text
        case ast.JoinedStr(parts):
            return re.sub("…+", "…", "".join(said(part, module) for part in parts))
        case ast.FormattedValue(ast.Name("TOKEN_VARIABLE")):
            return str(vars(module)["TOKEN_VARIABLE"])
        case ast.FormattedValue():
            return "…"
        case ast.BinOp(left, ast.Add()):
            return said(left, module)
        case ast.Name(name):
            return str(vars(module)[name])
        case ast.Call(ast.Name(name)):
            return str(vars(module)[name]("…"))
    raise AssertionError(ast.dump(node))


def refusals() -> Iterator[tuple[str, str]]:
    """The cause and the first line of the remedy of every refusal in the code that decides on identity and trust."""
    names = {"IdentityRefused", "UnknownKey", "PolicyError", "_refused"}
    for file in [*SOURCE.glob("forge/*.py"), *SOURCE.glob("identity/*.py"), SOURCE / "policy" / "trust.py"]:
        place = ".".join(file.relative_to(SOURCE.parent).with_suffix("").parts).removesuffix(".__init__")
        module = importlib.import_module(place)
        for node in ast.walk(ast.parse(file.read_text())):
            match node:
                case ast.Call(ast.Name(name), [ast.Name("cause"), ast.Name("remedy")]) if name in names:
                    continue
                case ast.Call(ast.Name(name), [cause, remedy]) if name in names:
                    yield said(cause, module), said(remedy, module).partition("\n")[0]


def test_the_documentation_names_every_refusal_and_remedy() -> None:
    rows = DOCUMENT.read_text().partition("## Every refusal")[2].split("\n")
    cells = [[cell.strip() for cell in row.strip("|").split(" | ")] for row in rows if row.startswith("| ")]
    documented = {}
    help_text = ""
    for cause, remedy in cells:
        help_text = help_text if remedy == "the same" else re.sub(r" \(the (entry|lines).*\)$", "", remedy)
        documented[cause] = help_text
    found = dict(refusals())
    assert len(found) > 50
    assert {cause: documented.get(cause) for cause in found} == found
    assert set(documented) - set(found) == {"error"}

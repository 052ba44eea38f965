"""A GitHub Actions job as a process in it sees it: variables, event payload and the service that hands out its token.

    with Issuer() as issuer, github_job(issuer, directory, event="push") as job:
        subprocess.run(["ciguard", "run", ...], env={**os.environ, **job.environ})

The token comes from ``issuer``, with the claims that GitHub documents for such a job. Left out: everything else of a
runner (steps, expressions, contexts, artifact and cache services) and of the event payload (only what tells which
pull request it is about); `act` has those.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ciguard.operation import Json
from ciguard.testing.issuer import Answer, Issuer, Request, json_answer

COMMAND_FILES = ("GITHUB_ENV", "GITHUB_OUTPUT", "GITHUB_PATH", "GITHUB_STATE", "GITHUB_STEP_SUMMARY")


@dataclass(frozen=True, slots=True)
class PullRequest:
    """The pull request that a job runs for.

    ``fork`` is the full name of the repository it comes from, if another; ``author`` the account that opened it.
    """

    number: int = 7
    base_ref: str = "main"
    base_sha: str = "b" * 40
    head_ref: str = "fix-cart"
    head_sha: str = "c" * 40
    fork: str = ""
    author: int = 1001


@dataclass(frozen=True, slots=True)
class GitHubJob:
    """What the job's processes get, to be laid over an environment that has ``PATH``; and its token's claims."""

    environ: Mapping[str, str]
    claims: Mapping[str, Json]


@contextmanager
def github_job(
    issuer: Issuer,
    directory: Path,
    *,
    event: str = "push",
    repository: str = "acme/shop",
    sha: str = "a" * 40,
    pull_request: PullRequest | None = None,
    claims: Mapping[str, Json] | None = None,
    run: str = "",
    attempt: int = 1,
    environment: str = "",
) -> Iterator[GitHubJob]:
    """A job that runs for ``event``, with its files in ``directory``, while the context is entered.

    ``pull_request`` belongs to the events that are about one. ``claims`` overrules claims of the token. ``run`` is the
    id of the run, a new one when absent. The token names the ``environment`` that the job was let into, if any. As on
    GitHub, a ``pull_request`` from a fork gets no token to ask with.
    """
    run, owner = run or str(secrets.randbelow(10**10) + 10**9), repository.partition("/")[0]
    ref = f"refs/pull/{pull_request.number}/merge" if pull_request else "refs/heads/main"
    workflow = f"{repository}/.github/workflows/agent.yml"
    token_claims: dict[str, Json] = {
        "jti": secrets.token_hex(16),
        "sub": f"repo:{repository}:{'pull_request' if pull_request else f'ref:{ref}'}",
        "ref": ref,
        "sha": sha,
        "repository": repository,
        "repository_id": "820001",
        "repository_owner": owner,
        "repository_owner_id": "410001",
        "repository_visibility": "private",
        "run_id": run,
        "run_number": "12",
        "run_attempt": str(attempt),
        "actor": "alice",
        "actor_id": "1001",
        "workflow": "agent",
        "workflow_ref": f"{workflow}@{ref}",
        "workflow_sha": sha,
        "job_workflow_ref": f"{workflow}@{ref}",
        "job_workflow_sha": sha,
        "head_ref": pull_request.head_ref if pull_request else "",
        "base_ref": pull_request.base_ref if pull_request else "",
        "event_name": event,
        "ref_type": "branch",
        "ref_protected": "false",
        "runner_environment": "github-hosted",
        "check_run_id": "990001",
        **({"environment": environment} if environment else {}),
        **(claims or {}),
    }
    environ = {
        "CI": "true",
        "GITHUB_ACTIONS": "true",
        "GITHUB_ACTOR": "alice",
        "GITHUB_BASE_REF": pull_request.base_ref if pull_request else "",
        "GITHUB_EVENT_NAME": event,
        "GITHUB_EVENT_PATH": str(directory / "event.json"),
        "GITHUB_HEAD_REF": pull_request.head_ref if pull_request else "",
        "GITHUB_REF": ref,
        "GITHUB_REPOSITORY": repository,
        "GITHUB_REPOSITORY_ID": "820001",
        "GITHUB_JOB": "agent",
        "GITHUB_RUN_ATTEMPT": str(attempt),
        "GITHUB_RUN_ID": run,
        "GITHUB_SERVER_URL": "https://github.com",
        "GITHUB_SHA": sha,
        "RUNNER_ENVIRONMENT": "github-hosted",
        "RUNNER_TEMP": str(directory),
        "GITHUB_TOKEN": f"ghs_{secrets.token_hex(18)}",
    }
    for name in COMMAND_FILES:
        file = directory / name.lower()
        file.touch()
        environ[name] = str(file)
    (directory / "event.json").write_text(json.dumps(_payload(repository, pull_request)))

    bearer, path = secrets.token_urlsafe(32), f"/{run}/idtoken"
    environ["ACTIONS_RUNTIME_TOKEN"] = bearer
    if event != "pull_request" or pull_request is None or not pull_request.fork:
        environ["ACTIONS_ID_TOKEN_REQUEST_URL"] = f"{issuer.url}{path}?api-version=2.0"
        environ["ACTIONS_ID_TOKEN_REQUEST_TOKEN"] = bearer

    def token(request: Request) -> Answer:
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not secrets.compare_digest(given, bearer):
            return json_answer({"message": "the request token is not this job's"}, 401)
        match request.query.get("audience"):
            case [audience] if audience:
                return json_answer({"count": 0, "value": issuer.mint(token_claims, audience=audience)})
        return json_answer({"message": "one audience is needed"}, 400)

    issuer.routes[path] = token
    try:
        yield GitHubJob(environ, token_claims)
    finally:
        del issuer.routes[path]


def _payload(repository: str, pull_request: PullRequest | None) -> Json:
    owner, _, name = repository.partition("/")
    here: Json = {"id": 820001, "name": name, "full_name": repository, "private": True, "owner": {"login": owner}}
    if pull_request is None:
        return {"repository": here, "sender": {"login": "alice", "id": 1001}}
    there: Json = {"id": 820002, "full_name": pull_request.fork, "fork": True} if pull_request.fork else here
    return {
        "action": "synchronize",
        "number": pull_request.number,
        "pull_request": {
            "number": pull_request.number,
            "state": "open",
            "user": {"login": "alice", "id": pull_request.author},
            "base": {"ref": pull_request.base_ref, "sha": pull_request.base_sha, "repo": here},
            "head": {"ref": pull_request.head_ref, "sha": pull_request.head_sha, "repo": there},
        },
        "repository": here,
        "sender": {"login": "alice", "id": 1001},
    }

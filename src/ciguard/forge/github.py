"""A GitHub Actions job: what its environment says, and its identity token.

Source of the variables: GitHub's "Variables reference" and "OpenID Connect reference".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

import msgspec

from ciguard.errors import IdentityRefused, UsageError
from ciguard.forge.environment import (
    BROKEN_ENVIRONMENT,
    COMMIT,
    DIGITS,
    PATH,
    REF,
    URL,
    WORD,
    optional,
    required,
)
from ciguard.forge.job import ChangeRequest, Forge, Job

T = TypeVar("T")

PUBLIC_ISSUER = "https://token.actions.githubusercontent.com"
"""Signs the tokens of jobs on github.com; enterprises and GitHub Enterprise Server have issuers of their own."""

TOKEN_VARIABLES = ("CIGUARD_GITHUB_TOKEN", "GITHUB_TOKEN")
"""Where the guard finds its token for the API; the first that is set counts."""

APP_ID_VARIABLE = "CIGUARD_APP_ID"
APP_KEY_VARIABLE = "CIGUARD_APP_PRIVATE_KEY"
"""A GitHub App that the guard makes its tokens with itself; with these, the tokens above are not used."""

CREDENTIAL_VARIABLES = frozenset(
    {
        *TOKEN_VARIABLES,
        APP_KEY_VARIABLE,
        "ACTIONS_ID_TOKEN_REQUEST_TOKEN",
        "ACTIONS_ID_TOKEN_REQUEST_URL",
        "ACTIONS_RUNTIME_TOKEN",
        "GH_ENTERPRISE_TOKEN",
        "GH_TOKEN",
        "GITHUB_ENTERPRISE_TOKEN",
    }
)
"""Variables whose values let a process act as the job: secrets, masked wherever they appear."""

WITHHELD_VARIABLES = CREDENTIAL_VARIABLES | {
    APP_ID_VARIABLE,
    "ACTIONS_CACHE_URL",
    "ACTIONS_RESULTS_URL",
    "ACTIONS_RUNTIME_URL",
    "GITHUB_ENV",
    "GITHUB_OUTPUT",
    "GITHUB_PATH",
    "GITHUB_STATE",
    "GITHUB_STEP_SUMMARY",
}
"""Variables that never reach the agent, whatever the policy says: besides credentials, the addresses of the runner's
services and the files through which a step changes later steps. Those are no secrets."""

CHANGE_EVENTS = frozenset({"pull_request", "pull_request_review", "pull_request_review_comment", "pull_request_target"})
"""Events whose payload describes a whole pull request."""

ISSUE_EVENTS = frozenset({"issue_comment", "issues"})
"""Events about an issue, or about a pull request as one."""

EVENT_LIMIT = 32 * 1024 * 1024
"""Bytes of the event payload; GitHub delivers at most 25 MB."""

NO_TOKEN_REMEDY = (
    "give the job the permission to ask for its identity, in the workflow:\n"
    "permissions:\n"
    "  contents: read\n"
    "  id-token: write"
)


class _Repository(msgspec.Struct):
    id: int
    full_name: str


class _Head(msgspec.Struct):
    sha: str
    repo: _Repository | None


class _Base(msgspec.Struct):
    ref: str
    sha: str
    repo: _Repository


class _PullRequest(msgspec.Struct):
    number: int
    head: _Head
    base: _Base


class _Event(msgspec.Struct):
    pull_request: _PullRequest


class _Account(msgspec.Struct):
    id: int


class _Opened(msgspec.Struct):
    user: _Account


class _OpenedEvent(msgspec.Struct):
    pull_request: _Opened | None = None
    issue: _Opened | None = None


class _Issue(msgspec.Struct):
    number: int


class _IssueEvent(msgspec.Struct):
    issue: _Issue


class _CommentedIssue(msgspec.Struct):
    number: int
    pull_request: Any = None


class _Comment(msgspec.Struct):
    body: str


class _CommentEvent(msgspec.Struct):
    action: str
    issue: _CommentedIssue
    comment: _Comment


@dataclass(frozen=True, slots=True)
class CommentEvent:
    """Somebody wrote ``body`` as a comment on issue or pull request ``number`` of ``repository``; ``pull``: which."""

    repository: str
    number: int
    pull: bool
    body: str


def comment_event(environ: Mapping[str, str]) -> CommentEvent:
    """The new comment that a workflow was started for. Raises UsageError when it was started for something else."""
    repository = required(environ, "GITHUB_REPOSITORY", PATH)
    name = required(environ, "GITHUB_EVENT_NAME", WORD)
    event = _event(environ, _CommentEvent, "a comment") if name == "issue_comment" else None
    if event is None or event.action != "created" or event.issue.number < 1:
        raise UsageError("this workflow was not started by a new comment", "run it on: issue_comment: types: [created]")
    return CommentEvent(repository, event.issue.number, event.issue.pull_request is not None, event.comment.body)


def job(environ: Mapping[str, str]) -> Job:
    """The job that ``environ`` and the event payload at ``GITHUB_EVENT_PATH`` describe.

    Raises IdentityRefused when a variable or the payload is missing or malformed.
    """
    repository = required(environ, "GITHUB_REPOSITORY", PATH)
    server = required(environ, "GITHUB_SERVER_URL", URL).rstrip("/")
    event = required(environ, "GITHUB_EVENT_NAME", WORD)
    run = required(environ, "GITHUB_RUN_ID", DIGITS)
    attempt = required(environ, "GITHUB_RUN_ATTEMPT", DIGITS)
    return Job(
        forge=Forge.GITHUB,
        repository=repository,
        event=event,
        sha=required(environ, "GITHUB_SHA", COMMIT),
        ref=optional(environ, "GITHUB_REF", REF),
        run_id=run,
        run_attempt=attempt,
        actor=optional(environ, "GITHUB_ACTOR", WORD),
        run_url=f"{server}/{repository}/actions/runs/{run}/attempts/{attempt}",
        server_url=server,
        change=_change(environ) if event in CHANGE_EVENTS else None,
        issue=_issue(environ) if event in ISSUE_EVENTS else None,
        name=optional(environ, "GITHUB_JOB", WORD),
    )


def author(environ: Mapping[str, str]) -> int | None:
    """The account that opened the pull request or issue that the job runs for; None when it runs for neither.

    Raises IdentityRefused when the payload does not say.
    """
    if required(environ, "GITHUB_EVENT_NAME", WORD) not in CHANGE_EVENTS | ISSUE_EVENTS:
        return None
    what = "who opened the pull request or issue"
    event = _event(environ, _OpenedEvent, what)
    opened = event.pull_request or event.issue
    if opened is None:
        raise IdentityRefused(f"the event payload at GITHUB_EVENT_PATH does not describe {what}", BROKEN_ENVIRONMENT)
    return opened.user.id


def _change(environ: Mapping[str, str]) -> ChangeRequest:
    pull = _event(environ, _Event, "a pull request").pull_request
    shapes = (COMMIT.fullmatch(pull.base.sha), COMMIT.fullmatch(pull.head.sha), REF.fullmatch(pull.base.ref))
    if pull.number < 1 or not all(shapes):
        raise IdentityRefused("the pull request in the event payload is malformed", BROKEN_ENVIRONMENT)
    return ChangeRequest(
        number=pull.number,
        base_ref=pull.base.ref,
        base_sha=pull.base.sha,
        head_sha=pull.head.sha,
        # A deleted fork is null in the payload.
        from_fork=pull.head.repo is None or pull.head.repo.id != pull.base.repo.id,
    )


def _issue(environ: Mapping[str, str]) -> int:
    number = _event(environ, _IssueEvent, "an issue").issue.number
    if number < 1:
        raise IdentityRefused("the issue in the event payload is malformed", BROKEN_ENVIRONMENT)
    return number


def _event(environ: Mapping[str, str], kind: type[T], what: str) -> T:
    place = environ.get("GITHUB_EVENT_PATH", "")
    if not place:
        raise IdentityRefused("the job's environment has no GITHUB_EVENT_PATH", BROKEN_ENVIRONMENT)
    try:
        with Path(place).open("rb") as file:
            content = file.read(EVENT_LIMIT + 1)
    except (OSError, ValueError) as error:
        raise IdentityRefused(
            f"the event payload at GITHUB_EVENT_PATH cannot be read: {type(error).__name__}", BROKEN_ENVIRONMENT
        ) from error
    if len(content) > EVENT_LIMIT:
        raise IdentityRefused("the event payload at GITHUB_EVENT_PATH is too large", BROKEN_ENVIRONMENT)
    try:
        return msgspec.json.decode(content, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise IdentityRefused(
            f"the event payload at GITHUB_EVENT_PATH does not describe {what}", BROKEN_ENVIRONMENT
        ) from error


def identity_token(environ: Mapping[str, str], audience: str) -> str:
    """Ask the runner's service for the job's identity token (a JWT) for ``audience``.

    Raises IdentityRefused when the job may not ask or the service does not answer with a token. No error carries the
    request token or the answer.
    """
    from ciguard.identity.fetch import get_json

    url = environ.get("ACTIONS_ID_TOKEN_REQUEST_URL", "")
    bearer = environ.get("ACTIONS_ID_TOKEN_REQUEST_TOKEN", "")
    if not url or not bearer:
        raise IdentityRefused("this job has no identity token to ask for", NO_TOKEN_REMEDY)
    joint = "&" if "?" in url else "?"
    answer = get_json(
        f"{url}{joint}audience={quote(audience, safe='')}",
        purpose="the job's identity token",
        bearer=bearer,
    )
    match answer:
        case {"value": str(token)} if token:
            return token
    raise IdentityRefused(
        "the runner's token service answered without a token",
        "run the job again; if it stays, look at the forge's status page",
    )


def approval_token(environ: Mapping[str, str]) -> str:
    """The token that the guard uses the forge's API with; empty when there is none."""
    return next((value for name in TOKEN_VARIABLES if (value := environ.get(name, "").strip())), "")

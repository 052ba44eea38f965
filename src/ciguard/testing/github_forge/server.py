"""The stand-in GitHub over HTTP: routes, tokens, pages, ETags, rate limits and faults."""

from __future__ import annotations

import hashlib
import json
import re
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from email.utils import format_datetime
from typing import Any, Literal, Self

from ciguard.operation import Json
from ciguard.testing.github_forge.answers import Answers
from ciguard.testing.github_forge.app import LIFETIME, App, check_jwt, granted
from ciguard.testing.github_forge.graphql import UnknownFieldError, answer
from ciguard.testing.github_forge.state import ACTIONS_BOT, MOST_CHARACTERS, ROLES, Run, State, Token, User
from ciguard.testing.loopback_forge import LoopbackForge, Refusal, Reply

REACTIONS = ("+1", "-1", "laugh", "confused", "heart", "hooray", "rocket", "eyes")


@dataclass(frozen=True, slots=True)
class _Request:
    method: str
    path: str
    query: Mapping[str, list[str]]
    body: Any
    token: Token


class GitHubForge(State, LoopbackForge):
    """The forge; a context manager that serves while it is entered.

    ``token`` is that of a job: it writes comments and reads no teams. ``limit`` requests are free in each hour. ``url``
    is the address of the REST API; GraphQL is at ``/graphql`` below it.
    """

    def __init__(self, repository: str = "acme/shop", *, limit: int = 1000) -> None:
        State.__init__(self, repository)
        LoopbackForge.__init__(self)
        self.token = f"ghs_{secrets.token_hex(18)}"
        self.tokens = {self.token: Token(self.user(ACTIONS_BOT))}
        self.app: App | None = None
        self.limit = limit
        self.used = 0
        self.resets = int(time.time()) + 3600

    def issue_token(
        self,
        login: str,
        *,
        writes: bool = True,
        reads_teams: bool = False,
        actions: Literal["none", "read", "write"] = "none",
        expires: datetime | None = None,
    ) -> str:
        """A further token that speaks for ``login``; one that ``expires`` says so."""
        token = f"ghp_{secrets.token_hex(18)}"
        told = expires is not None
        self.tokens[token] = Token(self.user(login), writes, reads_teams, actions, expires, told)
        return token

    def install_app(self, app: App) -> None:
        """Install ``app`` for the repository; it writes as ``SLUG[bot]``."""
        self.app = app
        self.add_user(f"{app.slug}[bot]", role="write", kind="Bot")

    def expire_tokens(self) -> int:
        """End every installation's token now; returns how many there were."""
        ended = [name for name, token in self.tokens.items() if token.expires and not token.told]
        for name in ended:
            del self.tokens[name]
        return len(ended)

    def __enter__(self) -> Self:
        super().__enter__()
        self._answers = Answers(self, self.url)
        return self

    def _served(
        self, method: str, path: str, query: Mapping[str, list[str]], headers: Mapping[str, str], body: bytes
    ) -> tuple[Reply, bool]:
        status, extra, value = self._answered(method, path, query, headers, body)
        raw = json.dumps(value).encode()
        etag = f'W/"{hashlib.sha256(raw).hexdigest()}"'
        if method == "GET" and status == 200:
            extra["etag"] = etag
            if headers.get("if-none-match") == etag:
                status, raw = 304, b""
        counted = status != 304
        self.used += counted
        return (status, {**self._limits(), **extra}, raw), counted

    def _limits(self) -> dict[str, str]:
        return {
            "x-ratelimit-limit": str(self.limit),
            "x-ratelimit-remaining": str(max(self.limit - self.used, 0)),
            "x-ratelimit-used": str(self.used),
            "x-ratelimit-reset": str(self.resets),
            "x-ratelimit-resource": "core",
            "date": format_datetime(self.now(), usegmt=True),
        }

    def _answered(
        self, method: str, path: str, query: Mapping[str, list[str]], headers: Mapping[str, str], body: bytes
    ) -> tuple[int, dict[str, str], Json]:
        try:
            if not headers.get("user-agent"):
                raise Refusal(403, "Request forbidden by administrative rules: a User-Agent is needed")
            scheme, _, given = headers.get("authorization", "").partition(" ")
            value = json.loads(body) if body else None
            for pattern, serve_app in self._app_routes():
                if found := re.fullmatch(pattern, f"{method} {path}"):
                    if scheme.lower() != "bearer":
                        raise Refusal(401, "A JSON web token could not be decoded")
                    return serve_app(check_jwt(self.app, given, self.now()), value, *found.groups())
            token = self.tokens.get(given) if scheme.lower() in ("token", "bearer") else None
            if token is None or (token.expires and token.expires <= self.now()):
                raise Refusal(401, "Bad credentials")
            if self.used >= self.limit:
                raise Refusal(403, "API rate limit exceeded for installation.")
            status, extra, answered = self._routed(_Request(method, path, query, value, token))
            if given.startswith("ghp_"):
                scopes = {"repo": token.writes, "read:org": token.reads_teams}
                extra["x-oauth-scopes"] = ", ".join(name for name, has in scopes.items() if has)
            if token.expires and token.told:
                extra["github-authentication-token-expiration"] = token.expires.strftime("%Y-%m-%d %H:%M:%S UTC")
            return status, extra, answered
        except Refusal as refusal:
            status, message = refusal.status, str(refusal)
        except json.JSONDecodeError:
            status, message = 400, "Problems parsing JSON"
        return status, {}, {"message": message, "documentation_url": "https://docs.example.com", "status": str(status)}

    def _routed(self, request: _Request) -> tuple[int, dict[str, str], Json]:
        for method, pattern, serve in self._routes():
            found = re.fullmatch(pattern, request.path)
            if found and method == request.method:
                if not _may(request):
                    raise Refusal(403, "Resource not accessible by integration")
                return serve(request, *found.groups())
        self.surprises.append(f"{request.method} {request.path}")
        raise Refusal(404, "Not Found")

    def _routes(self) -> list[tuple[str, str, Callable[..., tuple[int, dict[str, str], Json]]]]:
        here = re.escape(f"/repos/{self.repository}")
        return [
            ("GET", rf"{here}/issues/(\d+)/comments", self._list_comments),
            ("POST", rf"{here}/issues/(\d+)/comments", self._post_comment),
            ("PATCH", rf"{here}/issues/comments/(\d+)", self._edit_comment),
            ("POST", rf"{here}/issues/comments/(\d+)/reactions", self._react),
            ("POST", rf"{here}/issues", self._open_issue),
            ("GET", rf"{here}/issues/(\d+)", self._get_issue),
            ("GET", rf"{here}/pulls/(\d+)", self._get_pull),
            ("POST", rf"{here}/pulls/(\d+)/requested_reviewers", self._request_reviewers),
            ("GET", rf"{here}/collaborators/([^/]+)/permission", self._get_permission),
            ("GET", r"/orgs/([^/]+)/teams/([^/]+)", self._get_team),
            ("GET", r"/orgs/([^/]+)/teams/([^/]+)/memberships/([^/]+)", self._get_membership),
            ("GET", r"/users/([^/]+)", self._get_user),
            ("GET", rf"{here}/actions/runs/(\d+)", self._get_run),
            ("POST", rf"{here}/actions/runs/(\d+)/rerun-failed-jobs", self._rerun_failed_jobs),
            ("GET", rf"{here}/actions/runs/(\d+)/approvals", self._list_reviews),
            ("POST", r"/graphql", self._graphql),
        ]

    def _app_routes(self) -> list[tuple[str, Callable[..., tuple[int, dict[str, str], Json]]]]:
        return [
            (rf"GET {re.escape(f'/repos/{self.repository}')}/installation", self._get_installation),
            (r"POST /app/installations/(\d+)/access_tokens", self._make_token),
        ]

    def _get_installation(self, app: App, _body: Any) -> tuple[int, dict[str, str], Json]:
        if not app.installed:
            raise Refusal(404, "Not Found")
        return 200, {}, self._answers.installation(app)

    def _make_token(self, app: App, body: Any, installation: str) -> tuple[int, dict[str, str], Json]:
        if int(installation) != app.installation or not app.installed:
            raise Refusal(404, "Not Found")
        permissions = granted(app, body, self.repository.partition("/")[2])
        name = f"ghs_{secrets.token_hex(18)}"
        writes = all(permissions.get(what) == "write" for what in ("issues", "pull_requests"))
        expires = self.now() + timedelta(seconds=LIFETIME)
        self.tokens[name] = Token(self.user(f"{app.slug}[bot]"), writes, "members" in permissions, expires=expires)
        return 201, {}, self._answers.installation_token(name, expires, permissions)

    def _list_comments(self, request: _Request, number: str) -> tuple[int, dict[str, str], Json]:
        self._issue(number)
        _known(request.query, "per_page", "page", "since")
        size = min(int(request.query.get("per_page", ["30"])[0]), 100)
        page = int(request.query.get("page", ["1"])[0])
        since = request.query.get("since", ["0001-01-01T00:00:00Z"])[0]
        found = [one for one in self.comments(int(number)) if one.updated >= datetime.fromisoformat(since)]
        shown = found[(page - 1) * size : page * size]
        extra = {}
        if page * size < len(found):
            rest = "".join(f"&{name}={value[0]}" for name, value in request.query.items() if name != "page")
            extra["link"] = f'<{self.url}{request.path}?page={page + 1}{rest}>; rel="next"'
        return 200, extra, [self._answers.comment(comment) for comment in shown]

    def _post_comment(self, request: _Request, number: str) -> tuple[int, dict[str, str], Json]:
        self._issue(number)
        body = _text(request, "body")
        identifier = self.comment(int(number), request.token.user.login, body)
        return 201, {}, self._answers.comment(self.thread[identifier])

    def _edit_comment(self, request: _Request, identifier: str) -> tuple[int, dict[str, str], Json]:
        comment = self.thread.get(int(identifier))
        if comment is None:
            raise Refusal(404, "Not Found")
        self.edit(comment.id, request.token.user.login, _text(request, "body"))
        return 200, {}, self._answers.comment(comment)

    def _react(self, request: _Request, identifier: str) -> tuple[int, dict[str, str], Json]:
        comment = self.thread.get(int(identifier))
        if comment is None:
            raise Refusal(404, "Not Found")
        content = _text(request, "content")
        if content not in REACTIONS:
            raise Refusal(422, "Validation Failed")
        if (request.token.user, content) not in comment.reactions:
            comment.reactions.append((request.token.user, content))
        return 201, {}, self._answers.reaction(request.token.user, content)

    def _open_issue(self, request: _Request) -> tuple[int, dict[str, str], Json]:
        issue = self.open_issue(request.token.user.login, _text(request, "title", "body"), request.body.get("body", ""))
        return 201, {}, self._answers.issue(issue)

    def _get_issue(self, request: _Request, number: str) -> tuple[int, dict[str, str], Json]:
        self._issue(number)
        return 200, {}, self._answers.issue(self.issues[int(number)])

    def _get_pull(self, request: _Request, number: str) -> tuple[int, dict[str, str], Json]:
        self._issue(number)
        if not self.issues[int(number)].head:
            raise Refusal(404, "Not Found")
        return 200, {}, self._answers.pull_request(self.issues[int(number)])

    def _request_reviewers(self, request: _Request, number: str) -> tuple[int, dict[str, str], Json]:
        self._issue(number)
        issue = self.issues[int(number)]
        if request.body.get("team_reviewers"):
            raise Refusal(422, "Could not resolve to a node with the global id")
        for login in request.body["reviewers"]:
            user = self.users.get(login.lower())
            if user is None or user == issue.author or self.roles[login.lower()] == "none":
                raise Refusal(422, "Reviews may only be requested from collaborators.")
            if user not in issue.reviewers:
                issue.reviewers.append(user)
        return 201, {}, self._answers.simple_pull_request(issue)

    def _get_permission(self, request: _Request, login: str) -> tuple[int, dict[str, str], Json]:
        if ROLES.index(self.roles[request.token.user.login.lower()]) < ROLES.index("write"):
            raise Refusal(403, "Must have push access to view collaborator permission.")
        return 200, {}, self._answers.permission(self._account(login))

    def _get_team(self, request: _Request, organisation: str, slug: str) -> tuple[int, dict[str, str], Json]:
        return 200, {}, self._answers.team(self._team(request, organisation, slug))

    def _get_membership(
        self, request: _Request, organisation: str, slug: str, login: str
    ) -> tuple[int, dict[str, str], Json]:
        team = self._team(request, organisation, slug)
        if login.lower() not in self.teams[team]:
            raise Refusal(404, "Not Found")
        return 200, {}, self._answers.membership(team, login)

    def _get_user(self, request: _Request, login: str) -> tuple[int, dict[str, str], Json]:
        return 200, {}, self._answers.public_user(self._account(login))

    def _get_run(self, request: _Request, number: str) -> tuple[int, dict[str, str], Json]:
        return 200, {}, self._answers.run(self._run(number))

    def _rerun_failed_jobs(self, request: _Request, number: str) -> tuple[int, dict[str, str], Json]:
        run = self._run(number)
        if run.status != "completed":
            raise Refusal(403, "This workflow run is already running")
        run.attempt, run.status, run.conclusion = run.attempt + 1, "queued", None
        run.started_again.append(request.token.user)
        return 201, {}, {}

    def _list_reviews(self, request: _Request, number: str) -> tuple[int, dict[str, str], Json]:
        return 200, {}, [self._answers.review(review) for review in self._run(number).reviews]

    def _run(self, number: str) -> Run:
        if int(number) not in self.runs:
            raise Refusal(404, "Not Found")
        return self.runs[int(number)]

    def _graphql(self, request: _Request) -> tuple[int, dict[str, str], Json]:
        try:
            return 200, {}, answer(self, request.body["query"], request.body["variables"])
        except UnknownFieldError as error:
            self.surprises.append(str(error))
            return 200, {}, {"errors": [{"type": "undefinedField", "message": str(error)}]}

    def _issue(self, number: str) -> None:
        if int(number) not in self.issues:
            raise Refusal(404, "Not Found")

    def _account(self, login: str) -> User:
        if login.lower() not in self.users:
            raise Refusal(404, "Not Found")
        return self.user(login)

    def _team(self, request: _Request, organisation: str, slug: str) -> str:
        name = f"{organisation}/{slug}"
        # To who may not see a team, GitHub says that there is none; to a job's token, that it may not.
        if not request.token.reads_teams:
            raise Refusal(403, "Resource not accessible by integration")
        if name not in self.teams:
            raise Refusal(404, "Not Found")
        return name


def _may(request: _Request) -> bool:
    """Whether the token has the permission, as far as GitHub has one for it."""
    writes = request.method != "GET" and request.path != "/graphql"
    if "/actions/" in request.path:
        return request.token.actions == "write" or (request.token.actions == "read" and not writes)
    return request.token.writes or not writes


def _known(query: Mapping[str, list[str]], *names: str) -> None:
    if unknown := set(query) - set(names):
        raise Refusal(422, f"unknown parameters: {', '.join(sorted(unknown))}")


def _text(request: _Request, name: str, *others: str) -> str:
    value = request.body
    if not isinstance(value, dict) or not set(value) <= {name, *others} or not isinstance(value.get(name), str):
        raise Refusal(422, "Validation Failed")
    text: str = value[name]
    if not text.strip() or len(text) > MOST_CHARACTERS:
        raise Refusal(422, f"{name} is too long (maximum is {MOST_CHARACTERS} characters) or empty")
    return text

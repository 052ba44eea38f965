"""The stand-in GitLab over HTTP: routes, tokens, pages and rate limits."""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import quote, unquote

from ciguard.operation import Json
from ciguard.testing.gitlab_forge.state import (
    GUARD_BOT,
    MOST_CHARACTERS,
    Member,
    MergeRequest,
    Note,
    State,
    Token,
    User,
)
from ciguard.testing.loopback_forge import LoopbackForge, Refusal, Reply

REACTIONS = frozenset({"thumbsup", "thumbsdown", "confused", "eyes", "tada"})

_COMMANDS = re.compile(r"(?m)^/[a-z_]+")
_NOTES = re.compile(
    r"\{ (?:n(\d+): note\(id: \"gid://gitlab/Note/\1\"\) \{ id body lastEditedAt author \{ id bot \} \} )+\}"
)
_NOTE_IDS = re.compile(r"n(\d+): ")


@dataclass(frozen=True, slots=True)
class _Request:
    method: str
    path: str
    query: Mapping[str, list[str]]
    body: Any
    token: Token


Served = tuple[int, dict[str, str], Json]


class GitLabForge(State, LoopbackForge):
    """The forge; a context manager that serves while it is entered.

    ``token`` is a project access token with the role Developer and the scope ``api``. ``limit`` requests are free. The
    field ``lastEditedAt`` is unknown to a GitLab that is ``old``.
    """

    def __init__(self, project: str = "acme/platform/shop", *, limit: int = 100_000, old: bool = False) -> None:
        State.__init__(self, project)
        LoopbackForge.__init__(self)
        self.token = f"glpat-{secrets.token_hex(10)}"
        self.tokens = {self.token: Token(self.user(GUARD_BOT))}
        self.limit = limit
        self.old = old

    @property
    def api(self) -> str:
        """What a job has as ``CI_API_V4_URL``."""
        return f"{self.url}/api/v4"

    def issue_token(self, username: str, *, writes: bool = True, reads_groups: bool = True, expires: str = "") -> str:
        """A further token that speaks for ``username``, until the day ``expires`` begins."""
        token = f"glpat-{secrets.token_hex(10)}"
        self.tokens[token] = Token(self.user(username), writes, reads_groups, expires)
        return token

    def _served(
        self, method: str, path: str, query: Mapping[str, list[str]], headers: Mapping[str, str], body: bytes
    ) -> tuple[Reply, bool]:
        try:
            token = self.tokens.get(headers.get("private-token", ""))
            if token is None:
                raise Refusal(401, "401 Unauthorized")
            if len(self.calls) >= self.limit:
                return (429, {"retry-after": "42", "ratelimit-remaining": "0"}, b"Retry later\n"), True
            value = json.loads(body) if body else None
            status, extra, answer = self._routed(_Request(method, path, query, value, token))
        except Refusal as refusal:
            status, extra, answer = refusal.status, {}, {"message": str(refusal)}
        except json.JSONDecodeError:
            status, extra, answer = 400, {}, {"error": "invalid JSON"}
        return (status, extra, json.dumps(answer).encode()), True

    def _routed(self, request: _Request) -> Served:
        for method, pattern, serve in self._routes():
            found = re.fullmatch(pattern, request.path)
            if found and method == request.method:
                if method != "GET" and request.path != "/api/graphql" and not request.token.writes:
                    raise Refusal(403, "403 Forbidden - insufficient_scope")
                return serve(request, *found.groups())
        self.surprises.append(f"{request.method} {request.path}")
        raise Refusal(404, "404 Not Found")

    def _routes(self) -> list[tuple[str, str, Callable[..., Served]]]:
        here = re.escape(f"/api/v4/projects/{quote(self.project, safe='')}")
        thread = rf"{here}/(merge_requests|issues)/(\d+)/notes"
        return [
            ("GET", thread, self._list_notes),
            ("POST", thread, self._post_note),
            ("PUT", rf"{thread}/(\d+)", self._edit_note),
            ("POST", rf"{thread}/(\d+)/award_emoji", self._react),
            ("GET", rf"{here}/merge_requests/(\d+)", self._get_merge_request),
            ("PUT", rf"{here}/merge_requests/(\d+)", self._update_merge_request),
            ("POST", rf"{here}/issues", self._open_issue),
            ("GET", rf"{here}/members/all/(\d+)", self._get_member),
            ("GET", rf"{here}/pipelines/(\d+)", self._get_pipeline),
            ("GET", rf"{here}/approval_rules", self._list_rules),
            ("GET", r"/api/v4/groups/([^/]+)", self._get_group),
            ("GET", r"/api/v4/groups/([^/]+)/members/(\d+)", self._get_group_member),
            ("GET", r"/api/v4/personal_access_tokens/self", self._get_token),
            ("GET", r"/api/v4/users", self._find_users),
            ("GET", r"/api/v4/users/(\d+)", self._get_user),
            ("POST", r"/api/graphql", self._graphql),
        ]

    def _get_token(self, request: _Request) -> Served:
        token = request.token
        described: dict[str, Json] = {
            "id": 71,
            "name": "ciguard",
            "revoked": False,
            "created_at": "2026-01-02T00:00:00.000Z",
            "scopes": ["api"] if token.writes else ["read_api"],
            "user_id": token.user.id,
            "last_used_at": None,
            "active": True,
            "expires_at": token.expires or None,
        }
        return 200, {}, described

    def _list_notes(self, request: _Request, kind: str, iid: str) -> Served:
        self._subject(kind, iid)
        _known(request.query, "per_page", "page", "sort", "order_by")
        if request.query.get("sort") != ["asc"] or request.query.get("order_by") != ["created_at"]:
            raise Refusal(400, "only notes by their time are listed here")
        size, page = int(request.query.get("per_page", ["20"])[0]), int(request.query.get("page", ["1"])[0])
        found = self.thread(int(iid), kind)
        size = min(size, 100)
        following = str(page + 1) if page * size < len(found) else ""
        return 200, {"x-next-page": following}, [_note(note) for note in found[(page - 1) * size : page * size]]

    def _post_note(self, request: _Request, kind: str, iid: str) -> Served:
        self._subject(kind, iid)
        identifier = self.comment(int(iid), request.token.user.username, self._text(request), kind=kind)
        return 201, {}, _note(self.notes[identifier])

    def _edit_note(self, request: _Request, kind: str, iid: str, identifier: str) -> Served:
        note = self._one(kind, iid, identifier)
        if note.author != request.token.user and self.members[request.token.user.id].level < 40:
            raise Refusal(403, "403 Forbidden")
        self.edit(note.id, request.token.user.username, self._text(request))
        return 200, {}, _note(note)

    def _react(self, request: _Request, kind: str, iid: str, identifier: str) -> Served:
        note = self._one(kind, iid, identifier)
        given = (request.token.user, request.body["name"])
        if given[1] not in REACTIONS or given in note.reactions:
            raise Refusal(404, "404 Award Emoji Name has already been taken Not Found")
        note.reactions.append(given)
        return 201, {}, {"id": self.number(), "name": given[1], "user": _user(given[0]), "awardable_id": note.id}

    def _get_merge_request(self, request: _Request, iid: str) -> Served:
        self._subject("merge_requests", iid)
        return 200, {}, self._merge_request(self.merge_requests[int(iid)])

    def _update_merge_request(self, request: _Request, iid: str) -> Served:
        self._subject("merge_requests", iid)
        if set(request.body) != {"reviewer_ids"}:
            raise Refusal(400, "only reviewers are changed here")
        merge_request = self.merge_requests[int(iid)]
        accounts = (self.account(number) for number in request.body["reviewer_ids"])
        merge_request.reviewers = [user for user in accounts if user and user.id in self.members]
        return 200, {}, self._merge_request(merge_request)

    def _open_issue(self, request: _Request) -> Served:
        iid = max(self.issues, default=0) + 1
        self.issues[iid] = request.body["title"]
        return 201, {}, {"id": self.number(), "iid": iid, "title": request.body["title"]}

    def _get_member(self, request: _Request, account: str) -> Served:
        return 200, {}, self._member(self.members, account)

    def _get_pipeline(self, request: _Request, pipeline: str) -> Served:
        user = self.pipelines.get(pipeline, self.user("alice"))
        return 200, {}, {"id": int(pipeline), "status": "running", "user": _user(user)}

    def _list_rules(self, request: _Request) -> Served:
        _known(request.query, "per_page", "page")
        if self.rules is None:
            raise Refusal(404, "404 Not Found")
        size, page = int(request.query["per_page"][0]), int(request.query["page"][0])
        rules: list[Json] = [
            {
                "id": number,
                "name": name,
                "rule_type": "regular" if users else "any_approver",
                "report_type": None,
                "eligible_approvers": [_user(user) for user in users],
                "approvals_required": 1,
                "users": [_user(user) for user in users],
                "groups": [],
                "contains_hidden_groups": False,
                "protected_branches": [],
                "applies_to_all_protected_branches": False,
            }
            for number, (name, users) in enumerate(self.rules.items(), start=1)
        ]
        return 200, {}, rules[(page - 1) * size : page * size]

    def _get_group(self, request: _Request, path: str) -> Served:
        return 200, {}, {"id": 41, "full_path": self._group(request, path), "visibility": "private"}

    def _get_group_member(self, request: _Request, path: str, account: str) -> Served:
        return 200, {}, self._member(self.groups[self._group(request, path)], account)

    def _find_users(self, request: _Request) -> Served:
        _known(request.query, "username")
        user = self.users.get(request.query["username"][0].lower())
        return 200, {}, [_user(user)] if user else []

    def _get_user(self, request: _Request, identifier: str) -> Served:
        user = self.account(int(identifier))
        if user is None:
            raise Refusal(404, "404 User Not Found")
        return 200, {}, {**_user(user), "bot": user.bot}

    def _graphql(self, request: _Request) -> Served:
        query = request.body["query"]
        if set(request.body) != {"query"} or not _NOTES.fullmatch(query):
            self.surprises.append(query)
            return 200, {}, {"errors": [{"message": "this is not answered here"}]}
        if self.old:
            return 200, {}, {"errors": [{"message": "Field 'lastEditedAt' doesn't exist on type 'Note'"}]}
        data: dict[str, Json] = {}
        for identifier in _NOTE_IDS.findall(query):
            note = self.notes.get(int(identifier))
            data[f"n{identifier}"] = None
            if note is None:
                continue
            data[f"n{identifier}"] = {
                "id": f"gid://gitlab/Note/{note.id}",
                "body": note.body,
                "lastEditedAt": _time(note.updated) if note.edited_by else None,
                "author": {"id": f"gid://gitlab/User/{note.author.id}", "bot": note.author.bot},
            }
        return 200, {}, {"data": data}

    def _subject(self, kind: str, iid: str) -> None:
        if int(iid) not in (self.merge_requests if kind == "merge_requests" else self.issues):
            raise Refusal(404, "404 Not found")

    def _one(self, kind: str, iid: str, identifier: str) -> Note:
        note = self.notes.get(int(identifier))
        if note is None or (note.kind, note.iid) != (kind, int(iid)):
            raise Refusal(404, "404 Note Not Found")
        return note

    def _text(self, request: _Request) -> str:
        body = request.body
        if not isinstance(body, dict) or set(body) != {"body"} or not isinstance(body["body"], str):
            raise Refusal(400, "body is missing")
        text: str = body["body"]
        if not text.strip() or len(text) > MOST_CHARACTERS:
            raise Refusal(400, "body is empty or too long")
        if found := _COMMANDS.search(text):
            self.surprises.append(f"a note with the command {found[0]}")
        return text

    def _group(self, request: _Request, path: str) -> str:
        name = unquote(path)
        # To who may not see a group, GitLab says that there is none.
        if name not in self.groups or not request.token.reads_groups:
            raise Refusal(404, "404 Group Not Found")
        return name

    def _member(self, members: Mapping[int, Member], account: str) -> Json:
        user, member = self.account(int(account)), members.get(int(account))
        if user is None or member is None:
            raise Refusal(404, "404 Not found")
        return {**_user(user), "access_level": member.level, "state": member.state, "membership_state": "active"}

    def _merge_request(self, merge_request: MergeRequest) -> Json:
        return {
            "id": 9000 + merge_request.iid,
            "iid": merge_request.iid,
            "title": "Repair the cart",
            "state": "opened",
            "author": _user(merge_request.author),
            "reviewers": [_user(user) for user in merge_request.reviewers],
            "sha": merge_request.head,
            "web_url": f"{self.url}/{self.project}/-/merge_requests/{merge_request.iid}",
        }


def _known(query: Mapping[str, list[str]], *names: str) -> None:
    if unknown := set(query) - set(names):
        raise Refusal(400, f"unknown parameters: {', '.join(sorted(unknown))}")


def _user(user: User) -> dict[str, Json]:
    return {"id": user.id, "username": user.username, "name": user.username.title(), "state": "active"}


def _note(note: Note) -> Json:
    return {
        "id": note.id,
        "type": None,
        "body": note.body,
        "author": _user(note.author),
        "created_at": _time(note.created),
        "updated_at": _time(note.updated),
        "system": note.system,
        "noteable_iid": note.iid,
        "resolvable": False,
        "internal": False,
        "imported": note.imported,
    }


def _time(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03}Z"

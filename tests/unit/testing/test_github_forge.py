"""The stand-in GitHub answers as GitHub's published description says, and does what GitHub does."""

from __future__ import annotations

import json
import re
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import jsonschema
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from ciguard.testing.github_forge import GitHubForge
from ciguard.testing.github_forge.app import App

DESCRIPTION = json.loads((Path(__file__).parent / "github_rest.json").read_text())
HERE = "/repos/acme/shop"
EDITS = (
    "query($ids: [ID!]!) { nodes(ids: $ids) { ... on IssueComment { id %s author { ... on User { databaseId } } } } }"
)

KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
PUBLIC = KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
APP = App("61", "guard", PUBLIC, 7007)


def app_jwt(*, key: rsa.RSAPrivateKey = KEY, algorithm: str = "RS256", **changes: Any) -> str:
    """What proves to be the App; ``changes`` are claims, times in seconds from now."""
    now = int(time.time())
    claims = {"iat": -60, "exp": 300, "iss": "61", **changes}
    spelt = {name: value + now if isinstance(value, int) else value for name, value in claims.items()}
    return jwt.encode({name: value for name, value in spelt.items() if value is not None}, key, algorithm)


@pytest.fixture
def forge() -> Iterator[GitHubForge]:
    with GitHubForge() as forge:
        forge.add_user("bob", role="maintain")
        forge.add_user("mallory", role="read")
        forge.add_team("acme/security", "bob")
        forge.open_pull_request(7, author="alice", head="c" * 40)
        yield forge


def ask(
    forge: GitHubForge,
    method: str,
    path: str,
    body: Any = None,
    *,
    token: str = "",
    headers: dict[str, str] | None = None,
) -> tuple[int, dict[str, str], Any]:
    """Status, headers and JSON of an answer."""
    request = urllib.request.Request(
        forge.url + path,
        json.dumps(body).encode() if body is not None else None,
        {"authorization": f"token {token or forge.token}", "user-agent": "test", **(headers or {})},
        method=method,
    )
    try:
        with urllib.request.urlopen(request) as answer:
            return answer.status, dict(answer.headers), json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            text = error.read()
        return error.code, dict(error.headers), json.loads(text) if text else None


REQUESTS = [
    ("GET", "/repos/{owner}/{repo}/issues/{issue_number}/comments", 200, f"{HERE}/issues/7/comments", None),
    ("POST", "/repos/{owner}/{repo}/issues/{issue_number}/comments", 201, f"{HERE}/issues/7/comments", {"body": "x"}),
    ("PATCH", "/repos/{owner}/{repo}/issues/comments/{comment_id}", 200, f"{HERE}/issues/comments/ID", {"body": "y"}),
    (
        "POST",
        "/repos/{owner}/{repo}/issues/comments/{comment_id}/reactions",
        201,
        f"{HERE}/issues/comments/ID/reactions",
        {"content": "+1"},
    ),
    ("POST", "/repos/{owner}/{repo}/issues", 201, f"{HERE}/issues", {"title": "t", "body": "b"}),
    ("GET", "/repos/{owner}/{repo}/issues/{issue_number}", 200, f"{HERE}/issues/7", None),
    ("GET", "/repos/{owner}/{repo}/pulls/{pull_number}", 200, f"{HERE}/pulls/7", None),
    (
        "POST",
        "/repos/{owner}/{repo}/pulls/{pull_number}/requested_reviewers",
        201,
        f"{HERE}/pulls/7/requested_reviewers",
        {"reviewers": ["bob"]},
    ),
    (
        "GET",
        "/repos/{owner}/{repo}/collaborators/{username}/permission",
        200,
        f"{HERE}/collaborators/bob/permission",
        None,
    ),
    ("GET", "/orgs/{org}/teams/{team_slug}", 200, "/orgs/acme/teams/security", None),
    (
        "GET",
        "/orgs/{org}/teams/{team_slug}/memberships/{username}",
        200,
        "/orgs/acme/teams/security/memberships/bob",
        None,
    ),
    ("GET", "/users/{username}", 200, "/users/bob", None),
    ("GET", "/repos/{owner}/{repo}/actions/runs/{run_id}", 200, f"{HERE}/actions/runs/4711", None),
    (
        "POST",
        "/repos/{owner}/{repo}/actions/runs/{run_id}/rerun-failed-jobs",
        201,
        f"{HERE}/actions/runs/4711/rerun-failed-jobs",
        None,
    ),
    (
        "GET",
        "/repos/{owner}/{repo}/actions/runs/{run_id}/approvals",
        200,
        f"{HERE}/actions/runs/4711/approvals",
        None,
    ),
    ("GET", "/repos/{owner}/{repo}/installation", 200, f"{HERE}/installation", None),
    (
        "POST",
        "/app/installations/{installation_id}/access_tokens",
        201,
        "/app/installations/7007/access_tokens",
        {"repositories": ["shop"], "permissions": {"issues": "write"}},
    ),
]


@pytest.mark.parametrize(("method", "operation", "status", "path", "body"), REQUESTS, ids=[row[1] for row in REQUESTS])
def test_answers_are_as_github_describes_them(
    forge: GitHubForge, method: str, operation: str, status: int, path: str, body: Any
) -> None:
    forge.comment(7, "bob", "hello", app="helper")
    identifier = forge.comment(7, "mallory", "hello")
    forge.start_run(4711, head="c" * 40)
    forge.complete_run(4711)
    forge.review(4711, "bob", "agent-approved")
    if "installation" in path:
        forge.install_app(APP)
        headers = {"authorization": f"Bearer {app_jwt()}"}
    else:
        token = forge.issue_token("bob", reads_teams=True, actions="write")
        headers = {"authorization": f"token {token}"}
    answered, _, value = ask(forge, method, path.replace("ID", str(identifier)), body, headers=headers)
    assert answered == status
    schema = {**DESCRIPTION["operations"][f"{method} {operation} {status}"], "components": DESCRIPTION["components"]}
    jsonschema.Draft202012Validator(schema).validate(value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"iss": "62"}, "Issuer"),
        ({"exp": 601}, "too far in the future"),
        ({"exp": -1}, "must be a numeric value in the future"),
        ({"iat": 60}, "Issued at"),
        ({"iat": None}, "could not be decoded"),
    ],
)
def test_who_speaks_as_an_app_must_prove_it(forge: GitHubForge, changes: dict[str, Any], message: str) -> None:
    forge.install_app(APP)
    headers = {"authorization": f"Bearer {app_jwt(**changes)}"}
    status, _, value = ask(forge, "GET", f"{HERE}/installation", headers=headers)
    assert (status, message in value["message"]) == (401, True)


def test_only_the_apps_own_key_and_only_rs256_count(forge: GitHubForge) -> None:
    forge.install_app(APP)
    other = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    for token in (app_jwt(key=other), app_jwt(algorithm="PS256"), forge.token):
        status, _, _ = ask(forge, "GET", f"{HERE}/installation", headers={"authorization": f"Bearer {token}"})
        assert status == 401
    status, _, _ = ask(forge, "GET", f"{HERE}/installation", headers={"authorization": f"token {app_jwt()}"})
    assert status == 401


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"permissions": {"issues": "write", "pull_requests": "write"}}, 201),
        ({"permissions": {"members": "read"}}, 422),
        ({"permissions": {"issues": "admin"}}, 422),
        ({"repositories": ["other"]}, 422),
        ({"repository": ["shop"]}, 422),
    ],
)
def test_a_token_may_do_at_most_what_the_installation_may(forge: GitHubForge, body: Any, status: int) -> None:
    forge.install_app(APP)
    headers = {"authorization": f"Bearer {app_jwt()}"}
    answered, _, value = ask(forge, "POST", "/app/installations/7007/access_tokens", body, headers=headers)
    assert answered == status
    if status == 201:
        token = value["token"]
        assert ask(forge, "POST", f"{HERE}/issues/7/comments", {"body": "x"}, token=token)[0] == 201
        assert forge.thread[max(forge.thread)].author.login == "guard[bot]"
        assert forge.expire_tokens() == 1
        assert ask(forge, "GET", f"{HERE}/issues/7", token=token)[0] == 401


def test_every_described_operation_is_tested() -> None:
    assert {f"{method} {operation} {status}" for method, operation, status, _, _ in REQUESTS} == set(
        DESCRIPTION["operations"]
    )


def test_the_description_refuses_what_is_not_in_it(forge: GitHubForge) -> None:
    _, _, value = ask(forge, "GET", f"{HERE}/pulls/7")
    del value["head"]["repo"]["html_url"]
    operation = "GET /repos/{owner}/{repo}/pulls/{pull_number} 200"
    schema = {**DESCRIPTION["operations"][operation], "components": DESCRIPTION["components"]}
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.Draft202012Validator(schema).validate(value)


def test_failed_jobs_run_again_once_the_run_is_completed_and_for_who_may(forge: GitHubForge) -> None:
    run, path = forge.start_run(4711, head="c" * 40), f"{HERE}/actions/runs/4711"
    again, write = f"{path}/rerun-failed-jobs", forge.issue_token("bob", writes=False, actions="write")
    assert ask(forge, "POST", again, token=write)[0] == 403
    forge.complete_run(4711)
    assert ask(forge, "POST", again)[0] == 403
    assert ask(forge, "POST", again, token=forge.issue_token("bob", actions="read"))[0] == 403
    assert ask(forge, "GET", path)[0] == 403
    assert ask(forge, "POST", again, token=write)[0] == 201
    assert ask(forge, "POST", again, token=write)[0] == 403
    assert (run.attempt, [user.login for user in run.started_again]) == (2, ["bob"])
    assert ask(forge, "GET", f"{HERE}/actions/runs/1", token=write)[0] == 404


def test_pages_name_the_next(forge: GitHubForge) -> None:
    for number in range(5):
        forge.comment(7, "bob", f"number {number}")
    _, headers, first = ask(forge, "GET", f"{HERE}/issues/7/comments?per_page=2")
    assert [comment["body"] for comment in first] == ["number 0", "number 1"]
    following = re.match(rf"<{re.escape(forge.url)}(.*)>; rel=\"next\"", headers["link"])
    assert following
    _, headers, second = ask(forge, "GET", following[1])
    assert [comment["body"] for comment in second] == ["number 2", "number 3"]
    _, headers, third = ask(forge, "GET", f"{HERE}/issues/7/comments?per_page=2&page=3")
    assert len(third) == 1
    assert "link" not in headers


def test_what_did_not_change_is_free(forge: GitHubForge) -> None:
    path = f"{HERE}/issues/7/comments"
    _, headers, _ = ask(forge, "GET", path)
    known = {"if-none-match": headers["etag"]}
    assert forge.counted == 1
    assert ask(forge, "GET", path, headers=known)[0] == 304
    assert forge.counted == 1
    forge.comment(7, "bob", "hello")
    assert ask(forge, "GET", path, headers=known)[0] == 200
    assert forge.counted == 2


def test_the_rate_limit_is_one(forge: GitHubForge) -> None:
    forge.limit = 1
    assert ask(forge, "GET", "/users/bob")[0] == 200
    status, headers, value = ask(forge, "GET", "/users/bob")
    assert (status, headers["x-ratelimit-remaining"]) == (403, "0")
    assert "rate limit" in value["message"]


def test_edits_show_in_graphql_only(forge: GitHubForge) -> None:
    identifier = forge.comment(7, "bob", "hello")
    other = forge.comment(7, "bob", "untouched")
    forge.edit(identifier, "mallory", "changed")
    _, _, comments = ask(forge, "GET", f"{HERE}/issues/7/comments")
    assert [comment["user"]["login"] for comment in comments] == ["bob", "bob"]
    fields = EDITS % "body lastEditedAt includesCreatedEdit"
    ids = [comment["node_id"] for comment in comments]
    _, _, value = ask(forge, "POST", "/graphql", {"query": fields, "variables": {"ids": ids}})
    first, second = value["data"]["nodes"]
    assert (first["body"], first["includesCreatedEdit"], first["author"]) == (
        "changed",
        True,
        {"databaseId": forge.user("bob").id},
    )
    assert first["lastEditedAt"]
    assert (second["lastEditedAt"], second["includesCreatedEdit"]) == (None, False)
    forge.delete(other)
    _, _, value = ask(forge, "POST", "/graphql", {"query": fields, "variables": {"ids": ids}})
    assert value["data"]["nodes"][1] is None
    assert value["errors"][0]["type"] == "NOT_FOUND"


def test_a_field_that_there_is_not_is_an_error(forge: GitHubForge) -> None:
    _, _, value = ask(forge, "POST", "/graphql", {"query": EDITS % "edited", "variables": {"ids": []}})
    assert "data" in value  # nothing to project
    node = "IC_%s" % forge.comment(7, "bob", "x")  # noqa: UP031 - the id of the node
    _, _, value = ask(forge, "POST", "/graphql", {"query": EDITS % "edited", "variables": {"ids": [node]}})
    assert "doesn't exist" in value["errors"][0]["message"]
    assert forge.surprises


REFUSED = [
    ("GET", "/users/nobody", None, 404),
    ("GET", f"{HERE}/issues/8/comments", None, 404),
    ("GET", f"{HERE}/labels", None, 404),
    ("GET", f"{HERE}/issues/7/comments?sort=asc", None, 422),
    ("POST", f"{HERE}/issues/7/comments", {"body": "x" * 65_537}, 422),
    ("POST", f"{HERE}/issues/7/comments", {"body": ""}, 422),
    ("POST", f"{HERE}/issues/7/comments", {"text": "x"}, 422),
    ("PATCH", f"{HERE}/issues/comments/1", {"body": "x"}, 404),
    ("POST", f"{HERE}/pulls/7/requested_reviewers", {"reviewers": ["alice"]}, 422),
    ("POST", f"{HERE}/pulls/7/requested_reviewers", {"reviewers": [], "team_reviewers": ["security"]}, 422),
    ("GET", "/orgs/acme/teams/security", None, 403),
]


@pytest.mark.parametrize(("method", "path", "body", "status"), REFUSED)
def test_what_github_refuses(forge: GitHubForge, method: str, path: str, body: Any, status: int) -> None:
    assert ask(forge, method, path, body)[0] == status


def test_tokens_are_looked_at(forge: GitHubForge) -> None:
    assert ask(forge, "GET", "/users/bob", token="wrong")[0] == 401
    reader = forge.issue_token("mallory", writes=False)
    assert ask(forge, "POST", f"{HERE}/issues/7/comments", {"body": "x"}, token=reader)[0] == 403
    assert ask(forge, "GET", f"{HERE}/collaborators/bob/permission", token=reader)[0] == 403


def test_faults_happen_as_often_as_they_should(forge: GitHubForge) -> None:
    forge.fail(2, status=502, pattern="GET /users")
    assert [ask(forge, "GET", "/users/bob")[0] for _ in range(3)] == [502, 502, 200]
    forge.fail(status=0)
    with pytest.raises(OSError, match="closed connection"):
        ask(forge, "GET", "/users/bob")


def test_the_clock_can_be_off(forge: GitHubForge) -> None:
    forge.skew = timedelta(hours=-3)
    early = forge.thread[forge.comment(7, "bob", "hello")].created
    forge.skew = timedelta()
    assert forge.thread[forge.comment(7, "bob", "hello")].created - early >= timedelta(hours=3)

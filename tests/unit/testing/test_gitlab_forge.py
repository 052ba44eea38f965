"""The stand-in GitLab is strict, and does what GitLab does."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from ciguard.testing.gitlab_forge import GitLabForge

NOTES = "/projects/acme%2Fplatform%2Fshop/merge_requests/7/notes"
LISTED = f"{NOTES}?sort=asc&order_by=created_at"


@pytest.fixture
def forge() -> Iterator[GitLabForge]:
    with GitLabForge() as forge:
        forge.add_user("bob", level=30)
        forge.open_merge_request(7, author="alice", head="c" * 40)
        yield forge


def ask(
    forge: GitLabForge, method: str, path: str, body: Any = None, *, token: str = ""
) -> tuple[int, dict[str, str], Any]:
    """Status, headers and JSON of an answer."""
    request = urllib.request.Request(
        forge.api + path,
        json.dumps(body).encode() if body is not None else None,
        {"private-token": token or forge.token},
        method=method,
    )
    try:
        with urllib.request.urlopen(request) as answer:
            return answer.status, dict(answer.headers), json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, dict(error.headers), error.read().decode()


def test_pages_name_the_next(forge: GitLabForge) -> None:
    for number in range(5):
        forge.comment(7, "bob", f"number {number}")
    _, headers, first = ask(forge, "GET", f"{LISTED}&per_page=2")
    assert ([note["body"] for note in first], headers["x-next-page"]) == (["number 0", "number 1"], "2")
    _, headers, last = ask(forge, "GET", f"{LISTED}&per_page=2&page=3")
    assert ([note["body"] for note in last], headers["x-next-page"]) == (["number 4"], "")


def test_notes_are_listed_by_their_times(forge: GitLabForge) -> None:
    forge.comment(7, "bob", "second")
    forge.comment(7, "bob", "first", created=datetime.now(UTC) - timedelta(days=1))
    notes = ask(forge, "GET", LISTED)[2]
    assert [note["body"] for note in notes] == ["first", "second"]
    assert notes[0]["id"] > notes[1]["id"]


def test_another_ones_note_is_edited_by_maintainers_only(forge: GitLabForge) -> None:
    note = forge.comment(7, "bob", "mine")
    assert ask(forge, "PUT", f"{NOTES}/{note}", {"body": "yours"})[0] == 403
    maintainer = forge.issue_token("alice")
    assert ask(forge, "PUT", f"{NOTES}/{note}", {"body": "yours"}, token=maintainer)[0] == 200
    assert forge.notes[note].edited_by == forge.user("alice")


def test_a_limit_says_how_long(forge: GitLabForge) -> None:
    forge.limit = 1
    assert ask(forge, "GET", LISTED)[0] == 200
    status, headers, _ = ask(forge, "GET", LISTED)
    assert (status, headers["retry-after"]) == (429, "42")


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("GET", "/projects/acme%2Fplatform%2Fshop/jobs", None, 404),
        ("POST", NOTES, {"body": "/approve"}, 201),
        ("POST", "/../graphql", {"query": "{ currentUser { id } }"}, 200),
    ],
)
def test_what_it_does_not_know_stands_out(forge: GitLabForge, method: str, path: str, body: Any, status: int) -> None:
    answered = ask(forge, method, path, body)[0] if "graphql" not in path else graphql(forge, body)
    assert answered == status
    assert len(forge.surprises) == 1


def graphql(forge: GitLabForge, body: Any) -> int:
    """The status of an answer to GraphQL."""
    headers = {"private-token": forge.token}
    request = urllib.request.Request(f"{forge.url}/api/graphql", json.dumps(body).encode(), headers)
    with urllib.request.urlopen(request) as answer:
        assert "errors" in json.load(answer)
        return int(answer.status)


def test_strangers_and_readers_write_nothing(forge: GitLabForge) -> None:
    assert ask(forge, "POST", NOTES, {"body": "x"}, token="wrong")[0] == 401
    assert ask(forge, "POST", NOTES, {"body": "x"}, token=forge.issue_token("bob", writes=False))[0] == 403
    assert ask(forge, "POST", NOTES, {"body": ""})[0] == 400
    assert forge.notes == {}

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ciguard.errors import IdentityRefused
from ciguard.forge import github
from ciguard.forge.job import ChangeRequest, Forge, Job
from ciguard.identity import fetch
from ciguard.testing.github_job import COMMAND_FILES, PullRequest, github_job
from ciguard.testing.issuer import Answer, Issuer, json_answer


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    with Issuer() as issuer:
        yield issuer


@pytest.fixture(autouse=True)
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetch, "PAUSE", 0)


def test_a_push(issuer: Issuer, tmp_path: Path) -> None:
    with github_job(issuer, tmp_path) as stand_in:
        run = stand_in.environ["GITHUB_RUN_ID"]
        assert github.job(stand_in.environ) == Job(
            forge=Forge.GITHUB,
            repository="acme/shop",
            event="push",
            sha="a" * 40,
            ref="refs/heads/main",
            run_id=run,
            run_attempt="1",
            actor="alice",
            run_url=f"https://github.com/acme/shop/actions/runs/{run}/attempts/1",
            server_url="https://github.com",
            change=None,
            name="agent",
        )


@pytest.mark.parametrize("event", sorted(github.CHANGE_EVENTS))
def test_events_about_a_pull_request(issuer: Issuer, tmp_path: Path, event: str) -> None:
    with github_job(issuer, tmp_path, event=event, pull_request=PullRequest(number=12)) as stand_in:
        job = github.job(stand_in.environ)
    assert job.change == ChangeRequest(
        number=12, base_ref="main", base_sha="b" * 40, head_sha="c" * 40, from_fork=False
    )


def test_a_fork_is_another_repository(issuer: Issuer, tmp_path: Path) -> None:
    fork = PullRequest(fork="mallory/shop")
    with github_job(issuer, tmp_path, event="pull_request", pull_request=fork) as stand_in:
        job = github.job(stand_in.environ)
        assert "ACTIONS_ID_TOKEN_REQUEST_URL" not in stand_in.environ
    assert job.change is not None
    assert job.change.from_fork


def test_a_fork_keeps_being_one_when_it_is_deleted(issuer: Issuer, tmp_path: Path) -> None:
    with github_job(issuer, tmp_path, event="pull_request", pull_request=PullRequest()) as stand_in:
        payload = json.loads((tmp_path / "event.json").read_text())
        payload["pull_request"]["head"]["repo"] = None
        (tmp_path / "event.json").write_text(json.dumps(payload))
        job = github.job(stand_in.environ)
    assert job.change is not None
    assert job.change.from_fork


def pull(**changes: Any) -> bytes:
    repository = {"id": 1, "full_name": "acme/shop"}
    request: dict[str, Any] = {
        "number": 1,
        "base": {"ref": "main", "sha": "b" * 40, "repo": repository},
        "head": {"sha": "c" * 40, "repo": repository},
    }
    for path, value in changes.items():
        *parents, last = path.split("__")
        place = request
        for name in parents:
            place = place[name]
        place[last] = value
    return json.dumps({"pull_request": request}).encode()


def test_who_opened_what_the_job_is_about(issuer: Issuer, tmp_path: Path) -> None:
    with github_job(issuer, tmp_path, event="pull_request", pull_request=PullRequest(author=17)) as stand_in:
        assert github.author(stand_in.environ) == 17
        payload = tmp_path / "event.json"
        payload.write_text('{"issue": {"number": 3, "user": {"id": 18}}}')
        assert github.author({**stand_in.environ, "GITHUB_EVENT_NAME": "issue_comment"}) == 18
        assert github.author({**stand_in.environ, "GITHUB_EVENT_NAME": "push"}) is None


@pytest.mark.parametrize("event", ["{}", '{"pull_request": {}}', '{"pull_request": {"user": null}}', '{"issue": {}}'])
def test_a_payload_that_does_not_say_who_opened_it(issuer: Issuer, tmp_path: Path, event: str) -> None:
    with github_job(issuer, tmp_path, event="pull_request", pull_request=PullRequest()) as stand_in:
        (tmp_path / "event.json").write_text(event)
        with pytest.raises(IdentityRefused, match="who opened"):
            github.author(stand_in.environ)


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"null",
        b"[]",
        b"{}",
        b'{"pull_request": null}',
        b'{"pull_request": {}}',
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"x": ' * 100_000,
        pull(number="1"),
        pull(number=0),
        pull(number=True),
        pull(base__sha="main"),
        pull(base__sha="--upload-pack=touch pwned"),
        pull(base__ref="-x"),
        pull(base__ref="a\nb"),
        pull(base__repo=None),
        pull(head__sha=""),
        pull(head__repo={"id": "1", "full_name": "acme/shop"}),
    ],
)
def test_hostile_payloads_are_refused(issuer: Issuer, tmp_path: Path, payload: bytes) -> None:
    with github_job(issuer, tmp_path, event="pull_request", pull_request=PullRequest()) as stand_in:
        (tmp_path / "event.json").write_bytes(payload)
        with pytest.raises(IdentityRefused, match="event payload"):
            github.job(stand_in.environ)


def test_the_payload_of_the_table_above_is_sound(issuer: Issuer, tmp_path: Path) -> None:
    with github_job(issuer, tmp_path, event="pull_request", pull_request=PullRequest()) as stand_in:
        (tmp_path / "event.json").write_bytes(pull())
        assert github.job(stand_in.environ).change is not None


def test_a_payload_too_large_is_refused(issuer: Issuer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(github, "EVENT_LIMIT", 100)
    with (
        github_job(issuer, tmp_path, event="pull_request", pull_request=PullRequest()) as stand_in,
        pytest.raises(IdentityRefused, match="too large"),
    ):
        github.job(stand_in.environ)


@pytest.mark.parametrize("place", ["", "absent.json", ".", "a\0b"])
def test_a_payload_that_is_not_there_is_refused(issuer: Issuer, tmp_path: Path, place: str) -> None:
    with github_job(issuer, tmp_path, event="pull_request", pull_request=PullRequest()) as stand_in:
        environ = {**stand_in.environ, "GITHUB_EVENT_PATH": str(tmp_path / place) if place else ""}
        with pytest.raises(IdentityRefused, match="GITHUB_EVENT_PATH"):
            github.job(environ)


@pytest.mark.parametrize(
    "name",
    [
        "GITHUB_REPOSITORY",
        "GITHUB_SERVER_URL",
        "GITHUB_EVENT_NAME",
        "GITHUB_RUN_ID",
        "GITHUB_RUN_ATTEMPT",
        "GITHUB_SHA",
    ],
)
def test_missing_and_malformed_variables_are_refused(issuer: Issuer, tmp_path: Path, name: str) -> None:
    with github_job(issuer, tmp_path) as stand_in:
        for value in ("", "two words\n"):
            with pytest.raises(IdentityRefused, match=name):
                github.job({**stand_in.environ, name: value})


def test_the_token_is_asked_for_with_the_audience(issuer: Issuer, tmp_path: Path) -> None:
    with github_job(issuer, tmp_path) as stand_in:
        token = github.identity_token(stand_in.environ, "urn:x&y=z w")
    [request] = issuer.requests
    assert token.count(".") == 2
    assert request.query == {"api-version": ["2.0"], "audience": ["urn:x&y=z w"]}
    assert request.headers["authorization"] == f"bearer {stand_in.environ['ACTIONS_ID_TOKEN_REQUEST_TOKEN']}"


def test_an_address_without_a_query_gets_one(issuer: Issuer) -> None:
    issuer.routes["/token"] = lambda _: json_answer({"value": "a.b.c"})
    environ = {"ACTIONS_ID_TOKEN_REQUEST_URL": f"{issuer.url}/token", "ACTIONS_ID_TOKEN_REQUEST_TOKEN": "t"}
    assert github.identity_token(environ, "ciguard") == "a.b.c"
    assert issuer.requests[0].query == {"audience": ["ciguard"]}


@pytest.mark.parametrize("missing", ["ACTIONS_ID_TOKEN_REQUEST_URL", "ACTIONS_ID_TOKEN_REQUEST_TOKEN"])
def test_without_the_permission_the_remedy_is_the_permission(issuer: Issuer, tmp_path: Path, missing: str) -> None:
    with github_job(issuer, tmp_path) as stand_in, pytest.raises(IdentityRefused) as refusal:
        github.identity_token({**stand_in.environ, missing: ""}, "ciguard")
    assert "permissions:\n  contents: read\n  id-token: write" in refusal.value.remedy
    assert issuer.requests == []


def test_a_failing_service_is_asked_again(issuer: Issuer) -> None:
    answers = [Answer(b"", 503), Answer(b"", 500), json_answer({"value": "a.b.c"})]
    issuer.routes["/token"] = lambda _: answers.pop(0)
    environ = {"ACTIONS_ID_TOKEN_REQUEST_URL": f"{issuer.url}/token?v=2", "ACTIONS_ID_TOKEN_REQUEST_TOKEN": "t"}
    assert github.identity_token(environ, "ciguard") == "a.b.c"


@pytest.mark.parametrize(
    ("answer", "cause"),
    [
        (json_answer({"message": "denied, you sent s3cret-bearer"}, 401), "status 401"),
        (json_answer({}), "without a token"),
        (json_answer({"value": ""}), "without a token"),
        (json_answer({"value": 7}), "without a token"),
        (json_answer(["s3cret-bearer"]), "without a token"),
        (Answer(b"<html>s3cret-bearer"), "not JSON"),
        (Answer(b"s3cret-bearer", 500), "status 500"),
        (Answer(b"", 302, {"location": "http://127.0.0.1:1/"}), "redirect"),
    ],
)
def test_useless_answers_are_refused_without_repeating_anything(issuer: Issuer, answer: Answer, cause: str) -> None:
    issuer.routes["/token"] = lambda _: answer
    environ = {
        "ACTIONS_ID_TOKEN_REQUEST_URL": f"{issuer.url}/token?v=2",
        "ACTIONS_ID_TOKEN_REQUEST_TOKEN": "s3cret-bearer",
    }
    with pytest.raises(IdentityRefused, match=cause) as refusal:
        github.identity_token(environ, "ciguard")
    assert "s3cret" not in f"{refusal.value.cause} {refusal.value.remedy} {refusal.value!r}"


def test_the_request_token_itself_is_never_sent_in_the_clear() -> None:
    environ = {"ACTIONS_ID_TOKEN_REQUEST_URL": "http://id.example.com/?v=2", "ACTIONS_ID_TOKEN_REQUEST_TOKEN": "t"}
    with pytest.raises(IdentityRefused, match="not https"):
        github.identity_token(environ, "ciguard")


def test_what_identifies_the_job_is_a_credential(issuer: Issuer, tmp_path: Path) -> None:
    with github_job(issuer, tmp_path) as stand_in:
        secret = {name for name in stand_in.environ if "TOKEN" in name}
    assert secret <= github.CREDENTIAL_VARIABLES
    assert {"ACTIONS_ID_TOKEN_REQUEST_URL", "CIGUARD_APP_PRIVATE_KEY"} <= github.CREDENTIAL_VARIABLES


def test_what_could_change_later_steps_is_withheld_but_no_secret() -> None:
    withheld = {*COMMAND_FILES, "ACTIONS_CACHE_URL", "ACTIONS_RESULTS_URL", "ACTIONS_RUNTIME_URL", "CIGUARD_APP_ID"}
    assert withheld == github.WITHHELD_VARIABLES - github.CREDENTIAL_VARIABLES


@pytest.mark.parametrize("event", ["issues", "issue_comment"])
def test_events_about_an_issue_name_it(issuer: Issuer, tmp_path: Path, event: str) -> None:
    with github_job(issuer, tmp_path, event=event) as stand_in:
        (tmp_path / "event.json").write_text('{"issue": {"number": 12}}')
        job = github.job(stand_in.environ)
        assert (job.issue, job.change) == (12, None)
        for payload in ('{"issue": {"number": 0}}', '{"issue": {}}', "{}"):
            (tmp_path / "event.json").write_text(payload)
            with pytest.raises(IdentityRefused, match=r"an issue|the issue"):
                github.job(stand_in.environ)


def test_the_guards_own_token_comes_first() -> None:
    both = {"CIGUARD_GITHUB_TOKEN": "own", "GITHUB_TOKEN": "job"}
    assert github.approval_token(both) == "own"
    assert github.approval_token({**both, "CIGUARD_GITHUB_TOKEN": " "}) == "job"
    assert github.approval_token({}) == ""
    assert set(both) <= github.WITHHELD_VARIABLES

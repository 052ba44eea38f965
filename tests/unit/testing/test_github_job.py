from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import jwt
import pytest

from ciguard.testing.github_job import COMMAND_FILES, PullRequest, github_job
from ciguard.testing.issuer import Issuer


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    with Issuer() as issuer:
        yield issuer


def ask(url: str, authorization: str) -> tuple[int, dict[str, str]]:
    request = urllib.request.Request(url, headers={"authorization": authorization})
    try:
        with urllib.request.urlopen(request, timeout=5) as response:
            return response.status, json.load(response)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)


def test_the_service_hands_out_the_jobs_token(issuer: Issuer, tmp_path: Path) -> None:
    with github_job(issuer, tmp_path, claims={"environment": "prod"}) as job:
        url, bearer = job.environ["ACTIONS_ID_TOKEN_REQUEST_URL"], job.environ["ACTIONS_ID_TOKEN_REQUEST_TOKEN"]
        status, answer = ask(f"{url}&audience=urn:x", f"bearer {bearer}")
        claims = jwt.decode(answer["value"], options={"verify_signature": False})
        assert status == 200
        assert claims["aud"] == "urn:x"
        assert claims["environment"] == "prod"
        assert claims["repository"] == job.environ["GITHUB_REPOSITORY"]
        assert claims["run_id"] == job.environ["GITHUB_RUN_ID"]
        for wrong in ("", f"bearer {bearer}x", f"bearer {bearer.swapcase()}", f"basic {bearer}"):
            assert ask(f"{url}&audience=urn:x", wrong)[0] == 401
        for query in ("", "&audience=", "&audience=a&audience=b"):
            assert ask(url + query, f"bearer {bearer}")[0] == 400
    assert ask(f"{url}&audience=urn:x", f"bearer {bearer}")[0] == 404


def test_the_request_token_is_the_runtime_token_as_on_github(issuer: Issuer, tmp_path: Path) -> None:
    with github_job(issuer, tmp_path) as job:
        assert job.environ["ACTIONS_RUNTIME_TOKEN"] == job.environ["ACTIONS_ID_TOKEN_REQUEST_TOKEN"]


def test_the_runners_files_are_there(issuer: Issuer, tmp_path: Path) -> None:
    with github_job(issuer, tmp_path, event="pull_request", pull_request=PullRequest(number=3)) as job:
        assert all(Path(job.environ[name]).is_file() for name in COMMAND_FILES)
        payload = json.loads(Path(job.environ["GITHUB_EVENT_PATH"]).read_text())
    assert payload["pull_request"]["number"] == 3
    assert job.environ["GITHUB_REF"] == "refs/pull/3/merge"


def test_a_forks_pull_request_has_nothing_to_ask_with(issuer: Issuer, tmp_path: Path) -> None:
    fork = PullRequest(fork="mallory/shop")
    with github_job(issuer, tmp_path, event="pull_request", pull_request=fork) as job:
        assert not any(name.startswith("ACTIONS_ID_TOKEN") for name in job.environ)
    with github_job(issuer, tmp_path, event="pull_request_target", pull_request=fork) as job:
        assert "ACTIONS_ID_TOKEN_REQUEST_URL" in job.environ

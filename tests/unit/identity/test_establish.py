from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from ciguard.errors import IdentityRefused
from ciguard.forge import current_job
from ciguard.forge.job import Job
from ciguard.identity import fetch
from ciguard.identity.establish import UNVERIFIED, IdentityMode, admit, check_job, entry_for, establish
from ciguard.identity.match import Entry, Layers
from ciguard.operation import Json
from ciguard.policy.sections.identity import Identity as IdentitySection
from ciguard.testing.github_job import PullRequest, github_job
from ciguard.testing.gitlab_job import MergeRequest, gitlab_job
from ciguard.testing.issuer import Issuer


@dataclass(frozen=True, slots=True)
class Allowing:
    """The part of a policy that matters here."""

    issuers: Sequence[str]
    allow_layers: Layers = (({"repository": ("acme/shop",)}, {"project_path": ("acme/platform/shop",)}),)
    audience: str = "ciguard"


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    with Issuer() as issuer:
        yield issuer


@pytest.fixture(autouse=True)
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetch, "PAUSE", 0)


def job_in(environ: Mapping[str, str]) -> Job:
    job = current_job(environ)
    assert job is not None
    return job


def refusal_of(job: Job | None, environ: Mapping[str, str], policy: Allowing, mode: IdentityMode) -> IdentityRefused:
    with pytest.raises(IdentityRefused) as refusal:
        establish(job, environ, policy, mode)
    return refusal.value


def test_a_github_job_is_established(issuer: Issuer, tmp_path: Path) -> None:
    with github_job(issuer, tmp_path, event="pull_request", pull_request=PullRequest()) as stand_in:
        job = job_in(stand_in.environ)
        identity = establish(job, stand_in.environ, Allowing([issuer.url]), IdentityMode.AUTO)
    assert identity.verified
    assert identity.issuer == issuer.url
    assert identity.job == job
    assert identity.claims["repository_id"] == "820001"
    assert identity.claims["aud"] == "ciguard"
    assert identity.token_digest.startswith("sha256:")
    assert len(identity.token_digest) == 71


def test_a_gitlab_job_is_established(issuer: Issuer) -> None:
    stand_in = gitlab_job(issuer, merge_request=MergeRequest())
    token = stand_in.environ["CIGUARD_ID_TOKEN"]
    identity = establish(job_in(stand_in.environ), stand_in.environ, Allowing([issuer.url]), IdentityMode.AUTO)
    assert identity.claims["user_login"] == "alice"
    assert "groups_direct" not in identity.claims
    assert identity.token_digest == f"sha256:{hashlib.sha256(token.encode()).hexdigest()}"
    assert not any(part in repr(identity) for part in token.split("."))


def test_the_policys_own_section_fits(issuer: Issuer) -> None:
    stand_in = gitlab_job(issuer, audience="urn:acme")
    written = {"audience": "urn:acme", "issuers": [issuer.url], "allow_layers": [[{"project_path": "acme/*"}]]}
    section = IdentitySection.model_validate_json(json.dumps(written))
    assert establish(job_in(stand_in.environ), stand_in.environ, section, IdentityMode.AUTO).verified


def test_outside_of_ci_none_is_unverified() -> None:
    assert establish(None, {}, Allowing([]), IdentityMode.NONE) is UNVERIFIED
    assert not UNVERIFIED.verified
    assert UNVERIFIED.claims == {}


def test_outside_of_ci_auto_is_refused() -> None:
    error = refusal_of(None, {"CI": "true"}, Allowing([]), IdentityMode.AUTO)
    assert "not a GitHub or GitLab job" in error.cause
    assert "--identity none" in error.remedy


def test_inside_a_job_none_is_refused(issuer: Issuer, tmp_path: Path) -> None:
    with github_job(issuer, tmp_path) as github:
        error = refusal_of(job_in(github.environ), github.environ, Allowing([issuer.url]), IdentityMode.NONE)
        assert error.cause == "`--identity none` is refused inside a GitHub job"
    gitlab = gitlab_job(issuer)
    error = refusal_of(job_in(gitlab.environ), gitlab.environ, Allowing([issuer.url]), IdentityMode.NONE)
    assert error.cause == "`--identity none` is refused inside a GitLab job"
    assert issuer.requests == []


@pytest.mark.parametrize("event", ["pull_request", "pull_request_target"])
def test_a_forks_pull_request_is_refused_before_any_request(issuer: Issuer, tmp_path: Path, event: str) -> None:
    fork = PullRequest(number=12, fork="mallory/shop")
    with github_job(issuer, tmp_path, event=event, pull_request=fork) as stand_in:
        error = refusal_of(job_in(stand_in.environ), stand_in.environ, Allowing([issuer.url]), IdentityMode.AUTO)
    assert "pull request #12 comes from a fork" in error.cause
    assert issuer.requests == []


def test_a_forks_merge_request_is_refused_before_any_request(issuer: Issuer) -> None:
    stand_in = gitlab_job(issuer, merge_request=MergeRequest(fork="mallory/shop"))
    error = refusal_of(job_in(stand_in.environ), stand_in.environ, Allowing([issuer.url]), IdentityMode.AUTO)
    assert "merge request !7 comes from a fork" in error.cause
    assert issuer.requests == []


@pytest.mark.parametrize("layers", [(), ((),), ((), ())])
def test_a_policy_that_allows_nobody_says_what_to_add(issuer: Issuer, tmp_path: Path, layers: Layers) -> None:
    with github_job(issuer, tmp_path, event="schedule") as stand_in:
        job = job_in(stand_in.environ)
        policy = Allowing([issuer.url], allow_layers=layers)
        error = refusal_of(job, stand_in.environ, policy, IdentityMode.AUTO)
        assert "no identity.allow" in error.cause
        assert issuer.requests == []
        entry = YAML(typ="safe").load(error.remedy.partition("\n")[2])["identity"]["allow"][0]
        pasted = Allowing([issuer.url], allow_layers=[[{name: [value] for name, value in entry.items()}]])
        assert establish(job, stand_in.environ, pasted, IdentityMode.AUTO).verified
    assert entry == {
        "repository": "acme/shop",
        "repository_id": "820001",
        "event_name": "schedule",
        "runner_environment": "github-hosted",
    }


def test_the_entry_to_add_on_gitlab_allows_the_job_too(issuer: Issuer) -> None:
    stand_in = gitlab_job(issuer, merge_request=MergeRequest())
    job = job_in(stand_in.environ)
    entry = YAML(typ="safe").load(entry_for(job, stand_in.environ))["identity"]["allow"][0]
    pasted = Allowing([issuer.url], allow_layers=[[{name: [value] for name, value in entry.items()}]])
    assert establish(job, stand_in.environ, pasted, IdentityMode.AUTO).verified
    assert entry == {
        "project_path": "acme/platform/shop",
        "project_id": "820001",
        "pipeline_source": "merge_request_event",
    }


def test_the_entry_to_add_is_inert(issuer: Issuer, tmp_path: Path) -> None:
    with github_job(issuer, tmp_path) as stand_in:
        environ = {**stand_in.environ, "RUNNER_ENVIRONMENT": 'x"}\n::error::\u202e'}
        text = entry_for(job_in(environ), environ)
    assert all(line.isascii() and line.isprintable() for line in text.split("\n"))
    assert YAML(typ="safe").load(text)["identity"]["allow"][0]["runner_environment"] == environ["RUNNER_ENVIRONMENT"]


def test_a_job_that_is_not_allowed_hears_why(issuer: Issuer, tmp_path: Path) -> None:
    policy = Allowing(
        [issuer.url], allow_layers=[[{"repository": ["acme/*"], "event_name": ["schedule", "workflow_dispatch"]}]]
    )
    with github_job(issuer, tmp_path) as stand_in:
        error = refusal_of(job_in(stand_in.environ), stand_in.environ, policy, IdentityMode.AUTO)
    assert error.cause == (
        "the policy's identity.allow does not allow this job; "
        "closest is entry 1: event_name is 'push', wanted 'schedule' or 'workflow_dispatch'"
    )
    assert 'event_name: "push"' in error.remedy


def test_every_layer_must_allow(issuer: Issuer) -> None:
    stand_in = gitlab_job(issuer)
    allow: dict[str, list[str]] = {"project_path": ["acme/platform/shop"]}
    policy = Allowing([issuer.url], allow_layers=[[allow], [{"ref_protected": ["true"]}]])
    error = refusal_of(job_in(stand_in.environ), stand_in.environ, policy, IdentityMode.AUTO)
    assert "ref_protected is 'false', wanted 'true'" in error.cause


def test_a_job_without_a_token_is_refused(issuer: Issuer, tmp_path: Path) -> None:
    with github_job(issuer, tmp_path) as github:
        environ = {name: value for name, value in github.environ.items() if not name.startswith("ACTIONS_ID_TOKEN")}
        error = refusal_of(job_in(environ), environ, Allowing([issuer.url]), IdentityMode.AUTO)
        assert "id-token: write" in error.remedy
    gitlab = gitlab_job(issuer)
    environ = {name: value for name, value in gitlab.environ.items() if name != "CIGUARD_ID_TOKEN"}
    error = refusal_of(job_in(environ), environ, Allowing([issuer.url]), IdentityMode.AUTO)
    assert "id_tokens:\n  CIGUARD_ID_TOKEN:\n    aud: ciguard" in error.remedy


def test_an_issuer_that_the_policy_does_not_name_is_not_asked(issuer: Issuer) -> None:
    stand_in = gitlab_job(issuer)
    error = refusal_of(job_in(stand_in.environ), stand_in.environ, Allowing([]), IdentityMode.AUTO)
    assert issuer.url in error.remedy
    assert issuer.requests == []


def test_a_token_for_another_audience_is_refused(issuer: Issuer) -> None:
    stand_in = gitlab_job(issuer, audience="https://vault.example.com")
    error = refusal_of(job_in(stand_in.environ), stand_in.environ, Allowing([issuer.url]), IdentityMode.AUTO)
    assert "audience" in error.cause


@pytest.mark.parametrize("claim", ["repository", "run_id", "run_attempt", "event_name", "sha"])
def test_a_token_of_another_github_job_is_refused(issuer: Issuer, tmp_path: Path, claim: str) -> None:
    other: dict[str, Json] = {claim: "other"}
    absent: dict[str, Json] = {claim: None}
    for number, claims in enumerate((other, absent)):
        directory = tmp_path / str(number)
        directory.mkdir()
        with github_job(issuer, directory, claims=claims) as stand_in:
            policy = Allowing([issuer.url], allow_layers=[[{"actor": ["alice"]}]])
            error = refusal_of(job_in(stand_in.environ), stand_in.environ, policy, IdentityMode.AUTO)
        assert f"issued for another job: its {claim} is" in error.cause


@pytest.mark.parametrize("claim", ["project_path", "pipeline_id", "job_id", "pipeline_source", "sha"])
def test_a_token_of_another_gitlab_job_is_refused(issuer: Issuer, claim: str) -> None:
    other: dict[str, Json] = {claim: "other"}
    absent: dict[str, Json] = {claim: None}
    for claims in (other, absent):
        stand_in = gitlab_job(issuer, claims=claims)
        policy = Allowing([issuer.url], allow_layers=[[{"user_login": ["alice"]}]])
        error = refusal_of(job_in(stand_in.environ), stand_in.environ, policy, IdentityMode.AUTO)
        assert f"issued for another job: its {claim} is" in error.cause


def test_a_token_for_another_base_branch_is_refused(issuer: Issuer, tmp_path: Path) -> None:
    """The payload chooses the branch that the policy is read from, so the token must agree with it."""
    with github_job(
        issuer, tmp_path, event="pull_request", pull_request=PullRequest(), claims={"base_ref": "other"}
    ) as stand_in:
        error = refusal_of(job_in(stand_in.environ), stand_in.environ, Allowing([issuer.url]), IdentityMode.AUTO)
    assert "base_ref is 'other', the event payload's is 'main'" in error.cause


def test_a_review_has_no_base_branch_in_its_token(issuer: Issuer, tmp_path: Path) -> None:
    with github_job(
        issuer, tmp_path, event="pull_request_review", pull_request=PullRequest(), claims={"base_ref": ""}
    ) as stand_in:
        job = job_in(stand_in.environ)
        assert establish(job, stand_in.environ, Allowing([issuer.url]), IdentityMode.AUTO).verified


def test_a_token_for_a_forks_change_is_refused(issuer: Issuer) -> None:
    """Where the variables say that there is no fork: in the pipeline of a fork's merge request the two ids differ."""
    stand_in = gitlab_job(issuer, claims={"project_id": "820002"})
    error = refusal_of(job_in(stand_in.environ), stand_in.environ, Allowing([issuer.url]), IdentityMode.AUTO)
    assert "project_id and job_project_id differ" in error.cause


FORK = MergeRequest(fork="mallory/shop")
BOTH = {"project_path": ["mallory/shop"], "job_project_path": ["acme/platform/shop"]}


@pytest.mark.parametrize(
    "entry",
    [BOTH, {"project_id": ["820002"], "job_project_id": ["820001"]}, {**BOTH, "pipeline_source": ["merge_*"]}],
)
def test_a_fork_that_the_policy_names_with_the_target_is_established(issuer: Issuer, entry: Entry) -> None:
    stand_in = gitlab_job(issuer, merge_request=FORK)
    policy = Allowing([issuer.url], allow_layers=[[{"project_path": ["acme/platform/shop"]}, entry]])
    identity = establish(job_in(stand_in.environ), stand_in.environ, policy, IdentityMode.AUTO)
    assert identity.claims["project_path"] == "mallory/shop"


NAMES_NOT_BOTH: list[list[list[Entry]]] = [
    [[{"project_path": ["mallory/shop"]}]],
    [[{"job_project_path": ["acme/platform/shop"]}]],
    [[{"pipeline_source": ["merge_request_event"]}]],
    [[{**BOTH, "project_path": ["*/shop"]}]],
    [[{**BOTH, "project_path": ["mallory/shop", "*"]}]],
    [[{**BOTH, "job_project_path": ["acme/*"]}]],
    [[BOTH], [{"project_path": ["mallory/shop"]}]],
    [[BOTH], []],
]
NAMES_OTHERS: list[list[list[Entry]]] = [
    [[{**BOTH, "project_path": ["acme/platform/shop"]}]],
    [[{**BOTH, "job_project_path": ["acme/other"]}]],
    [[{**BOTH, "user_login": ["bob"]}]],
    [[BOTH], [{**BOTH, "user_login": ["bob"]}]],
]


@pytest.mark.parametrize("layers", NAMES_NOT_BOTH + NAMES_OTHERS)
def test_a_fork_is_refused_otherwise(issuer: Issuer, layers: Layers) -> None:
    stand_in = gitlab_job(issuer, merge_request=FORK)
    policy = Allowing([issuer.url], allow_layers=layers)
    error = refusal_of(job_in(stand_in.environ), stand_in.environ, policy, IdentityMode.AUTO)
    assert "merge request !7 comes from a fork, and identity.allow" in error.cause
    assert '{project_path: THE/FORK, job_project_path: "acme/platform/shop"}' in error.remedy
    if layers in NAMES_NOT_BOTH:
        assert issuer.requests == []


@pytest.mark.parametrize(
    ("claims", "said"),
    [
        ({"project_id": "820001"}, "changes from forks get no identity"),
        ({"job_project_id": "820002"}, "changes from forks get no identity"),
        ({"job_project_id": None}, "changes from forks get no identity"),
        ({"job_project_path": "acme/other"}, "its job_project_path is 'acme/other'"),
        ({"job_project_path": None}, "its job_project_path is ''"),
        ({"sha": "d" * 40}, "its sha is"),
    ],
)
def test_a_named_forks_token_must_be_for_this_job(issuer: Issuer, claims: dict[str, Json], said: str) -> None:
    """A pipeline in the fork itself, which has the fork's own policy, among them."""
    stand_in = gitlab_job(issuer, merge_request=FORK, claims=claims)
    everything = {name: ["mallory/shop", "acme/platform/shop", "acme/other"] for name in BOTH}
    policy = Allowing([issuer.url], allow_layers=[[everything]])
    error = refusal_of(job_in(stand_in.environ), stand_in.environ, policy, IdentityMode.AUTO)
    assert said in error.cause


def test_an_older_gitlab_has_one_project_in_its_token(issuer: Issuer) -> None:
    stand_in = gitlab_job(issuer)
    claims = {name: value for name, value in stand_in.claims.items() if isinstance(value, str)}
    del claims["job_project_id"]
    check_job(claims, job_in(stand_in.environ))
    with pytest.raises(IdentityRefused, match="another job"):
        check_job(claims, replace(job_in(stand_in.environ), repository="acme/other"))


def test_what_no_policy_could_change_is_refused_before_there_is_one(issuer: Issuer, tmp_path: Path) -> None:
    admit(None, IdentityMode.NONE)
    with pytest.raises(IdentityRefused, match="not a GitHub or GitLab job"):
        admit(None, IdentityMode.AUTO)
    with github_job(issuer, tmp_path, event="pull_request", pull_request=PullRequest()) as stand_in:
        job = job_in(stand_in.environ)
        admit(job, IdentityMode.AUTO)
        with pytest.raises(IdentityRefused, match="refused inside a GitHub job"):
            admit(job, IdentityMode.NONE)
        assert job.change is not None
        with pytest.raises(IdentityRefused, match="pull request #7 comes from a fork"):
            admit(replace(job, change=replace(job.change, from_fork=True)), IdentityMode.AUTO)

"""Approval by letting a second job into an environment: what the first shows is what passes there, once."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.integration.asking import Running, Site, git, site

APPROVED = "{via: environment, environment: agent-approved}"
RUN = 4711


def output(folder: Path, name: str) -> str:
    """An output of the step."""
    lines = (folder / "github_output").read_text().splitlines()
    (start,) = [index for index, line in enumerate(lines) if line.startswith(f"{name}<<")]
    return lines[start + 1]


async def first_job(place: Site) -> str:
    """The job that comes to something held; what waits then."""
    place.forge.start_run(RUN, head=place.head)
    async with place.job(run=str(RUN)) as session:
        status, errors = await session.ended()
        assert status == 79, errors
        assert "waiting: 1 operation waits for approval on the environment agent-approved" in errors
        assert [event["outcome"] for event in session.events("verdict")] == ["awaited"]
    assert place.heard == []
    return output(place.folder, "awaiting")


def actions_token(place: Site) -> dict[str, str]:
    """The token of a job with actions: read."""
    return {"CIGUARD_GITHUB_TOKEN": place.forge.issue_token("github-actions[bot]", writes=False, actions="read")}


async def test_what_reviewers_let_in_passes_once(tmp_path: Path) -> None:
    async with site(tmp_path, APPROVED) as place:
        awaiting = await first_job(place)
        summary = (tmp_path / "github_step_summary").read_text()
        assert awaiting in summary
        assert "echo deploy [ciguard-masked:hide:" in summary
        assert "customer-4711" not in summary
        assert place.forge.thread == {}
        place.forge.review(RUN, "bob", "agent-approved")
        async with second_job(place, awaiting) as session:
            status, errors = await session.ended()
            assert status == 0, errors
            (verdict,) = session.events("verdict")
            assert (verdict["outcome"], "by @bob" in verdict["reason"]) == ("released", True)
            (asked,) = session.events("approval_requested")
            assert f"{asked['approval']}-{asked['digest']}" == awaiting
        assert session.deployed
        assert place.heard == ["done\n"]


@dataclass(frozen=True)
class How:
    """How the second job runs; with ``actions_token`` unless there is another ``environ``."""

    run: int = RUN
    attempt: int = 1
    environment: str = "agent-approved"
    environ: Mapping[str, str] | None = None
    author: int = 1001


LET_IN = How()


@asynccontextmanager
async def second_job(place: Site, awaiting: str, how: How = LET_IN) -> AsyncIterator[Running]:
    """The job that is told what it was let in for."""
    async with place.job(
        run=str(how.run),
        attempt=how.attempt,
        environment=how.environment,
        environ=actions_token(place) if how.environ is None else how.environ,
        author=how.author,
        options=("--approved", awaiting),
    ) as session:
        yield session


async def second(place: Site, awaiting: str, how: How = LET_IN) -> tuple[int, str, list[str]]:
    """Exit status, errors and outcomes of a second job that deploys nothing."""
    async with second_job(place, awaiting, how) as session:
        status, errors = await session.ended()
        outcomes = [event["outcome"] for event in session.events("verdict")]
        assert not session.deployed
        return status, errors, outcomes


async def test_a_job_that_was_not_let_in_gets_nothing(tmp_path: Path) -> None:
    async with site(tmp_path, APPROVED) as place:
        awaiting = await first_job(place)
        place.forge.review(RUN, "bob", "agent-approved")
        status, errors, _ = await second(place, awaiting, How(environment=""))
        assert status == 77
        assert "its identity token is not for the environment agent-approved" in errors
        status, errors, _ = await second(place, awaiting, How(environment="staging"))
        assert status == 77


async def test_an_environment_without_a_review_that_counts_lets_nothing_pass(tmp_path: Path) -> None:
    async with site(tmp_path, APPROVED) as place:
        awaiting = await first_job(place)
        status, errors, _ = await second(place, awaiting)
        assert status == 75
        assert "nobody who counts has let this run into the environment" in errors
        place.forge.review(RUN, "bob", "staging")
        place.forge.review(RUN, "bob", "agent-approved", state="rejected")
        assert (await second(place, awaiting))[0] == 75


@pytest.mark.parametrize("who", ["started", "started again", "opened the pull request"])
async def test_who_asks_for_the_change_does_not_count(tmp_path: Path, who: str) -> None:
    async with site(tmp_path, APPROVED) as place:
        awaiting = await first_job(place)
        place.forge.review(RUN, "bob", "agent-approved")
        bob = place.forge.user("bob").id
        match who:
            case "started":
                how = How(environ={"GITHUB_ACTOR_ID": str(bob), **actions_token(place)})
            case "started again":
                how = How(environ={"GITHUB_TRIGGERING_ACTOR": "bob", **actions_token(place)})
            case _:
                how = How(author=bob)
        status, errors, _ = await second(place, awaiting, how)
        assert status == 75
        assert "nobody who counts" in errors
        place.forge.review(RUN, "carol", "agent-approved")
        async with second_job(place, awaiting, how) as session:
            status, errors = await session.ended()
            assert status == 0, errors
            (verdict,) = session.events("verdict")
            assert "by @carol" in verdict["reason"]


async def test_a_policy_can_let_them_count(tmp_path: Path) -> None:
    lenient = "{via: environment, environment: agent-approved, self_approval: true}"
    async with site(tmp_path, lenient) as place:
        awaiting = await first_job(place)
        place.forge.review(RUN, "bob", "agent-approved")
        async with second_job(place, awaiting, How(author=place.forge.user("bob").id)) as session:
            status, errors = await session.ended()
            assert status == 0, errors


async def test_a_token_that_cannot_see_reviews_is_not_enough(tmp_path: Path) -> None:
    async with site(tmp_path, APPROVED) as place:
        awaiting = await first_job(place)
        place.forge.review(RUN, "bob", "agent-approved")
        status, errors, _ = await second(place, awaiting, How(environ={}))
        assert status == 75
        assert "actions: read" in errors


@pytest.mark.parametrize("changed", ["run", "attempt", "digest", "policy", "head"])
async def test_it_is_for_this_run_attempt_commit_policy_and_operation(tmp_path: Path, changed: str) -> None:
    async with site(tmp_path, APPROVED) as place:
        awaiting = await first_job(place)
        how = LET_IN
        match changed:
            case "run":
                place.forge.start_run(4712, head=place.head)
                place.forge.review(4712, "bob", "agent-approved")
                how = How(run=4712)
            case "attempt":
                how = How(attempt=2)
            case "digest":
                awaiting = awaiting[:-1] + ("0" if awaiting[-1] != "0" else "1")
            case "policy":
                file = tmp_path / "shop/.ciguard.yml"
                file.write_text(file.read_text().replace("Deploying is for people.", "Deploying is for others."))
                git(tmp_path / "shop", "commit", "--quiet", "--all", "--message=policy")
                place.base = git(tmp_path / "shop", "rev-parse", "HEAD")
            case "head":
                place.head = place.base
        place.forge.review(RUN, "bob", "agent-approved")
        status, errors, outcomes = await second(place, awaiting, how)
        assert (status, outcomes) == (79, ["awaited"]), errors


async def test_approvals_are_for_policies_that_ask_an_environment(tmp_path: Path) -> None:
    async with site(tmp_path) as place:
        place.forge.start_run(RUN, head=place.head)
        reference = "3f9a2c.1-" + "0" * 24
        async with place.job(run=str(RUN), options=("--approved", reference)) as session:
            status, errors = await session.ended()
        assert status == 64
        assert "does not say approval.via: environment" in errors

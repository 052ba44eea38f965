"""Getting ready to ask on GitHub: people by id, who may not approve, and what is refused before the agent starts."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from ciguard.approvals.person import AtLeast, Person, Role, Team
from ciguard.errors import ApprovalUnavailable
from ciguard.forge.github_api import GitHubApi, StaticToken
from ciguard.forge.github_desk import GitHubDesk, api_of
from ciguard.forge.job import ChangeRequest, Forge, Job
from ciguard.testing.github_forge import GitHubForge
from tests.unit.approvals.fakes import FakeClock

CHANGE = ChangeRequest(7, "main", "b" * 40, "c" * 40, from_fork=False)
JOB = Job(
    Forge.GITHUB,
    "acme/shop",
    "pull_request",
    "a" * 40,
    "refs/pull/7/merge",
    "1",
    "1",
    "carol",
    "https://github.com/acme/shop/actions/runs/1/attempts/1",
    "https://github.com",
    CHANGE,
)


@pytest.fixture
async def forge() -> AsyncIterator[GitHubForge]:
    with GitHubForge() as forge:
        forge.add_user("bob", role="write")
        forge.add_user("carol", role="write")
        forge.add_user("dave", role="write")
        forge.add_team("acme/security", "bob")
        forge.open_pull_request(7, author="alice", head="e" * 40)
        yield forge


@pytest.fixture
async def api(forge: GitHubForge) -> AsyncIterator[GitHubApi]:
    api = GitHubApi(forge.url, StaticToken(forge.issue_token("github-actions[bot]", reads_teams=True)))
    yield api
    api.close()


async def test_approvers_are_looked_up(forge: GitHubForge, api: GitHubApi) -> None:
    desk = GitHubDesk(api, JOB, {}, FakeClock())
    names = ["@bob", "@acme/security", "role:admin", "codeowners:/db/"]
    roster = await desk.roster(names, "/db/ @acme/security dba@example.com @dave\n")
    bob, dave = forge.user("bob").id, forge.user("dave").id
    assert roster == {
        "@bob": (Person("bob", bob),),
        "@acme/security": (Team("acme/security"),),
        "role:admin": (AtLeast(Role.ADMIN),),
        "codeowners:/db/": (Team("acme/security"), Person("dave", dave)),
    }


async def test_an_approval_rule_is_nobody_here(api: GitHubApi) -> None:
    with pytest.raises(ApprovalUnavailable, match="GitHub has no approval rules"):
        await GitHubDesk(api, JOB, {}, FakeClock()).roster(["rule:Security"], "")


async def test_author_actor_and_who_ran_it_again_are_excluded(forge: GitHubForge, api: GitHubApi) -> None:
    desk = GitHubDesk(api, JOB, {"GITHUB_TRIGGERING_ACTOR": "dave", "GITHUB_ACTOR_ID": "4242"}, FakeClock())
    place = await desk.place(actor="4343", self_approval=False)
    assert place is not None
    ids = {forge.user(login).id for login in ("alice", "carol", "dave")} | {4242, 4343}
    assert {account for account, _ in place.excluded} == ids
    assert place.name == "github.com/acme/shop#7"


async def test_the_policy_may_let_them_approve(api: GitHubApi) -> None:
    place = await GitHubDesk(api, JOB, {}, FakeClock()).place(actor="4343", self_approval=True)
    assert place is not None
    assert place.excluded == ()


async def test_requests_are_bound_to_the_commit_of_the_run_not_to_a_later_one(api: GitHubApi) -> None:
    place = await GitHubDesk(api, JOB, {}, FakeClock()).place(actor="", self_approval=True)
    assert place is not None
    assert (place.head, await place.thread.head()) == ("c" * 40, "e" * 40)


@pytest.mark.parametrize(("number", "head"), [(7, "e" * 40), (8, "")])
async def test_an_event_about_an_issue_asks_there(forge: GitHubForge, api: GitHubApi, number: int, head: str) -> None:
    forge.open_issue("alice", "t", "b")
    job = replace(JOB, change=None, issue=number)
    place = await GitHubDesk(api, job, {}, FakeClock()).place(actor="", self_approval=True)
    assert place is not None
    assert (place.name, place.head) == (f"github.com/acme/shop#{number}", head)


async def test_trouble_at_the_start_is_waited_out_for_a_while_only(forge: GitHubForge, api: GitHubApi) -> None:
    clock = FakeClock()
    desk = GitHubDesk(api, JOB, {}, clock)
    forge.fail(3, status=502)
    assert (await desk.roster(["@bob"], ""))["@bob"]
    forge.fail(1000, status=502)
    with pytest.raises(ApprovalUnavailable, match="trouble of its own"):
        await desk.roster(["@bob"], "")
    assert clock.passed < 120


@pytest.mark.parametrize(
    "url", ["", "http://api.example.com", "ftp://127.0.0.1", "https://", "file:///etc", "http://127.0.0.1.example.com"]
)
def test_the_token_goes_to_no_other_address(url: str) -> None:
    with pytest.raises(ApprovalUnavailable):
        api_of({"GITHUB_API_URL": url}, "t")

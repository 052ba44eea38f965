"""Getting ready to ask on GitLab: people by id, who may not approve, and what is refused before the agent starts."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from ciguard.approvals.person import AtLeast, Person, Role, Team
from ciguard.errors import ApprovalUnavailable
from ciguard.forge.gitlab_api import GitLabApi
from ciguard.forge.gitlab_desk import GitLabDesk, api_of
from ciguard.forge.job import ChangeRequest, Forge, Job
from ciguard.testing.gitlab_forge import GitLabForge
from ciguard.testing.gitlab_forge.state import GUARD_BOT
from tests.unit.approvals.fakes import FakeClock

CHANGE = ChangeRequest(7, "main", "", "c" * 40, from_fork=False)
JOB = Job(
    Forge.GITLAB,
    "acme/platform/shop",
    "merge_request_event",
    "c" * 40,
    "fix-cart",
    "4711",
    "815",
    "carol",
    "https://gitlab.example.com/acme/platform/shop/-/jobs/815",
    "https://gitlab.example.com",
    CHANGE,
)


@pytest.fixture
async def forge() -> AsyncIterator[GitLabForge]:
    with GitLabForge() as forge:
        for name in ("bob", "carol", "dave"):
            forge.add_user(name, level=30)
        forge.add_group("acme", "bob")
        forge.add_group("acme/platform/dba", "bob")
        forge.pipelines["4711"] = forge.user("dave")
        forge.open_merge_request(7, author="alice", head="e" * 40)
        yield forge
        assert forge.surprises == []


@pytest.fixture
async def api(forge: GitLabForge) -> AsyncIterator[GitLabApi]:
    api = GitLabApi(forge.url, forge.token)
    yield api
    api.close()


async def test_approvers_are_looked_up(forge: GitLabForge, api: GitLabApi) -> None:
    names = ["@bob", "@acme", "@acme/platform/dba", "role:admin", "codeowners:/db/"]
    roster = await GitLabDesk(api, JOB, {}, FakeClock()).roster(
        names, "/db/ @acme/platform/dba dba@example.com @dave\n"
    )
    assert roster == {
        "@bob": (Person("bob", forge.user("bob").id),),
        "@acme": (Team("acme"),),
        "@acme/platform/dba": (Team("acme/platform/dba"),),
        "role:admin": (AtLeast(Role.ADMIN),),
        "codeowners:/db/": (Team("acme/platform/dba"), Person("dave", forge.user("dave").id)),
    }


@pytest.mark.parametrize("name", ["@nobody", "@acme/nobody"])
async def test_who_does_not_exist_is_refused(api: GitLabApi, name: str) -> None:
    with pytest.raises(ApprovalUnavailable, match="sees no user or group of that name"):
        await GitLabDesk(api, JOB, {}, FakeClock()).roster([name], "")


async def test_an_approval_rule_is_whom_the_project_says(forge: GitLabForge, api: GitLabApi) -> None:
    forge.rules = {f"Rule {number}": (forge.user("dave"),) for number in range(150)}
    forge.rules["Security"] = (forge.user("bob"), forge.user("carol"))
    roster = await GitLabDesk(api, JOB, {}, FakeClock()).roster(["rule:Security"], "")
    assert roster == {"rule:Security": tuple(Person(name, forge.user(name).id) for name in ("bob", "carol"))}


@pytest.mark.parametrize(
    ("rules", "cause"),
    [
        ({"security": ("bob",)}, "has none of that name with approvers"),
        ({"Security": ()}, "has none of that name with approvers"),
        (None, "cannot read the project's rules"),
    ],
)
async def test_an_approval_rule_that_names_nobody_is_refused(
    forge: GitLabForge, api: GitLabApi, rules: dict[str, tuple[str, ...]] | None, cause: str
) -> None:
    forge.rules = None if rules is None else {name: tuple(map(forge.user, users)) for name, users in rules.items()}
    with pytest.raises(ApprovalUnavailable, match=cause):
        await GitLabDesk(api, JOB, {}, FakeClock()).roster(["rule:Security"], "")


@pytest.mark.parametrize("heading", ["[Database] @acme/dba", "^[Docs]", "  [Docs][2]"])
async def test_owners_by_section_are_refused_where_they_are_asked_for(api: GitLabApi, heading: str) -> None:
    desk = GitLabDesk(api, JOB, {}, FakeClock())
    with pytest.raises(ApprovalUnavailable, match="has sections"):
        await desk.roster(["codeowners:/db/"], f"* @bob\n{heading}\n/db/ @dave\n")
    assert await desk.roster(["@bob"], heading)


async def test_author_and_all_who_started_it_are_excluded(forge: GitLabForge, api: GitLabApi) -> None:
    desk = GitLabDesk(api, JOB, {"GITLAB_USER_ID": "4242"}, FakeClock())
    place = await desk.place(actor="4343", self_approval=False)
    assert place is not None
    assert {account for account, _ in place.excluded} == {forge.user("alice").id, forge.user("dave").id, 4242, 4343}
    assert place.name == "gitlab.example.com/acme/platform/shop!7"
    # The commit of the run, not the one that the merge request has moved on to.
    assert (place.head, await place.thread.head()) == ("c" * 40, "e" * 40)


async def test_the_policy_may_let_them_approve(api: GitLabApi) -> None:
    place = await GitLabDesk(api, JOB, {}, FakeClock()).place(actor="4343", self_approval=True)
    assert place is not None
    assert place.excluded == ()


async def test_without_a_merge_request_an_issue_can_be_opened(forge: GitLabForge, api: GitLabApi) -> None:
    desk = GitLabDesk(api, replace(JOB, change=None), {}, FakeClock())
    assert await desk.place(actor="", self_approval=True) is None
    place = await desk.new_place("Approval", "of a run", actor="", self_approval=False)
    assert (place.name, place.head, forge.issues) == ("gitlab.example.com/acme/platform/shop#1", "", {1: "Approval"})
    assert {account for account, _ in place.excluded} == {forge.user("dave").id}


async def test_a_gitlab_that_does_not_tell_edits_is_refused() -> None:
    with GitLabForge(old=True) as forge:
        api = GitLabApi(forge.url, forge.token)
        with pytest.raises(ApprovalUnavailable, match="does not say whether notes were edited"):
            await GitLabDesk(api, JOB, {}, FakeClock()).place(actor="", self_approval=True)
        api.close()


async def test_a_token_that_may_not_write_is_refused(forge: GitLabForge) -> None:
    api = GitLabApi(forge.url, forge.issue_token(GUARD_BOT, writes=False))
    with pytest.raises(ApprovalUnavailable, match="cannot open an issue") as refusal:
        await GitLabDesk(api, JOB, {}, FakeClock()).new_place("t", "b", actor="", self_approval=True)
    assert "project access token" in (refusal.value.remedy or "")
    api.close()


async def test_trouble_at_the_start_is_waited_out_for_a_while_only(forge: GitLabForge, api: GitLabApi) -> None:
    clock = FakeClock()
    desk = GitLabDesk(api, JOB, {}, clock)
    forge.fail(3, status=502)
    assert (await desk.roster(["@bob"], ""))["@bob"]
    forge.fail(1000, status=502)
    with pytest.raises(ApprovalUnavailable, match="trouble of its own"):
        await desk.roster(["@bob"], "")
    assert clock.passed < 120


@pytest.mark.parametrize(
    "url",
    [
        "",
        "http://gitlab.example.com/api/v4",
        "https://gitlab.example.com",
        "https://gitlab.example.com/api/v3",
        "ftp://127.0.0.1/api/v4",
        "http://127.0.0.1.example.com/api/v4",
    ],
)
def test_the_token_goes_to_no_other_address(url: str) -> None:
    with pytest.raises(ApprovalUnavailable):
        api_of({"CI_API_V4_URL": url}, "t")

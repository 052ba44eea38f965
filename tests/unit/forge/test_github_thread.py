"""GitHub as a thread, against the stand-in; and a whole question there."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest

from ciguard.approvals.person import Account, Person, Role, Team
from ciguard.approvals.request import ApprovalRequest
from ciguard.approvals.ruling import Comment, Expired, Released
from ciguard.approvals.waiting import Question, interval
from ciguard.forge.github_api import PAGE, SECONDARY_WAIT, GitHubApi, StaticToken
from ciguard.forge.github_thread import GitHubThread, role_of
from ciguard.forge.thread import ForgeTrouble, Freshness, Posted, Reaction
from ciguard.testing.github_forge import GitHubForge
from tests.unit.approvals.fakes import FakeClock, PlainTexts
from tests.unit.approvals.scene import REQUEST, panel

HEAD = "c" * 40


@pytest.fixture
async def forge() -> AsyncIterator[GitHubForge]:
    with GitHubForge() as forge:
        forge.add_user("bob", role="maintain")
        forge.add_user("mallory", role="write")
        forge.add_team("acme/security", "bob")
        forge.open_pull_request(7, author="alice", head=HEAD)
        yield forge


@pytest.fixture
async def api(forge: GitHubForge) -> AsyncIterator[GitHubApi]:
    api = GitHubApi(forge.url, StaticToken(forge.issue_token("github-actions[bot]", reads_teams=True)))
    yield api
    api.close()


@pytest.fixture
def thread(api: GitHubApi) -> GitHubThread:
    return GitHubThread(api, "acme/shop", 7, pull=True)


def account(forge: GitHubForge, login: str) -> Account:
    return Account(forge.user(login).id, login, human=True)


async def listed(thread: GitHubThread, after: Posted) -> list[Comment]:
    return list(await thread.comments(after, Freshness.UNLESS_UNCHANGED))


class TestComments:
    async def test_are_written_and_edited(self, forge: GitHubForge, thread: GitHubThread) -> None:
        posted = await thread.post("hello @bob")
        await thread.edit(posted.id, "bye")
        (comment,) = forge.comments(7)
        assert (comment.id, comment.body, comment.author.login) == (posted.id, "bye", "github-actions[bot]")
        assert posted.created == comment.created
        assert str(posted.id) in posted.url

    async def test_later_pages_are_read_also_when_the_first_did_not_change(
        self, forge: GitHubForge, thread: GitHubThread
    ) -> None:
        posted = await thread.post("request")
        for number in range(PAGE - 1):
            forge.comment(7, "bob", f"number {number}")
        assert len(await listed(thread, posted)) == PAGE
        forge.comment(7, "bob", "on the second page")
        comments = await listed(thread, posted)
        assert [comment.body for comment in comments[-2:]] == [f"number {PAGE - 2}", "on the second page"]
        for _ in range(PAGE):
            forge.comment(7, "bob", "more")
        assert len(await listed(thread, posted)) == 2 * PAGE + 1

    async def test_say_who_wrote_them(self, forge: GitHubForge, thread: GitHubThread) -> None:
        posted = await thread.post("request")
        forge.comment(7, "bob", "as himself")
        forge.comment(7, "bob", "through an app", app="helper")
        forge.add_user("import", kind="Mannequin")
        forge.comment(7, "import", "imported")
        authors = [comment.author for comment in await listed(thread, posted)]
        assert [author.human for author in authors] == [False, True, False, False]
        assert authors[1].id == forge.user("bob").id

    async def test_of_a_clock_that_is_off_are_found(self, forge: GitHubForge, thread: GitHubThread) -> None:
        forge.skew = timedelta(hours=-5)
        posted = await thread.post("request")
        forge.comment(7, "bob", "answer")
        assert [comment.body for comment in await listed(thread, posted)] == ["request", "answer"]

    async def test_reactions(self, forge: GitHubForge, thread: GitHubThread) -> None:
        identifier = forge.comment(7, "bob", "x")
        await thread.react(identifier, Reaction.NOT_COUNTED)
        assert [content for _, content in forge.thread[identifier].reactions] == ["confused"]


async def test_edits_are_seen(forge: GitHubForge, thread: GitHubThread) -> None:
    posted = await thread.post("request")
    edited, kept, gone = (forge.comment(7, "bob", "x") for _ in range(3))
    comments = (await listed(thread, posted))[1:]
    forge.edit(edited, "mallory", "approve")
    forge.delete(gone)
    originals = await thread.originals(comments)
    assert (originals[edited].edited, originals[edited].body) == (True, "approve")
    assert (originals[kept].edited, originals[kept].author) == (False, forge.user("bob").id)
    assert gone not in originals
    assert forge.surprises == []


async def test_many_edits_are_asked_for_in_parts(forge: GitHubForge, thread: GitHubThread) -> None:
    posted = await thread.post("request")
    for _ in range(150):
        forge.comment(7, "bob", "x")
    assert len(await thread.originals((await listed(thread, posted))[1:])) == 150


class TestStanding:
    async def test_role_and_teams(self, forge: GitHubForge, thread: GitHubThread) -> None:
        standing = await thread.standing(account(forge, "bob"), ["acme/security"])
        assert standing is not None
        assert (standing.role, standing.teams, len(standing.answers)) == (
            Role.MAINTAIN,
            frozenset({"acme/security"}),
            2,
        )
        other = await thread.standing(account(forge, "mallory"), ["acme/security"])
        assert other is not None
        assert (other.role, other.teams) == (Role.WRITE, frozenset())

    async def test_a_name_that_changed_hands_has_none(self, forge: GitHubForge, thread: GitHubThread) -> None:
        bob = account(forge, "bob")
        forge.rename("bob", "robert")
        forge.add_user("bob", role="admin")
        assert await thread.standing(bob, []) is None

    async def test_who_is_gone_has_none(self, thread: GitHubThread) -> None:
        assert await thread.standing(Account(1, "nobody", human=True), []) is None

    async def test_a_token_that_may_not_read_teams_is_trouble(self, forge: GitHubForge) -> None:
        api = GitHubApi(forge.url, StaticToken(forge.token))
        thread = GitHubThread(api, "acme/shop", 7, pull=True)
        with pytest.raises(ForgeTrouble, match="lacks a permission"):
            await thread.standing(account(forge, "bob"), ["acme/security"])
        api.close()


@pytest.mark.parametrize(
    ("permission", "name", "role"),
    [
        ("admin", "admin", Role.ADMIN),
        ("write", "maintain", Role.MAINTAIN),
        ("write", "write", Role.WRITE),
        ("write", "release-manager", Role.WRITE),
        ("read", "triage", Role.TRIAGE),
        ("read", "maintain", Role.READ),
        ("read", "read", Role.READ),
        ("none", "none", Role.NONE),
        ("none", "admin", Role.NONE),
        ("owner", "admin", Role.NONE),
    ],
)
def test_the_lesser_of_two_descriptions_decides(permission: str, name: str, role: Role) -> None:
    assert role_of(permission, name) is role


async def test_the_head_is_the_pull_requests(forge: GitHubForge, thread: GitHubThread, api: GitHubApi) -> None:
    assert await thread.head() == HEAD
    forge.push(7, "e" * 40)
    assert await thread.head() == "e" * 40
    assert await GitHubThread(api, "acme/shop", 7, pull=False).head() == ""


async def test_a_review_is_asked_for_once(forge: GitHubForge, thread: GitHubThread) -> None:
    bob, alice = (Person(login, forge.user(login).id) for login in ("bob", "alice"))
    await thread.request_review(bob)
    await thread.request_review(bob)
    assert [user.login for user in forge.issues[7].reviewers] == ["bob"]
    assert sum(call.path.endswith("requested_reviewers") for call in forge.calls) == 1
    with pytest.raises(ForgeTrouble, match="status 422"):
        await thread.request_review(alice)


class TestTrouble:
    @pytest.mark.parametrize(
        ("status", "headers", "body", "text", "wait"),
        [
            (502, {}, "{}", "trouble of its own", 0),
            (0, {}, "", "cannot be reached", 0),
            (403, {"retry-after": "37"}, "{}", "rate limit", 37),
            (429, {}, "{}", "rate limit", SECONDARY_WAIT),
            (403, {}, '{"message": "You have exceeded a secondary rate limit"}', "rate limit", SECONDARY_WAIT),
            (403, {}, '{"message": "Resource not accessible by integration"}', "lacks a permission", 0),
            (404, {}, "{}", "nothing there", 0),
            (200, {}, "<html>", "not JSON", 0),
            (200, {}, "{}", "not a list", 0),
            (302, {"location": "http://127.0.0.1:1/"}, "", "refused the request", 0),
            (301, {"location": "https://elsewhere.example.com/"}, "", "somewhere else", 0),
        ],
    )
    async def test_is_told_with_how_long_to_wait(
        self,
        forge: GitHubForge,
        thread: GitHubThread,
        status: int,
        headers: dict[str, str],
        body: str,
        text: str,
        wait: float,
    ) -> None:
        forge.fail(status=status, headers=headers, body=body)
        with pytest.raises(ForgeTrouble, match=text) as trouble:
            await thread.comments(Posted(1, datetime.now(UTC), ""), Freshness.ANEW)
        assert trouble.value.wait == wait
        assert "gh" + "p_" not in str(trouble.value) + repr(trouble.value)

    async def test_a_primary_limit_is_counted_on_githubs_clock(self, forge: GitHubForge, thread: GitHubThread) -> None:
        forge.limit = 0
        forge.skew = timedelta(hours=3)
        forge.resets = int(forge.now().timestamp()) + 100
        with pytest.raises(ForgeTrouble) as trouble:
            await thread.head()
        assert 98 <= trouble.value.wait <= 101

    async def test_a_wrong_token_is_told(self, forge: GitHubForge) -> None:
        api = GitHubApi(forge.url, StaticToken("wrong"))
        with pytest.raises(ForgeTrouble, match="does not accept the token") as trouble:
            await api.get("/users/bob")
        assert trouble.value.status == 401
        api.close()

    async def test_what_is_not_as_described_is_trouble(self, forge: GitHubForge, thread: GitHubThread) -> None:
        forge.fail(status=200, body=json.dumps({"head": {"sha": 7}}))
        with pytest.raises(ForgeTrouble, match="something unexpected"):
            await thread.head()


def request(forge: GitHubForge) -> ApprovalRequest:
    now = datetime.now(UTC)
    return ApprovalRequest(
        REQUEST.id,
        REQUEST.digest,
        HEAD,
        now + timedelta(hours=1),
        (panel(Team("acme/security")),),
        ((forge.user("alice").id, "x"),),
    )


class ForgeClock(FakeClock):
    """The fake clock, begun now: GitHub's own stamps are real."""

    def __init__(self) -> None:
        super().__init__()
        self._began = datetime.now(UTC)

    def now(self) -> datetime:
        """See Clock."""
        return self._began + timedelta(seconds=self.passed)


async def test_a_whole_question(forge: GitHubForge, thread: GitHubThread) -> None:
    clock = ForgeClock()
    question = Question(request(forge), thread, clock, PlainTexts(), set(), lambda _: None)
    clock.at(10, lambda: forge.comment(7, "mallory", f"/ciguard approve {REQUEST.reference}"))
    clock.at(20, lambda: forge.comment(7, "alice", f"/ciguard approve {REQUEST.reference}"))
    clock.at(30, lambda: forge.comment(7, "bob", f"/ciguard approve {REQUEST.reference}"))
    ruling = await question.answer()
    await question.close(ruling)
    assert isinstance(ruling.outcome, Released)
    assert [evidence.login for evidence in ruling.approvals] == ["bob"]
    assert [one.why for one in ruling.discounted] == ["its author is not one of the approvers", "x"]
    bodies = [comment.body for comment in forge.comments(7)]
    assert bodies[0] == "asking: Released, 1 approvals"
    assert [body for body in bodies if body.startswith("reply")] == [
        "reply: its author is not one of the approvers",
        "reply: x",
    ]
    assert forge.surprises == []


@pytest.mark.parametrize("when", [1.0, 119.0, 590.0, 3500.0])
async def test_the_next_look_releases_and_waiting_for_it_was_free(
    forge: GitHubForge, thread: GitHubThread, when: float
) -> None:
    clock = ForgeClock()
    question = Question(request(forge), thread, clock, PlainTexts(), set(), lambda _: None)
    idle: list[int] = []

    def approve() -> None:
        idle.append(forge.counted)
        forge.comment(7, "bob", f"/ciguard approve {REQUEST.reference}")

    clock.at(when, approve)
    assert isinstance((await question.answer()).outcome, Released)
    assert clock.passed - when <= interval(when) + 1
    assert idle[0] <= 5
    # What is left to do once the comment is there: two looks at the thread, each with edits, role, team and head.
    assert forge.counted - idle[0] <= 10


async def test_an_hour_of_nothing_costs_at_most_five_requests(forge: GitHubForge, thread: GitHubThread) -> None:
    clock = ForgeClock()
    question = Question(request(forge), thread, clock, PlainTexts(), set(), lambda _: None)
    ruling = await question.answer()
    await question.close(ruling)
    assert (ruling.outcome, clock.passed >= 3600) == (Expired(), True)
    assert len(forge.calls) > 200
    assert forge.counted <= 5

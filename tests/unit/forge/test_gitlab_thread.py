"""GitLab as a thread, against the stand-in; and a whole question there."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest

from ciguard.approvals.person import Account, Person, Role, Team
from ciguard.approvals.request import ApprovalRequest
from ciguard.approvals.ruling import Comment, Denied, Expired, Released, Ruling
from ciguard.approvals.waiting import Question
from ciguard.forge.gitlab_api import LIMIT_WAIT, PAGE, GitLabApi
from ciguard.forge.gitlab_thread import MOST_NOTES, GitLabThread, role_of
from ciguard.forge.thread import ForgeTrouble, Freshness, Posted, Reaction
from ciguard.testing.gitlab_forge import GitLabForge
from ciguard.testing.gitlab_forge.state import GUARD_BOT
from tests.unit.approvals.fakes import FakeClock, PlainTexts
from tests.unit.approvals.scene import REQUEST, panel

HEAD = "c" * 40
PROJECT = "acme/platform/shop"
APPROVE = f"ciguard approve {REQUEST.reference}"
DENY = f"ciguard deny {REQUEST.reference}"


@pytest.fixture
async def forge() -> AsyncIterator[GitLabForge]:
    with GitLabForge(PROJECT) as forge:
        forge.add_user("bob", level=40)
        forge.add_user("mallory", level=30)
        forge.add_group("acme/security", "bob", "alice")
        forge.open_merge_request(7, author="alice", head=HEAD)
        yield forge
        assert forge.surprises == []


@pytest.fixture
async def api(forge: GitLabForge) -> AsyncIterator[GitLabApi]:
    api = GitLabApi(forge.url, forge.token)
    yield api
    api.close()


@pytest.fixture
def thread(api: GitLabApi) -> GitLabThread:
    return GitLabThread(api, "https://gitlab.example.com", PROJECT, 7, "merge_requests")


async def listed(thread: GitLabThread, after: Posted) -> list[Comment]:
    return list(await thread.comments(after, Freshness.ANEW))


def account(forge: GitLabForge, name: str) -> Account:
    return Account(forge.user(name).id, name, human=True)


class TestNotes:
    async def test_are_written_and_edited(self, forge: GitLabForge, thread: GitLabThread) -> None:
        posted = await thread.post("hello @bob")
        await thread.edit(posted.id, "bye")
        (note,) = forge.thread(7)
        assert (note.id, note.body, note.author.username) == (posted.id, "bye", GUARD_BOT)
        assert posted.url == f"https://gitlab.example.com/{PROJECT}/-/merge_requests/7#note_{note.id}"

    async def test_hold_no_commands_for_gitlab(self, forge: GitLabForge, thread: GitLabThread) -> None:
        posted = await thread.post("````text\n```\n/merge\n````\n/approve")
        assert forge.notes[posted.id].body == "````text\n```\n /merge\n````\n /approve"
        await thread.edit(posted.id, "/close")
        assert forge.notes[posted.id].body == " /close"

    async def test_later_pages_are_read(self, forge: GitLabForge, thread: GitLabThread) -> None:
        posted = await thread.post("request")
        for number in range(PAGE):
            forge.comment(7, "bob", f"number {number}")
        assert [one.body for one in await listed(thread, posted)][-2:] == [f"number {PAGE - 2}", f"number {PAGE - 1}"]

    async def test_say_who_wrote_them(self, forge: GitLabForge, thread: GitLabThread) -> None:
        posted = await thread.post("request")
        forge.add_user("project_1_bot", level=40, bot=True)
        forge.comment(7, "bob", "as himself")
        forge.comment(7, "bob", "from elsewhere", imported=True)
        forge.comment(7, "project_1_bot", "as a token")
        forge.push(7, HEAD)
        authors = [comment.author for comment in (await listed(thread, posted))[1:]]
        assert [(author.login, author.human) for author in authors] == [
            ("bob", True),
            ("bob", False),
            ("project_1_bot", False),
        ]
        assert authors[0].id == forge.user("bob").id

    async def test_with_a_time_that_somebody_set_keep_their_place(
        self, forge: GitLabForge, thread: GitLabThread
    ) -> None:
        earlier = forge.comment(7, "bob", "before", created=datetime.now(UTC) + timedelta(days=1))
        forge.resolve(earlier)
        posted = await thread.post("request")
        dated = forge.comment(7, "bob", "after", created=datetime.now(UTC) - timedelta(days=365))
        ids = [comment.id for comment in await listed(thread, posted)]
        assert dated in ids
        assert dated > posted.id > earlier

    async def test_reactions_are_given_once(self, forge: GitLabForge, thread: GitLabThread) -> None:
        note = forge.comment(7, "bob", "x")
        await thread.react(note, Reaction.NOT_COUNTED)
        await thread.react(note, Reaction.NOT_COUNTED)
        assert [name for _, name in forge.notes[note].reactions] == ["confused"]
        forge.fail(status=500)
        with pytest.raises(ForgeTrouble):
            await thread.react(note, Reaction.APPROVED)

    async def test_of_an_issue(self, forge: GitLabForge, api: GitLabApi) -> None:
        forge.issues[3] = "Approval"
        thread = GitLabThread(api, "https://gitlab.example.com", PROJECT, 3, "issues")
        posted = await thread.post("request")
        await thread.request_review(Person("bob", forge.user("bob").id))
        assert [one.body for one in await listed(thread, posted)] == ["request"]
        assert await thread.head() == ""


async def test_edits_are_seen_and_other_activity_is_none(forge: GitLabForge, thread: GitLabThread) -> None:
    posted = await thread.post("request")
    edited, kept, gone = (forge.comment(7, "bob", "x") for _ in range(3))
    by_bot = forge.comment(7, GUARD_BOT, "x")
    comments = (await listed(thread, posted))[1:]
    forge.edit(edited, "mallory", "approve")
    forge.resolve(kept)
    forge.delete(gone)
    originals = await thread.originals(comments)
    assert (originals[edited].edited, originals[edited].body) == (True, "approve")
    assert (originals[kept].edited, originals[kept].author) == (False, forge.user("bob").id)
    assert originals[by_bot].author == 0
    assert gone not in originals


async def test_many_notes_are_asked_about_in_parts(forge: GitLabForge, thread: GitLabThread) -> None:
    posted = await thread.post("request")
    for _ in range(2 * MOST_NOTES + 1):
        forge.comment(7, "bob", "x")
    assert len(await thread.originals((await listed(thread, posted))[1:])) == 2 * MOST_NOTES + 1
    assert sum(call.path == "/api/graphql" for call in forge.calls) == 3


class TestStanding:
    async def test_role_and_groups(self, forge: GitLabForge, thread: GitLabThread) -> None:
        standing = await thread.standing(account(forge, "bob"), ["acme/security"])
        assert standing is not None
        assert (standing.role, standing.teams) == (Role.MAINTAIN, frozenset({"acme/security"}))
        assert len(standing.answers) == 2
        other = await thread.standing(account(forge, "mallory"), ["acme/security"])
        assert other is not None
        assert (other.role, other.teams) == (Role.WRITE, frozenset())

    async def test_goes_by_id_not_by_name(self, forge: GitLabForge, thread: GitLabThread) -> None:
        bob = account(forge, "bob")
        forge.rename("bob", "robert")
        forge.add_user("bob", level=50)
        standing = await thread.standing(bob, [])
        assert standing is not None
        assert standing.role is Role.MAINTAIN

    async def test_who_is_gone_or_blocked_has_none(self, forge: GitLabForge, thread: GitLabThread) -> None:
        bob = account(forge, "bob")
        forge.members[bob.id].state = "blocked"
        assert await thread.standing(bob, []) is None
        forge.set_level("bob", 0)
        assert await thread.standing(bob, []) is None

    async def test_who_waits_for_a_place_in_a_group_is_not_in_it(
        self, forge: GitLabForge, thread: GitLabThread
    ) -> None:
        bob = account(forge, "bob")
        forge.groups["acme/security"][bob.id].state = "awaiting"
        standing = await thread.standing(bob, ["acme/security"])
        assert standing is not None
        assert standing.teams == frozenset()

    async def test_a_group_that_the_token_does_not_see_has_no_members(self, forge: GitLabForge) -> None:
        api = GitLabApi(forge.url, forge.issue_token(GUARD_BOT, reads_groups=False))
        thread = GitLabThread(api, "https://gitlab.example.com", PROJECT, 7, "merge_requests")
        standing = await thread.standing(account(forge, "bob"), ["acme/security"])
        assert standing is not None
        assert standing.teams == frozenset()
        api.close()


@pytest.mark.parametrize(
    ("level", "role"),
    [(60, Role.ADMIN), (50, Role.ADMIN), (40, Role.MAINTAIN), (30, Role.WRITE), (25, Role.TRIAGE), (20, Role.TRIAGE),
     (15, Role.READ), (10, Role.READ), (5, Role.NONE), (0, Role.NONE)],
)  # fmt: skip
def test_an_access_level_is_the_role_that_it_is_at_least(level: int, role: Role) -> None:
    assert role_of(level) is role


async def test_reviewers_are_added_to_those_who_are_there(forge: GitLabForge, thread: GitLabThread) -> None:
    forge.merge_requests[7].reviewers = [forge.user("mallory")]
    for _ in range(2):
        await thread.request_review(Person("bob", forge.user("bob").id))
    assert [user.username for user in forge.merge_requests[7].reviewers] == ["mallory", "bob"]
    assert sum(call.method == "PUT" for call in forge.calls) == 1


class TestTrouble:
    @pytest.mark.parametrize(
        ("status", "headers", "body", "text", "wait"),
        [
            (502, {}, "{}", "trouble of its own", 0),
            (0, {}, "", "cannot be reached", 0),
            (429, {"retry-after": "37"}, "Retry later", "rate limit", 37),
            (429, {}, "{}", "rate limit", LIMIT_WAIT),
            (403, {}, "{}", "lacks a permission", 0),
            (404, {}, "{}", "nothing there", 0),
            (200, {}, "<html>", "not JSON", 0),
            (200, {}, "{}", "not a list", 0),
            (200, {}, '[{"id": 7}]', "something unexpected", 0),
        ],
    )
    async def test_is_told_with_how_long_to_wait(
        self,
        forge: GitLabForge,
        thread: GitLabThread,
        status: int,
        headers: dict[str, str],
        body: str,
        text: str,
        wait: float,
    ) -> None:
        forge.fail(status=status, headers=headers, body=body)
        with pytest.raises(ForgeTrouble, match=text) as trouble:
            await thread.comments(Posted(1, datetime.now(UTC), ""), Freshness.ANEW)
        assert (trouble.value.wait, forge.token in repr(trouble.value)) == (wait, False)

    async def test_the_token_follows_no_redirect(self, forge: GitLabForge, thread: GitLabThread) -> None:
        with GitLabForge(PROJECT) as other:
            forge.fail(status=302, headers={"location": f"{other.url}/api/v4/projects"})
            with pytest.raises(ForgeTrouble, match="somewhere else"):
                await thread.head()
            assert other.calls == []

    async def test_a_wrong_token_is_told(self, forge: GitLabForge) -> None:
        api = GitLabApi(forge.url, "wrong")
        with pytest.raises(ForgeTrouble, match="does not accept the token") as trouble:
            await api.get("/users/1")
        assert trouble.value.status == 401
        api.close()


class ForgeClock(FakeClock):
    """The fake clock, begun now: GitLab's own stamps are real."""

    def __init__(self) -> None:
        super().__init__()
        self._began = datetime.now(UTC)

    def now(self) -> datetime:
        """See Clock."""
        return self._began + timedelta(seconds=self.passed)


def question(forge: GitLabForge, thread: GitLabThread, clock: ForgeClock, minutes: int = 60) -> Question:
    expires = clock.now() + timedelta(minutes=minutes)
    excluded = ((forge.user("alice").id, "x"),)
    request = ApprovalRequest(
        REQUEST.id, REQUEST.digest, HEAD, expires, (panel(Team("acme/security")),), excluded, thread.prefix
    )
    return Question(request, thread, clock, PlainTexts(), set(), lambda _: None)


async def test_a_whole_question(forge: GitLabForge, thread: GitLabThread) -> None:
    clock = ForgeClock()
    asking = question(forge, thread, clock)
    clock.at(10, lambda: forge.comment(7, "mallory", APPROVE))
    clock.at(20, lambda: forge.comment(7, "alice", APPROVE))
    clock.at(25, lambda: forge.comment(7, "bob", f"/{APPROVE}"))
    clock.at(30, lambda: forge.comment(7, "bob", APPROVE))
    ruling = await asking.answer()
    await asking.close(ruling)
    assert isinstance(ruling.outcome, Released)
    assert [evidence.login for evidence in ruling.approvals] == ["bob"]
    assert [one.why for one in ruling.discounted][:2] == ["its author is not one of the approvers", "x"]
    assert len(ruling.discounted) == 3
    approval = forge.written_by("bob")[-1]
    assert [name for _, name in approval.reactions] == ["thumbsup"]


def by_bot(forge: GitLabForge) -> None:
    bot = forge.add_user("project_1_bot", level=40, bot=True)
    forge.groups["acme/security"][bot.id] = forge.members[bot.id]
    forge.comment(7, "project_1_bot", APPROVE)


def edited(forge: GitLabForge) -> None:
    forge.edit(forge.comment(7, "bob", "looks good"), "mallory", APPROVE)


def edited_old(forge: GitLabForge) -> None:
    """A note that was there before the request, which the thread's first note has the lowest id of."""
    first = min(forge.notes)
    forge.edit(first, "mallory", APPROVE)


def demoted(forge: GitLabForge) -> None:
    forge.set_level("bob", 20)
    forge.comment(7, "bob", APPROVE)


def left(forge: GitLabForge) -> None:
    del forge.groups["acme/security"][forge.user("bob").id]
    forge.comment(7, "bob", APPROVE)


def impostor(forge: GitLabForge) -> None:
    forge.rename("bob", "robert")
    forge.add_user("bob", level=40)
    forge.comment(7, "bob", APPROVE)


def moved(forge: GitLabForge) -> None:
    forge.push(7, "e" * 40)
    forge.comment(7, "bob", APPROVE)


ATTACKS = [
    by_bot,
    edited,
    edited_old,
    demoted,
    left,
    impostor,
    moved,
    lambda forge: forge.comment(7, "bob", APPROVE, imported=True),
    lambda forge: forge.comment(7, "bob", APPROVE, system=True),
    lambda forge: forge.comment(7, "bob", f"> {APPROVE}"),
    lambda forge: forge.comment(7, "bob", f"```\n{APPROVE}\n```"),
    lambda forge: forge.comment(7, "bob", f"yes\n{APPROVE}"),
    lambda forge: forge.comment(7, "bob", f"/{APPROVE}"),
    lambda forge: forge.comment(7, "bob", f"ciguard approve {REQUEST.id}-{'0' * 24}"),
    lambda forge: forge.fail(10_000, status=502, pattern="graphql") or forge.comment(7, "bob", APPROVE),
    lambda forge: forge.fail(10_000, status=429, pattern="members") or forge.comment(7, "bob", APPROVE),
]


@pytest.mark.parametrize("attack", ATTACKS)
async def test_what_does_not_count_releases_nothing(forge: GitLabForge, thread: GitLabThread, attack) -> None:  # type: ignore[no-untyped-def]  # a table of functions
    forge.comment(7, "bob", "nice work")
    clock = ForgeClock()
    asking = question(forge, thread, clock, minutes=2)
    clock.at(5, lambda: attack(forge))
    assert not isinstance((await asking.answer()).outcome, Released)


async def test_a_denial_wins(forge: GitLabForge, thread: GitLabThread) -> None:
    clock = ForgeClock()
    asking = question(forge, thread, clock)
    clock.at(5, lambda: (forge.comment(7, "bob", APPROVE), forge.comment(7, "mallory", f"{DENY} no")))
    assert isinstance((await asking.answer()).outcome, Denied)


async def test_what_is_deleted_before_the_release_is_gone(forge: GitLabForge, thread: GitLabThread) -> None:
    clock = ForgeClock()

    class Deleting(GitLabThread):
        async def comments(self, after: Posted, freshness: Freshness):  # type: ignore[no-untyped-def]  # as in the parent
            if freshness is Freshness.ANEW:
                for note in forge.written_by("bob"):
                    forge.delete(note.id)
            return await super().comments(after, freshness)

    deleting = Deleting(thread._api, "https://gitlab.example.com", PROJECT, 7, "merge_requests")
    asking = question(forge, deleting, clock, minutes=2)
    clock.at(5, lambda: forge.comment(7, "bob", APPROVE))
    ruling: Ruling = await asking.answer()
    assert ruling.outcome == Expired()

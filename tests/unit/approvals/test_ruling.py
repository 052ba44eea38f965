"""THREATS A1 to A4 as rows, and what is left when none of them applies."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ciguard.approvals.person import Account, AtLeast, Panel, Person, Role, Standing
from ciguard.approvals.ruling import Denied, Expired, Original, Pending, Released, Withdrawn, about
from ciguard.decision import Quorum
from tests.unit.approvals.scene import (
    ALICE,
    APPROVE,
    BOB,
    BOT,
    CAROL,
    DAVE,
    DBA,
    DENY,
    MAINTAINERS,
    REQUEST,
    RUN,
    SECURITY,
    STANDINGS,
    STRANGER,
    Scene,
    panel,
    request,
    said,
)


def test_an_approval_by_an_approver_releases() -> None:
    ruling = Scene([said(101)]).decided()
    assert isinstance(ruling.outcome, Released)
    (evidence,) = ruling.outcome.approvals
    assert (evidence.comment, evidence.account, evidence.login, evidence.role) == (101, BOB.id, "bob", Role.WRITE)
    assert evidence.answers == (said(101).answer, "9" * 64, "b" * 64)
    assert evidence.body == said(101).digest
    assert ruling.discounted == ()


def test_silence_is_pending_and_says_who_is_missing() -> None:
    assert Scene([said(101, body="Looks dangerous to me.")]).decided().outcome == Pending(("1 of @acme/security",))


EDITED = Original(edited=True, body=APPROVE, author=BOB.id, answer="g")
IMPOSTOR = Account(2002, "bob", human=True)
BOB_ALONE = replace(REQUEST, panels=(panel(Person("bob", BOB.id)),))

NOT_COUNTED = {
    "A1: the author": (Scene([said(101, ALICE)]), "its author opened the pull request"),
    "A1: the actor": (
        Scene([said(101, CAROL)], replace(REQUEST, panels=(MAINTAINERS,), excluded=((CAROL.id, "started the run"),))),
        "started the run",
    ),
    "A1: a bot or an app": (Scene([said(101, BOT)]), "it was not written by a human"),
    "A1: a reader": (Scene([said(101, STRANGER)]), "its author cannot write to this repository"),
    "A1: a reader whom the policy names": (
        Scene([said(101, STRANGER)], replace(REQUEST, panels=(panel(Person("stranger", STRANGER.id)),))),
        "its author cannot write to this repository",
    ),
    "A1: a writer who is no approver": (Scene([said(101, DAVE)]), "its author is not one of the approvers"),
    "A1: a member who was removed": (
        Scene([said(101)], standings=STANDINGS | {BOB.id: Standing(Role.WRITE, frozenset(), ())}),
        "its author is not one of the approvers",
    ),
    "A1: somebody whose role cannot be read": (
        Scene([said(101)], standings={}),
        "the role of its author cannot be read",
    ),
    "A1: another account with an approver's name": (
        Scene([said(101, IMPOSTOR)], BOB_ALONE, standings={IMPOSTOR.id: Standing(Role.ADMIN, frozenset(), ())}),
        "its author is not one of the approvers",
    ),
    "A2: an old comment that was edited": (Scene([said(99)]), "it is older than the request"),
    "A2: the request itself": (Scene([said(100)]), "it is older than the request"),
    "A2: edited, says the second interface": (
        Scene([said(101)], originals={101: EDITED}),
        "it was edited; write a new comment",
    ),
    "A2: the interfaces disagree on the text": (
        Scene([said(101)], originals={101: replace(EDITED, edited=False, body="Hello")}),
        "it was edited; write a new comment",
    ),
    "A2: the interfaces disagree on the author": (
        Scene([said(101)], originals={101: replace(EDITED, edited=False, author=ALICE.id)}),
        "it was edited; write a new comment",
    ),
    "A2: quoted": (Scene([said(101, body=f"> {APPROVE}")]), "the line to reply with must be the whole first line"),
    "A2: in a code block": (
        Scene([said(101, body=f"```\n{APPROVE}\n```")]),
        "the line to reply with must be the whole first line",
    ),
    "A2: in the second line": (
        Scene([said(101, body=f"Fine.\n{APPROVE}")]),
        "the line to reply with must be the whole first line",
    ),
    "A3: for changed content": (
        Scene([said(101, body=f"/ciguard approve {request(command='rm -rf /').reference}")]),
        "it names another content than what this request is about",
    ),
}


@pytest.mark.parametrize(("scene", "why"), NOT_COUNTED.values(), ids=NOT_COUNTED)
def test_what_does_not_count_is_answered(scene: Scene, why: str) -> None:
    ruling = scene.decided()
    assert isinstance(ruling.outcome, Pending)
    assert ruling.approvals == ()
    (discounted,) = ruling.discounted
    assert discounted.comment == scene.comments[0].id
    assert why in discounted.why


def test_an_approval_that_the_second_interface_does_not_know_does_not_count() -> None:
    from ciguard.approvals.ruling import Snapshot, decide
    from tests.unit.approvals.scene import ASKED_BY, START

    seen = Snapshot([said(101)], {}, STANDINGS, RUN.head, START)
    ruling = decide(REQUEST, ASKED_BY, seen)
    assert isinstance(ruling.outcome, Pending)
    assert "confirmed" in ruling.discounted[0].why


OTHERS = {
    "A3: another run": request(replace(RUN, run="4712")),
    "A3: another attempt": request(replace(RUN, attempt="2")),
    "A3: another pull request": request(replace(RUN, place="github.com/acme/shop#8")),
    "A3: after a push": request(replace(RUN, head="e" * 40)),
    "A3: another policy": request(replace(RUN, policy="sha256:" + "e" * 64)),
    "A3: another session": request(replace(RUN, session="b" * 32)),
    "A3: another content": request(command="psql -c 'DROP TABLE orders'"),
    "A3: asked a second time": request(number=2),
}


@pytest.mark.parametrize("other", OTHERS.values(), ids=OTHERS)
def test_an_approval_of_one_request_is_none_of_another(other: object) -> None:
    scene = Scene([said(101)]).but(request=other, head=other.head)  # type: ignore[attr-defined]  # rows of a table
    assert not isinstance(scene.decided().outcome, Released)
    assert about(scene.request, scene.comments) == ()


def test_nothing_counts_after_expiry() -> None:
    scene = Scene([said(101)])
    assert isinstance(scene.but(after=timedelta(minutes=30, seconds=-1)).decided().outcome, Released)
    assert scene.but(after=timedelta(minutes=30)).decided().outcome == Expired()


def test_nothing_counts_after_a_push() -> None:
    assert isinstance(Scene([said(101)], head="e" * 40).decided().outcome, Withdrawn)


class TestDenial:
    @pytest.mark.parametrize("order", [(101, 102), (102, 101)])
    def test_wins_over_an_approval_in_either_order(self, order: tuple[int, int]) -> None:
        outcome = Scene([said(order[0]), said(order[1], CAROL, f"{DENY} not on a Friday")]).decided().outcome
        assert isinstance(outcome, Denied)
        assert (outcome.denial.login, outcome.reason) == ("carol", "not on a Friday")

    def test_of_the_author_counts(self) -> None:
        assert isinstance(Scene([said(101, ALICE, DENY)]).decided().outcome, Denied)

    def test_counts_even_when_it_was_edited_into_one(self) -> None:
        scene = Scene([said(101, BOB, DENY)], originals={101: replace(EDITED, body=DENY)})
        assert isinstance(scene.decided().outcome, Denied)

    @pytest.mark.parametrize(
        ("scene", "why"),
        [
            (Scene([said(101), said(102, STRANGER, DENY)]), "cannot write"),
            (Scene([said(101), said(102, BOT, DENY)]), "not written by a human"),
            (Scene([said(99, BOB, DENY), said(101)]), "older"),
            (Scene([said(101), said(102, IMPOSTOR, DENY)]), "cannot be read"),
        ],
    )
    def test_of_somebody_without_a_say_stops_nothing(self, scene: Scene, why: str) -> None:
        ruling = scene.decided()
        assert isinstance(ruling.outcome, Released)
        assert why in ruling.discounted[0].why


class TestSeveral:
    def test_different_people(self) -> None:
        scene = Scene(request=replace(REQUEST, panels=(panel(AtLeast(Role.WRITE), count=2),)))
        assert isinstance(scene.but(comments=[said(101), said(102)]).decided().outcome, Pending)
        ruling = scene.but(comments=[said(101), said(102, CAROL)]).decided()
        assert isinstance(ruling.outcome, Released)
        assert [evidence.login for evidence in ruling.approvals] == ["bob", "carol"]

    def test_one_of_each_group(self) -> None:
        scene = Scene(request=replace(REQUEST, panels=(SECURITY, DBA)))
        assert scene.but(comments=[said(101)]).decided().outcome == Pending(("1 of @acme/dba",))
        assert isinstance(scene.but(comments=[said(101), said(102, DAVE)]).decided().outcome, Released)

    @pytest.mark.parametrize("panels", [(), (Panel(Quorum(()), ()),), (SECURITY, Panel(Quorum(()), ()))])
    def test_nobody_is_never_enough(self, panels: tuple[Panel, ...]) -> None:
        assert isinstance(Scene([said(101)], replace(REQUEST, panels=panels)).decided().outcome, Pending)

    @pytest.mark.parametrize(
        ("role", "needed", "enough"),
        [(Role.WRITE, Role.MAINTAIN, False), (Role.MAINTAIN, Role.MAINTAIN, True), (Role.ADMIN, Role.MAINTAIN, True)],
    )
    def test_a_role_or_a_higher_one(self, role: Role, needed: Role, enough: bool) -> None:
        scene = Scene(
            [said(101)],
            replace(REQUEST, panels=(panel(AtLeast(needed)),)),
            standings={BOB.id: Standing(role, frozenset(), ())},
        )
        assert isinstance(scene.decided().outcome, Released) is enough


BODIES = st.sampled_from([APPROVE, DENY, f"> {APPROVE}", f"hm\n{APPROVE}", "LGTM", f"{APPROVE}\nwith care"])
AUTHORS = st.sampled_from([ALICE, BOB, CAROL, DAVE, BOT, STRANGER])


@given(st.lists(st.tuples(AUTHORS, BODIES, st.booleans()), max_size=6), st.sampled_from([1, 2]))
def test_released_means_enough_counted_people_and_no_denial(
    spoken: list[tuple[Account, str, bool]], count: int
) -> None:
    comments = [said(101 + place, author, body) for place, (author, body, _) in enumerate(spoken)]
    edits = {101 + place: EDITED for place, (_, _, edited) in enumerate(spoken) if edited}
    electorate = panel(AtLeast(Role.WRITE), count=count)
    ruling = Scene(comments, replace(REQUEST, panels=(electorate,)), originals=edits).decided()
    good = {
        author.id
        for author, body, edited in spoken
        if body.startswith(APPROVE) and not edited and author in (BOB, CAROL, DAVE)
    }
    denied = any(body == DENY and author in (ALICE, BOB, CAROL, DAVE) for author, body, _ in spoken)
    assert isinstance(ruling.outcome, Released) is (len(good) >= count and not denied)
    assert isinstance(ruling.outcome, Denied) is denied

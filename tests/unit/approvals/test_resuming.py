"""Requests of the attempt before: each row would let an approval pass for something else than it was given for."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest
from msgspec import structs

from ciguard.approvals import marker
from ciguard.approvals.marker import Claim, Marker, marker_of
from ciguard.approvals.person import Account
from ciguard.approvals.request import ApprovalRequest, Run, request_digest, spelt
from ciguard.approvals.resuming import claim, earlier, is_about
from ciguard.forge.thread import Posted
from ciguard.operation import Json, Operation
from tests.unit.approvals.fakes import GUARD, FakeClock, FakeThread, ListingThread
from tests.unit.approvals.scene import ALICE, BOB, CAROL, RUN, SECURITY, START, operation

NOW = replace(RUN, session="b" * 32, attempt="2")
"""The attempt that may use an answer."""


def asked(run: Run = RUN, subject: Operation | None = None) -> Marker:
    """The marker of a request that attempt 1 of ``run`` asked about ``subject``, for the next."""
    number, expires = f"{run.session[:6]}.1", START + timedelta(hours=24)
    bound = replace(run, attempt=str(int(run.attempt) + 1))
    digest = request_digest(
        subject or operation(), bound, number, expires=spelt(expires), excluded=[ALICE.id, CAROL.id]
    )
    excluded = ((ALICE.id, "the author"), (CAROL.id, "the actor"))
    request = ApprovalRequest(number, digest, run.head, expires, (SECURITY,), excluded)
    return marker_of(request, run, run.attempt)


def but(**changes: object) -> Marker:
    """The marker, tampered with."""
    return Marker(**{name: getattr(asked(), name) for name in Marker.__struct_fields__} | changes)


def test_the_same_operation_in_the_next_attempt_is_known_again() -> None:
    assert is_about(asked(), operation(), NOW)


def test_what_a_model_makes_up_anew_each_time_does_not_matter() -> None:
    again = operation()
    call: dict[str, Json] = {"command": "psql -c 'DROP TABLE users'"}
    described: dict[str, Json] = {**call, "description": "Drop the table"}
    assert is_about(asked(), structs.replace(again, body={**again.body, "id": "call_2"}), NOW)
    assert is_about(asked(), structs.replace(again, body={**again.body, "input": described}), NOW)
    assert not is_about(asked(), structs.replace(again, body={**again.body, "input": {**call, "timeout": 1}}), NOW)
    assert not is_about(asked(), structs.replace(again, body={**again.body, "name": "Shell", "input": described}), NOW)


@pytest.mark.parametrize(
    "change",
    [
        {"run": "4712"},
        {"attempt": "1"},
        {"attempt": "3"},
        {"job": "another"},
        {"head": "e" * 40},
        {"policy": "sha256:" + "e" * 64},
        {"place": "github.com/acme/shop#8"},
    ],
)
def test_it_is_for_this_run_attempt_job_change_and_policy(change: dict[str, str]) -> None:
    assert not is_about(asked(), operation(), replace(NOW, **change))


@pytest.mark.parametrize(
    "change",
    [
        {"session": "c" * 32},
        {"attempt": "2"},
        {"request": "3f9a2c.2"},
        {"expires": "2027-01-01T00:00:00Z"},
        {"excluded": [ALICE.id]},
        {"excluded": []},
        {"digest": "0" * 24},
    ],
)
def test_a_marker_that_was_tampered_with_is_about_nothing(change: dict[str, object]) -> None:
    assert not is_about(but(**change), operation(), NOW)


def test_other_attempts_do_not_find_it_whatever_its_marker_says() -> None:
    """The digest binds the attempt: nobody has to believe the marker's."""
    later = replace(NOW, attempt="3")
    assert not is_about(asked(), operation(), later)
    assert not is_about(but(attempt="2"), operation(), later)


def test_what_a_marker_says_only_for_the_workflow_binds_nobody() -> None:
    """Who may approve, and what the pull request points at, are read anew."""
    assert is_about(but(panels=[], head="f" * 40), operation(), NOW)


@pytest.fixture
def thread() -> FakeThread:
    thread = FakeThread(FakeClock())
    thread.account = GUARD.id
    return thread


async def test_requests_are_found_in_the_order_in_which_they_were_asked(thread: FakeThread) -> None:
    other = asked(subject=operation("rm -rf build"))
    thread.say(GUARD, f"...\n{marker.write(other)}")
    first = thread.say(GUARD, f"...\n{marker.write(asked())}")
    thread.say(BOB, f"/ciguard approve {asked().reference}")
    second = thread.say(GUARD, f"...\n{marker.write(asked(replace(RUN, session='e' * 32)))}")
    found = await earlier(thread, START, operation(), NOW, (SECURITY,), ((BOB.id, "started it again"),))
    assert [one.posted.id for one in found] == [first, second]
    request = found[0].request
    assert request.reference == asked().reference
    assert (request.panels, request.head, spelt(request.expires)) == ((SECURITY,), NOW.head, asked().expires)
    # Who was excluded when it was asked still is, and so is who must not approve now.
    assert {account for account, _ in request.excluded} == {ALICE.id, CAROL.id, BOB.id}


@pytest.mark.parametrize(
    "author", [ALICE, BOB, Account(42, "other[bot]", human=False), Account(0, "ghost", human=False)]
)
async def test_a_marker_by_another_account_is_none(thread: FakeThread, author: Account) -> None:
    thread.say(author, f"...\n{marker.write(asked())}")
    assert await earlier(thread, START, operation(), NOW, (SECURITY,), ()) == []


def shows(text: str) -> str:
    """A comment of the guard that shows strangers' words."""
    return f"### A request\n\n```text\n{text}\n```\n\nThat is all."


async def test_a_marker_in_what_is_shown_is_none(thread: FakeThread) -> None:
    thread.say(GUARD, shows(marker.write(asked())))
    assert await earlier(thread, START, operation(), NOW, (SECURITY,), ()) == []


MINE, THEIRS = Claim(asked().reference, NOW.session), Claim(asked().reference, "d" * 32)


def claims(thread: FakeThread, author: Account = GUARD, what: Claim = THEIRS) -> Callable[[], object]:
    """Another guard claims an approval."""
    return lambda: thread.say(author, marker.write_claim(what))


@pytest.fixture
def listing() -> ListingThread:
    return ListingThread(FakeClock())


ASKED = Posted(100, START, "")


async def test_the_first_claim_wins(listing: ListingThread) -> None:
    assert await claim(listing, ASKED, MINE)
    assert not await claim(listing, ASKED, THEIRS)
    # A claim that is repeated because its answer was lost is the same.
    assert await claim(listing, ASKED, MINE)


async def test_two_at_the_same_time_cannot_both_have_it(listing: ListingThread) -> None:
    won = await asyncio.gather(claim(listing, ASKED, MINE), claim(listing, ASKED, THEIRS))
    assert sorted(won) == [False, True]


async def test_a_claim_by_another_account_or_of_another_approval_is_none(listing: ListingThread) -> None:
    claims(listing, BOB)()
    claims(listing, what=replace(THEIRS, reference="3f9a2c.2-" + "0" * 24))()
    assert await claim(listing, ASKED, MINE)

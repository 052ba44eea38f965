"""Getting ready to ask on a forge, before the agent starts: the place, the people, and what the token may do."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from datetime import datetime, timedelta
from typing import Protocol, TypeVar

from ciguard.approvals.asking import Place
from ciguard.approvals.codeowners import owners
from ciguard.approvals.person import AtLeast, Elector, Role, Roster
from ciguard.approvals.waiting import Clock, OutOfTime, patiently
from ciguard.errors import ApprovalUnavailable
from ciguard.forge.thread import ForgeTrouble

T = TypeVar("T")

PATIENCE = timedelta(minutes=1)
"""How long trouble of the forge's may last at the start of a session."""

REFUSALS = frozenset({400, 401, 403, 404, 410, 422})
"""Statuses that asking again does not change."""

AUTHOR = "its author opened this thread, and a change is not approved by who asked for it"
ACTOR = "its author started this run, and a run is not approved by who started it"


class Desk(Protocol):
    """What a session needs to ask on a forge. Every method raises ApprovalUnavailable with a remedy.

    ``needs`` says which permissions the token needs, and how it gets them. ``actor_claim`` is the claim of the job's
    identity token that has the account id of who started the job.
    """

    needs: str
    actor_claim: str

    async def roster(self, names: Iterable[str], codeowners: str) -> Roster:
        """What each approver of the policy stands for; ``codeowners`` is the base branch's file of that name."""

    async def place(self, *, actor: str, self_approval: bool) -> Place | None:
        """Where the job asks, if it has such a place. ``actor`` is the account id in the job's token."""

    async def new_place(self, title: str, body: str, *, actor: str, self_approval: bool) -> Place:
        """A new issue to ask in."""

    async def expires(self) -> datetime | None:
        """When the guard's token ends, where the forge says so and there will be no other."""

    def close(self) -> None:
        """Ask nothing more."""


async def prepared(call: Callable[[], Awaitable[T]], what: str, remedy: str, clock: Clock) -> T:
    """The result of ``call``; ApprovalUnavailable when the forge refuses it, or is in trouble for long."""

    async def checked() -> T:
        try:
            return await call()
        except ForgeTrouble as trouble:
            if trouble.status in REFUSALS and not trouble.wait:
                raise ApprovalUnavailable(f"{what}: {trouble}", remedy) from None
            raise

    try:
        return await patiently(checked, clock, clock.now() + PATIENCE)
    except OutOfTime as trouble:
        raise ApprovalUnavailable(f"{what}: {trouble}", "run the job again when the forge is well") from None


async def resolved(
    names: Iterable[str],
    codeowners: str,
    account: Callable[[str], Awaitable[Elector]],
    rule: Callable[[str], Awaitable[tuple[Elector, ...]]],
) -> dict[str, tuple[Elector, ...]]:
    """What each of ``names`` stands for; ``account`` looks up one with an ``@``, ``rule`` an approval rule."""

    async def elector(name: str) -> Elector:
        if name.startswith("role:"):
            return AtLeast(Role[name.removeprefix("role:").upper()])
        return await account(name)

    found: dict[str, tuple[Elector, ...]] = {}
    for name in sorted(names):
        if name.startswith("codeowners:"):
            path = name.removeprefix("codeowners:")
            owned_by = [owner for owner in owners(codeowners, path) if owner.startswith("@")]
            if not owned_by:
                raise ApprovalUnavailable(
                    f"the policy asks the owners of {path}, and CODEOWNERS on the base branch names none",
                    "name users or teams for it there, or other approvers in the policy",
                )
            found[name] = tuple([await account(owner) for owner in owned_by])
        elif name.startswith("rule:"):
            found[name] = await rule(name.removeprefix("rule:"))
        else:
            found[name] = (await elector(name),)
    return found

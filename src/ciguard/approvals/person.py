"""People of a forge, and who of them may release what is held."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import TypeAlias

from ciguard.decision import Quorum


class Role(IntEnum):
    """What somebody may do in the repository, in ascending order; GitLab's access levels map onto these."""

    NONE = 0
    READ = 1
    TRIAGE = 2
    WRITE = 3
    MAINTAIN = 4
    ADMIN = 5

    @property
    def word(self) -> str:
        """The role as policies, events and messages spell it."""
        return self.name.lower()


@dataclass(frozen=True, slots=True)
class Account:
    """Who wrote something: the numeric id, which no renaming changes, and whether a human is behind it.

    ``human`` is false for bots, apps, organisations and the stand-ins that imports leave.
    """

    id: int
    login: str
    human: bool


@dataclass(frozen=True, slots=True)
class Standing:
    """What an account was in the repository when it was read: its role, and those of the asked teams that it is in.

    ``answers`` are the SHA-256 in hex of the forge's answers that say so.
    """

    role: Role
    teams: frozenset[str]
    answers: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Person:
    """The person who had ``login`` when the session began."""

    login: str
    id: int


@dataclass(frozen=True, slots=True)
class Team:
    """The members of the team ``name``, such as ``acme/security``."""

    name: str


@dataclass(frozen=True, slots=True)
class AtLeast:
    """Whoever has ``role`` in the repository, or a higher one."""

    role: Role


Elector: TypeAlias = Person | Team | AtLeast
"""One entry of a list of approvers, resolved."""

Roster: TypeAlias = Mapping[str, Sequence[Elector]]
"""What each approver that the policy names stands for; one that names owners of a path stands for several."""


@dataclass(frozen=True, slots=True)
class Panel:
    """A quorum with its approvers resolved: ``count`` different people out of ``electors``."""

    quorum: Quorum
    electors: tuple[Elector, ...]

    def admits(self, account: Account, standing: Standing) -> bool:
        """Whether ``account`` counts here. The names of accounts are never compared: they can be given up and taken."""
        return any(_is(account, standing, elector) for elector in self.electors)


def _is(account: Account, standing: Standing, elector: Elector) -> bool:
    match elector:
        case Person():
            return account.id == elector.id
        case Team():
            return elector.name in standing.teams
        case AtLeast():
            return standing.role >= elector.role


def panels(quorums: Sequence[Quorum], roster: Roster) -> tuple[Panel, ...]:
    """``quorums`` with their approvers looked up in ``roster``, which has every approver of the policy."""
    return tuple(
        Panel(quorum, tuple(elector for name in quorum.approvers for elector in roster[name])) for quorum in quorums
    )

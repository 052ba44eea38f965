"""What the policy says of an operation or a result."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Literal, TypeAlias

ActionWord: TypeAlias = Literal["allow", "mask", "hold", "block"]
"""An action as policies, events and messages spell it."""


class Action(IntEnum):
    """What happens to an operation, ordered by severity: the most severe of several wins."""

    ALLOW = 0
    MASK = 1
    HOLD = 2
    BLOCK = 3

    @property
    def word(self) -> ActionWord:
        """The action as policies, events and messages spell it."""
        return _WORDS[self]


_WORDS: tuple[ActionWord, ...] = ("allow", "mask", "hold", "block")


@dataclass(frozen=True, slots=True)
class Reason:
    """Why one rule spoke: its id, a sentence for humans, and the risk points that it added."""

    rule: str
    text: str
    risk: int = 0


@dataclass(frozen=True, slots=True)
class Quorum:
    """``count`` different people out of ``approvers``, each written as in a policy: ``@alice``, ``@acme/dba``, ..."""

    approvers: tuple[str, ...]
    count: int = 1

    @property
    def words(self) -> str:
        """For people: ``2 of @alice, @acme/dba``."""
        return f"{self.count} of {', '.join(self.approvers)}" if self.approvers else "nobody"


@dataclass(frozen=True, slots=True)
class Decision:
    """The policy's answer: an action, the summed risk, one reason for each rule that matched, who may approve.

    What is held is released when every one of ``quorums`` is met; a person counts in each that names them. When there
    is none, or one is of nobody, nobody can release it.
    """

    action: Action
    risk: int = 0
    reasons: tuple[Reason, ...] = ()
    quorums: tuple[Quorum, ...] = ()

    @property
    def rules(self) -> tuple[str, ...]:
        """The ids of the rules that matched, in policy order."""
        return tuple(reason.rule for reason in self.reasons)


ALLOWED = Decision(Action.ALLOW)
"""No rule had anything to say."""

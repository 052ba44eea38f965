"""Asking a human about a held operation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from ciguard.decision import Decision
from ciguard.operation import Operation, Result


@dataclass(frozen=True, slots=True)
class Verdict:
    """What came of asking: released or not, and why, in a sentence that the agent is told.

    ``awaited`` says that people decide after the session, which ends for it. ``standing`` is the request that released
    the same before, for the rest of the session; nobody was asked again then.
    """

    released: bool
    reason: str
    awaited: bool = False
    standing: str = ""


class Approver(Protocol):
    """Somebody, or something, that can release what the policy holds."""

    async def ask(self, subject: Operation | Result, decision: Decision, said: str) -> Verdict:
        """The verdict on ``subject``, which ``decision`` holds; waits as long as the policy lets it.

        ``said`` is what the model said just before, masked; empty when it said nothing.
        """


class Nobody:
    """There is nobody to ask, and ``why``: what is held is refused, and says so."""

    def __init__(self, why: str) -> None:
        self._why = why

    async def ask(self, subject: Operation | Result, decision: Decision, said: str) -> Verdict:
        """See :meth:`Approver.ask`."""
        return Verdict(released=False, reason=f"It is held for approval, but there is nobody to ask: {self._why}.")

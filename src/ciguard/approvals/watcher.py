"""Those who are told of requests for approval and of their verdicts, and decide nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from ciguard.approvals.approver import Verdict
    from ciguard.approvals.asking import Asked
    from ciguard.session.event import VerdictOutcome


@dataclass(frozen=True, slots=True)
class Decided:
    """What became of a request: ``outcome`` is the word of its ``verdict`` event, after ``waited_ms`` milliseconds."""

    outcome: VerdictOutcome
    verdict: Verdict
    waited_ms: int


class Watcher(Protocol):
    """Somebody who is told. Both methods return at once: nothing waits for a watcher."""

    def asked(self, asked: Asked, url: str) -> None:
        """People can read the request now, at ``url``."""

    def decided(self, asked: Asked, decided: Decided, url: str) -> None:
        """There is a verdict, and it is in the log; ``url`` is empty when the request was never written."""

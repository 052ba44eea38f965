"""What manifest.json says of a session, derived from its events alone.

The recorder derives it from what it writes, verification from what it reads, so that every field of a manifest is
vouched for by the hash chain and none can be changed unnoticed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

import msgspec

from ciguard.operation import Json, OperationKind, ResultKind
from ciguard.session.chain import Position
from ciguard.session.event import (
    AgentExited,
    DecisionFacts,
    Event,
    OperationDecided,
    Original,
    Refused,
    Request,
    ResultDecided,
    SessionCutOff,
    SessionFinished,
    SessionStarted,
    Transfer,
    Verdict,
)

FORMAT = 1
"""The version of the session directory's format."""


class Completeness(StrEnum):
    """Whether a session directory holds the whole session."""

    COMPLETE = "complete"
    UNFINISHED_RESPONSES = "unfinished responses"
    CUT_OFF = "cut off"


CUT_OFF = "the guard was cut off before it finished"
"""The outcome of a session that was sealed afterwards."""


_AS_STARTED = ("session", "tool", "lock", "identity", "policy", "isolation", "signing", "job")
"""What a manifest repeats of the first event."""

_BOUNDS = frozenset({SessionStarted, SessionFinished, SessionCutOff})


class OutOfOrderError(ValueError):
    """An event that cannot stand where it does."""


@dataclass(frozen=True, slots=True)
class Counts:
    """Totals over operations and results; ``masked`` counts values."""

    operations: int
    blocked: int
    held: int
    masked: int


class Account:
    """Adds up the events of one session, in order."""

    def __init__(self) -> None:
        self._started: SessionStarted | None = None
        self._finished: SessionFinished | None = None
        self._cut_off: SessionCutOff | None = None
        self._agent: dict[str, Json] | None = None
        self._under_way = False
        self._events: Counter[type[Event]] = Counter()
        self._operations: Counter[OperationKind] = Counter()
        self._results: Counter[ResultKind] = Counter()
        self._verdicts: Counter[str] = Counter()
        self._actions: Counter[str] = Counter()
        self._masked: Counter[str] = Counter()

    def add(self, event: Event) -> None:
        """Count one event, which has its time. Raises ``OutOfOrderError`` where it cannot stand."""
        kind = type(event)
        if not self._under_way or kind in _BOUNDS:
            self._cross(event)
        self._events[kind] += 1
        match event:
            case OperationDecided():
                self._operations[event.operation] += 1
                self._decided(event.decision, event.masked)
            case ResultDecided():
                self._results[event.result] += 1
                self._decided(event.decision, event.masked)
            case Transfer() if event.masked:
                self._masked.update(event.masked)
            case Verdict():
                self._verdicts[event.outcome] += 1
            case AgentExited():
                self._agent = {"status": event.status, "signal": event.signal}

    def _decided(self, decision: DecisionFacts, masked: Mapping[str, int]) -> None:
        self._actions[decision.action] += 1
        if masked:
            self._masked.update(masked)

    def _cross(self, event: Event) -> None:
        """Begin or end with ``event``, or refuse what comes before the beginning or after the end."""
        if (self._started is not None) == isinstance(event, SessionStarted):
            raise OutOfOrderError("a log has one session_started event, the first")
        if self._finished and not isinstance(event, SessionCutOff):
            raise OutOfOrderError("nothing follows session_finished")
        if self._cut_off and not isinstance(event, SessionCutOff):
            raise OutOfOrderError("nothing follows session_cut_off")
        match event:
            case SessionStarted():
                self._started = event
            case SessionFinished():
                self._finished = event
            case SessionCutOff():
                self._cut_off = event
        self._under_way = not self.ended

    @property
    def finished(self) -> bool:
        """Whether ``session_finished`` was added."""
        return bool(self._finished)

    @property
    def ended(self) -> bool:
        """Whether an event was added that ends a log."""
        return bool(self._finished or self._cut_off)

    @property
    def counts(self) -> Counts:
        """The totals so far, as ``session_finished`` states them."""
        return Counts(
            operations=self._operations.total(),
            blocked=self._actions["block"],
            held=self._actions["hold"],
            masked=self._masked.total(),
        )

    def manifest(
        self, position: Position, *, partial: Mapping[str, str], bodies: int, index: str, sealed: str
    ) -> dict[str, Json]:
        """The manifest of the session whose log ends at ``position``, once it was finished or found cut off.

        ``partial`` has the SHA-256 in hex of what was forwarded of each response that was still open, by path.
        ``bodies`` are stored, and ``index`` is the SHA-256 in hex of the objects.index that names them.
        ``sealed`` is the SHA-256 in hex of the file of originals, empty without one.
        """
        started, finished = self._started, self._cut_off or self._finished
        if started is None or finished is None:
            raise OutOfOrderError("the log has no end yet")
        completeness = Completeness.UNFINISHED_RESPONSES if partial else Completeness.COMPLETE
        if self._cut_off:
            completeness = Completeness.CUT_OFF
        facts: dict[str, Json] = msgspec.to_builtins(started)
        if self._cut_off:
            facts["signing"] = msgspec.to_builtins(self._cut_off.signing)
        return {
            "format": FORMAT,
            **{name: facts[name] for name in _AS_STARTED},
            "started": started.time,
            "finished": finished.time,
            "outcome": finished.outcome if isinstance(finished, SessionFinished) else CUT_OFF,
            "completeness": completeness.value,
            "agent": self._agent,
            "operations": {kind.value: count for kind, count in self._operations.items()},
            "results": {kind.value: count for kind, count in self._results.items()},
            "decisions": dict(self._actions),
            "verdicts": dict(self._verdicts),
            "masked": dict(self._masked),
            "requests": self._events[Request],
            "refused": self._events[Refused],
            "log": {"events": position.count, "head": position.head},
            "objects": {"bodies": bodies, "index": index},
            "partial": dict(partial),
            "originals": {"sealed": self._events[Original], "digest": sealed},
        }

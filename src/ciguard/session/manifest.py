"""What manifest.json says of a session, derived from its events alone.

The recorder derives it from what it writes, verification from what it reads, so that every field of a manifest is
vouched for by the hash chain and none can be changed unnoticed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from ciguard.operation import Json
from ciguard.session.chain import Position
from ciguard.session.event import EventType

FORMAT = 1
"""The version of the session directory's format."""


class Completeness(StrEnum):
    """Whether a session directory holds the whole session."""

    COMPLETE = "complete"
    UNFINISHED_RESPONSES = "unfinished responses"
    CUT_OFF = "cut off"


CUT_OFF = "the guard was cut off before it finished"
"""The outcome of a session that was sealed afterwards."""


_BOUNDS = frozenset({EventType.SESSION_STARTED, EventType.SESSION_FINISHED, EventType.SESSION_CUT_OFF})
_KIND_OF = {EventType.OPERATION: "operation", EventType.RESULT: "result", EventType.VERDICT: "outcome"}
_DECIDED = frozenset({EventType.OPERATION, EventType.RESULT})
_MASKING = frozenset({EventType.OPERATION, EventType.RESULT, EventType.TRANSFER})


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
        self._started: Mapping[str, Any] = {}
        self._finished: Mapping[str, Any] = {}
        self._cut_off: Mapping[str, Any] = {}
        self._agent: dict[str, Json] | None = None
        self._under_way = False
        self._events: Counter[EventType] = Counter()
        self._kinds: dict[EventType, Counter[str]] = {event: Counter() for event in _KIND_OF}
        self._actions: Counter[str] = Counter()
        self._masked: Counter[str] = Counter()

    def add(self, event: EventType, time: str, fields: Mapping[str, Any]) -> None:
        """Count one event whose fields have been checked. Raises ``OutOfOrderError`` where it cannot stand."""
        if event in _BOUNDS or not self._under_way:
            self._cross(event, {**fields, "time": time})
        self._events[event] += 1
        if event in _KIND_OF:
            self._kinds[event][fields[_KIND_OF[event]]] += 1
        if event in _DECIDED:
            self._actions[fields["decision"]["action"]] += 1
        if event in _MASKING:
            for kind, count in fields["masked"].items():
                self._masked[kind] += count
        if event is EventType.AGENT_EXITED:
            self._agent = {"status": fields["status"], "signal": fields["signal"]}

    def _cross(self, event: EventType, fields: Mapping[str, Any]) -> None:
        """Begin or end with ``event``, or refuse what comes before the beginning or after the end."""
        if bool(self._started) == (event is EventType.SESSION_STARTED):
            raise OutOfOrderError("a log has one session_started event, the first")
        if self._finished and event is not EventType.SESSION_CUT_OFF:
            raise OutOfOrderError("nothing follows session_finished")
        if self._cut_off and event is not EventType.SESSION_CUT_OFF:
            raise OutOfOrderError("nothing follows session_cut_off")
        match event:
            case EventType.SESSION_STARTED:
                self._started = fields
            case EventType.SESSION_FINISHED:
                self._finished = fields
            case EventType.SESSION_CUT_OFF:
                self._cut_off = fields
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
            operations=self._kinds[EventType.OPERATION].total(),
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
        completeness = Completeness.UNFINISHED_RESPONSES if partial else Completeness.COMPLETE
        if self._cut_off:
            completeness = Completeness.CUT_OFF
        return {
            "format": FORMAT,
            "session": started["session"],
            "tool": started["tool"],
            "lock": started["lock"],
            "identity": started["identity"],
            "policy": started["policy"],
            "isolation": started["isolation"],
            "signing": (self._cut_off or started)["signing"],
            "job": started["job"],
            "started": started["time"],
            "finished": finished["time"],
            "outcome": finished.get("outcome", CUT_OFF),
            "completeness": completeness.value,
            "agent": self._agent,
            "operations": dict(self._kinds[EventType.OPERATION]),
            "results": dict(self._kinds[EventType.RESULT]),
            "decisions": dict(self._actions),
            "verdicts": dict(self._kinds[EventType.VERDICT]),
            "masked": dict(self._masked),
            "requests": self._events[EventType.REQUEST],
            "refused": self._events[EventType.REFUSED],
            "log": {"events": position.count, "head": position.head},
            "objects": {"bodies": bodies, "index": index},
            "partial": dict(partial),
            "originals": {"sealed": self._events[EventType.ORIGINAL], "digest": sealed},
        }

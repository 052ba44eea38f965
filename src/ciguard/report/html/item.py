"""What stands in the report's timeline: each thing that happened, with everything that there is to say of it."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from markupsafe import Markup

from ciguard.operation import OperationKind, ResultKind
from ciguard.policy.evaluation import arithmetic
from ciguard.report.content import content_of
from ciguard.report.facts import recorded, recorded_kind
from ciguard.report.html import passage
from ciguard.report.transcript import Entry, entries
from ciguard.session.event import EventType
from ciguard.session.reading import Session

MOST_ITEMS = 20_000
"""Things that a report shows."""

MOST_OF_ONE = 40_000
"""Characters of one text that are shown."""

MOST_OF_ALL = 24_000_000
"""Characters of all texts that are shown in full; beyond, each text is cut to :data:`LEAST_OF_ONE`."""

LEAST_OF_ONE = 300

_WORDS: Mapping[str, str] = {
    OperationKind.PROMPT: "To the model",
    OperationKind.INSTRUCTIONS: "Instructions to the model",
    OperationKind.TOOL_CALL: "Tool call",
    OperationKind.COMMAND: "Executed",
    OperationKind.HTTP_REQUEST: "HTTP request",
    OperationKind.SQL: "SQL",
    OperationKind.KUBERNETES_REQUEST: "Kubernetes request",
    OperationKind.GIT_PUSH: "Git push",
    OperationKind.SSH_COMMAND: "SSH command",
    OperationKind.CONNECT: "Connection",
    OperationKind.REMOTE: "Asked of the model's service",
    ResultKind.RESPONSE_TEXT: "From the model",
    ResultKind.TOOL_RESULT: "Tool result",
    ResultKind.ROWS: "Rows",
    EventType.APPROVAL_REQUESTED: "Approval asked for",
    EventType.VERDICT: "Verdict",
    EventType.REQUEST: "Request",
}


@dataclass(frozen=True, slots=True)
class Item:
    """One thing in the timeline. Strings are as they were recorded; the template makes them inert.

    ``seq`` is the event's number, None for a response that was still being streamed. ``kind`` is what a reader can
    filter by, ``title`` the words that stand for it and ``detail`` a few that tell it from others. ``times`` is how
    often it happened, ``call`` the number of the tool call that a result belongs to, ``event`` all its fields, and
    ``end`` those of the event that says how a request or a connection ended.
    """

    seq: int | None
    time: str
    kind: str
    title: str
    detail: str
    content: Markup
    action: str
    outcome: str
    rules: tuple[str, ...]
    arithmetic: str
    times: int
    call: int | None
    event: Mapping[str, Any]
    end: Mapping[str, Any] | None


class Room:
    """How much of the texts there is room for."""

    def __init__(self) -> None:
        self._left = MOST_OF_ALL
        self.cut = 0

    def __call__(self, text: str) -> str:
        """``text`` as far as there is room for it; it says what is missing."""
        most = MOST_OF_ONE if self._left > 0 else LEAST_OF_ONE
        shown = text[:most]
        self._left -= len(shown)
        if len(text) == len(shown):
            return shown
        self.cut += 1
        return f"{shown}\n[… {len(text) - most} more characters: ciguard session show --full]"


@dataclass(frozen=True, slots=True)
class _Known:
    """What other events say of an item: how often it happened, how it ended, and the calls by their ids."""

    times: Counter[int]
    ends: Mapping[int, Mapping[str, Any]]
    calls: dict[str, int]


def items(session: Session, room: Room) -> Iterator[Item]:
    """What happened in ``session`` in the order of time: what a transcript has, and where each request began."""
    known = _Known(_times(session), _ends(session), {})
    for entry in itertools.islice(_with_requests(session), MOST_ITEMS):
        event = entry.event
        if event["type"] in (EventType.OPERATION, EventType.RESULT):
            yield _decided(entry, room, known)
        elif event["type"] == EventType.APPROVAL_REQUESTED:
            body, content = recorded(session, event)
            asked = replace(entry, text=content.text, body=body)
            yield replace(_other(entry, room, known), content=_content(recorded_kind(event), asked, room))
        else:
            yield _other(entry, room, known)


def _with_requests(session: Session) -> Iterator[Entry]:
    """The transcript's entries, with one for each request in its place."""
    requests = [event for event in session.events if event["type"] == EventType.REQUEST]
    waiting = iter(requests)
    request = next(waiting, None)
    for entry in entries(session):
        while request is not None and ("seq" not in entry.event or request["seq"] < entry.event["seq"]):
            yield Entry(request, frozenset(), (), "")
            request = next(waiting, None)
        yield entry
    while request is not None:
        yield Entry(request, frozenset(), (), "")
        request = next(waiting, None)


def _times(session: Session) -> Counter[int]:
    """How often what each event decided happened again."""
    times: Counter[int] = Counter()
    for event in session.events:
        if event["type"] == EventType.COMMANDS_REPEATED:
            times.update(dict(event["times"]))
    return times


def _ends(session: Session) -> dict[int, Mapping[str, Any]]:
    """How each request and each connection ended."""
    ends: dict[int, Mapping[str, Any]] = {}
    for event in session.events:
        if event["type"] == EventType.RESPONSE:
            ends[event["request"]] = event
        elif event["type"] == EventType.TRANSFER:
            ends[event["operation"]] = event
    return ends


def _decided(entry: Entry, room: Room, known: _Known) -> Item:
    event = entry.event
    kind = recorded_kind(event)
    named = str(entry.body.get("id", "")) if isinstance(entry.body, Mapping) else ""
    if kind is OperationKind.TOOL_CALL and named:
        known.calls.setdefault(named, event["seq"])
    decision = event["decision"]
    risks = [reason["risk"] for reason in decision["reasons"] if reason["risk"]]
    return Item(
        seq=event["seq"],
        time=event["time"],
        kind=kind.value,
        title=_WORDS[kind],
        detail=content_of(kind, entry.body).title,
        content=_content(kind, entry, room),
        action=decision["action"],
        outcome=_outcome(event),
        rules=tuple(reason["rule"] for reason in decision["reasons"]),
        arithmetic=arithmetic(risks) if risks else str(decision["risk"]),
        times=1 + known.times[event["seq"]],
        call=known.calls.get(named) if kind is ResultKind.TOOL_RESULT else None,
        event=event,
        end=known.ends.get(event["seq"]) if "seq" in event else None,
    )


def _content(kind: OperationKind | ResultKind, entry: Entry, room: Room) -> Markup:
    match kind, entry.body:
        case _, None:
            return passage.block(room(entry.text), "code")
        case OperationKind.TOOL_CALL, {"input": given}:
            return passage.call(given, room)
        case OperationKind.PROMPT | OperationKind.INSTRUCTIONS | ResultKind.RESPONSE_TEXT, body:
            return passage.prose(room(content_of(kind, body).text))
        case _, body:
            return passage.block(room(content_of(kind, body).text), "code")


def _outcome(event: Mapping[str, Any]) -> str:
    match event["decision"]["action"], event.get("effect", ""):
        case "allow", _:
            return ""
        case "mask", _:
            return "masked"
        case "block", _:
            return "blocked"
        case _, effect:
            return f"held, {effect or 'withheld'}"


def _other(entry: Entry, room: Room, known: _Known) -> Item:
    event = entry.event
    kind = event["type"]
    return Item(
        seq=event.get("seq"),
        time=event.get("time", ""),
        kind=kind,
        title=_WORDS.get(kind, kind.replace("_", " ").capitalize()),
        detail="" if kind in _WORDS else "".join(span.text for span in entry.title[3:]).strip(),
        content=passage.block(room(entry.text), "code"),
        action="",
        outcome=event["outcome"] if kind == EventType.VERDICT else "",
        rules=(),
        arithmetic="",
        times=1,
        call=None,
        event=event,
        end=known.ends.get(event["seq"]) if "seq" in event else None,
    )

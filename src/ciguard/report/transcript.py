"""A session as a transcript: who said what, what the agent tried, what the policy answered, in the order of time."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from ciguard.errors import SessionDamaged
from ciguard.operation import Json, OperationKind, ResultKind
from ciguard.report.facts import Facts, recorded, recorded_kind
from ciguard.report.paint import Line, Span, Tone
from ciguard.session.event import EventType
from ciguard.session.reading import Session

MAX_LINES = 12
"""How many lines of one text are shown when texts are cut."""

MAX_WIDTH = 400
"""How many characters of one line are shown when texts are cut."""

_INDENT = "    "


class Kind(StrEnum):
    """What a reader can ask to see only."""

    PROMPTS = "prompts"
    CALLS = "calls"
    RESULTS = "results"
    MASKED = "masked"
    HELD = "held"
    BLOCKED = "blocked"
    REFUSED = "refused"
    NETWORK = "network"


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing that happened: a line that says what, a text of any length, and remarks below it.

    ``body`` is what an operation or a result is about, as it was recorded; None for all others.
    """

    event: Mapping[str, Any]
    kinds: frozenset[Kind]
    title: Line
    text: str
    remarks: tuple[Line, ...] = ()
    body: Json = None

    @property
    def searchable(self) -> str:
        """Everything a reader could be looking for in it."""
        lines = (self.title, *self.remarks)
        return "\n".join(["".join(span.text for span in line) for line in lines] + [self.text])


def header(facts: Facts) -> Iterator[Line]:
    """The lines that introduce a session."""
    yield (Span("session  ", Tone.FAINT), Span(facts.session, Tone.STRONG), Span(f" started {facts.started}"))
    yield (Span("identity ", Tone.FAINT), *_identity(facts))
    yield (Span("policy   ", Tone.FAINT), Span(f"{facts.policy_digest} from {facts.policy_source}"))
    yield (Span("isolation", Tone.FAINT), Span(f" {facts.isolation}"))
    for limit in facts.limits:
        yield (Span("          does not cover: ", Tone.FAINT), Span(limit))
    yield (Span("agent    ", Tone.FAINT), Span(f"{facts.agent} ({facts.exited})" if facts.agent else "not started"))
    tone = Tone.PLAIN if facts.complete else Tone.BAD
    yield (Span("ended    ", Tone.FAINT), Span(facts.outcome, tone))
    if facts.damage:
        yield (Span("DAMAGED  ", Tone.BAD), Span(f"{facts.damage}; nothing vouches for what follows it"))
    yield (Span("counts   ", Tone.FAINT), *counts(facts))
    if facts.approvals.requests:
        yield (Span("approval ", Tone.FAINT), Span(facts.approvals.words))


def counts(facts: Facts) -> Line:
    """The counts of a session on one line."""
    return (
        Span(_number(facts.operations, "operation")),
        Span(" · ", Tone.FAINT),
        Span(f"{facts.blocked} blocked", Tone.BAD if facts.blocked else Tone.PLAIN),
        Span(" · ", Tone.FAINT),
        Span(f"{facts.held} held", Tone.WARNING if facts.held else Tone.PLAIN),
        Span(" · ", Tone.FAINT),
        Span(f"{_number(facts.masked_values, 'value')} masked", Tone.GOOD if facts.masked_values else Tone.PLAIN),
    )


def entries(session: Session) -> Iterator[Entry]:
    """What happened in ``session``, in the order of time. Requests and answers that went well go without saying."""
    for event in session.events:
        entry = _entry(session, event)
        if entry:
            yield entry
    for name in session.unfinished:
        yield _unfinished(session, name)


def whole(entry: Entry) -> Iterator[Line]:
    """The lines of ``entry``, nothing left out."""
    yield entry.title
    for line in _lines(entry.text):
        yield (Span(_INDENT + line),)
    yield from entry.remarks


def cut(entry: Entry) -> Iterator[Line]:
    """The lines of ``entry``, a long text cut where it says so."""
    yield entry.title
    lines = _lines(entry.text)
    for line in lines[:MAX_LINES]:
        if len(line) > MAX_WIDTH:
            rest = len(line) - MAX_WIDTH
            yield (Span(_INDENT + line[:MAX_WIDTH]), Span(f" … {rest} more characters (--full)", Tone.FAINT))
        else:
            yield (Span(_INDENT + line),)
    if len(lines) > MAX_LINES:
        yield (Span(f"{_INDENT}… {len(lines) - MAX_LINES} more lines (--full)", Tone.FAINT),)
    yield from entry.remarks


def _entry(session: Session, event: Mapping[str, Any]) -> Entry | None:
    match EventType(event["type"]):
        case EventType.OPERATION | EventType.RESULT:
            return _decided(session, event)
        case EventType.AGENT_STARTED:
            return Entry(event, frozenset(), _title(event, "agent started"), shlex.join(event["argv"]))
        case EventType.PROTECTED_FILES:
            what = (
                "restored from the base branch"
                if event["when"] == "before"
                else f"changed by the agent, {event['done']}"
            )
            more = [f"… and {event['more']} more"] if event["more"] else []
            names = "\n".join([*event["paths"], *more])
            return Entry(event, frozenset(), _title(event, "protected files", what, Tone.WARNING), names)
        case EventType.AGENT_EXITED:
            how = f"by {event['signal']}" if event["signal"] else f"with status {event['status']}"
            return Entry(event, frozenset(), _title(event, "agent exited", how), "")
        case EventType.REFUSED:
            what = f"{event['method']} {event['path']} → {event['status']}: {event['reason']}"
            title = _title(event, "refused", event["connection"], Tone.BAD)
            return Entry(event, frozenset({Kind.REFUSED}), title, what)
        case EventType.TRANSFER if not event["complete"] or event["masked"]:
            masked = ", ".join(f"{count} × {name} masked" for name, count in event["masked"].items())
            title = _title(event, "transfer", f"status {event['status']}" if event["status"] else "", Tone.WARNING)
            kinds = {Kind.NETWORK, Kind.MASKED} if masked else {Kind.NETWORK}
            return Entry(event, frozenset(kinds), title, "; ".join(filter(None, (event["reason"], masked))))
        case EventType.RESPONSE if not event["complete"] or event["status"] >= 400:
            how = "" if event["complete"] else "cut short: "
            why = f"status {event['status']}, {how}{event['reason']}".rstrip(", ")
            return Entry(event, frozenset(), _title(event, "response", event["connection"], Tone.WARNING), why)
        case EventType.COMMANDS_REPEATED:
            total = sum(count for _, count in event["times"])
            what = f"{_number(total, 'time')}, of {_number(len(event['times']), 'command')}, decided as the first time"
            return Entry(event, frozenset(), _title(event, "commands repeated", what), "")
        case EventType.APPROVAL_REQUESTED:
            who = "; and ".join(f"{quorum['count']} of {', '.join(quorum['approvers'])}" for quorum in event["quorums"])
            title = _title(event, "asked", f"{event['approval']} on {event['place']}", Tone.WARNING)
            return Entry(event, frozenset({Kind.HELD}), title, f"{who}, until {event['expires']}")
        case EventType.VERDICT:
            tone = {"released": Tone.GOOD, "awaited": Tone.WARNING}.get(event["outcome"], Tone.BAD)
            title = _title(event, event["outcome"], f"{event['approval']} after {event['waited_ms'] // 1000} s", tone)
            return Entry(event, frozenset({Kind.HELD}), title, event["reason"])
        case EventType.NOTIFIED if event["reason"]:
            title = _title(event, "not notified", f"{event['about']} {event['approval']}", Tone.WARNING)
            return Entry(event, frozenset(), title, f"the webhook: {event['reason']}")
        case EventType.SESSION_STOPPED:
            return Entry(event, frozenset(), _title(event, "session stopped", "", Tone.BAD), event["reason"])
        case _:
            return None


def _decided(session: Session, event: Mapping[str, Any]) -> Entry:
    kind = recorded_kind(event)
    body, content = recorded(session, event)
    decision = event["decision"]
    kinds = {_GROUPS[kind]} if kind in _GROUPS else set()
    remarks: list[Line] = []
    if event["masked"]:
        kinds.add(Kind.MASKED)
        masked = ", ".join(f"{count} × {name}" for name, count in event["masked"].items())
        remarks.append((Span(f"{_INDENT}masked: {masked}", Tone.GOOD),))
    match decision["action"]:
        case "block":
            kinds.add(Kind.BLOCKED)
            remarks.append((Span(f"{_INDENT}blocked", Tone.BAD), Span(f" at risk {decision['risk']}")))
        case "hold":
            kinds.add(Kind.HELD)
            became = event.get("effect", "withheld")
            remarks.append((Span(f"{_INDENT}held", Tone.WARNING), Span(f", {became}, at risk {decision['risk']}")))
        case _ if decision["reasons"]:
            remarks.append((Span(f"{_INDENT}{decision['action']} at risk {decision['risk']}", Tone.FAINT),))
    remarks += [
        (Span(f"{_INDENT}  {reason['rule']}", Tone.STRONG), Span(f" (+{reason['risk']}): {reason['text']}"))
        for reason in decision["reasons"]
    ]
    text = content.text
    if kind is OperationKind.INSTRUCTIONS and body is not None and not decision["reasons"]:
        # System prompts and tool definitions are long and not what a reader came for; --json has them.
        text = f"({len(text)} characters of system text and tool definitions)"
    return Entry(event, frozenset(kinds), _title(event, kind.value, content.title), text, tuple(remarks), body)


def _unfinished(session: Session, name: str) -> Entry:
    try:
        text = session.unfinished_response(name).decode(errors="backslashreplace")
    except SessionDamaged as error:
        text = f"[{error.cause}]"
    title = (Span("unfinished", Tone.FAINT), Span(" "), Span("response being streamed", Tone.WARNING))
    return Entry({"type": "unfinished", "name": name, "text": text}, frozenset(), title, text)


_GROUPS: Mapping[OperationKind | ResultKind, Kind] = {
    OperationKind.PROMPT: Kind.PROMPTS,
    OperationKind.TOOL_CALL: Kind.CALLS,
    OperationKind.COMMAND: Kind.CALLS,
    OperationKind.CONNECT: Kind.NETWORK,
    OperationKind.HTTP_REQUEST: Kind.NETWORK,
    OperationKind.REMOTE: Kind.NETWORK,
    ResultKind.RESPONSE_TEXT: Kind.RESULTS,
    ResultKind.TOOL_RESULT: Kind.RESULTS,
    ResultKind.ROWS: Kind.RESULTS,
}


def _title(event: Mapping[str, Any], what: str, detail: str = "", tone: Tone = Tone.STRONG) -> Line:
    clock = event["time"][11:19]
    return (Span(clock, Tone.FAINT), Span("  "), Span(what, tone), Span(f"  {detail}" if detail else ""))


def _identity(facts: Facts) -> Line:
    if not facts.issuer:
        return (Span("unverified", Tone.WARNING),)
    claims = ", ".join(f"{name} {value}" for name, value in facts.claims)
    return (Span("verified", Tone.GOOD), Span(f" by {facts.issuer}: {claims}"))


def _lines(text: str) -> list[str]:
    return text.strip("\n").replace("\r\n", "\n").split("\n") if text.strip() else []


def _number(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"

"""What there is to say of a session in short: the same facts for the job summary and for the end of a run."""

from __future__ import annotations

import re
import shlex
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ciguard.approvals.metrics import Metrics, metrics
from ciguard.errors import SessionDamaged
from ciguard.operation import Json, OperationKind, ResultKind
from ciguard.report.content import Content, content_of
from ciguard.session.event import EventType
from ciguard.session.manifest import Completeness
from ciguard.session.reading import Session

_CLAIMS = (
    "repository",
    "project_path",
    "event_name",
    "pipeline_source",
    "ref",
    "actor",
    "user_login",
    "run_id",
    "pipeline_id",
)
_SURROUNDED = re.compile(r"\s*<([A-Za-z][\w-]*)\b[^>]*>.*</\1>\s*", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Stop:
    """One operation or result that the policy held or blocked."""

    seq: int
    kind: str
    content: str
    action: str
    effect: str
    risk: int
    reasons: tuple[tuple[str, str], ...]

    @property
    def word(self) -> str:
        """What became of it."""
        return "blocked" if self.action == "block" else f"held, {self.effect or 'withheld'}"


@dataclass(frozen=True, slots=True)
class Facts:
    """The facts of one session. Every string may hold hostile content; none is inert yet."""

    session: str
    started: str
    asked: str
    agent: str
    outcome: str
    complete: bool
    exited: str
    operations: int
    prompts: int
    tool_calls: int
    requests: int
    turned_away: int
    hosts: tuple[tuple[str, int], ...]
    masked: tuple[tuple[str, int], ...]
    stops: tuple[Stop, ...]
    approvals: Metrics
    isolation: str
    limits: tuple[str, ...]
    issuer: str
    claims: tuple[tuple[str, str], ...]
    policy_digest: str
    policy_source: str
    head: str
    signing: tuple[tuple[str, str | None], ...]
    events: int
    damage: str

    @property
    def held(self) -> int:
        """How many operations and results were held."""
        return sum(stop.action == "hold" for stop in self.stops)

    @property
    def blocked(self) -> int:
        """How many operations and results were blocked."""
        return sum(stop.action == "block" for stop in self.stops)

    @property
    def masked_values(self) -> int:
        """How many values were masked."""
        return sum(count for _, count in self.masked)


def facts_of(session: Session) -> Facts:
    """The facts of ``session``; a body that cannot be read is named as such, not guessed."""
    by_type: dict[EventType, list[dict[str, Any]]] = {kind: [] for kind in EventType}
    masked: Counter[str] = Counter()
    stops: list[Stop] = []
    for event in session.events:
        by_type[EventType(event["type"])].append(event)
        if event["type"] == EventType.TRANSFER:
            masked.update(event["masked"])
        if event["type"] in (EventType.OPERATION, EventType.RESULT):
            masked.update(event["masked"])
            if event["decision"]["action"] in ("hold", "block"):
                stops.append(_stop(session, event))
    operations = by_type[EventType.OPERATION]
    started: Mapping[str, Any] = next(iter(by_type[EventType.SESSION_STARTED]), {})
    identity = started.get("identity") or {}
    claims = identity.get("claims", {})
    isolation = started.get("isolation", {"level": "unknown", "limits": []})
    policy = started.get("policy", {"digest": "unknown", "source": "unknown"})
    launched = by_type[EventType.AGENT_STARTED]
    return Facts(
        session=started.get("session", "unknown"),
        started=started.get("time", "unknown"),
        asked=_asked(session, operations),
        agent=shlex.join(launched[0]["argv"]) if launched else "",
        outcome=_outcome(session, by_type),
        complete=session.completeness is Completeness.COMPLETE,
        exited=_exited(by_type[EventType.AGENT_EXITED]),
        operations=len(operations),
        prompts=sum(event["operation"] == OperationKind.PROMPT for event in operations),
        tool_calls=sum(event["operation"] == OperationKind.TOOL_CALL for event in operations),
        requests=len(by_type[EventType.REQUEST]),
        turned_away=len(by_type[EventType.REFUSED]),
        hosts=_hosts(session, operations),
        masked=tuple(sorted(masked.items())),
        stops=tuple(stops),
        approvals=metrics(
            len(by_type[EventType.APPROVAL_REQUESTED]),
            ((event["outcome"], event["waited_ms"]) for event in by_type[EventType.VERDICT]),
        ),
        isolation=isolation["level"],
        limits=tuple(isolation["limits"]),
        issuer=identity.get("issuer", ""),
        claims=tuple((name, str(claims[name])) for name in _CLAIMS if name in claims),
        policy_digest=policy["digest"],
        policy_source=policy["source"],
        head=session.position.head,
        signing=tuple((one["signer"], one["keyid"]) for one in started.get("signing", ())),
        events=session.position.count,
        damage=str(session.damage or ""),
    )


def recorded(session: Session, event: Mapping[str, Any]) -> tuple[Json, Content]:
    """The body that an operation, a result or a request for approval is about, and how it reads, or why not."""
    try:
        body = session.content(event["body"])
    except SessionDamaged as error:
        return None, Content("", f"[{error.cause}]")
    return body, content_of(recorded_kind(event), body)


def recorded_content(session: Session, event: Mapping[str, Any]) -> Content:
    """How the body of an operation or result event reads."""
    _, content = recorded(session, event)
    return content


def recorded_kind(event: Mapping[str, Any]) -> OperationKind | ResultKind:
    """The kind of operation or result that ``event`` records, or asks about."""
    if event["type"] == EventType.APPROVAL_REQUESTED:
        subject = event["subject"]
        return OperationKind(subject) if subject in tuple(OperationKind) else ResultKind(subject)
    if event["type"] == EventType.OPERATION:
        return OperationKind(event["operation"])
    return ResultKind(event["result"])


def _stop(session: Session, event: Mapping[str, Any]) -> Stop:
    decision = event["decision"]
    return Stop(
        seq=event["seq"],
        kind=recorded_kind(event).value,
        content=recorded_content(session, event).line[:2000],
        action=decision["action"],
        effect=event.get("effect", ""),
        risk=decision["risk"],
        reasons=tuple((reason["rule"], reason["text"]) for reason in decision["reasons"]),
    )


def _hosts(session: Session, operations: list[dict[str, Any]]) -> tuple[tuple[str, int], ...]:
    """The hosts that the agent was let through to by the proxy, each with how many connections there were."""
    found: Counter[str] = Counter()
    for event in operations:
        if event["operation"] == OperationKind.CONNECT and event["effect"] == "forwarded":
            found[recorded_content(session, event).title] += 1
    return tuple(sorted(found.items()))


def _asked(session: Session, operations: list[dict[str, Any]]) -> str:
    """What a person asked first. Agents put text of their own around it, each piece between tags of one name."""
    for event in operations:
        if event["operation"] == OperationKind.PROMPT:
            try:
                body = session.content(event["body"])
            except SessionDamaged:
                continue
            texts: Json = body.get("texts") if isinstance(body, dict) else None
            words = [text for text in texts if isinstance(text, str)] if isinstance(texts, list) else []
            asked = next((text for text in words if text.strip() and not _SURROUNDED.fullmatch(text)), "")
            if asked:
                return asked[:20_000]
    return ""


def _outcome(session: Session, by_type: Mapping[EventType, list[dict[str, Any]]]) -> str:
    if session.completeness is Completeness.CUT_OFF:
        return "incomplete: the guard was cut off before it finished"
    finished: str = by_type[EventType.SESSION_FINISHED][-1]["outcome"]
    stopped = [event["reason"] for event in by_type[EventType.SESSION_STOPPED]]
    outcome = f"{finished}: {stopped[-1]}" if stopped and stopped[-1] not in finished else finished
    if session.completeness is Completeness.UNFINISHED_RESPONSES:
        return f"{outcome}; incomplete: responses were still being streamed"
    return outcome


def _exited(exits: list[dict[str, Any]]) -> str:
    if not exits:
        return "did not exit"
    return f"ended by {exits[-1]['signal']}" if exits[-1]["signal"] else f"exit status {exits[-1]['status']}"

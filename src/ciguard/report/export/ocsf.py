"""A session as OCSF events, for a SIEM: API Activity with the profiles ``ai_operation`` and ``security_control``.

Open Cybersecurity Schema Framework 1.8.0, https://schema.ocsf.io/1.8.0/classes/api_activity. One event for each
operation, result, answer of an upstream, verdict of humans and call that was turned away. ``unmapped`` has what the
schema has no place for.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import urlsplit

from ciguard.operation import Json, OperationKind, ResultKind
from ciguard.report.facts import recorded_content, recorded_kind
from ciguard.report.inert import excerpt
from ciguard.session.event import EventType
from ciguard.session.reading import Session

VERSION = "1.8.0"
CLASS = 6003
_CATEGORY = 6
_OTHER = 99
_PROFILES: tuple[Json, ...] = ("ai_operation", "security_control")
_MOST = 2_000


class Severity(IntEnum):
    """``severity_id``."""

    INFORMATIONAL = 1
    LOW = 2
    MEDIUM = 3
    HIGH = 4


class Status(IntEnum):
    """``status_id``."""

    SUCCESS = 1
    FAILURE = 2


class Control(IntEnum):
    """``action_id`` of the profile ``security_control``."""

    ALLOWED = 1
    DENIED = 2
    MODIFIED = 4


class Disposition(IntEnum):
    """``disposition_id`` of the profile ``security_control``."""

    ALLOWED = 1
    BLOCKED = 2
    APPROVED = 8
    CORRECTED = 11
    REJECTED = 25


class Role(IntEnum):
    """``ai_role_id`` of a message context."""

    USER = 1
    ASSISTANT = 2
    TOOL = 3


_ROLES: Mapping[str, Role] = {
    OperationKind.PROMPT: Role.USER,
    OperationKind.TOOL_CALL: Role.ASSISTANT,
    ResultKind.RESPONSE_TEXT: Role.ASSISTANT,
    ResultKind.TOOL_RESULT: Role.TOOL,
}


@dataclass(frozen=True, slots=True)
class _Handled:
    """What the guard did: the fields of the profile ``security_control``, how bad that is, and whether it went on."""

    control: Control
    disposition: Disposition
    severity: Severity
    status: Status


_ALLOWED = _Handled(Control.ALLOWED, Disposition.ALLOWED, Severity.INFORMATIONAL, Status.SUCCESS)
_MASKED = _Handled(Control.MODIFIED, Disposition.CORRECTED, Severity.LOW, Status.SUCCESS)
_RELEASED = _Handled(Control.ALLOWED, Disposition.APPROVED, Severity.MEDIUM, Status.SUCCESS)
_REJECTED = _Handled(Control.DENIED, Disposition.REJECTED, Severity.MEDIUM, Status.FAILURE)
_BLOCKED = _Handled(Control.DENIED, Disposition.BLOCKED, Severity.HIGH, Status.FAILURE)


def lines(session: Session) -> Iterator[str]:
    """Each OCSF event as JSON, without newline."""
    return (json.dumps(event) for event in events(session))


def events(session: Session) -> Iterator[dict[str, Json]]:
    """The OCSF events of ``session``, in order."""
    context = _Context(session)
    for event in session.events:
        match EventType(event["type"]):
            case EventType.OPERATION | EventType.RESULT:
                yield _decided(context, event)
            case EventType.RESPONSE:
                yield _answered(context, event)
            case EventType.VERDICT:
                yield _verdict(context, event)
            case EventType.REFUSED:
                call = f"{event['method']} {event['path']}"
                yield context.event(event, call, event["reason"], _BLOCKED)


class _Context:
    """What all events of one session share."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self._started = next((one for one in session.events if one["type"] == EventType.SESSION_STARTED), {})
        self._requests = {one["seq"]: one for one in session.events if one["type"] == EventType.REQUEST}
        launched = next((one for one in session.events if one["type"] == EventType.AGENT_STARTED), None)
        argv = launched["argv"] if launched else []
        self._agent = PurePosixPath(argv[0]).name if argv else "agent"
        self._id = str(self._started.get("session", "unknown"))

    def event(self, event: Mapping[str, Any], operation: str, message: str, handled: _Handled) -> dict[str, Json]:
        """The OCSF event for ``event``: ``operation`` is what was called, and ``message`` says it to people."""
        connection = str(event.get("connection", ""))
        return {
            "activity_id": _OTHER,
            "activity_name": str(event["type"]),
            "category_uid": _CATEGORY,
            "class_uid": CLASS,
            "type_uid": CLASS * 100 + _OTHER,
            "time": _milliseconds(event["time"]),
            "severity_id": handled.severity.value,
            "status_id": handled.status.value,
            "message": excerpt(message, _MOST),
            "metadata": {
                "version": VERSION,
                "profiles": list(_PROFILES),
                "product": {"name": "ciguard", "version": str(self._started.get("tool", "ciguard")).split(" ")[-1]},
                "uid": f"{self._id}/{event['seq']}",
                "sequence": event["seq"],
                "correlation_uid": self._id,
                "log_name": "events.jsonl",
                "original_time": event["time"],
            },
            "actor": {"app_name": self._agent, "session": {"uid": self._id}},
            "api": {
                "operation": operation or "unknown",
                "request": {"uid": f"{self._id}/{event['seq']}"},
                "service": {"name": connection or "guard"},
            },
            "src_endpoint": {"svc_name": self._agent},
            "dst_endpoint": self._upstream(connection),
            "action_id": handled.control.value,
            "disposition_id": handled.disposition.value,
            "is_alert": handled.severity >= Severity.MEDIUM,
            "policy": self._policy(),
        }

    def model(self, request: int | None) -> dict[str, Json]:
        """The model that the request ``request`` was for; nothing when there is none."""
        asked = self._requests.get(request) if request is not None else None
        if asked is None or not asked["model"]:
            return {}
        return {"ai_model": {"name": asked["model"], "ai_provider": self._type(asked["connection"])}}

    def _type(self, connection: str) -> str:
        facts = self._started.get("connections", {}).get(connection)
        return str(facts["type"]) if facts else "unknown"

    def _upstream(self, connection: str) -> dict[str, Json]:
        facts = self._started.get("connections", {}).get(connection)
        try:
            host = urlsplit(facts["upstream"]).hostname if facts else None
        except ValueError:
            host = None
        return {"svc_name": connection or "guard"} | ({"hostname": host} if host else {})

    def _policy(self) -> dict[str, Json]:
        policy = self._started.get("policy", {})
        return {"name": policy.get("source", "unknown"), "uid": policy.get("digest", "unknown"), "is_applied": True}


def _decided(context: _Context, event: Mapping[str, Any]) -> dict[str, Json]:
    kind = recorded_kind(event)
    decision = event["decision"]
    rules: list[Json] = [{"uid": one["rule"], "desc": one["text"]} for one in decision["reasons"]]
    made = context.event(event, kind.value, recorded_content(context.session, event).line, _handled(event))
    made |= {"risk_score": decision["risk"]}
    if rules:
        made["firewall_rule"] = rules[0]
    if kind in _ROLES:
        made |= {"message_context": {"service": {"name": event["connection"]}, "ai_role_id": _ROLES[kind].value}}
    masked: dict[str, Json] = {"masked": event["masked"], "rules": rules, "body": event["body"]}
    return made | context.model(event["request"]) | {"unmapped": masked}


def _handled(event: Mapping[str, Any]) -> _Handled:
    match event["decision"]["action"], event.get("effect", ""):
        case "allow", _:
            return _MASKED if event["masked"] else _ALLOWED
        case "mask", _:
            return _MASKED
        case "hold", "forwarded":
            return _RELEASED
        case "hold", _:
            return _REJECTED
        case _:
            return _BLOCKED


def _answered(context: _Context, event: Mapping[str, Any]) -> dict[str, Json]:
    failed = event["status"] >= 400 or not event["complete"]
    usage = event["usage"]
    made = context.event(event, "response", event["reason"] or f"status {event['status']}", _ALLOWED)
    return (
        made
        | context.model(event["request"])
        | {
            "status_id": (Status.FAILURE if failed else Status.SUCCESS).value,
            "status_code": str(event["status"]),
            "status_detail": excerpt(event["reason"], _MOST),
            "message_context": {
                "service": {"name": event["connection"]},
                "ai_role_id": Role.ASSISTANT.value,
                "prompt_tokens": usage["input_tokens"],
                "completion_tokens": usage["output_tokens"],
                "total_tokens": usage["input_tokens"] + usage["output_tokens"],
            },
        }
    )


def _verdict(context: _Context, event: Mapping[str, Any]) -> dict[str, Json]:
    released = event["outcome"] == "released"
    evidence: list[Json] = list(event["evidence"])
    made = context.event(event, "approval", event["reason"], _RELEASED if released else _REJECTED)
    unmapped: dict[str, Json] = {"approval": event["approval"], "outcome": event["outcome"], "evidence": evidence}
    return made | {"unmapped": unmapped | {"waited_ms": event["waited_ms"], "discounted": event["discounted"]}}


def _milliseconds(time: str) -> int:
    return round(datetime.fromisoformat(time).timestamp() * 1000)

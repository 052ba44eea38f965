"""A session as OpenTelemetry spans in OTLP/JSON: one for the agent, in it one for each model request, in it tool calls.

https://github.com/open-telemetry/opentelemetry-proto, ``ExportTraceServiceRequest``; in OTLP/JSON ids are hex and
64-bit integers strings. Decisions of the policy are events of the span that they belong to, with attributes
``ciguard.*``. Contents stay in the session: spans have names, numbers and decisions only.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import urlsplit

from ciguard.operation import Json, OperationKind, ResultKind
from ciguard.report.export import genai_names as names
from ciguard.report.facts import recorded, recorded_kind
from ciguard.report.inert import excerpt
from ciguard.session.event import EventType
from ciguard.session.reading import Session

_INTERNAL, _CLIENT = 1, 3
_ERROR = 2
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MOST = 200


@dataclass(slots=True)
class _Span:
    """A span while it is put together; ``end`` is None until something ends it."""

    name: str
    kind: int
    seq: int
    parent: int | None
    start: str
    end: str | None = None
    attributes: dict[str, Json] = field(default_factory=dict)
    events: list[Json] = field(default_factory=list)
    error: str = ""


def lines(session: Session) -> Iterator[str]:
    """The whole session as one line of JSON, the body of a request to ``/v1/traces``."""
    yield json.dumps(trace(session))


def trace(session: Session) -> dict[str, Json]:
    """The ``ExportTraceServiceRequest`` of ``session``; without spans when its log is empty."""
    if not session.events:
        return {"resourceSpans": []}
    started = session.events[0]
    spans = _spans(session)
    last = session.events[-1]["time"]
    tool = str(started.get("tool", "ciguard"))
    resource: dict[str, Json] = {names.SERVICE_NAME: "ciguard", names.SERVICE_VERSION: tool.rsplit(" ", maxsplit=1)[-1]}
    identity = str(started.get("session", "unknown"))
    return {
        "resourceSpans": [
            {
                "resource": {"attributes": _attributes(resource)},
                "scopeSpans": [
                    {"scope": {"name": "ciguard"}, "spans": [_exported(span, identity, last) for span in spans]}
                ],
            }
        ]
    }


def _spans(session: Session) -> list[_Span]:
    started = session.events[0]
    root = _Span(names.INVOKE_AGENT, _INTERNAL, started["seq"], None, started["time"])
    root.attributes = {
        names.OPERATION_NAME: names.INVOKE_AGENT,
        names.CONVERSATION_ID: started.get("session", "unknown"),
        "ciguard.log.head": session.position.head,
        "ciguard.completeness": session.completeness.value,
    }
    if "isolation" in started:
        root.attributes |= {
            "ciguard.isolation.level": started["isolation"]["level"],
            "ciguard.policy.digest": started["policy"]["digest"],
        }
    spans: dict[int, _Span] = {root.seq: root}
    calls: dict[str, _Span] = {}
    for event in session.events:
        match EventType(event["type"]):
            case EventType.AGENT_STARTED if event["argv"]:
                agent = PurePosixPath(event["argv"][0]).name
                root.name = f"{names.INVOKE_AGENT} {agent}"
                root.attributes[names.AGENT_NAME] = agent
            case EventType.REQUEST:
                spans[event["seq"]] = _request(event, root, started.get("connections", {}).get(event["connection"]))
            case EventType.RESPONSE:
                _answer(spans.get(event["request"], root), event)
            case EventType.OPERATION if event["operation"] == OperationKind.TOOL_CALL:
                body, content = recorded(session, event)
                named = str(body.get("id", "")) if isinstance(body, Mapping) else ""
                span = spans[event["seq"]] = _call(event, spans.get(event["request"], root), content.title, named)
                if named:
                    calls.setdefault(named, span)
            case EventType.RESULT if event["result"] == ResultKind.TOOL_RESULT:
                body, _ = recorded(session, event)
                ended = calls.get(str(body.get("id", ""))) if isinstance(body, Mapping) else None
                if ended is not None:
                    ended.end = event["time"]
                (ended or root).events.append(_decision(event))
            case EventType.OPERATION | EventType.RESULT:
                spans.get(event["request"], root).events.append(_decision(event))
            case EventType.VERDICT:
                told: dict[str, Json] = {"ciguard.outcome": event["outcome"], "ciguard.waited_ms": event["waited_ms"]}
                root.events.append(_event("ciguard.verdict", event["time"], told))
            case EventType.SESSION_STOPPED:
                root.error = event["reason"]
    return list(spans.values())


def _request(event: Mapping[str, Any], root: _Span, connection: Mapping[str, Any] | None) -> _Span:
    model = event["model"]
    span = _Span(f"{names.CHAT} {model}", _CLIENT, event["seq"], root.seq, event["time"])
    kind = str(connection["type"]) if connection else ""
    span.attributes = {
        names.OPERATION_NAME: names.CHAT,
        names.PROVIDER_NAME: names.PROVIDERS.get(kind, kind or "unknown"),
        "ciguard.connection": event["connection"],
    }
    if model:
        span.attributes[names.REQUEST_MODEL] = model
    if connection:
        try:
            host = urlsplit(connection["upstream"]).hostname
        except ValueError:
            host = None
        if host:
            span.attributes[names.SERVER_ADDRESS] = host
    return span


def _answer(span: _Span, event: Mapping[str, Any]) -> None:
    span.end = event["time"]
    span.attributes |= {
        names.USAGE_INPUT_TOKENS: event["usage"]["input_tokens"],
        names.USAGE_OUTPUT_TOKENS: event["usage"]["output_tokens"],
        names.HTTP_RESPONSE_STATUS_CODE: event["status"],
    }
    if event["status"] >= 400 or not event["complete"]:
        span.attributes[names.ERROR_TYPE] = str(event["status"])
        span.error = event["reason"] or f"status {event['status']}"


def _call(event: Mapping[str, Any], parent: _Span, tool: str, named: str) -> _Span:
    span = _Span(f"{names.EXECUTE_TOOL} {tool}", _INTERNAL, event["seq"], parent.seq, event["time"])
    span.end = event["time"]
    span.attributes = {names.OPERATION_NAME: names.EXECUTE_TOOL, names.TOOL_NAME: tool or "unknown"}
    if named:
        span.attributes[names.TOOL_CALL_ID] = named
    span.events.append(_decision(event))
    action = event["decision"]["action"]
    if event["effect"] != "forwarded":
        span.attributes[names.ERROR_TYPE] = action
        span.error = f"{event['effect']}: the policy's decision is {action}"
    return span


def _decision(event: Mapping[str, Any]) -> Json:
    decision = event["decision"]
    rules: list[Json] = [reason["rule"] for reason in decision["reasons"]]
    told: dict[str, Json] = {
        "ciguard.kind": recorded_kind(event).value,
        "ciguard.decision": decision["action"],
        "ciguard.risk": decision["risk"],
        "ciguard.rules": rules,
        "ciguard.masked": sum(event["masked"].values()),
        "ciguard.effect": event.get("effect", ""),
        "ciguard.seq": event["seq"],
    }
    return _event("ciguard.decision", event["time"], told)


def _event(name: str, time: str, attributes: Mapping[str, Json]) -> Json:
    return {"name": name, "timeUnixNano": _nanoseconds(time), "attributes": _attributes(attributes)}


def _exported(span: _Span, session: str, last: str) -> Json:
    made: dict[str, Json] = {
        "traceId": hashlib.sha256(session.encode(errors="surrogatepass")).hexdigest()[:32],
        "spanId": _span_id(session, span.seq),
        "name": excerpt(span.name, _MOST),
        "kind": span.kind,
        "startTimeUnixNano": _nanoseconds(span.start),
        # A clock may go back; a span may not.
        "endTimeUnixNano": _nanoseconds(max(span.start, span.end or last)),
        "attributes": _attributes(span.attributes),
        "events": span.events,
    }
    if span.parent is not None:
        made["parentSpanId"] = _span_id(session, span.parent)
    if span.error:
        made["status"] = {"code": _ERROR, "message": excerpt(span.error, _MOST)}
    return made


def _span_id(session: str, seq: int) -> str:
    return hashlib.sha256(f"{session}/{seq}".encode(errors="surrogatepass")).hexdigest()[:16]


def _attributes(attributes: Mapping[str, Json]) -> list[Json]:
    return [{"key": key, "value": _value(value)} for key, value in attributes.items()]


def _value(value: Json) -> Json:
    if isinstance(value, int):
        return {"intValue": str(value)}
    if isinstance(value, list):
        return {"arrayValue": {"values": [_value(one) for one in value]}}
    return {"stringValue": excerpt(str(value), _MOST)}


def _nanoseconds(time: str) -> str:
    passed = datetime.fromisoformat(time) - _EPOCH
    return str(((passed.days * 86_400 + passed.seconds) * 1_000_000 + passed.microseconds) * 1_000)

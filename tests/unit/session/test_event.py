from __future__ import annotations

from typing import Any

import pytest

from ciguard.operation import OperationKind
from ciguard.session.event import FIELDS, EventType, check_fields

DIGEST = "a" * 64
OPERATION: dict[str, Any] = {
    "operation": OperationKind.PROMPT,
    "connection": "claude",
    "request": 2,
    "body": DIGEST,
    "masked": {"aws-access-key": 1},
    "decision": {"action": "block", "risk": 95, "reasons": [{"rule": "r", "text": "t", "risk": 95}]},
    "effect": "withheld",
}
REQUEST: dict[str, Any] = {
    "connection": "claude",
    "method": "POST",
    "path": "/v1/messages",
    "model": "m",
    "stream": True,
    "parts": {"base": None, "keep": 0, "add": [["messages", DIGEST]]},
}


def test_every_event_type_has_fields() -> None:
    assert set(FIELDS) == set(EventType)


@pytest.mark.parametrize(
    ("event", "fields"),
    [
        (EventType.OPERATION, OPERATION),
        (EventType.REQUEST, REQUEST),
        (EventType.REQUEST, {**REQUEST, "parts": {"base": 3, "keep": 4, "add": []}}),
        (EventType.AGENT_EXITED, {"status": -9, "signal": "SIGKILL"}),
    ],
)
def test_fields_of_the_right_shape_pass(event: EventType, fields: dict[str, Any]) -> None:
    check_fields(event, fields)


@pytest.mark.parametrize(
    ("event", "fields", "what"),
    [
        (EventType.AGENT_EXITED, {"status": 0}, "signal"),
        (EventType.AGENT_EXITED, {"status": 0, "signal": "", "core": True}, "core"),
        (EventType.AGENT_EXITED, {"status": "0", "signal": ""}, "status"),
        (EventType.AGENT_EXITED, {"status": False, "signal": ""}, "status"),
        (EventType.OPERATION, {**OPERATION, "operation": "dance"}, "dance"),
        (EventType.OPERATION, {**OPERATION, "effect": "lost"}, "lost"),
        (EventType.OPERATION, {**OPERATION, "body": DIGEST + "\n"}, "body"),
        (EventType.OPERATION, {**OPERATION, "body": DIGEST.upper()}, "body"),
        (EventType.OPERATION, {**OPERATION, "request": -1}, "request"),
        (EventType.OPERATION, {**OPERATION, "masked": {"k": -1}}, "masked"),
        (EventType.OPERATION, {**OPERATION, "decision": {"action": "permit", "risk": 0, "reasons": []}}, "permit"),
        (EventType.REQUEST, {**REQUEST, "parts": {"base": None, "keep": 0, "add": [["messages"]]}}, "add"),
        (EventType.REQUEST, {**REQUEST, "parts": {"base": 1.5, "keep": 0, "add": []}}, "base"),
    ],
)
def test_fields_of_another_shape_are_named(event: EventType, fields: dict[str, Any], what: str) -> None:
    with pytest.raises(ValueError, match=what):
        check_fields(event, fields)

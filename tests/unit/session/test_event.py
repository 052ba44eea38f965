from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from ciguard.operation import OperationKind, ResultKind
from ciguard.session.event import EVENTS, EventType, event_from
from tests.unit.session.sample import STARTED

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
    assert set(EVENTS) == set(EventType)


@pytest.mark.parametrize(
    ("event", "fields"),
    [
        (EventType.OPERATION, OPERATION),
        (EventType.OPERATION, {**OPERATION, "request": None}),
        (EventType.REQUEST, REQUEST),
        (EventType.REQUEST, {**REQUEST, "parts": {"base": 3, "keep": 4, "add": []}}),
        (EventType.AGENT_EXITED, {"status": -9, "signal": "SIGKILL"}),
    ],
)
def test_fields_of_the_right_shape_pass(event: EventType, fields: dict[str, Any]) -> None:
    event_from({**fields, "type": event.value})


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
        (EventType.APPROVAL_REQUESTED, {"subject": "dance"}, "approval"),
        (EventType.REQUEST, {**REQUEST, "parts": {"base": 1.5, "keep": 0, "add": []}}, "base"),
    ],
)
def test_fields_of_another_shape_are_named(event: EventType, fields: dict[str, Any], what: str) -> None:
    with pytest.raises(ValueError, match=what):
        event_from({**fields, "type": event.value})


VALID: dict[EventType, dict[str, Any]] = {
    EventType.SESSION_STARTED: {**STARTED},
    EventType.AGENT_STARTED: {"argv": ["claude"]},
    EventType.REQUEST: {**REQUEST, "parts": {"base": 1, "keep": 1, "add": [["messages", DIGEST]]}},
    EventType.OPERATION: OPERATION,
    EventType.RESULT: {
        **{name: OPERATION[name] for name in ("connection", "request", "body", "masked", "decision")},
        "result": "tool_result",
    },
    EventType.RESPONSE: {
        "connection": "claude",
        "request": 1,
        "status": 200,
        "complete": True,
        "usage": {"input_tokens": 1, "output_tokens": 1},
        "reason": "",
    },
    EventType.REFUSED: {"reason": "", "connection": "", "method": "", "path": "", "status": 401},
    EventType.COMMANDS_REPEATED: {"times": [[3, 1], [5, 12]]},
    EventType.TRANSFER: {
        "operation": 1,
        "status": 200,
        "sent": 1,
        "received": 1,
        "masked": {"k": 1},
        "complete": True,
        "reason": "",
    },
    EventType.PROTECTED_FILES: {"when": "after", "done": "reported", "paths": [".github"], "more": 1},
    EventType.ORIGINAL: {"placeholder": "[ciguard-masked:k:0123456789ab]", "commitment": DIGEST},
    EventType.APPROVAL_REQUESTED: {
        "approval": "3f9a2c.1",
        "digest": "0" * 24,
        "subject": "tool_call",
        "connection": "claude",
        "body": DIGEST,
        "place": "github.com/acme/shop#7",
        "head": "c" * 40,
        "quorums": [{"count": 1, "approvers": ["@acme/dba"]}],
        "expires": "2026-11-02T10:00:00Z",
    },
    EventType.VERDICT: {
        "approval": "3f9a2c.1",
        "outcome": "released",
        "reason": "It was approved by @bob.",
        "comment": 100,
        "waited_ms": 61_000,
        "evidence": [
            {
                "comment": 101,
                "account": 1002,
                "login": "bob",
                "role": "maintain",
                "created": "2026-11-02T09:31:00Z",
                "body": DIGEST,
                "answers": [DIGEST],
            }
        ],
        "discounted": 1,
    },
    EventType.NOTIFIED: {
        "approval": "3f9a2c.1",
        "about": "verdict",
        "status": 302,
        "reason": "it answered with a redirect, which is not followed",
    },
    EventType.AGENT_EXITED: {"status": 0, "signal": ""},
    EventType.SESSION_STOPPED: {"reason": ""},
    EventType.SESSION_FINISHED: {"outcome": "", "operations": 1, "blocked": 1, "held": 1, "masked": 1},
    EventType.SESSION_CUT_OFF: {
        "lost": {"log": 1, "objects": 1},
        "signing": [{"signer": "job", "keyid": f"sha256:{DIGEST}"}],
    },
}


def replaced(value: Any, by: object) -> Iterator[Any]:
    """``value`` with each of its leaves in turn replaced."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from ({**value, key: changed} for changed in replaced(inner, by))
    elif isinstance(value, list):
        for place, inner in enumerate(value):
            yield from ([*value[:place], changed, *value[place + 1 :]] for changed in replaced(inner, by))
    else:
        yield by


@pytest.mark.parametrize(
    "other", [1.0, 0.5, float("nan"), b"x", (1,), {1: 1}, object()], ids=lambda value: type(value).__name__
)
@pytest.mark.parametrize("event", EventType)
def test_nothing_that_is_not_json_or_is_a_fraction_passes_anywhere(event: EventType, other: object) -> None:
    event_from({**VALID[event], "type": event.value})
    changed = list(replaced(VALID[event], other))
    assert changed
    for fields in changed:
        with pytest.raises(ValueError, match=r"."):
            event_from({**fields, "type": event.value})


def test_what_is_held_has_a_known_kind() -> None:
    asked = {**VALID[EventType.APPROVAL_REQUESTED], "type": EventType.APPROVAL_REQUESTED.value}
    for kind in (*OperationKind, *ResultKind):
        event_from({**asked, "subject": kind.value})
    with pytest.raises(ValueError, match="no kind"):
        event_from({**asked, "subject": "dance"})

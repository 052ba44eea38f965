"""A session with one of everything that an export has to say something of."""

from __future__ import annotations

from pathlib import Path

from ciguard.operation import Json
from ciguard.session.event import EventType, SessionStopped
from tests.unit.session import sample


def record_all(directory: Path, text: str = "text") -> Path:
    """A session with every kind of decision, a result of a tool, a connection, an approval and a call turned away."""
    recorder = sample.start(directory)
    sample.converse(recorder, [text])
    request = sample.request(recorder, None, 0, text)
    call: Json = {"name": text, "input": {text: text}, "id": text}
    sample.operation(recorder, "tool_call", request, call, decided=sample.decision("hold", 60, (text, text, 60)))
    sample.operation(recorder, "prompt", request, {"texts": [text]}, decided=sample.decision("mask"), masked={text: 1})
    sample.result(recorder, "tool_result", request, {"texts": [text], "id": text})
    recorder.record(
        sample.event(
            EventType.OPERATION,
            operation="connect",
            connection="",
            request=None,
            body=sample.store(recorder, {"host": text, "port": 443, "address": text}),
            masked={},
            decision=sample.decision(),
            effect="forwarded",
        )
    )
    sample.rule(recorder, "3f9a2c", "released", text, comment=99, waited_ms=1_000, evidence=[sample.BOB])
    sample.respond(recorder, request)
    recorder.record(SessionStopped(reason=text))
    sample.end(recorder)
    return directory

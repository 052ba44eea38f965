"""A small session with one of everything, recorded as a guard would record it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from ciguard.operation import Json
from ciguard.session.event import AgentExited, AgentStarted, Event, EventType, Refused, event_from
from ciguard.session.recorder import Recorder
from ciguard.session.signers import job_signer, signed

POLICY = "version: 1\n"
START = datetime(2026, 11, 2, 9, 30, tzinfo=UTC)
SIGNER = job_signer(None)

STARTED: Mapping[str, Json] = {
    "session": "0b7f",
    "tool": "ciguard 0.1.0",
    "lock": "sha256:" + "2" * 64,
    "policy": {"digest": "sha256:" + hashlib.sha256(POLICY.encode()).hexdigest(), "source": ".ciguard.yml@main"},
    "identity": {
        "issuer": "https://issuer.example.com",
        "claims": {"repository": "acme/shop", "event_name": "pull_request"},
        "token_digest": "sha256:" + "1" * 64,
    },
    "job": {"forge": "github", "repository": "acme/shop", "change": {"number": 7}},
    "isolation": {"level": "landlock", "limits": ["reads of world-readable files"]},
    "signing": [{"signer": "job", "keyid": SIGNER.key.keyid}],
    "connections": {"claude": {"type": "anthropic", "upstream": "https://api.example.com"}},
}


BOB: Json = {
    "comment": 101,
    "account": 1002,
    "login": "bob",
    "role": "write",
    "created": "2026-11-02T09:32:00Z",
    "body": "a" * 64,
    "answers": ["b" * 64],
}
"""A comment that counted, as a verdict names it."""


class Steps:
    """A clock that moves by one second whenever it is read."""

    def __init__(self) -> None:
        self._now = int(START.timestamp()) * 1_000_000_000

    def __call__(self) -> int:
        self._now += 1_000_000_000
        return self._now


def decision(action: str = "allow", risk: int = 0, *reasons: tuple[str, str, int]) -> Json:
    """A decision with its reasons as (rule, text, risk)."""
    spoken: list[Json] = [{"rule": rule, "text": text, "risk": points} for rule, text, points in reasons]
    return {"action": action, "risk": risk, "reasons": spoken}


def store(recorder: Recorder, value: Json) -> str:
    """The digest of ``value``, stored as JSON."""
    return recorder.store(json.dumps(value).encode())


def event(type_: EventType, **fields: Json) -> Event:
    """An event from what a line of a log would say of it."""
    return event_from({"type": type_.value, **fields})


def start(directory: Path, started: Mapping[str, Json] = STARTED) -> Recorder:
    """A recorder whose session has begun."""
    recorder = Recorder(directory, Steps())
    recorder.write_policy(POLICY)
    recorder.record(event(EventType.SESSION_STARTED, **started))
    recorder.record(AgentStarted(argv=["claude", "-p", "fix the bug"]))
    return recorder


def request(recorder: Recorder, base: int | None, keep: int, *added: Json) -> int:
    """A request that adds messages to what an earlier one said."""
    add: list[Json] = [["messages", store(recorder, message)] for message in added]
    return recorder.record(
        event(
            EventType.REQUEST,
            connection="claude",
            method="POST",
            path="/v1/messages",
            model="claude-test",
            stream=True,
            parts={"base": base, "keep": keep, "add": add},
        )
    )


def operation(
    recorder: Recorder,
    kind: str,
    request: int,
    body: Json,
    *,
    decided: Json = None,
    effect: str = "forwarded",
    masked: Mapping[str, int] | None = None,
) -> int:
    """One decided operation."""
    return recorder.record(
        event(
            EventType.OPERATION,
            operation=kind,
            connection="claude",
            request=request,
            body=store(recorder, body),
            masked={**(masked or {})},
            decision=decided or decision(),
            effect=effect,
        )
    )


def result(recorder: Recorder, kind: str, request: int, body: Json, masked: Mapping[str, int] | None = None) -> int:
    """One result that was allowed."""
    return recorder.record(
        event(
            EventType.RESULT,
            result=kind,
            connection="claude",
            request=request,
            body=store(recorder, body),
            masked={**(masked or {})},
            decision=decision(),
        )
    )


def respond(recorder: Recorder, request: int, status: int = 200, *, complete: bool = True, reason: str = "") -> None:
    """The end of the answer to a request."""
    usage: Json = {"input_tokens": 10, "output_tokens": 3}
    recorder.record(
        event(
            EventType.RESPONSE,
            connection="claude",
            request=request,
            status=status,
            complete=complete,
            usage=usage,
            reason=reason,
        )
    )


def ask(recorder: Recorder, approval: str, body: Json, **other: Json) -> None:
    """A request for approval of the call ``body``; ``other`` is what is not as usual."""
    usual: dict[str, Json] = {
        "approval": approval,
        "digest": "0" * 24,
        "subject": "tool_call",
        "connection": "claude",
        "body": store(recorder, body),
        "place": "github.com/acme/shop#7",
        "head": "",
        "quorums": [{"count": 1, "approvers": ["@bob"]}],
        "expires": "2026-11-02T10:00:00Z",
    }
    recorder.record(event(EventType.APPROVAL_REQUESTED, **(usual | other)))


def rule(recorder: Recorder, approval: str, outcome: str, reason: str, **other: Json) -> None:
    """What became of a request for approval; ``other`` is what is not as usual."""
    usual: dict[str, Json] = {
        "approval": approval,
        "outcome": outcome,
        "reason": reason,
        "comment": None,
        "waited_ms": 61_500,
        "evidence": [],
        "discounted": 0,
    }
    recorder.record(event(EventType.VERDICT, **(usual | other)))


def converse(recorder: Recorder, texts: Sequence[str] = ("Fix the failing test.",)) -> None:
    """Two turns: a prompt and a masked answer, then a blocked command, a held statement, and a call turned away."""
    first = request(recorder, None, 0, "system text", {"role": "user", "content": list(texts)})
    operation(recorder, "instructions", first, {"texts": ["You are an agent."]})
    operation(recorder, "prompt", first, {"texts": list(texts)})
    result(recorder, "response_text", first, {"text": "The key is [masked:1]."}, masked={"aws-access-key": 2})
    respond(recorder, first)
    second = request(recorder, first, 2, {"role": "assistant", "content": "The key is [masked:1]."})
    destructive = decision("block", 95, ("no-destruction", "Removes what cannot be restored", 95))
    call: Json = {"name": "Bash", "input": {"command": "rm -rf /"}, "id": "call_1"}
    operation(recorder, "tool_call", second, call, decided=destructive, effect="withheld")
    held = decision("hold", 60, ("destructive-sql", "Drops a table", 60))
    drop: Json = {"name": "Bash", "input": {"command": "psql -c 'DROP TABLE users'"}, "id": "call_2"}
    operation(recorder, "tool_call", second, drop, decided=held, effect="withheld")
    respond(recorder, second, 529, complete=False, reason="the upstream closed the stream")
    recorder.record(Refused(reason="no session token", connection="claude", method="GET", path="/v1/files", status=401))


def end(recorder: Recorder) -> dict[str, Json]:
    """The agent exits and the session finishes."""
    recorder.record(AgentExited(status=0, signal=""))
    return recorder.finish("succeeded", partial(signed, [SIGNER]))


def record(directory: Path) -> Path:
    """The whole sample session in ``directory``."""
    recorder = start(directory)
    converse(recorder)
    end(recorder)
    return directory

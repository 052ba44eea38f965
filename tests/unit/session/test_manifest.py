from __future__ import annotations

from typing import Any

import pytest

from ciguard.decision import ActionWord
from ciguard.operation import OperationKind, ResultKind
from ciguard.session.chain import Position
from ciguard.session.event import (
    AgentExited,
    AgentStarted,
    DecisionFacts,
    Event,
    EventType,
    Lost,
    OperationDecided,
    Parts,
    Request,
    ResultDecided,
    SessionCutOff,
    SessionFinished,
    Transfer,
    Verdict,
    VerdictOutcome,
)
from ciguard.session.manifest import Account, Counts, OutOfOrderError
from tests.unit.session import sample

TIME = "2026-11-02T09:30:00.000Z"
STARTED = sample.event(EventType.SESSION_STARTED, **sample.STARTED, time=TIME)
ENDED = SessionFinished(time=TIME, outcome="succeeded", operations=2, blocked=1, held=1, masked=3)
EXITED = AgentExited(status=3, signal="")
CUT_OFF = SessionCutOff(time=TIME, lost=Lost(log=0, objects=0), signing=[])
REQUEST = Request(
    connection="claude", method="POST", path="/", model="m", stream=False, parts=Parts(base=None, keep=0, add=[])
)


def decided(action: ActionWord, **masked: int) -> dict[str, Any]:
    """What operations and results say alike."""
    decision = DecisionFacts(action=action, risk=0, reasons=[])
    return {"connection": "claude", "request": 2, "body": "a" * 64, "masked": masked, "decision": decision}


def operation(action: ActionWord, **masked: int) -> OperationDecided:
    return OperationDecided(operation=OperationKind.PROMPT, effect="forwarded", **decided(action, **masked))


def verdict(outcome: VerdictOutcome) -> Verdict:
    return Verdict(approval="1", outcome=outcome, reason="", comment=None, waited_ms=0, evidence=[], discounted=0)


def account() -> Account:
    account = Account()
    account.add(STARTED)
    account.add(operation("block", aws=2))
    account.add(operation("allow"))
    account.add(ResultDecided(result=ResultKind.TOOL_RESULT, **decided("hold", aws=1)))
    account.add(REQUEST)
    account.add(verdict("released"))
    account.add(verdict("denied"))
    account.add(verdict("released"))
    return account


def test_counts_cover_operations_and_results() -> None:
    assert account().counts == Counts(operations=2, blocked=1, held=1, masked=3)


def test_a_manifest_says_what_the_events_add_up_to() -> None:
    summed = account()
    summed.add(EXITED)
    assert not summed.finished
    summed.add(ENDED)
    assert summed.finished
    manifest = summed.manifest(Position(7, "f" * 64), partial={}, bodies=2, index="e" * 64, sealed="")
    assert manifest == {
        "format": 1,
        **{
            name: sample.STARTED[name]
            for name in ("session", "tool", "lock", "identity", "policy", "isolation", "job", "signing")
        },
        "started": TIME,
        "finished": TIME,
        "outcome": "succeeded",
        "completeness": "complete",
        "agent": {"status": 3, "signal": ""},
        "operations": {"prompt": 2},
        "results": {"tool_result": 1},
        "decisions": {"block": 1, "allow": 1, "hold": 1},
        "verdicts": {"released": 2, "denied": 1},
        "masked": {"aws": 3},
        "requests": 1,
        "refused": 0,
        "log": {"events": 7, "head": "f" * 64},
        "objects": {"bodies": 2, "index": "e" * 64},
        "partial": {},
        "originals": {"sealed": 0, "digest": ""},
    }


def test_values_masked_on_the_way_of_a_transfer_count() -> None:
    summed = account()
    transfer = Transfer(operation=3, status=200, sent=1, received=1, masked={"aws": 2}, complete=True, reason="")
    summed.add(transfer)
    assert summed.counts.masked == 5
    assert summed.counts.operations == 2


def test_open_responses_make_a_session_incomplete() -> None:
    summed = account()
    summed.add(ENDED)
    manifest = summed.manifest(Position(), partial={"partial/000001": "d" * 64}, bodies=0, index="", sealed="")
    assert manifest["completeness"] == "unfinished responses"


def test_a_session_starts_first_and_once() -> None:
    with pytest.raises(OutOfOrderError, match="session_started"):
        Account().add(AgentStarted(argv=[]))
    with pytest.raises(OutOfOrderError, match="session_started"):
        account().add(STARTED)


def test_there_is_no_manifest_before_the_end() -> None:
    with pytest.raises(OutOfOrderError, match="no end"):
        account().manifest(Position(), partial={}, bodies=0, index="", sealed="")


@pytest.mark.parametrize("end", [ENDED, CUT_OFF])
def test_nothing_follows_the_end(end: Event) -> None:
    summed = account()
    summed.add(end)
    with pytest.raises(OutOfOrderError, match="follows"):
        summed.add(EXITED)

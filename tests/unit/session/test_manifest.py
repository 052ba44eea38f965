from __future__ import annotations

from typing import Any

import pytest

from ciguard.session.chain import Position
from ciguard.session.event import EventType
from ciguard.session.manifest import Account, Counts, OutOfOrderError
from tests.unit.session.sample import STARTED

TIME = "2026-11-02T09:30:00.000Z"
ENDED: dict[str, Any] = {"outcome": "succeeded", "operations": 2, "blocked": 1, "held": 1, "masked": 3}


def decided(action: str, **masked: int) -> dict[str, Any]:
    return {"operation": "prompt", "result": "tool_result", "masked": masked, "decision": {"action": action}}


def account() -> Account:
    account = Account()
    account.add(EventType.SESSION_STARTED, TIME, STARTED)
    account.add(EventType.OPERATION, TIME, decided("block", aws=2))
    account.add(EventType.OPERATION, TIME, decided("allow"))
    account.add(EventType.RESULT, TIME, decided("hold", aws=1))
    account.add(EventType.REQUEST, TIME, {})
    account.add(EventType.VERDICT, TIME, {"outcome": "released"})
    account.add(EventType.VERDICT, TIME, {"outcome": "denied"})
    account.add(EventType.VERDICT, TIME, {"outcome": "released"})
    return account


def test_counts_cover_operations_and_results() -> None:
    assert account().counts == Counts(operations=2, blocked=1, held=1, masked=3)


def test_a_manifest_says_what_the_events_add_up_to() -> None:
    summed = account()
    summed.add(EventType.AGENT_EXITED, TIME, {"status": 3, "signal": ""})
    assert not summed.finished
    summed.add(EventType.SESSION_FINISHED, TIME, ENDED)
    assert summed.finished
    manifest = summed.manifest(Position(7, "f" * 64), partial={}, bodies=2, index="e" * 64, sealed="")
    assert manifest == {
        "format": 1,
        **{
            name: STARTED[name]
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
    summed.add(EventType.TRANSFER, TIME, {"masked": {"aws": 2}})
    assert summed.counts.masked == 5
    assert summed.counts.operations == 2


def test_open_responses_make_a_session_incomplete() -> None:
    summed = account()
    summed.add(EventType.SESSION_FINISHED, TIME, ENDED)
    manifest = summed.manifest(Position(), partial={"partial/000001": "d" * 64}, bodies=0, index="", sealed="")
    assert manifest["completeness"] == "unfinished responses"


def test_a_session_starts_first_and_once() -> None:
    with pytest.raises(OutOfOrderError, match="session_started"):
        Account().add(EventType.AGENT_STARTED, TIME, {"argv": []})
    with pytest.raises(OutOfOrderError, match="session_started"):
        account().add(EventType.SESSION_STARTED, TIME, STARTED)


@pytest.mark.parametrize(
    ("end", "fields"), [(EventType.SESSION_FINISHED, ENDED), (EventType.SESSION_CUT_OFF, {"signing": []})]
)
def test_nothing_follows_the_end(end: EventType, fields: dict[str, Any]) -> None:
    summed = account()
    summed.add(end, TIME, fields)
    with pytest.raises(OutOfOrderError, match="follows"):
        summed.add(EventType.AGENT_EXITED, TIME, {"status": 0, "signal": ""})

from __future__ import annotations

from pathlib import Path

import pytest

from ciguard.operation import Json
from ciguard.report.facts import Stop, facts_of
from ciguard.session.event import AgentExited, EventType, SessionStopped
from ciguard.session.reading import open_session
from tests.unit.session import sample


def test_the_facts_of_a_session(tmp_path: Path) -> None:
    facts = facts_of(open_session(sample.record(tmp_path / "session")))
    assert facts.asked == "Fix the failing test."
    assert facts.agent == "claude -p 'fix the bug'"
    assert (facts.outcome, facts.complete, facts.exited) == ("succeeded", True, "exit status 0")
    assert (facts.operations, facts.prompts, facts.tool_calls, facts.requests) == (4, 1, 2, 2)
    assert (facts.held, facts.blocked, facts.masked_values, facts.turned_away) == (1, 1, 2, 1)
    assert facts.claims == (("repository", "acme/shop"), ("event_name", "pull_request"))
    blocked, held = facts.stops
    assert blocked == Stop(
        seq=8,
        kind="tool_call",
        content="Bash: rm -rf /",
        action="block",
        effect="withheld",
        risk=95,
        reasons=(("no-destruction", "Removes what cannot be restored"),),
    )
    assert (blocked.word, held.word) == ("blocked", "held, withheld")


@pytest.mark.parametrize(
    ("texts", "asked"),
    [
        (["<system-reminder>be good</system-reminder>", "Fix it."], "Fix it."),
        (["<env a='1'>\nx\n</env>\n", "  ", "Fix it."], "Fix it."),
        (["Fix <b>it</b>."], "Fix <b>it</b>."),
        (["<system-reminder>be good</system-reminder>"], ""),
    ],
)
def test_what_was_asked_is_what_a_person_wrote(tmp_path: Path, texts: list[str], asked: str) -> None:
    recorder = sample.start(tmp_path / "session")
    sample.converse(recorder, texts)
    sample.end(recorder)
    assert facts_of(open_session(tmp_path / "session")).asked == asked


def test_a_session_that_was_cut_off_says_so(tmp_path: Path) -> None:
    recorder = sample.start(tmp_path / "session")
    sample.converse(recorder)
    facts = facts_of(open_session(tmp_path / "session"))
    assert not facts.complete
    assert facts.outcome == "incomplete: the guard was cut off before it finished"
    assert facts.exited == "did not exit"


def test_a_stopped_session_says_why_and_open_responses_are_said(tmp_path: Path) -> None:
    recorder = sample.start(tmp_path / "session")
    recorder.spool()
    recorder.record(SessionStopped(reason="too many refusals"))
    recorder.record(AgentExited(status=-15, signal="SIGTERM"))
    recorder.finish("stopped")
    facts = facts_of(open_session(tmp_path / "session"))
    assert facts.outcome == "stopped: too many refusals; incomplete: responses were still being streamed"
    assert facts.exited == "ended by SIGTERM"


def test_a_reason_that_the_outcome_gives_is_not_said_twice(tmp_path: Path) -> None:
    recorder = sample.start(tmp_path / "session")
    recorder.record(SessionStopped(reason="too many refusals"))
    recorder.finish("the guard stopped: too many refusals")
    assert facts_of(open_session(tmp_path / "session")).outcome == "the guard stopped: too many refusals"


def test_an_empty_log_and_a_missing_body_have_facts_too(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "events.jsonl").touch()
    facts = facts_of(open_session(tmp_path / "empty"))
    assert (facts.session, facts.isolation, facts.issuer) == ("unknown", "unknown", "")
    directory = sample.record(tmp_path / "session")
    (directory / "objects" / "000001.pack").unlink()
    facts = facts_of(open_session(directory))
    assert facts.asked == ""
    assert "is missing: there is no objects/000001.pack]" in facts.stops[0].content


def test_hosts_are_those_that_the_agent_was_let_through_to(tmp_path: Path) -> None:
    recorder = sample.start(tmp_path / "session")
    for host, effect in (("a.example", "forwarded"), ("b.example", "withheld"), ("a.example", "forwarded")):
        body = recorder.store(f'{{"host":"{host}","port":443}}'.encode())
        recorder.record(
            sample.event(
                EventType.OPERATION,
                operation="connect",
                connection="",
                request=None,
                body=body,
                masked={},
                decision={"action": "allow" if effect == "forwarded" else "block", "risk": 0, "reasons": []},
                effect=effect,
            )
        )
    transfer: dict[str, Json] = {"operation": 2, "status": 0, "sent": 1, "received": 1, "complete": True, "reason": ""}
    recorder.record(sample.event(EventType.TRANSFER, masked={"github-token": 2}, **transfer))
    sample.end(recorder)
    facts = facts_of(open_session(tmp_path / "session"))
    assert facts.hosts == (("a.example:443", 2),)
    assert facts.masked == (("github-token", 2),)
    assert facts.blocked == 1

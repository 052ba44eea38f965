from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from ciguard.operation import Json
from ciguard.report.closing import closing
from ciguard.report.facts import facts_of
from ciguard.report.paint import Line, plain
from ciguard.report.summary import render
from ciguard.report.transcript import MAX_LINES, MAX_WIDTH, Entry, Kind, cut, entries, header, whole
from ciguard.session.event import AgentExited, EventType, Notified, Refused, SessionStopped
from ciguard.session.reading import Session, open_session
from tests.unit.session import sample


def printed(lines: Iterable[Line]) -> str:
    return "\n".join(map(plain, lines))


def recorded(directory: Path) -> Session:
    return open_session(sample.record(directory))


def entry_of(session: Session, kind: str) -> Entry:
    return next(entry for entry in entries(session) if entry.event.get("operation", entry.event["type"]) == kind)


def test_the_header_introduces_the_session(tmp_path: Path) -> None:
    text = printed(header(facts_of(recorded(tmp_path / "session"))))
    assert text.split("\n") == [
        "session  0b7f started 2026-11-02T09:30:01.000Z",
        "identity verified by https://issuer.example.com: repository acme/shop, event_name pull_request",
        f"policy   {sample.STARTED['policy']['digest']} from .ciguard.yml@main",  # type: ignore[index,call-overload]
        "isolation landlock",
        "          does not cover: reads of world-readable files",
        "agent    claude -p 'fix the bug' (exit status 0)",
        "ended    succeeded",
        "counts   4 operations · 1 blocked · 1 held · 2 values masked",
    ]


def test_the_header_says_what_is_missing(tmp_path: Path) -> None:
    started = {**sample.STARTED, "identity": None}
    recorder = sample.start(tmp_path / "session", started)
    recorder.close()
    with (tmp_path / "session" / "events.jsonl").open("ab") as log:
        log.write(b"{}\n")
    text = printed(header(facts_of(open_session(tmp_path / "session"))))
    assert "identity unverified" in text
    assert "ended    incomplete: the guard was cut off before it finished" in text
    assert "DAMAGED  line 3 (event 2): seq is not an integer; nothing vouches for what follows it" in text


def test_entries_read_in_order_of_time(tmp_path: Path) -> None:
    shown = [printed(whole(entry)) for entry in entries(recorded(tmp_path / "session"))]
    assert shown == [
        "09:30:02  agent started\n    claude -p 'fix the bug'",
        "09:30:04  instructions\n    (17 characters of system text and tool definitions)",
        "09:30:05  prompt\n    Fix the failing test.",
        "09:30:06  response_text\n    The key is [masked:1].\n    masked: 2 × aws-access-key",
        (
            "09:30:09  tool_call  Bash\n    rm -rf /\n    blocked at risk 95\n"
            "      no-destruction (+95): Removes what cannot be restored"
        ),
        (
            "09:30:10  tool_call  Bash\n    psql -c 'DROP TABLE users'\n    held, withheld, at risk 60\n"
            "      destructive-sql (+60): Drops a table"
        ),
        "09:30:11  response  claude\n    status 529, cut short: the upstream closed the stream",
        "09:30:12  refused  claude\n    GET /v1/files → 401: no session token",
        "09:30:13  agent exited  with status 0",
    ]


def test_entries_know_what_they_are(tmp_path: Path) -> None:
    kinds = [entry.kinds for entry in entries(recorded(tmp_path / "session")) if entry.kinds]
    assert kinds == [
        {Kind.PROMPTS},
        {Kind.RESULTS, Kind.MASKED},
        {Kind.CALLS, Kind.BLOCKED},
        {Kind.CALLS, Kind.HELD},
        {Kind.REFUSED},
    ]


def test_long_texts_are_cut_where_it_says_so(tmp_path: Path) -> None:
    recorder = sample.start(tmp_path / "session")
    lines = ["x" * (MAX_WIDTH + 5), *map(str, range(MAX_LINES + 2))]
    sample.converse(recorder, ["\n".join(lines)])
    entry = entry_of(open_session(tmp_path / "session"), "prompt")
    shown = [plain(line) for line in cut(entry)]
    assert shown[1] == "    " + "x" * MAX_WIDTH + " … 5 more characters (--full)"
    assert shown[-1] == "    … 3 more lines (--full)"
    assert len(shown) == 1 + MAX_LINES + 1
    assert [plain(line) for line in whole(entry)][1:] == [f"    {line}" for line in lines]


def test_a_stopped_agent_a_signal_and_a_risk_are_told(tmp_path: Path) -> None:
    recorder = sample.start(tmp_path / "session")
    first = sample.request(recorder, None, 0)
    decided = sample.decision("allow", 20, ("looks-odd", "Looks odd", 20))
    sample.operation(recorder, "instructions", first, {"texts": ["odd"]}, decided=decided)
    recorder.record(SessionStopped(reason="too many refusals"))
    recorder.record(AgentExited(status=-15, signal="SIGTERM"))
    shown = [printed(whole(entry)) for entry in entries(open_session(tmp_path / "session"))]
    assert shown[1:] == [
        "09:30:04  instructions\n    odd\n    allow at risk 20\n      looks-odd (+20): Looks odd",
        "09:30:05  session stopped\n    too many refusals",
        "09:30:06  agent exited  by SIGTERM",
    ]


def test_what_was_streamed_before_the_guard_died_is_shown(tmp_path: Path) -> None:
    recorder = sample.start(tmp_path / "session")
    recorder.spool().append(b"data: half \xff\n\n")
    *_, last = entries(open_session(tmp_path / "session"))
    assert printed(whole(last)) == "unfinished response being streamed\n    data: half \\xff"
    assert last.event["text"] == "data: half \\xff\n\n"


def test_a_body_that_is_gone_is_named(tmp_path: Path) -> None:
    session = recorded(tmp_path / "session")
    (tmp_path / "session" / "objects" / "000001.pack").unlink()
    assert "is missing: there is no objects/000001.pack]" in entry_of(session, "prompt").text


def test_hostile_content_reaches_the_terminal_inert(tmp_path: Path) -> None:
    recorder = sample.start(tmp_path / "session")
    text = "\x1b]0;owned\x07\x1b[2J\rrm\u202e\x9b31m\b"
    first = sample.request(recorder, None, 0)
    call: Json = {"name": text, "input": {text: text}, "id": text}
    decided = sample.decision("block", 95, (text, text, 95))
    sample.operation(recorder, "tool_call", first, call, decided=decided, masked={text: 1})
    recorder.record(Refused(reason=text, connection=text, method=text, path=text, status=400))
    recorder.record(SessionStopped(reason=text))
    recorder.record(AgentExited(status=0, signal=text))
    recorder.finish(text)
    session = open_session(tmp_path / "session")
    lines = [plain(line) for line in header(facts_of(session))]
    lines += [plain(line) for entry in entries(session) for line in (*whole(entry), *cut(entry))]
    assert all(line.isprintable() for line in lines)
    assert sum("\\x1b]0;owned\\x07" in line for line in lines) > 10


def test_requests_for_approval_and_their_verdicts_are_shown(tmp_path: Path) -> None:
    recorder = sample.start(tmp_path / "session")
    call: Json = {"name": "Bash", "input": {"command": "x"}}
    sample.ask(recorder, "3f9a2c.1", call, quorums=[{"count": 2, "approvers": ["@bob", "role:admin"]}])
    sample.rule(recorder, "3f9a2c.1", "expired", "Nobody decided.")
    recorder.record(Notified(approval="3f9a2c.1", about="request", status=200, reason=""))
    recorder.record(Notified(approval="3f9a2c.1", about="verdict", status=500, reason="status 500"))
    sample.end(recorder)
    session = open_session(tmp_path / "session")
    asked = "1 asked; 1 expired"
    assert [plain(line) for line in header(facts_of(session))][-1] == f"approval {asked}"
    assert f"         approvals: {asked}" in [plain(line) for line in closing(session)]
    assert f"**Approvals:** `{asked}`" in render(session)
    every = list(entries(session))
    told = [entry.searchable.split("  ", 1)[1] for entry in every if entry.event["type"] == EventType.NOTIFIED]
    assert told == ["not notified  verdict 3f9a2c.1\nthe webhook: status 500"]
    shown = [entry for entry in every if Kind.HELD in entry.kinds]
    assert [entry.searchable.split("  ", 1)[1] for entry in shown] == [
        "asked  3f9a2c.1 on github.com/acme/shop#7\n2 of @bob, role:admin, until 2026-11-02T10:00:00Z",
        "expired  3f9a2c.1 after 61 s\nNobody decided.",
    ]

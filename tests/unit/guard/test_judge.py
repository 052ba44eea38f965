"""Deciding, asking, recording, and the limit on refusals."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from ciguard.approvals.approver import Verdict
from ciguard.decision import Action, Decision, Quorum
from ciguard.guard.approved import Approved
from ciguard.guard.judge import APPROVED_FOR_SESSION, Judge, Notice, NoticeKind
from ciguard.operation import Operation, OperationKind, Result, ResultKind
from ciguard.policy.evaluation import Evaluator
from ciguard.policy.loading import FileSource, load_policy
from ciguard.session.reading import open_session
from tests.unit.session import sample

POLICY = """\
version: 1
rules:
  - {id: no, on: [tool_call, tool_result], reason: Not here., text: {keywords: [forbidden]}, action: block}
  - {id: ask, on: [tool_call], text: {keywords: [delicate]}, action: hold, approvers: ["@acme/dba"]}
  - {id: note, on: [tool_call], text: {keywords: [odd]}, risk: 10}
"""


class Human:
    """Answers as told, and remembers what it was asked."""

    def __init__(self, *, releases: bool, awaited: bool = False, standing: str = "") -> None:
        self._verdict = Verdict(releases, "@alice has seen it.", awaited, standing)
        self.asked: list[Decision] = []
        self.may_answer = asyncio.Event()
        self.may_answer.set()

    async def ask(self, subject: Operation | Result, decision: Decision, said: str) -> Verdict:
        """See ``Approver.ask``."""
        self.asked.append(decision)
        await self.may_answer.wait()
        return self._verdict


class Judging:
    """A judge with everything around it."""

    def __init__(self, folder: Path, human: Human, *, most: int = 3) -> None:
        (folder / "policy.yml").write_text(POLICY)
        evaluator = Evaluator(load_policy(FileSource(folder), "policy.yml"))
        self.directory = folder / "session"
        self.recorder = sample.start(self.directory)
        self.notices: list[Notice] = []
        self.stops: list[str] = []
        self.ends: list[str] = []
        self.judge = Judge(
            evaluator,
            human,
            self.recorder,
            Approved(evaluator, "/workspace"),
            most,
            on_notice=self.notices.append,
            on_stop=lambda: self.stops.append(self.judge.stopped),
            on_awaiting=lambda: self.ends.append(self.judge.awaiting),
        )


def call(command: str) -> Operation:
    return Operation(OperationKind.TOOL_CALL, {"name": "Bash", "input": {"command": command}, "id": "1"})


@pytest.mark.parametrize(
    ("command", "action", "refusal"),
    [
        ("ls", Action.ALLOW, ""),
        ("an odd thing", Action.ALLOW, ""),
        ("forbidden", Action.BLOCK, "It is blocked by rule no: Not here."),
        ("delicate", Action.HOLD, "@alice has seen it. Held by rule ask: The rule ask of the policy matches."),
        ("delicate and forbidden", Action.BLOCK, "It is blocked by rule no: Not here.; rule ask: "),
    ],
)
async def test_what_is_refused_says_by_what(tmp_path: Path, command: str, action: Action, refusal: str) -> None:
    judging = Judging(tmp_path, Human(releases=False))
    judgement = await judging.judge.judge(call(command))
    assert judgement.decision.action is action
    assert judgement.refusal.startswith(refusal)
    assert bool(judgement.refusal) is bool(refusal)


async def test_what_a_human_releases_goes_on(tmp_path: Path) -> None:
    human = Human(releases=True)
    judging = Judging(tmp_path, human)
    judgement = await judging.judge.judge(call("delicate"))
    assert (judgement.decision.action, judgement.refusal) == (Action.HOLD, "")
    assert [decision.quorums for decision in human.asked] == [(Quorum(("@acme/dba",)),)]


async def test_what_waits_beyond_the_session_ends_it_once_nobody_is_being_asked(tmp_path: Path) -> None:
    human = Human(releases=False, awaited=True)
    judging = Judging(tmp_path, human)
    human.may_answer.clear()
    both = asyncio.gather(judging.judge.judge(call("delicate")), judging.judge.judge(call("delicate, too")))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert (judging.judge.asking, judging.judge.over, judging.ends) == (2, "", [])
    human.may_answer.set()
    for judgement in await both:
        assert judgement.refusal.startswith("@alice has seen it. Held by rule ask")
    assert (judging.judge.asking, judging.judge.over) == (0, "@alice has seen it.")
    assert judging.ends == ["@alice has seen it."]
    # Until it has ended, the policy decides as before.
    assert (await judging.judge.judge(call("ls"))).refusal == ""
    assert judging.stops == []


async def test_what_was_approved_for_the_session_says_by_which_request(tmp_path: Path) -> None:
    judging = Judging(tmp_path, Human(releases=True, standing="3f9a2c.1"))
    judgement = await judging.judge.judge(call("delicate"))
    assert (judgement.refusal, judgement.decision.action) == ("", Action.ALLOW)
    assert judgement.decision.rules == ("ask", APPROVED_FOR_SESSION)
    assert not judgement.lasting


async def test_nobody_is_asked_about_the_rest(tmp_path: Path) -> None:
    human = Human(releases=True)
    judging = Judging(tmp_path, human)
    for command in ("ls", "forbidden", "delicate and forbidden"):
        await judging.judge.judge(call(command))
    assert human.asked == []


async def test_what_is_over_a_connection_that_nobody_declared_is_blocked(tmp_path: Path) -> None:
    judging = Judging(tmp_path, Human(releases=True))
    judgement = await judging.judge.judge(Operation(OperationKind.PROMPT, {"texts": ["x"]}, "elsewhere"))
    assert judgement.decision.action is Action.BLOCK
    assert judgement.refusal


async def test_the_record_says_what_became_of_it(tmp_path: Path) -> None:
    judging = Judging(tmp_path, Human(releases=False))
    seq = sample.request(judging.recorder, None, 0, "first")
    for command in ("ls", "forbidden"):
        judged = await judging.judge.judge(call(command))
        judging.judge.record_operation(call(command), judged, seq, ["jwt", "jwt"])
    result = Result(ResultKind.TOOL_RESULT, {"texts": ["forbidden"], "id": "1"})
    judging.judge.record_result(result, await judging.judge.judge(result), seq, [])
    *_, allowed, blocked, said = open_session(judging.directory).events
    assert (allowed["effect"], blocked["effect"]) == ("forwarded", "withheld")
    assert allowed["masked"] == {"jwt": 2}
    assert blocked["decision"] == {
        "action": "block",
        "risk": 0,
        "reasons": [{"rule": "no", "text": "Not here.", "risk": 0}],
    }
    assert (said["result"], said["decision"]["action"]) == ("tool_result", "block")
    assert [(notice.kind, notice.subject, notice.rules) for notice in judging.notices] == [
        (NoticeKind.BLOCKED, "tool call Bash", ("no",)),
        (NoticeKind.BLOCKED, "tool result", ("no",)),
    ]


async def test_refusals_in_a_row_stop_the_session_once(tmp_path: Path) -> None:
    judging = Judging(tmp_path, Human(releases=True))
    judging.judge.count(refused=2, allowed=0)
    judging.judge.count(refused=0, allowed=0)
    assert judging.judge.stopped == ""
    judging.judge.count(refused=2, allowed=0)
    judging.judge.count(refused=2, allowed=0)
    assert judging.judge.stopped == "the session was stopped after 4 refusals in a row without progress"
    assert judging.stops == [judging.judge.stopped]
    stopped = await judging.judge.judge(call("ls"))
    assert (stopped.decision.action, stopped.refusal) == (Action.BLOCK, judging.judge.stopped)


def test_progress_begins_the_count_anew(tmp_path: Path) -> None:
    judging = Judging(tmp_path, Human(releases=True))
    for _ in range(5):
        judging.judge.count(refused=2, allowed=1)
    assert judging.judge.stopped == ""
    judging.judge.count(refused=1, allowed=0)
    assert judging.judge.stopped

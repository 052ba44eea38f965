"""Deciding, asking, recording, and the limit on refusals."""

from __future__ import annotations

from pathlib import Path

import pytest

from ciguard.approvals.approver import Verdict
from ciguard.decision import Action, Decision, Quorum
from ciguard.guard.approved import Approved
from ciguard.guard.judge import Judge, Notice, NoticeKind
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

    def __init__(self, *, releases: bool) -> None:
        self._releases = releases
        self.asked: list[Decision] = []

    async def ask(self, subject: Operation | Result, decision: Decision, said: str) -> Verdict:
        """See ``Approver.ask``."""
        self.asked.append(decision)
        return Verdict(self._releases, "@alice has seen it.")


class Judging:
    """A judge with everything around it."""

    def __init__(self, folder: Path, human: Human, *, most: int = 3) -> None:
        (folder / "policy.yml").write_text(POLICY)
        evaluator = Evaluator(load_policy(FileSource(folder), "policy.yml"))
        self.directory = folder / "session"
        self.recorder = sample.start(self.directory)
        self.notices: list[Notice] = []
        self.stops: list[str] = []
        self.judge = Judge(
            evaluator,
            human,
            self.recorder,
            Approved(evaluator, "/workspace"),
            most,
            on_notice=self.notices.append,
            on_stop=lambda: self.stops.append(self.judge.stopped),
            on_awaiting=lambda: None,
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

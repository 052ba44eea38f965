"""What the agent gets of an answer and what the log has of it are the same."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ciguard.approvals.approver import Nobody
from ciguard.codecs.answer import TextItem
from ciguard.guard.approved import Approved
from ciguard.guard.holding import SIGN_OF_LIFE, Holding
from ciguard.guard.intake import Intake
from ciguard.guard.judge import Judge
from ciguard.guard.settling import Settling
from ciguard.inspect.masking import Masker
from ciguard.inspect.placeholder import Placeholders
from ciguard.policy.evaluation import Evaluator
from ciguard.policy.loading import FileSource, load_policy
from ciguard.session.event import EventType
from ciguard.session.reading import open_session
from tests.unit.session import sample

POLICY = """\
version: 1
connections:
  claude: {type: anthropic, credential: {env: KEY}}
rules:
  - {id: customer, on: [response_text], text: {regex: ['customer-[0-9]+']}, action: mask}
"""


async def alive() -> None:
    """Nobody waits here."""


@pytest.mark.parametrize("text", ["Nothing to hide.", "It is customer-4711.", "customer-1, customer-2 and others"])
async def test_what_a_rule_hides_is_in_neither(tmp_path: Path, text: str) -> None:
    (tmp_path / "policy.yml").write_text(POLICY)
    recorder = sample.start(tmp_path / "session")
    seq = sample.request(recorder, None, 0)
    evaluator = Evaluator(load_policy(FileSource(tmp_path), "policy.yml"))
    judge = Judge(
        evaluator,
        Nobody("this is a test"),
        recorder,
        Approved(evaluator, "/workspace"),
        1000,
        on_notice=lambda _: None,
        on_stop=lambda: None,
        on_awaiting=lambda: None,
    )
    placeholders = Placeholders(b"key")
    intake = Intake(Masker([], placeholders), placeholders, judge, recorder)
    item = TextItem("text", text)
    async with Holding(alive, SIGN_OF_LIFE) as holding:
        await Settling(judge, intake, placeholders, "claude", seq).settle(item, holding)
    session = open_session(tmp_path / "session")
    (result,) = (event for event in session.events if event["type"] == EventType.RESULT)
    delivered = text if item.replacement is None else item.replacement
    assert json.loads(session.body(result["body"])) == {"text": delivered, "part": "text"}
    assert "customer-" not in delivered
    assert (item.replacement is None) == (text == "Nothing to hide.")
    assert result["masked"] == ({"customer": text.count("customer-")} if "customer-" in text else {})

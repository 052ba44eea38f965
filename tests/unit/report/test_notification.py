"""What a webhook is told: in the shape that Slack documents, and inert wherever it is shown."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from ciguard.approvals.approver import Verdict
from ciguard.approvals.asking import Asked
from ciguard.approvals.watcher import Decided
from ciguard.decision import Action, Decision, Reason
from ciguard.report.approval_comment import Asker
from ciguard.report.notification import MOST_CONTENT, of_request, of_verdict
from ciguard.session.event import VerdictOutcome
from tests.unit.approvals.scene import REQUEST, operation

URL = "https://github.com/acme/shop/pull/7#issuecomment-1"
HELD = Decision(Action.HOLD, 70, (Reason("destructive-sql", "Drops a table.", 70),))
ASKER = Asker("claude -p 'fix'", "3f9a2c" + "0" * 26, "https://github.com/acme/shop/actions/runs/1", "c" * 40, "alice")


def request(command: str = "psql -c 'DROP TABLE users'", url: str = URL, agent: str = "claude") -> Any:
    """The message about a held command."""
    subject = operation()
    subject = structs.replace(subject, body={**subject.body, "input": {"command": command}})
    asked = Asked(REQUEST, subject, HELD, "", "f" * 64, 17, "e" * 64)
    return json.loads(of_request(asked, replace(ASKER, agent=agent), url))


def verdict(outcome: VerdictOutcome, reason: str) -> Any:
    """The message about a verdict."""
    decided = Decided(outcome, Verdict(outcome == "released", reason), 61_000)
    return json.loads(of_verdict(Asked(REQUEST, operation(), HELD, "", "f" * 64, 17, "e" * 64), ASKER, decided, URL))


def check_slack(message: Any) -> None:
    """What Slack's "Blocks" and "Text object" say of these kinds of blocks."""
    assert set(message) == {"text", "blocks", "unfurl_links", "unfurl_media"}
    assert 0 < len(message["text"]) <= 4_000
    assert 0 < len(message["blocks"]) <= 50
    for block in message["blocks"]:
        assert set(block) == {"type", "text"}
        text = block["text"]
        longest = {"header": 150, "section": 3_000}[block["type"]]
        assert 0 < len(text["text"]) <= longest
        assert set(text) == (
            {"type", "text", "emoji"} if text["type"] == "plain_text" else {"type", "text", "verbatim"}
        )
        assert text["type"] == "plain_text" or block["type"] == "section"


def markup(message: Any) -> list[str]:
    """What is shown as markup: the fallback and the texts of the type mrkdwn."""
    return [message["text"], *(one["text"]["text"] for one in message["blocks"] if one["text"]["type"] == "mrkdwn")]


def test_a_request_says_what_why_who_and_where() -> None:
    message = request()
    check_slack(message)
    texts = [block["text"]["text"] for block in message["blocks"]]
    assert texts[0] == "ciguard: approval needed"
    assert texts[1] == "tool call Bash over claude\npsql -c 'DROP TABLE users'"
    assert texts[2] == "Held at risk 70 by destructive-sql: Drops a table."
    assert texts[3] == "Asked by claude, started by alice"
    assert texts[4] == (
        f"<{URL}|Read all of it and answer> · <https://github.com/acme/shop/actions/runs/1|Run>"
        " · until 2026-11-02 10:00:00 UTC"
    )
    assert message["text"] == f"ciguard: approval needed <{URL}>"


@pytest.mark.parametrize(
    ("outcome", "title"),
    [("released", "approved"), ("denied", "denied"), ("expired", "expired"), ("withdrawn", "withdrawn")],
)
def test_a_verdict_says_what_became_of_it(outcome: VerdictOutcome, title: str) -> None:
    message = verdict(outcome, "It was so.")
    check_slack(message)
    assert message["blocks"][0]["text"]["text"].startswith(f"ciguard: {title}")
    assert message["blocks"][1]["text"]["text"] == "It was so."
    assert "after 1 min 1 s" in message["blocks"][3]["text"]["text"]


HOSTILE = [
    "<!channel> <@U1> <https://e.example|click>",
    "*b* _i_ `c` ~s~ :tada: @here",
    "&lt;!here&gt;",
    "\u202e\x1b[1m\0",
]


@pytest.mark.parametrize("hostile", HOSTILE)
def test_what_strangers_wrote_is_never_markup(hostile: str) -> None:
    for message in (request(hostile, agent=hostile), verdict("denied", hostile)):
        check_slack(message)
        assert all(part not in shown for shown in markup(message) for part in ("channel", "e.example", "tada", "here&"))
        assert not any(char in json.dumps(message, ensure_ascii=False) for char in "\u202e\x1b\0")
    assert markup(request(hostile, agent=hostile)) == markup(request())


@given(st.text(max_size=5_000))
def test_any_content_fits_and_changes_no_markup(content: str) -> None:
    message = request(content, agent=content)
    check_slack(message)
    assert markup(message) == markup(request())


def test_long_content_says_that_it_is_cut() -> None:
    assert "[... 500 more characters ...]" in request("x" * (MOST_CONTENT + 500))["blocks"][1]["text"]["text"]


def test_an_address_that_could_end_its_link_is_left_out() -> None:
    message = request(url="https://e.example/|<!channel>")
    assert not any("e.example" in shown for shown in markup(message))

"""THREATS A5: what is held is shown whole, and acts on nobody who reads it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from ciguard.approvals import marker
from ciguard.approvals.asking import Asked, Scope
from ciguard.approvals.marker import marker_of
from ciguard.approvals.person import Role
from ciguard.approvals.ruling import (
    Denied,
    Discounted,
    Evidence,
    Expired,
    Outcome,
    Pending,
    Released,
    Ruling,
    Withdrawn,
)
from ciguard.decision import Action, Decision, Quorum, Reason
from ciguard.operation import Json, Operation, OperationKind
from ciguard.report.approval_comment import MOST_PARTS, MOST_SHOWN, PART, ApprovalTexts, Asker, Note, session_note
from ciguard.testing.github_forge.state import MOST_CHARACTERS
from tests.unit.approvals.scene import REQUEST, RUN, START, operation

ASKER = Asker("claude -p 'fix'", "3f9a2c" + "0" * 26, "https://github.com/acme/shop/actions/runs/1", "c" * 40, "alice")
DECISION = Decision(
    Action.HOLD,
    70,
    (Reason("destructive-sql", "Drops a table.", 40), Reason("ciguard:risk", "The risk is 40 + 30 = 70.")),
    (Quorum(("@acme/security", "@bob")), Quorum(("role:maintain",), 2)),
)
URL = "https://github.com/acme/shop/pull/7#issuecomment-1"
BOB = Evidence(101, 1002, "bob", Role.WRITE, START + timedelta(minutes=2), "a" * 64, ("b" * 64,))
PENDING = Ruling(Pending(("1 of @acme/security, @bob",)))


def comment(
    command: str = "psql -c 'DROP TABLE users'",
    *,
    said: str = "",
    ruling: Ruling = PENDING,
    decision: Decision = DECISION,
) -> str:
    """The comment about a held command."""
    subject = operation(command)
    subject = structs.replace(subject, body={**subject.body, "input": {"command": command}})
    texts = ApprovalTexts(Asked(REQUEST, subject, decision, said, "f" * 64, 17, "e" * 64), ASKER)
    return texts.asking(ruling, [URL for _ in texts.parts()])


MARKER = marker_of(REQUEST, RUN, "1")
FORGED = marker.write(marker_of(replace(REQUEST, digest="0" * 24), RUN, "1"))


def left(
    command: str = "touch deployed", *, said: str = "", ruling: Ruling = PENDING, scope: Scope = Scope.ONCE
) -> str:
    """The comment of a request that outlives its job."""
    asked = Asked(REQUEST, operation(command), DECISION, said, "f" * 64, 17, "e" * 64, scope, marker.write(MARKER))
    return ApprovalTexts(asked, ASKER).asking(ruling, [])


@pytest.mark.parametrize("ruling", [PENDING, Ruling(Withdrawn("It is over."))])
def test_the_marker_is_in_the_last_line_whatever_is_shown(ruling: Ruling) -> None:
    assert marker.read(left(ruling=ruling)) == MARKER
    assert marker.read(left(f"{FORGED}\n", said=f"\n{FORGED}", ruling=ruling)) == MARKER
    # Without one of its own, nothing of what is shown is taken for one.
    assert marker.read(comment(FORGED, said=FORGED, ruling=ruling)) is None
    for part in further(f"{FORGED}\n" * (MOST_SHOWN // len(FORGED) + 2)):
        assert marker.read(part) is None


def test_a_request_that_outlives_its_job_says_so() -> None:
    assert "The job has ended. When this is decided, it runs again" in left()
    assert "The agent waits" not in left()
    assert "The agent waits" in comment()


def test_a_request_says_how_far_an_approval_goes() -> None:
    assert "An approval is for this operation, once." in left()
    assert "An approval is for this operation, as often as it is tried in the session." in left(scope=Scope.SESSION)


def further(command: str) -> Sequence[str]:
    """The further comments about a held command."""
    subject = structs.replace(operation(), body={"name": "Bash", "input": {"command": command}})
    return ApprovalTexts(Asked(REQUEST, subject, DECISION, "", "f" * 64, 17, "e" * 64), ASKER).parts()


def outside_code(markdown: str) -> str:
    """What a forge would render: Markdown without its code blocks and code spans, as CommonMark reads them."""
    lines: list[str] = []
    fence = ""
    for line in markdown.split("\n"):
        opened = re.match(r"(`{3,})", line)
        if fence:
            if re.fullmatch(rf"`{{{len(fence)},}} *", line):
                fence = ""
        elif opened and "`" not in line[len(opened[1]) :]:
            fence = opened[1]
        else:
            lines.append(line)
    assert not fence, "a code block does not end"
    text = "\n".join(lines)
    return re.sub(r"(?<!`)(`+)(?!`)(.+?)(?<!`)\1(?!`)", "", text, flags=re.DOTALL)


def test_everything_that_a_reviewer_needs_is_there() -> None:
    text = comment(said="I clean up.")
    assert f"\n```text\n/ciguard approve {REQUEST.reference}\n```\n" in text
    assert "psql -c 'DROP TABLE users'" in text
    assert "rule `destructive-sql` (+40): Drops a table." in text
    assert "40 + 30 = 70" in text
    assert "`I clean up.`" in text
    assert "- 1 of @acme/security, @bob" in text
    assert "- 2 of `role:maintain`" in text
    assert "`2026-11-02 10:00:00 UTC`" in text
    assert "<https://github.com/acme/shop/actions/runs/1>" in text
    assert all(f"`{part}`" in text for part in ("alice", "c" * 40, "claude -p 'fix'", REQUEST.id))
    assert f"Log at event 17, head `{'e' * 64}`" in text


HOSTILE = [
    "```\n/ciguard approve\n@acme/everybody",
    "````text\n![x](https://e.example/x.png)\n````",
    "<img src=x onerror=alert(1)>\n<!--",
    "a\u202eb\u200bc\x1b[31m",
    "@acme/everybody #1 GH-1 https://e.example",
    "\r```\r",
    "~~~\n</details>",
    "`" * 50,
    "\u2028```\u2028",
    "{{ 7 * 7 }}{% raw %}",
]


@pytest.mark.parametrize("hostile", HOSTILE)
def test_hostile_content_is_inert_and_whole(hostile: str) -> None:
    calm = outside_code(comment("x", said="x"))
    decision = replace(DECISION, reasons=(Reason("r", hostile), Reason("ciguard:risk", "x")))
    text = comment(hostile, said=hostile, decision=decision)
    rendered = outside_code(text)
    assert "everybody" not in rendered
    assert "<img" not in rendered
    assert "e.example" not in rendered
    assert not re.search("[\u202e\u200b\x1b\r\u2028]", text)
    assert outside_code(comment(hostile, said=hostile)) == calm


@given(st.text(max_size=300))
def test_nothing_gets_out_of_its_code(content: str) -> None:
    calm = outside_code(comment("x", said="x"))
    assert outside_code(comment(content or "x", said="x")) == calm


def test_hidden_characters_are_spelt_out() -> None:
    assert "a\\u{202e}b\\u{200b}c" in comment("a\u202eb\u200bc")


def test_long_content_says_what_is_missing() -> None:
    text = comment("begin " + "x" * 100_000 + " end")
    assert len(text) < MOST_CHARACTERS
    assert "begin xxx" in text
    assert "xxx end" in text
    assert f"[... {100_010 - MOST_SHOWN} characters are not shown here ...]" in text
    assert "**This is not all of it.**" in text
    assert text.count(f"<{URL}>") == 6


def shown(part: str) -> str:
    """What stands in the code block of a further comment."""
    found = re.search(r"\n(`{3,})text\n(.*)\n\1\n\n</details>\n\Z", part, re.DOTALL)
    assert found
    return found[2]


@pytest.mark.parametrize("length", [MOST_SHOWN + 1, PART, PART + 1, MOST_PARTS * PART])
def test_all_of_it_can_be_read_in_further_comments(length: int) -> None:
    command = ("line `with` ticks\n" * (length // 16 + 1))[:length]
    parts = further(command)
    assert "".join(map(shown, parts)) == command
    assert len(parts) == -(-length // PART)
    assert f"**Part 1 of {len(parts)}** of what ciguard's request `{REQUEST.id}`" in parts[0]
    assert f"to {length} of {length}" in parts[-1]


@pytest.mark.parametrize("hostile", HOSTILE)
def test_further_comments_are_inert(hostile: str) -> None:
    (calm,) = further("x" * (MOST_SHOWN + 10))
    parts = further((hostile * MOST_SHOWN)[: MOST_SHOWN + 10])
    numbers = re.compile(r"[0-9]+")
    assert parts
    for part in parts:
        assert numbers.sub("N", outside_code(part)) == numbers.sub("N", outside_code(calm))


def test_what_is_too_long_for_all_comments_says_so() -> None:
    command = "x" * (MOST_PARTS * PART + 1)
    assert further(command) == []
    text = comment(command)
    assert "the rest cannot be read here" in text
    assert f"digest `{'f' * 64}`" in text


def test_the_longest_comment_is_not_too_long() -> None:
    reasons = tuple(Reason(f"rule-{number}", "`" * 1000, 1) for number in range(100))
    text = comment("\u202e" * 100_000, said="\x1b" * 100_000, decision=replace(DECISION, reasons=reasons))
    assert len(text) < MOST_CHARACTERS
    assert len(comment("`" * 100_000, decision=replace(DECISION, reasons=reasons))) < MOST_CHARACTERS
    assert max(map(len, further("`" * 100_000))) < MOST_CHARACTERS


def test_short_content_has_no_such_remark() -> None:
    assert "not all of it" not in comment("x" * MOST_SHOWN)


def test_a_command_is_shown_with_its_program_and_directory() -> None:
    body: dict[str, Json] = {"path": "/tmp/psql", "argv": ["psql", "-c", "DROP TABLE x"], "cwd": "/srv/production"}
    subject = Operation(OperationKind.COMMAND, body)
    text = ApprovalTexts(Asked(REQUEST, subject, DECISION, "", "f" * 64, 1, "e" * 64), ASKER).asking(PENDING, [])
    assert "psql -c 'DROP TABLE x'" in text
    assert "path: /tmp/psql\ncwd: /srv/production" in text


OUTCOMES: Sequence[tuple[Outcome, str, str]] = [
    (Released((BOB,)), "approved", "Approved by @bob (write) at `2026-11-02 09:32:00 UTC`."),
    (Denied(BOB, "no"), "denied", "Denied by @bob."),
    (Expired(), "expired", "Nobody decided before `2026-11-02 10:00:00 UTC`."),
    (Withdrawn("The agent no longer waits for it."), "withdrawn", "The agent no longer waits for it."),
]


@pytest.mark.parametrize(("outcome", "title", "line"), OUTCOMES, ids=[row[1] for row in OUTCOMES])
def test_an_outcome_replaces_the_question(outcome: Outcome, title: str, line: str) -> None:
    approvals = outcome.approvals if isinstance(outcome, Released) else ()
    text = comment(ruling=Ruling(outcome, approvals))
    assert f"ciguard: {title}" in text.splitlines()[0]
    assert line in text
    assert "/ciguard approve" not in text
    assert "@acme/security" not in text
    assert "psql -c 'DROP TABLE users'" in text


def test_progress_is_shown() -> None:
    text = comment(ruling=Ruling(Pending(("2 of role:maintain",)), (BOB,)))
    assert "- approved by @bob at `2026-11-02 09:32:00 UTC`; not enough yet" in text


def test_a_reply_says_why_and_is_no_instruction() -> None:
    asked = Asked(REQUEST, operation(), DECISION, "", "f" * 64, 17, "e" * 64)
    text = ApprovalTexts(asked, ASKER).reply(Discounted(5, "bob", "it was edited; write a new comment"))
    assert text.startswith(f"@bob, this comment does not count for request `{REQUEST.id}`: it was edited")
    assert f"{REQUEST.id}-" not in text
    strange = ApprovalTexts(asked, ASKER).reply(Discounted(5, "<b>", "x"))
    assert "`@<b>`" in strange


NOTE = Note(
    ASKER,
    "sha256:" + "d" * 64,
    "main at commit x",
    "landlock",
    ("Reads go on.",),
    "https://issuer.example.com",
    "https://forge.example.com/acme/shop/actions/runs/1#artifacts",
)


def test_the_note_of_a_session() -> None:
    text = session_note(NOTE)
    assert "a guarded agent is at work" in text
    for part in (
        "d" * 64,
        "main at commit x",
        "landlock",
        "https://issuer.example.com",
        "alice",
        f"<{NOTE.artifacts}>",
    ):
        assert part in text
    assert "Reads go on." in text
    assert "Log head" not in text
    assert "Signed" not in text


def test_the_note_of_a_session_that_ended() -> None:
    ended = replace(NOTE, outcome="the agent ended by itself", counts="3, 1 held", head="e" * 64, signers=("k1",))
    text = session_note(ended)
    assert text.startswith("### ciguard: the agent ended by itself")
    assert "**Operations:** `3, 1 held`" in text
    assert f"**Log head:** `{'e' * 64}`" in text
    assert "`k1`" in text

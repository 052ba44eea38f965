"""What reviewers of an environment see is all of what they approve, and inert."""

from __future__ import annotations

from pathlib import Path

import pytest

from ciguard.operation import Json
from ciguard.report import awaited
from ciguard.session.reading import Session, open_session
from tests.unit.session import sample


def session(folder: Path, command: str, *outcomes: str) -> Session:
    """A session with requests about ``command`` that came to ``outcomes``."""
    recorder = sample.start(folder / "session")
    body: dict[str, Json] = {"name": "Bash", "input": {"command": command}}
    for number, outcome in enumerate(outcomes, 1):
        place = "github.com/acme/shop environment agent-approved"
        sample.ask(recorder, f"3f9a2c.{number}", body, place=place, quorums=[])
        sample.rule(recorder, f"3f9a2c.{number}", outcome, "It waits.")
    recorder.finish("done")
    return open_session(folder / "session")


def test_all_that_waits_is_shown_and_nothing_else(tmp_path: Path) -> None:
    text = awaited.render(session(tmp_path, "touch deployed", "awaited", "released", "awaited"))
    assert (
        "lets the next job of this run into `github.com/acme/shop environment agent-approved` approves exactly" in text
    )
    assert ["3f9a2c.1-" in text, "3f9a2c.2-" in text, "3f9a2c.3-" in text] == [True, False, True]
    assert text.count("```text\ntouch deployed\n```") == 2


def test_long_content_is_whole(tmp_path: Path) -> None:
    command = "\n".join(f"line {number}" for number in range(50_000))
    assert command in awaited.render(session(tmp_path, command, "awaited"))


@pytest.mark.parametrize("hostile", ["```\n# Approved\n```", "</details><img src=x>", "@everybody", "a\u202eb\u200bc"])
def test_it_is_inert(tmp_path: Path, hostile: str) -> None:
    text = awaited.render(session(tmp_path, hostile, "awaited"))
    block = text[text.index("```") :]
    fence = block[: len(block) - len(block.lstrip("`"))]
    assert block.count(f"\n{fence}\n") == 1
    assert "\u202e" not in text
    assert "\u200b" not in text

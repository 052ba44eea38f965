from __future__ import annotations

import json
from pathlib import Path

from ciguard.report.export import whole
from ciguard.session.reading import open_session
from tests.unit.session import sample


def test_every_event_is_there_with_its_bodies(tmp_path: Path) -> None:
    session = open_session(sample.record(tmp_path / "session"))
    events = [json.loads(line) for line in whole.lines(session)]
    assert [event["seq"] for event in events] == list(range(len(session.events)))
    assert events[2]["added"][0] == {"label": "messages", "content": "system text"}
    assert events[4]["content"] == {"texts": ["Fix the failing test."]}


def test_a_body_that_cannot_be_read_says_why(tmp_path: Path) -> None:
    directory = sample.record(tmp_path / "session")
    (directory / "objects/000001.pack").write_bytes(b"")
    events = [json.loads(line) for line in whole.lines(open_session(directory))]
    assert events[4]["content"] is None
    assert events[4]["body"] in events[4]["problem"]

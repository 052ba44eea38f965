from __future__ import annotations

from pathlib import Path

import pytest

from ciguard.report.html import item
from ciguard.report.html.item import Item, Room, items
from ciguard.session.event import CommandsRepeated
from ciguard.session.reading import open_session
from tests.unit.session import sample


def shown(directory: Path) -> list[Item]:
    return list(items(open_session(directory), Room()))


def test_the_items_of_a_session_stand_in_the_order_of_time(tmp_path: Path) -> None:
    found = shown(sample.record(tmp_path / "session"))
    numbers = [one.seq for one in found if one.seq is not None]
    assert numbers == sorted(numbers)
    assert [one.kind for one in found].count("request") == 2
    assert found[1].end is not None
    assert found[1].end["usage"] == {"input_tokens": 10, "output_tokens": 3}
    (blocked,) = (one for one in found if one.action == "block")
    assert (blocked.title, blocked.detail, blocked.outcome) == ("Tool call", "Bash", "blocked")
    assert blocked.rules == ("no-destruction",)
    assert blocked.arithmetic == "95"
    assert "rm -rf /" in blocked.content
    (held,) = (one for one in found if one.action == "hold")
    assert held.outcome == "held, withheld"


def test_risk_is_added_up(tmp_path: Path) -> None:
    recorder = sample.start(tmp_path / "session")
    request = sample.request(recorder, None, 0)
    decided = sample.decision("hold", 70, ("a", "A", 40), ("b", "B", 30), ("ciguard:risk", "It reaches 60.", 0))
    sample.operation(recorder, "prompt", request, {"texts": ["x"]}, decided=decided)
    assert shown(tmp_path / "session")[-1].arithmetic == "40 + 30 = 70"


def test_what_happened_again_is_counted_where_it_stands(tmp_path: Path) -> None:
    recorder = sample.start(tmp_path / "session")
    request = sample.request(recorder, None, 0)
    seq = sample.operation(recorder, "command", request, {"argv": ["ls"]})
    recorder.record(CommandsRepeated(times=[(seq, 3)]))
    recorder.record(CommandsRepeated(times=[(seq, 2)]))
    (command,) = (one for one in shown(tmp_path / "session") if one.kind == "command")
    assert command.times == 6


def test_a_result_belongs_to_its_call(tmp_path: Path) -> None:
    recorder = sample.start(tmp_path / "session")
    request = sample.request(recorder, None, 0)
    call = sample.operation(recorder, "tool_call", request, {"name": "Bash", "input": {}, "id": "c1"})
    sample.operation(recorder, "tool_call", request, {"name": "Bash", "input": {}, "id": "c1"})
    sample.result(recorder, "tool_result", request, {"texts": ["x"], "id": "c1"})
    sample.result(recorder, "tool_result", request, {"texts": ["x"], "id": "other"})
    assert [one.call for one in shown(tmp_path / "session")[-2:]] == [call, None]


def test_a_body_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    directory = sample.record(tmp_path / "session")
    (directory / "objects/000001.pack").write_bytes(b"")
    found = [one for one in shown(directory) if one.action]
    assert found
    assert all("[body " in one.content for one in found)


def test_long_texts_are_cut_and_say_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(item, "MOST_OF_ONE", 10)
    monkeypatch.setattr(item, "MOST_OF_ALL", 15)
    monkeypatch.setattr(item, "LEAST_OF_ONE", 2)
    room = Room()
    assert room("0123456789") == "0123456789"
    assert room("0123456789x").startswith("0123456789\n[… 1 more characters")
    assert room("abc").startswith("ab\n[… 1 more")
    assert room.cut == 2


def test_no_more_items_than_there_is_room_for(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(item, "MOST_ITEMS", 3)
    assert len(shown(sample.record(tmp_path / "session"))) == 3

from __future__ import annotations

from pathlib import Path

from ciguard.operation import Json
from ciguard.report.closing import closing
from ciguard.report.paint import plain
from ciguard.session.reading import open_session
from tests.unit.session import sample


def shown(directory: Path) -> list[str]:
    return [plain(line) for line in closing(open_session(directory))]


def test_a_run_ends_with_what_came_of_it(tmp_path: Path) -> None:
    directory = sample.record(tmp_path / "session")
    assert shown(directory) == [
        "ciguard  succeeded (exit status 0)",
        "         4 operations · 1 blocked · 1 held · 2 values masked",
        "         blocked  Bash: rm -rf /  no-destruction",
        "         held, withheld  Bash: psql -c 'DROP TABLE users'  destructive-sql",
        "         isolation landlock · identity verified",
        f"recorded {directory}",
        f"         look at it: ciguard session show {directory}",
    ]


def test_many_refusals_are_cut_and_content_is_inert(tmp_path: Path) -> None:
    recorder = sample.start(tmp_path / "session", {**sample.STARTED, "identity": None})
    first = sample.request(recorder, None, 0)
    for number in range(8):
        call: Json = {"name": "Bash", "input": {"command": f"\x1b[2J\n{number}" * 50}, "id": ""}
        sample.operation(recorder, "tool_call", first, call, decided=sample.decision("block", 95, ("r", "t", 95)))
    sample.end(recorder)
    lines = shown(tmp_path / "session")
    assert "         … and 3 more" in lines
    assert "         isolation landlock · identity unverified" in lines
    assert all(line.isprintable() and len(line) < 150 for line in lines[:-2])

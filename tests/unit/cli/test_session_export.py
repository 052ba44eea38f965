from __future__ import annotations

import json
from pathlib import Path

import pytest

from ciguard.cli import main
from tests.unit.session import sample

Printed = pytest.CaptureFixture[str]


@pytest.mark.parametrize(("form", "lines"), [("jsonl", 14), ("ocsf", 8), ("otel", 1), ("csv", 7), ("junit", 42)])
def test_each_format_is_printed(tmp_path: Path, capsys: Printed, form: str, lines: int) -> None:
    directory = sample.record(tmp_path / "session")
    assert main(["session", "export", "--format", form, str(directory)]) == 0
    printed = capsys.readouterr()
    assert len(printed.out.splitlines()) == lines
    assert printed.err == ""
    if form not in ("csv", "junit"):
        assert all(isinstance(json.loads(line), dict) for line in printed.out.splitlines())


def test_damage_is_said(tmp_path: Path, capsys: Printed) -> None:
    directory = sample.record(tmp_path / "session")
    log = directory / "events.jsonl"
    log.write_bytes(log.read_bytes().replace(b"no session token", b"no session taken"))
    assert main(["session", "export", "--format", "csv", str(directory)]) == 0
    assert "the log is damaged, line " in capsys.readouterr().err


def test_annotations_of_another_forge_are_a_mistake(tmp_path: Path, capsys: Printed) -> None:
    directory = sample.record(tmp_path / "session")
    assert main(["session", "export", "--format", "gitlab-annotations", str(directory)]) == 64
    printed = capsys.readouterr()
    assert "error: the session was not recorded in a job of GitLab" in printed.err
    assert printed.out == ""

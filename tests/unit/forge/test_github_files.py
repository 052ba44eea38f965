"""What a step tells the runner, and what an agent cannot."""

from __future__ import annotations

from pathlib import Path

import pytest

from ciguard.forge.github_files import add_summary, set_outputs, workflow_commands_stopped


def test_outputs_cannot_be_forged_by_a_value(tmp_path: Path) -> None:
    file = tmp_path / "output"
    set_outputs({"GITHUB_OUTPUT": str(file)}, {"outcome": "fine\nEOF\nforged<<EOF\nvalue\nEOF", "status": "0"})
    lines = iter(file.read_text().splitlines())
    outputs = {}
    for line in lines:
        name, _, end = line.partition("<<")
        value = []
        for inner in lines:
            if inner == end:
                break
            value.append(inner)
        outputs[name] = "\n".join(value)
    assert outputs == {"outcome": "fine\nEOF\nforged<<EOF\nvalue\nEOF", "status": "0"}


def test_a_summary_is_added_to_what_is_there(tmp_path: Path) -> None:
    file = tmp_path / "summary"
    file.write_text("before\n")
    add_summary({"GITHUB_STEP_SUMMARY": str(file)}, "# after")
    assert file.read_text() == "before\n# after\n"


def test_nothing_is_written_outside_of_a_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    add_summary({}, "text")
    set_outputs({}, {"name": "value"})
    assert not list(tmp_path.iterdir())


def test_workflow_commands_are_stopped_with_a_token_nobody_knows(capsys: pytest.CaptureFixture[str]) -> None:
    tokens = set()
    for _ in range(2):
        with workflow_commands_stopped({"GITHUB_ACTIONS": "true"}):
            print("::add-mask::everything")
        first, inner, last = capsys.readouterr().out.splitlines()
        token = first.removeprefix("::stop-commands::")
        assert (inner, last) == ("::add-mask::everything", f"::{token}::")
        tokens.add(token)
    assert len(tokens) == 2
    assert all(len(token) == 32 for token in tokens)


def test_outside_of_github_nothing_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    with workflow_commands_stopped({}):
        pass
    assert capsys.readouterr().out == ""

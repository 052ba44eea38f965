from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from ciguard.cli import main
from tests.unit.session import sample


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return sample.record(tmp_path_factory.mktemp("recorded") / "session")


@pytest.fixture
def copied(recorded: Path, tmp_path: Path) -> Path:
    return shutil.copytree(recorded, tmp_path / "session")


Printed = pytest.CaptureFixture[str]


def test_show_prints_a_transcript_without_colour_into_a_pipe(recorded: Path, capsys: Printed) -> None:
    assert main(["session", "show", str(recorded)]) == 0
    out = capsys.readouterr().out
    assert out.startswith("session  0b7f")
    assert "\n\n09:30:05  prompt\n    Fix the failing test.\n\n" in out
    assert "\x1b" not in out


@pytest.mark.parametrize(("no_color", "coloured"), [("", True), ("1", False)])
def test_colour_is_for_terminals_that_want_it(
    recorded: Path, capsys: Printed, monkeypatch: pytest.MonkeyPatch, no_color: str, coloured: bool
) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("NO_COLOR", no_color)
    assert main(["session", "show", str(recorded)]) == 0
    assert ("\x1b[1;31m    blocked\x1b[0m" in capsys.readouterr().out) == coloured


def titles(out: str) -> list[str]:
    return [block.split("\n")[0].split("  ", 1)[1] for block in out.strip().split("\n\n")[1:]]


@pytest.mark.parametrize(
    ("options", "shown"),
    [
        (["--only", "held,blocked"], ["tool_call  Bash", "tool_call  Bash"]),
        (["--only", "blocked"], ["tool_call  Bash"]),
        (["--only", "prompts, refused"], ["prompt", "refused  claude"]),
        (["--grep", "drop +TABLE"], ["tool_call  Bash"]),
        (["--grep", "no-destruction"], ["tool_call  Bash"]),
        (["--grep", "nothing like it"], []),
        (["--only", "calls", "--grep", "rm -rf"], ["tool_call  Bash"]),
    ],
)
def test_show_can_be_narrowed(recorded: Path, capsys: Printed, options: list[str], shown: list[str]) -> None:
    assert main(["session", "show", str(recorded), *options]) == 0
    assert titles(capsys.readouterr().out) == shown


def test_full_cuts_nothing(tmp_path: Path, capsys: Printed) -> None:
    recorder = sample.start(tmp_path / "session")
    sample.converse(recorder, ["\n".join(map(str, range(100)))])
    assert main(["session", "show", str(tmp_path / "session")]) == 0
    assert "… 88 more lines (--full)" in capsys.readouterr().out
    assert main(["session", "show", "--full", str(tmp_path / "session")]) == 0
    full = capsys.readouterr().out
    assert "    99\n" in full
    assert "more lines" not in full


def test_json_is_every_event_with_its_bodies(recorded: Path, capsys: Printed) -> None:
    assert main(["session", "show", "--json", str(recorded)]) == 0
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [event["seq"] for event in events] == list(range(14))
    assert events[2]["added"][0] == {"label": "messages", "content": "system text"}
    assert events[4]["content"] == {"texts": ["Fix the failing test."]}


def test_json_can_be_narrowed_and_is_inert(tmp_path: Path, capsys: Printed) -> None:
    recorder = sample.start(tmp_path / "session")
    sample.converse(recorder, ["\x1b[2J\u202e\ud800"])
    recorder.spool().append(b"half \x1b[2J")
    assert main(["session", "show", "--json", "--only", "prompts", str(tmp_path / "session")]) == 0
    out = capsys.readouterr().out
    assert json.loads(out)["content"] == {"texts": ["\x1b[2J\u202e\ud800"]}
    assert out.strip().isascii()
    assert "\x1b" not in out
    assert main(["session", "show", "--json", str(tmp_path / "session")]) == 0
    last = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert last == {"type": "unfinished", "name": "000001", "text": "half \x1b[2J"}


def test_json_says_which_body_is_gone(copied: Path, capsys: Printed) -> None:
    (copied / "objects" / "000001.pack").unlink()
    assert main(["session", "show", "--json", str(copied)]) == 0
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert events[4]["content"] is None
    assert events[4]["problem"].endswith("is missing: there is no objects/000001.pack")


def test_verify_prints_every_step(recorded: Path, capsys: Printed) -> None:
    assert main(["session", "verify", "--allow-unsigned", str(recorded)]) == 0
    out = capsys.readouterr().out.splitlines()
    assert [line.split(" — ")[0] for line in out if line[0].isdigit()] == [
        "1. container and schema: holds",
        "2. hash chain: holds",
        "3. objects: holds",
        "4. manifest: holds",
        "5. policy: holds",
        "6. signature: holds",
        "7. job identity: none",
        "8. expectations: none",
    ]
    assert out[5] == f"6. signature: holds — job key {sample.SIGNER.key.keyid}"
    assert out[-1] == "not proven: at isolation landlock: reads of world-readable files"


def test_an_unsigned_session_does_not_pass_unasked(recorded: Path, capsys: Printed) -> None:
    assert main(["session", "verify", str(recorded)]) == 65
    assert "nobody whom you know" in capsys.readouterr().err


@pytest.mark.parametrize("options", [[], ["--allow-unsigned"]])
def test_the_first_thing_wrong_is_the_error(copied: Path, capsys: Printed, options: list[str]) -> None:
    (copied / "policy.yml").write_text("version: 2\n")
    assert main(["session", "verify", str(copied), *options]) == 65
    printed = capsys.readouterr()
    assert "5. policy: failed" in printed.out
    assert printed.err.startswith("error: step 5, policy: policy.yml is not the policy")
    assert "help: " in printed.err


@pytest.mark.parametrize(("options", "status"), [(["--allow-unsigned"], 0), ([], 65)])
def test_verify_speaks_json(recorded: Path, capsys: Printed, options: list[str], status: int) -> None:
    assert main(["session", "verify", "--json", str(recorded), *options]) == status
    said = json.loads(capsys.readouterr().out)
    assert (said["session"], said["holds"], said["signed"]) == ("0b7f", status == 0, False)
    assert [step["outcome"] for step in said["steps"]] == ["holds"] * 6 + ["none"] * 2


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["show", "missing"], "missing is not a directory"),
        (["verify", "missing"], "missing is not a directory"),
        (["show", ".", "--only", "dances"], "dances"),
        (["show", ".", "--grep", "("], "--grep"),
        (["show"], "PATH"),
        (["dance"], "dance"),
        ([], "COMMAND"),
    ],
)
def test_mistakes_are_explained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Printed, arguments: list[str], words: str
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["session", *arguments]) == 64
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert words in error
    assert "help: " in error


@pytest.mark.parametrize("arguments", [["--help"], ["show", "--help"], ["verify", "--help"]])
def test_help_has_an_example(capsys: Printed, arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(["session", *arguments])
    assert end.value.code == 0
    assert "example: ciguard session" in capsys.readouterr().out


def test_a_report_is_written_and_says_what_was_found(recorded: Path, tmp_path: Path, capsys: Printed) -> None:
    page = tmp_path / "page.html"
    assert main(["session", "report", str(recorded), "-o", str(page)]) == 0
    assert "verification: no step failed" in capsys.readouterr().err
    assert page.read_text().startswith("<!doctype html>")


def test_a_report_of_a_damaged_session_is_written_all_the_same(copied: Path, tmp_path: Path, capsys: Printed) -> None:
    (copied / "policy.yml").write_text("version: 1\nrules: []\n")
    assert main(["session", "report", str(copied), "-o", str(tmp_path / "page.html")]) == 0
    assert "verification: step 5, policy" in capsys.readouterr().err


def test_nothing_is_written_into_a_session(copied: Path, capsys: Printed) -> None:
    for name in ("report.html", "objects/report.html"):
        assert main(["session", "report", str(copied), "-o", str(copied / name)]) == 64
        assert not (copied / name).exists()
    assert "is in the session directory" in capsys.readouterr().err


def test_a_report_that_cannot_be_written(recorded: Path, tmp_path: Path, capsys: Printed) -> None:
    assert main(["session", "report", str(recorded), "-o", str(tmp_path / "no/page.html")]) == 64
    assert "cannot be written" in capsys.readouterr().err

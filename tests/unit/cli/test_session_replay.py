from __future__ import annotations

import os
import pty
import select
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ciguard.cli import main
from tests.unit.session import sample

Printed = pytest.CaptureFixture[str]
Until = Callable[[bytes], bytes]


def test_into_a_pipe_nothing_is_waited_for(tmp_path: Path, capsys: Printed) -> None:
    directory = sample.record(tmp_path / "session")
    assert main(["session", "replay", "--speed", "0.01", str(directory)]) == 0
    out = capsys.readouterr().out
    assert out.startswith("09:30:02  agent started\n")
    assert "refused" in out
    assert "\x1b" not in out


def test_it_begins_where_it_is_told(tmp_path: Path, capsys: Printed) -> None:
    directory = sample.record(tmp_path / "session")
    assert main(["session", "replay", "--from", "8", str(directory)]) == 0
    out = capsys.readouterr().out
    assert "agent started" not in out
    assert "rm -rf /" in out


@pytest.mark.parametrize("speed", ["0", "-1", "nan", "inf", "fast"])
def test_a_speed_that_is_none(tmp_path: Path, capsys: Printed, speed: str) -> None:
    assert main(["session", "replay", f"--speed={speed}", str(tmp_path)]) == 64
    assert "--speed" in capsys.readouterr().err


@contextmanager
def replayed(directory: Path, *options: str) -> Iterator[tuple[Until, int, subprocess.Popen[bytes]]]:
    """A replay on a terminal: what it prints until some words, the terminal to type at, and the process."""
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "ciguard", "session", "replay", *options, str(directory)]
    process = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs)
    os.close(theirs)

    def until(words: bytes) -> bytes:
        printed = b""
        while words not in printed:
            ready, _, _ = select.select([ours], [], [], 60)
            assert ready, printed
            printed += os.read(ours, 65536)
        return printed

    try:
        yield until, ours, process
    finally:
        process.kill()
        process.wait()
        os.close(ours)


def test_on_a_terminal_keys_pause_step_and_quit(tmp_path: Path) -> None:
    """At a hundredth of the speed an entry comes every hundred seconds: what is seen, the keys brought."""
    directory = sample.record(tmp_path / "session")
    with replayed(directory, "--speed", "0.01") as (until, terminal, process):
        first = until(b"agent started")
        assert b"instructions" not in first
        os.write(terminal, b"ss")
        assert b"response_text" not in until(b"Fix the failing test.")
        os.write(terminal, b" ")
        os.write(terminal, b"q")
        assert process.wait(timeout=60) == 0


def test_a_fast_replay_comes_to_its_end(tmp_path: Path) -> None:
    directory = sample.record(tmp_path / "session")
    with replayed(directory, "--speed", "1000000") as (until, _, process):
        assert b"\x1b[" in until(b"refused")
        assert process.wait(timeout=60) == 0

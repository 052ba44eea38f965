"""How a command becomes an operation."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from ciguard.approvals.approver import Nobody
from ciguard.errors import CiguardError, RecordingFailed
from ciguard.guard.approved import Approved
from ciguard.guard.commands import Commands, described
from ciguard.guard.judge import Judge
from ciguard.inspect.masking import Masker
from ciguard.inspect.placeholder import Placeholders
from ciguard.operation import Json
from ciguard.policy.evaluation import Evaluator
from ciguard.policy.models import Policy
from ciguard.sandbox.command import Command, command
from ciguard.session.recorder import Recorder

LOADER = "/usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2"

READINGS: list[tuple[str, list[str], list[Json]]] = [
    ("/bin/rm", ["rm", "-r", "x"], []),
    ("/bin/rm", ["/usr/bin/rm", "x"], []),
    ("/bin/rm", ["ls", "x"], [["/bin/rm", "x"]]),
    ("/bin/busybox", ["rm", "x"], [["/bin/busybox", "x"]]),
    (LOADER, ["ld-linux-x86-64.so.2", "/bin/rm", "x"], [["/bin/rm", "x"]]),
    (LOADER, ["ld-linux-x86-64.so.2", "--library-path", "/lib", "--list", "rm", "x"], [["rm", "x"]]),
    (LOADER, ["x", "--argv0", "ls", "rm"], [[LOADER, "--argv0", "ls", "rm"], ["rm"]]),
    ("/lib/ld-musl-x86_64.so.1", ["ld-musl-x86_64.so.1", "rm"], [["rm"]]),
    ("/lib/ld-linux-aarch64.so.1", ["ld-linux-aarch64.so.1", "rm"], [["rm"]]),
    ("/lib64/ld-2.31.so", ["ld-2.31.so", "rm"], [["rm"]]),
    ("/usr/bin/ld", ["ld", "a.o", "-o", "a"], []),
    ("/bin/rm", [], []),
]


@pytest.mark.parametrize(("path", "argv", "also"), READINGS)
def test_a_false_name_and_the_loader_are_read_as_what_they_run(path: str, argv: list[str], also: list[Json]) -> None:
    assert described(Command(path, tuple(argv))).get("also", []) == also


def test_what_is_empty_is_left_out() -> None:
    assert described(Command("/bin/true", ("true",), "/w")) == {"path": "/bin/true", "argv": ["true"], "cwd": "/w"}


def test_a_command_survives_the_way_to_the_guard() -> None:
    told = Command("/bin/sh", ("sh", "x"), "/w", "/bin/bash", "echo", "unread", "flaw", True, {"m.sql": "drop"})
    assert command(told.message()) == told
    assert command(Command("/bin/true", ()).message()) == Command("/bin/true", ())


async def test_what_cannot_be_recorded_does_not_run(tmp_path: Path) -> None:
    """The agent is ended as well, but that takes its time."""
    failures: list[CiguardError] = []
    recorder = Recorder(tmp_path / "session", time.time_ns)
    evaluator = Evaluator(Policy(version=1))
    placeholders = Placeholders(b"k" * 32)
    approved = Approved(evaluator, "/workspace")
    judge = Judge(
        evaluator,
        Nobody("nobody"),
        recorder,
        approved,
        9,
        on_notice=lambda _: None,
        on_stop=lambda: None,
        on_awaiting=lambda: None,
    )
    commands = Commands(judge, Masker([], placeholders), placeholders, recorder, failures.append)
    recorder.close()
    answer = await commands.decide(1, Command("/bin/true", ("true",)))
    assert answer.refusal.startswith("It cannot be recorded")
    assert [type(failure) for failure in failures] == [RecordingFailed]

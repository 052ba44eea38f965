"""The recorder in a process of its own, which dies or runs out of disk."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from ciguard.session.manifest import Completeness
from ciguard.session.reading import Session, open_session
from ciguard.session.step import Outcome
from ciguard.session.verification import verify

ROOT = Path(__file__).parents[2]

TALK = """
import sys
from pathlib import Path
from tests.unit.session import sample

recorder = sample.start(Path(sys.argv[1]))
spool = recorder.spool()
seq = sample.request(recorder, None, 0, "first")
for turn in range(1_000_000):
    chunk = f"data: {turn}\\n\\n"
    spool.append(chunk.encode())
    seq = sample.request(recorder, seq, turn + 1, f"message {turn}")
    sample.operation(recorder, "prompt", seq, {"texts": [f"text {turn}"]})
    print(recorder.count, chunk.strip(), flush=True)
"""

FILL = """
import os, resource, sys
from pathlib import Path
from ciguard.errors import RecordingFailed
from ciguard.session.event import SessionStopped
from tests.unit.session import sample

recorder = sample.start(Path(sys.argv[1]))
spool = recorder.spool()
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
write = {
    "events": lambda turn: recorder.record(SessionStopped(reason=f"{turn}" * 20)),
    "object": lambda turn: recorder.store(bytes(range(256)) * 8 + os.urandom(turn * 100)),
    "response": lambda turn: spool.append(b"data: x" * 50),
}[sys.argv[2]]
accepted = 0
try:
    for turn in range(1000):
        write(turn)
        accepted += 1
except RecordingFailed as failure:
    print(failure.cause)
for call in (lambda: recorder.store(b"x"), lambda: recorder.finish("succeeded"), lambda: spool.append(b"x")):
    try:
        call()
        print("accepted after the failure")
    except RecordingFailed as failure:
        print("refused")
print(recorder.count, accepted)
"""


def child(script: str, *arguments: str | Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", script, *map(str, arguments)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)


def holds_but_is_incomplete(directory: Path) -> Session:
    steps = {step.name: step for step in verify(directory).steps}
    assert steps["hash chain"].outcome is Outcome.HOLDS, steps["hash chain"]
    assert steps["objects"].outcome is Outcome.HOLDS, steps["objects"]
    assert steps["container and schema"].outcome is Outcome.HOLDS, steps["container and schema"]
    assert steps["policy"].outcome is Outcome.HOLDS
    assert steps["manifest"].outcome is Outcome.INCOMPLETE
    assert "incomplete" in steps["manifest"].detail
    session = open_session(directory)
    assert session.completeness is Completeness.CUT_OFF
    return session


@pytest.mark.parametrize("turns", [1, 2, 40, 300])
def test_what_was_said_to_be_recorded_survives_sigkill(tmp_path: Path, turns: int) -> None:
    directory = tmp_path / "session"
    with child(TALK, directory) as process:
        assert process.stdout is not None
        line = [process.stdout.readline() for _ in range(turns)][-1]
        process.kill()
        process.stdout.read()
    assert process.returncode == -signal.SIGKILL
    count, chunk = line.split(" ", 1)
    session = holds_but_is_incomplete(directory)
    assert session.position.count >= int(count)
    assert session.content(session.events[int(count) - 1]["body"]) == {"texts": [f"text {turns - 1}"]}
    assert chunk.strip() in session.unfinished_response(session.unfinished[0]).decode()


@pytest.mark.parametrize("what", ["events", "object", "response"])
def test_a_full_disk_ends_recording_and_what_was_recorded_holds(tmp_path: Path, what: str) -> None:
    directory = tmp_path / "session"
    with child(FILL, directory, what) as process:
        output, _ = process.communicate()
    cause, *refusals, last = output.splitlines()
    assert cause == "the session cannot be recorded: File too large"
    assert refusals == ["refused"] * 3
    count, accepted = map(int, last.split())
    assert accepted > 0
    session = holds_but_is_incomplete(directory)
    assert session.position.count == count
    if what == "events":
        assert not (directory / "events.jsonl").read_bytes().endswith(b"\n"), "the disk filled up within a line"


def test_a_session_can_be_read_while_it_is_recorded(tmp_path: Path) -> None:
    directory = tmp_path / "session"
    with child(TALK, directory) as process:
        assert process.stdout is not None
        for _ in range(20):
            count = int(process.stdout.readline().split(" ", 1)[0])
            session = open_session(directory)
            assert session.damage is None
            assert session.position.count >= count
        process.kill()
        process.stdout.read()
    assert json.loads((directory / "events.jsonl").read_bytes().splitlines()[0])["type"] == "session_started"

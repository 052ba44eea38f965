"""The guard killed at random moments, a few hundred times: each log holds up to its last whole event."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]

KILLED = 300

SCRIPT = """
import os, random, shutil, signal, sys, time
from pathlib import Path
from ciguard.session.cut_off import seal
from ciguard.session.reading import open_session
from ciguard.session.signers import job_signer, signed
from ciguard.session.step import Outcome
from ciguard.session.verification import verify
from tests.unit.session import sample

def talk(directory, ready):
    recorder = sample.start(directory)
    turn = 0
    os.write(ready, b"x")
    while True:
        turn += 1
        spool = recorder.spool()
        seq = sample.request(recorder, None, 0, {"role": "user", "content": f"text {turn}" * (turn % 50)})
        os.write(ready, b"%d\\n" % seq)
        sample.operation(recorder, "prompt", seq, {"texts": [f"text {turn}"]})
        spool.append(b"some of the answer")
        sample.respond(recorder, seq)
        spool.discard()
        if turn == 25:
            sample.end(recorder)
            os.write(ready, b"end\\n")
            time.sleep(60)

root, times = Path(sys.argv[1]), int(sys.argv[2])
chance = random.Random(20261121)
complete = 0
for number in range(times):
    directory = root / str(number)
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            talk(directory, writing)
        finally:
            os._exit(1)
    os.close(writing)
    os.read(reading, 1)
    time.sleep(chance.random() * 0.03)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    said = b""
    while chunk := os.read(reading, 65536):
        said += chunk
    os.close(reading)
    told = [int(line) for line in said.split(b"\\n")[:-1] if line.isdigit()]
    verification = verify(directory)
    assert verification.failure is None, verification.failure
    session = open_session(directory)
    assert session.position.count > max(told, default=0)
    if verification.incomplete is None:
        complete += 1
    else:
        seal(session, time.time_ns, [job_signer(None)])
        verification = verify(directory)
        assert verification.failure is None, verification.failure
        assert verification.steps[3].outcome is Outcome.INCOMPLETE
        assert verification.steps[5].outcome is Outcome.HOLDS
        assert len(open_session(directory).events) == session.position.count + 1
    shutil.rmtree(directory)
print(complete)
"""


def test_every_log_of_a_killed_guard_holds_and_is_sealed(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(tmp_path), str(KILLED)], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert 0 <= int(done.stdout) < KILLED, "nothing was ever cut off"

"""What it costs to decide every command: the same work bare and at each isolation level, beside each other."""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from scripts.benchmarks.systems import ROOT

BARE = "bare"
LEVELS = ("none", "landlock", "namespace")
FILES = 15

POLICY = """\
version: 1
extends: [ciguard:standard]
isolation: {{require: none, prefer: {level}}}
connections:
  claude: {{type: anthropic, credential: {{env: MODEL_KEY}}, upstream: "http://127.0.0.1:9"}}
"""


@dataclass(frozen=True, slots=True)
class Work:
    """A shell script that stands for what an agent does."""

    name: str
    script: str


@dataclass(frozen=True, slots=True)
class Cost:
    """Seconds: of the clock, and of the processors for everything that took part."""

    wall: float
    cpu: float


def works(divisor: int) -> Sequence[Work]:
    """The work to measure; every command of the build is another one, as in a real build."""
    same = "i=0; while [ $i -lt {count} ]; do /bin/true; i=$((i+1)); done"
    files = " ".join(f"include/h{place}" for place in range(FILES))
    built = f"i=0; while [ $i -lt {{count}} ]; do /bin/cat {files} > out/$i.o; /bin/true $i; i=$((i+1)); done"
    few, many, units = (number // divisor for number in (400, 4000, 1500))
    return (
        Work(f"{few} starts of one command", same.format(count=few)),
        Work(f"{many} starts of one command", same.format(count=many)),
        Work(f"a build: {2 * units} different commands, {units * (FILES + 4)} files opened", built.format(count=units)),
    )


def table(divisor: int, rounds: int) -> str:
    """The measured table."""
    lines = [
        "| | " + " | ".join(f"{system}: time, CPU" for system in (BARE, *LEVELS)) + " |",
        "|---|" + "---:|" * (len(LEVELS) + 1),
    ]
    with tempfile.TemporaryDirectory(prefix="ciguard-bench-") as scratch:
        starts = {level: _median([_guarded(level, "true", Path(scratch)) for _ in range(rounds)]) for level in LEVELS}
        for work in works(divisor):
            taken: dict[str, list[Cost]] = {system: [] for system in (BARE, *LEVELS)}
            for _ in range(rounds):
                taken[BARE].append(
                    _timed(["sh", "-c", work.script], _workspace(Path(scratch)), {"PATH": os.environ["PATH"]})
                )
                for level in LEVELS:
                    taken[level].append(_guarded(level, work.script, Path(scratch)))
            bare = _median(taken[BARE])
            cells = [f"{bare.wall:.2f} s, {bare.cpu:.2f} s"]
            for level in LEVELS:
                cost, start = _median(taken[level]), starts[level]
                wall, cpu = cost.wall - start.wall, cost.cpu - start.cpu
                cells.append(f"{wall:.2f} s (× {wall / bare.wall:.2f}), {cpu:.2f} s (× {cpu / bare.cpu:.2f})")
            lines.append(f"| {work.name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _median(costs: Sequence[Cost]) -> Cost:
    return Cost(statistics.median(cost.wall for cost in costs), statistics.median(cost.cpu for cost in costs))


def _workspace(scratch: Path) -> Path:
    workspace = scratch / "work"
    shutil.rmtree(workspace, ignore_errors=True)
    (workspace / "include").mkdir(parents=True)
    (workspace / "out").mkdir()
    for place in range(FILES):
        (workspace / "include" / f"h{place}").write_text(f"line {place}\n" * 50)
    return workspace


def _guarded(level: str, script: str, scratch: Path) -> Cost:
    workspace, session = _workspace(scratch), scratch / "session"
    shutil.rmtree(session, ignore_errors=True)
    (workspace / ".ciguard.yml").write_text(POLICY.format(level=level))
    options = ["--identity", "none", "--session-dir", str(session)]
    command = [sys.executable, "-m", "ciguard", "run", *options, "--", "sh", "-c", script]
    environ = {"PATH": os.environ["PATH"], "HOME": str(scratch), "PYTHONPATH": str(ROOT / "src"), "MODEL_KEY": "k" * 20}
    return _timed(command, workspace, environ)


def _timed(command: Sequence[str], folder: Path, environ: Mapping[str, str]) -> Cost:
    """Run ``command``; the processor time is that of the process and of all that it waited for."""
    begin = time.perf_counter()
    quiet = subprocess.DEVNULL
    process = subprocess.Popen(command, cwd=folder, env=environ, stdin=quiet, stdout=quiet, stderr=quiet)
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.perf_counter() - begin
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"{command} ended with {process.returncode}")
    return Cost(wall, usage.ru_utime + usage.ru_stime)

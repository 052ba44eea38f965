"""What it costs to decide every command: the same work bare and at each isolation level, beside each other."""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from ciguard.policy.sections.isolation import IsolationLevel
from ciguard.sandbox.choosing import open_level
from ciguard.sandbox.levels import Wanted
from ciguard.sandbox.places import Request
from scripts.benchmarks.systems import ROOT

BARE = "bare"
LEVELS = ("none", "landlock", "namespace")
FILES = 15
UNIT = """
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
int main(void) { char text[64]; snprintf(text, sizeof text, "%d", getpid()); return (int)strlen(text); }
"""

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


def works(divisor: int) -> Sequence[Work]:
    """The work to measure: processes that do nothing, cheap ones that all differ, and a compiler where there is one."""
    same = "i=0; while [ $i -lt {count} ]; do /bin/true; i=$((i+1)); done"
    files = " ".join(f"include/h{place}" for place in range(FILES))
    read = f"i=0; while [ $i -lt {{count}} ]; do /bin/cat {files} > out/$i; /bin/true $i; i=$((i+1)); done"
    compiled = "i=0; while [ $i -lt {count} ]; do cc -O1 -c -o out/$i.o include/unit.c; i=$((i+1)); done"
    few, many, readers, units = (number // divisor for number in (400, 4000, 1500, 300))
    found = [
        Work(f"{few} starts of one command", same.format(count=few)),
        Work(f"{many} starts of one command", same.format(count=many)),
        Work(f"{2 * readers} different commands that read {readers * FILES} files", read.format(count=readers)),
    ]
    if shutil.which("cc"):
        found.append(Work(f"a build of {units} C files ({3 * units} starts)", compiled.format(count=units)))
    return found


def table(divisor: int, rounds: int) -> str:
    """The measured table."""
    lines = ["| processor time | " + " | ".join((BARE, *LEVELS)) + " |", "|---|" + "---:|" * (len(LEVELS) + 1)]
    with tempfile.TemporaryDirectory(prefix="ciguard-bench-") as scratch:
        starts = {level: median([_guarded(level, "true", Path(scratch)) for _ in range(5)]) for level in LEVELS}
        for work in works(divisor):
            taken: dict[str, list[float]] = {system: [] for system in (BARE, *LEVELS)}
            for _ in range(rounds):
                bare_environ = {"PATH": os.environ["PATH"]}
                taken[BARE].append(_timed(["sh", "-c", work.script], _workspace(Path(scratch)), bare_environ))
                for level in LEVELS:
                    taken[level].append(_guarded(level, work.script, Path(scratch)) - starts[level])
            bare, *guarded = (median(taken[system]) for system in (BARE, *LEVELS))
            cells = [f"{bare:.2f} s", *(f"{cost:.2f} s (× {cost / bare:.2f})" for cost in guarded)]
            lines.append(f"| {work.name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def starts(rounds: int) -> str:
    """The measured table of what it takes until a sandbox is tried out and ready: the least of all rounds."""
    lines = ["| until the sandbox is ready | wall time | processor time |", "|---|---:|---:|"]
    with tempfile.TemporaryDirectory(prefix="ciguard-bench-") as scratch:
        for level in (IsolationLevel.LANDLOCK, IsolationLevel.NAMESPACE):
            taken = [_started(level, Path(scratch)) for _ in range(rounds)]
            wall, processor = (min(times) for times in zip(*taken, strict=True))
            lines.append(f"| {level} | {1000 * wall:.0f} ms | {1000 * processor:.0f} ms |")
    return "\n".join(lines)


def _started(level: IsolationLevel, scratch: Path) -> tuple[float, float]:
    """Seconds until a sandbox at ``level`` is ready, and of processor time once it is ended."""
    workspace, session, own = scratch / "work", scratch / "session", scratch / "agent"
    for folder in (workspace, session, own / "tmp", own / "home"):
        folder.mkdir(exist_ok=True, parents=True)
    used, began = _processor_time(), time.monotonic()
    sandbox = open_level(level, Wanted(Request(os.environ, workspace, own, session), [4]), os.environ)
    ready = time.monotonic() - began
    sandbox.close()
    return ready, _processor_time() - used


def _processor_time() -> float:
    """Seconds that this process, and those that it has waited for, have used."""
    ours, theirs = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return ours.ru_utime + ours.ru_stime + theirs.ru_utime + theirs.ru_stime


def _workspace(scratch: Path) -> Path:
    workspace = scratch / "work"
    shutil.rmtree(workspace, ignore_errors=True)
    (workspace / "include").mkdir(parents=True)
    (workspace / "out").mkdir()
    (workspace / "include" / "unit.c").write_text(UNIT)
    for place in range(FILES):
        (workspace / "include" / f"h{place}").write_text(f"line {place}\n" * 50)
    return workspace


def _guarded(level: str, script: str, scratch: Path) -> float:
    workspace, session = _workspace(scratch), scratch / "session"
    shutil.rmtree(session, ignore_errors=True)
    (workspace / ".ciguard.yml").write_text(POLICY.format(level=level))
    options = ["--identity", "none", "--session-dir", str(session)]
    command = [sys.executable, "-m", "ciguard", "run", *options, "--", "sh", "-c", script]
    environ = {"PATH": os.environ["PATH"], "HOME": str(scratch), "PYTHONPATH": str(ROOT / "src"), "MODEL_KEY": "k" * 20}
    return _timed(command, workspace, environ)


def _timed(command: Sequence[str], folder: Path, environ: Mapping[str, str]) -> float:
    """Run ``command``: the processor time, in seconds, of the process and of all that it waited for."""
    quiet = subprocess.DEVNULL
    process = subprocess.Popen(command, cwd=folder, env=environ, stdin=quiet, stdout=quiet, stderr=quiet)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"{command} ended with {process.returncode}")
    return usage.ru_utime + usage.ru_stime

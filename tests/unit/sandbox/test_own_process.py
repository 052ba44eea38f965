"""The guard's own process, as root and as others see it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ciguard.sandbox.processes import parsed

CODE = """
import os, sys
from ciguard.sandbox.own_process import harden, scrub_environment
harden()
before = dict(os.environ)
scrub_environment({"SECRET", "EMPTY", "ABSENT"})
subprocess = os.popen("echo ${SECRET-gone}").read().strip()
print("ready", before["SECRET"], "SECRET" in os.environ, subprocess, os.environ["OTHER"], flush=True)
sys.stdin.read()
"""
SECRET = "the-secret-of-the-guard-4711"


@pytest.fixture
def guard() -> subprocess.Popen[str]:
    """A process that hardened itself."""
    return subprocess.Popen(
        [sys.executable, "-c", CODE],
        env={"SECRET": SECRET, "OTHER": "kept", "EMPTY": "", "PYTHONPATH": os.pathsep.join(sys.path)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def test_the_environment_forgets_its_secrets_for_the_kernel_too(guard: subprocess.Popen[str]) -> None:
    with guard:
        assert guard.stdout is not None
        assert guard.stdout.readline().split() == ["ready", SECRET, "False", "gone", "kept"]
        status = Path(f"/proc/{guard.pid}/limits").read_text()
        assert next(line for line in status.splitlines() if "core file" in line).split()[4:6] == ["0", "0"]
        if os.getuid() == 0:
            # Whoever may read it at all finds the other variables, so it is the right place.
            shown = Path(f"/proc/{guard.pid}/environ").read_bytes()
            assert b"OTHER=kept" in shown
            assert SECRET.encode() not in shown
        else:
            with pytest.raises(PermissionError):
                Path(f"/proc/{guard.pid}/environ").read_bytes()
        guard.communicate("")
    assert guard.returncode == 0


def test_a_process_name_cannot_lie_about_its_parent() -> None:
    process = parsed("17 (x) Z 1 (y) R 5 " + " ".join(map(str, range(5, 60))))
    assert (process.pid, process.state, process.parent) == (17, "R", 5)

"""What the launcher is made of: it lives as long as the agent, and every start waits for it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import ciguard

MODULES = "ciguard.sandbox.launcher, ciguard.sandbox.supervisor, ciguard.sandbox.tracing"
HEAVY = {"ast", "asyncio", "dataclasses", "hashlib", "inspect", "logging", "pathlib", "ssl", "subprocess", "threading"}


def test_it_loads_little() -> None:
    code = f"import sys; sys.path.insert(0, sys.argv[1]); import {MODULES}; print(*sys.modules)"
    source = str(Path(ciguard.__file__).parents[1])
    command = [sys.executable, "-I", "-S", "-B", "-c", code, source]
    loaded = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    assert "ciguard.sandbox.tracing" in loaded
    assert not HEAVY & set(loaded)
    assert len(loaded) < 110

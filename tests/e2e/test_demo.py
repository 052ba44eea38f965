"""The demo tells its story with every agent that it knows."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.parametrize("agent", ["scripted", "claude", "codex"])
def test_the_story_goes_as_it_should(agent: str, tmp_path: Path, claude: Path, codex: Path) -> None:
    path = os.pathsep.join([str(claude.parent), str(codex.parent), os.environ["PATH"]])
    done = subprocess.run(
        [sys.executable, "-m", "ciguard", "demo", "--agent", agent],
        env={"PATH": path, "HOME": str(tmp_path), "TMPDIR": str(tmp_path), "LANG": "C.UTF-8"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    _, story = done.stdout.split("What it came to")
    assert story.count("✓") == 5
    assert "ciguard-masked:github-token" in story
    assert "Traceback" not in done.stdout + done.stderr
    shutil.rmtree(tmp_path)

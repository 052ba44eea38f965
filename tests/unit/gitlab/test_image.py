"""The image of the component, as far as its definition tells: nothing here has a container engine."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.unit.gitlab.definitions import ROOT

FILE = ROOT / "gitlab/Containerfile"
TEXT = FILE.read_text(encoding="utf-8")
STAGES = re.split(r"^FROM ", TEXT, flags=re.MULTILINE)[1:]
SOURCES = [source for line in re.findall(r"^COPY (?!--from)(.*)$", TEXT, re.MULTILINE) for source in line.split()[:-1]]


def test_the_linter_finds_nothing() -> None:
    subprocess.run([Path(sys.executable).with_name("hadolint"), FILE], check=True)


def test_every_stage_has_the_same_base_and_its_digest_is_pinned() -> None:
    assert [stage.split()[0] for stage in STAGES] == ["${BASE}"] * 3
    assert re.search(r"^ARG BASE=\S+@sha256:[0-9a-f]{64}$", TEXT, re.MULTILINE)


def test_agents_have_exact_versions_which_are_those_that_are_tested() -> None:
    tested = json.loads((ROOT / "tests/e2e/agents/package.json").read_text(encoding="utf-8"))["dependencies"]
    versions = dict(re.findall(r"^ARG ([A-Z_]+)_VERSION=(\S*)$", TEXT, re.MULTILINE))
    assert versions == {"CLAUDE_CODE": tested["@anthropic-ai/claude-code"], "CODEX": tested["@openai/codex"]}


def test_what_installs_stays_out_of_the_image() -> None:
    final = STAGES[-1]
    (packages,) = re.findall(r"--no-install-recommends (.*?) &&", final)
    assert packages.split() == ["ca-certificates", "git", "nodejs", "python3"]
    assert re.findall(r"^COPY .*$", final, re.MULTILINE) == [
        "COPY --from=agents /opt/agents /opt/agents",
        "COPY --from=guard /opt/ciguard /opt/ciguard",
    ]


def test_the_guard_is_installed_by_the_script_that_installs_it_in_jobs() -> None:
    (command,) = re.findall(r"CIGUARD_PYTHON=python3 (?:.*\\\n)+.*install\.sh", STAGES[0])
    assert shlex.split(command.replace("\\\n", " ")) == [
        "CIGUARD_PYTHON=python3",
        "CIGUARD_NAMES=false",
        "CIGUARD_HOME=/opt/ciguard",
        "CIGUARD_PACKAGES=/packages",
        "GITHUB_ACTION_PATH=/source",
        "bash",
        "/source/action/install.sh",
    ]


def sent(tmp_path: Path) -> Path:
    """What the build is sent of the repository: what .dockerignore lets through."""
    first, *let_through = (ROOT / ".dockerignore").read_text(encoding="utf-8").split()
    assert first == "*"
    for name in let_through:
        if name.startswith("!"):
            source, target = ROOT / name[1:], tmp_path / "sent" / name[1:]
            target.parent.mkdir(parents=True, exist_ok=True)
            if source.is_dir():
                shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(source, target)
    return tmp_path / "sent"


def test_the_build_is_sent_what_it_copies_and_no_more(tmp_path: Path) -> None:
    root = sent(tmp_path)
    assert [source for source in SOURCES if not (root / source).exists()] == []
    assert {path.name for path in root.iterdir()} == {Path(source).parts[0] for source in SOURCES}


def test_the_guard_can_be_built_from_what_is_sent(tmp_path: Path) -> None:
    options = ["--quiet", "--no-deps", "--no-index", "--no-build-isolation", "--disable-pip-version-check"]
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", *options, "--wheel-dir", tmp_path / "wheels", sent(tmp_path)], check=True
    )
    (wheel,) = (tmp_path / "wheels").iterdir()
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {"ciguard/__main__.py", "ciguard/inspect/rules/rules.json", "ciguard/lock.sha256"} <= names


@pytest.mark.parametrize(("commit", "status"), [("a" * 40, 0), ("b" * 64, 0), ("", 1), ("main", 1), ("a" * 39, 1)])
def test_the_commit_must_be_a_full_id(commit: str, status: int) -> None:
    (check,) = re.findall(r"^RUN (expr .*?) && \\$", STAGES[0], re.MULTILINE)
    done = subprocess.run(["sh", "-c", check], env={"COMMIT": commit, "PATH": "/usr/bin:/bin"}, capture_output=True)
    assert done.returncode == status
    assert (b"error: COMMIT is not a full commit id" in done.stderr) == bool(status)

"""An image that lacks what a job needs: one error, what to do about it, and both in the artifact."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.unit.gitlab.definitions import COMPONENT, COMPONENTS, ROOT, template

PROGRAMS = ("bash", "cat", "echo", "git", "ln", "mkdir", "python3", "rm", "tee")


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """A folder that is all of the PATH, with the programs that a job needs."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in PROGRAMS:
        found = shutil.which(name)
        assert found
        (folder / name).symlink_to(os.path.realpath(found))
    (tmp_path / "shop").mkdir()
    return folder


def start(image: Path, script: str, interpreter: str = "/bin/bash") -> str:
    """The one error that ``script`` ends with, which is also what the artifact keeps of the job."""
    folder = image.parent
    done = subprocess.run(
        [interpreter, "-ec", script],
        cwd=folder / "shop",
        env={
            "PATH": str(image),
            "GITLAB_CI": "true",
            "CI_PROJECT_DIR": str(folder / "shop"),
            "CI_JOB_ID": "1",
            "CI_JOB_TOKEN": "job-token",
            "CI_SERVER_URL": f"file://{folder}",
            "CIGUARD_COMMIT": COMPONENT["sha"],
            "CIGUARD_COMPONENT": COMPONENT["reference"],
            "CIGUARD_HOME": str(folder / "shop"),
            "CIGUARD_PYTHON": "python3",
            "CIGUARD_NAMES": "false",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1, done.stderr
    kept = (folder / "shop/ciguard-refusal.txt").read_text(encoding="utf-8")
    assert done.stderr.endswith(kept)
    assert done.stderr.count("error: ") == kept.count("error: ") == 1
    cause, remedy = kept.splitlines()
    assert remedy.startswith("help: ")
    assert "job-token" not in done.stdout + done.stderr
    return cause


@pytest.mark.parametrize("component", COMPONENTS)
def test_an_image_without_bash(image: Path, component: str) -> None:
    (image / "bash").unlink()
    _, jobs = template(component)
    for job in jobs.values():
        assert start(image, job["before_script"][0], interpreter="/bin/sh") == "error: the image has no bash"


@pytest.mark.parametrize("component", COMPONENTS)
def test_an_image_without_git(image: Path, component: str) -> None:
    (image / "git").unlink()
    _, jobs = template(component)
    for job in jobs.values():
        assert start(image, job["before_script"][0]) == "error: the image has no git"


def test_an_image_without_python(image: Path) -> None:
    (image / "python3").unlink()
    assert start(image, f"bash {ROOT}/gitlab/install.sh /none") == "error: python3 is not Python 3.11 or later"


def test_an_image_whose_python_has_no_pip(image: Path) -> None:
    (image / "python3").unlink()
    (image / "python3").write_text("#!/bin/bash\n[[ $* != *pip* ]]\n")
    (image / "python3").chmod(0o755)
    assert start(image, f"bash {ROOT}/gitlab/install.sh /none") == "error: python3 has no pip"

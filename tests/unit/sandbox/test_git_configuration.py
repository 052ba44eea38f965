"""What of a repository's git configuration an agent may read."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from ciguard.sandbox.git_configuration import without_credentials

SECRET = "ghs-of-the-job-123"

CASES = [
    (
        '[http "https://example.com/"]\n\textraheader = AUTHORIZATION: basic eDpn\n',
        '[http "https://example.com/"]\n\t\n',
    ),
    ("[http] ExtraHeader=AUTHORIZATION: basic x\n", "[http] \n"),
    ("[http]\n\textraheader = AUTHO\\\nRIZATION: basic x\n\tproxy = p\n", "[http]\n\t\n\tproxy = p\n"),
    (
        '[remote "origin"]\n\turl = https://u:p@example.com/r.git\n',
        '[remote "origin"]\n\turl = https://example.com/r.git\n',
    ),
    ("[remote]\n\turl = git@example.com:r.git\n", "[remote]\n\turl = git@example.com:r.git\n"),
    ('[url "https://x:t@example.com/"]\n\tinsteadOf = a\n', '[url "https://example.com/"]\n\tinsteadOf = a\n'),
    ("[credential]\n\thelper = store --file /x\n\tusername = me\n", "[credential]\n\t\n\t\n"),
    ("[core]\n\tsshCommand = ssh -i /key\n\tbare = false\n", "[core]\n\t\n\tbare = false\n"),
    (f"[a]\n\tb = x{SECRET}y\n", "[a]\n"),
    ("[user]\n\tname = A\n\temail = a@example.com\n", "[user]\n\tname = A\n\temail = a@example.com\n"),
]


@pytest.mark.parametrize(("given", "left"), CASES)
def test_credentials_go_and_the_rest_stays(given: str, left: str) -> None:
    assert without_credentials(given, [SECRET]) == left


def test_git_can_still_read_it(tmp_path: Path) -> None:
    subprocess.run(["git", "init", "--quiet", tmp_path], check=True)
    config = tmp_path / ".git/config"
    config.write_text(without_credentials(config.read_text() + "".join(given for given, _ in CASES), [SECRET]))
    shown = subprocess.run(["git", "-C", tmp_path, "config", "--list"], check=True, capture_output=True, text=True)
    assert "remote.origin.url=https://example.com/r.git" in shown.stdout
    assert "AUTHORIZATION" not in shown.stdout

"""The loopback model as a program of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from ciguard.testing.model.__main__ import main

SCRIPT = "from ciguard.testing.model import Text\ndef answer(conversation):\n    return [Text('Hello.')]\n"


def test_it_serves_until_it_is_stopped(tmp_path: Path) -> None:
    (tmp_path / "play.py").write_text(SCRIPT)
    command = [sys.executable, "-m", "ciguard.testing.model", "--script", "play:answer"]
    environment = {**os.environ, "MODEL_API_KEYS": "one,two"}
    with subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, text=True) as served:
        assert served.stdout is not None
        url = served.stdout.readline().strip()
        request = urllib.request.Request(
            f"{url}/v1beta/models/gemini-2.5-flash:generateContent",
            b'{"contents": [{"parts": [{"text": "x"}]}]}',
            {"x-goog-api-key": "two"},
        )
        with urllib.request.urlopen(request) as answer:
            assert b"Hello." in answer.read()
        served.send_signal(signal.SIGTERM)
    assert served.returncode == 0


@pytest.mark.parametrize(
    ("name", "keys", "cause"),
    [
        ("nowhere:answer", "k", "there is no script 'nowhere:answer'"),
        ("json:nothing", "k", "there is no script 'json:nothing'"),
        ("", "k", "there is no script ''"),
        ("json:dumps", "", "MODEL_API_KEYS is empty"),
    ],
)
def test_mistakes_are_explained(
    name: str, keys: str, cause: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MODEL_API_KEYS", keys)
    assert main(["--script", name]) == 64
    printed = capsys.readouterr().err
    assert printed.startswith(f"error: {cause}")
    assert "\nhelp: " in printed

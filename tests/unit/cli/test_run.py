"""The command line of ``ciguard run``; what it does is tested with a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ciguard.cli.run import main
from ciguard.errors import UsageError


@pytest.mark.parametrize(
    ("arguments", "cause"),
    [
        ([], "there is no command to run"),
        (["--"], "there is no command to run"),
        (["--identity", "none", "--"], "there is no command to run"),
        (["--bogus", "--", "true"], "--bogus"),
        (["--identity", "perhaps", "--", "true"], "perhaps"),
        (["--policy"], "--policy"),
        (["--session-dir"], "--session-dir"),
    ],
)
def test_mistakes_are_usage_errors(arguments: list[str], cause: str) -> None:
    with pytest.raises(UsageError) as error:
        main(arguments)
    assert cause in error.value.cause
    assert error.value.remedy


def test_help_has_an_example_and_the_codes(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    assert ended.value.code == 0
    text = capsys.readouterr().out
    assert "ciguard run --identity none -- claude" in text
    for code in (64, 69, 70, 71, 74, 76, 77, 78, 126, 127):
        assert str(code) in text


UNUSED = {
    "aiohttp.web",
    "ciguard.codecs.gemini",
    "ciguard.codecs.openai_chat",
    "ciguard.codecs.openai_responses",
    "ciguard.inspect.sql_dialects",
    "ciguard.inspect.sql_postgres",
    "ciguard.sandbox.supervisor",
    "ciguard.session.verification",
    "cryptography",
    "github",
    "gitlab",
    "h11",
    "httpx2",
    "jinja2",
    "jwt",
    "phonenumbers",
    "pyrage",
    "sigstore",
    "spacy",
    "sqlglot",
    "stdnum",
}
"""What a session that asks for none of it does not load: each takes time at its start, and memory to its end."""

POLICY = """\
version: 1
extends: [ciguard:standard]
connections: {c: {type: anthropic, credential: {env: KEY}, upstream: "http://127.0.0.1:9"}}
isolation: {require: none, prefer: none}
"""


def test_an_ordinary_session_loads_what_it_uses(tmp_path: Path) -> None:
    (tmp_path / ".ciguard.yml").write_text(POLICY)
    code = """if True:
        import sys
        from ciguard.cli.run import main
        main(["--identity", "none", "--session-dir", "session", "--", "true"])
        print(*sys.modules)
    """
    outside = {name: value for name, value in os.environ.items() if name not in ("GITHUB_ACTIONS", "GITLAB_CI")}
    environ = {**outside, "KEY": "the-credential-of-the-upstream"}
    command = [sys.executable, "-c", code]
    ran = subprocess.run(command, cwd=tmp_path, env=environ, check=True, capture_output=True, text=True)
    loaded = set(ran.stdout.split())
    assert {"ciguard.guard.session", "ciguard.codecs.anthropic"} <= loaded
    assert sorted(UNUSED & loaded) == []

from __future__ import annotations

import pytest

from ciguard.cli import main
from ciguard.cli.parser import Parser
from ciguard.errors import UsageError


def test_a_mistake_is_a_usage_error_that_names_the_help() -> None:
    parser = Parser(prog="ciguard guess")
    parser.add_argument("--number", type=int)
    with pytest.raises(UsageError, match="--number") as raised:
        parser.parse_args(["--number", "x"])
    assert raised.value.remedy == "ciguard guess --help explains the command, with an example"


def test_mistakes_in_subcommands_are_too() -> None:
    parser = Parser(prog="ciguard guess")
    parser.add_subparsers(required=True).add_parser("one")
    with pytest.raises(UsageError) as raised:
        parser.parse_args(["one", "two"])
    assert "two" in raised.value.cause


@pytest.mark.parametrize("command", ["run", "policy", "session", "demo"])
def test_every_command_reports_mistakes_alike(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([command, "--no-such-option"]) == 64
    error, remedy = capsys.readouterr().err.splitlines()
    assert error.startswith("error: ")
    assert remedy == f"help: ciguard {command} --help explains the command, with an example"

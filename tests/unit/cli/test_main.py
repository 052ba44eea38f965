"""The command itself: finds commands, prints errors as cause and remedy."""

from __future__ import annotations

import importlib
from collections.abc import Sequence

import pytest

from ciguard import __version__, cli
from ciguard.errors import IdentityRefused


def test_every_command_has_a_module() -> None:
    for name in cli.COMMANDS:
        assert callable(importlib.import_module(f"ciguard.cli.{name}").main)


@pytest.mark.parametrize(("arguments", "status"), [(["--help"], 0), (["-h"], 0), ([], 64)])
def test_help_lists_the_commands(arguments: list[str], status: int, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(arguments) == status
    printed = capsys.readouterr().out
    assert all(name in printed for name in cli.COMMANDS)


def test_the_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out == f"ciguard {__version__}\n"


@pytest.mark.parametrize("name", ["bogus", "Run", "cli", "__init__", "../run", "--bogus", ""])
def test_other_commands_do_not_exist(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([name]) == 64
    assert f"error: there is no command {name!r}\nhelp: " in capsys.readouterr().err


def test_an_error_is_two_lines_and_its_code(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refused(arguments: Sequence[str]) -> int:
        raise IdentityRefused("the cause", "the remedy")

    monkeypatch.setattr(importlib.import_module("ciguard.cli.demo"), "main", refused)
    assert cli.main(["demo"]) == 77
    assert capsys.readouterr().err == "error: the cause\nhelp: the remedy\n"

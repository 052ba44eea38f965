"""The command line of ``ciguard run``; what it does is tested with a process of its own."""

from __future__ import annotations

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

from __future__ import annotations

import ciguard.cli.run
from ciguard import errors
from ciguard.errors import CiguardError, PolicyError


def kinds() -> list[type[CiguardError]]:
    return CiguardError.__subclasses__()


def test_every_error_has_a_code_of_its_own_apart_from_what_agents_use() -> None:
    codes = [kind.exit_code for kind in kinds()]
    assert len(set(codes)) == len(codes) > 8
    assert all(64 <= code <= 79 or code in (126, 127) for code in codes)


def test_the_help_of_run_names_every_code_that_it_can_end_with() -> None:
    for kind in set(kinds()) - {errors.SessionDamaged}:
        assert str(kind.exit_code) in ciguard.cli.run.EPILOG, kind


def test_an_error_reads_as_its_cause() -> None:
    error = CiguardError("the cause", "the remedy")
    assert (str(error), error.cause, error.remedy) == ("the cause", "the cause", "the remedy")


def test_a_policy_error_says_where() -> None:
    assert PolicyError("wrong", "help", file="a.yml", line=3, column=7).cause == "a.yml:3:7: wrong"
    assert PolicyError("missing", "help", file="a.yml").cause == "a.yml: missing"

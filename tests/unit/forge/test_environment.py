from __future__ import annotations

import re

import pytest

from ciguard.errors import IdentityRefused
from ciguard.forge import environment

SECRET = "hunter2 hunter2\n"


@pytest.mark.parametrize(
    ("shape", "good", "bad"),
    [
        (environment.COMMIT, "a" * 40, ["a" * 39, "A" * 40, "a" * 41, "a" * 40 + "\n", "--upload-pack=x"]),
        (environment.COMMIT, "0" * 64, ["g" * 64]),
        (environment.DIGITS, "123", ["-1", "1.5", "9" * 21, "12\n", "1²3"]),
        (environment.WORD, "dependabot[bot]", ["a b", "a\nb", "é", "a" * 256]),
        (environment.REF, "refs/pull/1/merge", ["-x", "a b", "a\nb", "a:b", "a" * 1025]),
        (environment.PATH, "acme/platform/shop", ["shop", "/shop", "acme/", "acme/shop\n", "acme/sh op"]),
        (environment.URL, "https://github.com", ["ftp://x", "https://", 'https://a"b', "https://a b"]),
    ],
)
def test_shapes(shape: re.Pattern[str], good: str, bad: list[str]) -> None:
    assert environment.required({"NAME": good}, "NAME", shape) == good
    for value in bad:
        with pytest.raises(IdentityRefused, match="NAME in the job's environment is malformed"):
            environment.required({"NAME": value}, "NAME", shape)


def test_absent_and_empty_are_the_same() -> None:
    for environ in ({}, {"NAME": ""}):
        with pytest.raises(IdentityRefused, match="has no NAME"):
            environment.required(environ, "NAME", environment.WORD)
        assert environment.optional(environ, "NAME", environment.WORD) == ""


def test_an_optional_value_must_still_have_its_shape() -> None:
    assert environment.optional({"NAME": "alice"}, "NAME", environment.WORD) == "alice"
    with pytest.raises(IdentityRefused) as refusal:
        environment.optional({"NAME": SECRET}, "NAME", environment.WORD)
    assert "hunter2" not in refusal.value.cause

"""Globs of paths, asked at once, say what they say one by one."""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st

from ciguard.inspect.shell.command import Word
from ciguard.inspect.shell.paths import Globs, Target, target

GLOBS = st.lists(
    st.sampled_from(
        [
            ".",
            "/",
            "~",
            "/etc/*",
            "~/.ssh/*",
            ".env",
            ".env.*",
            "*.pem",
            ".git/hooks/*",
            "build/*",
            "/etc",
            "/a.c",
            "é*",
        ]
    )
    | st.text("ab/*.~\\é$\n", min_size=1, max_size=6),
    max_size=6,
)
PATHS = st.text("ab/.~\\é$\n\udc80 ", max_size=12) | st.sampled_from(
    ["/etc/shadow", "~/.ssh/id_rsa", "a/.env", "x.pem", ".git/hooks/x", "/axc", "a\n/.env", "/home/x/.ssh/k", "."]
)


@given(GLOBS, PATHS, st.booleans(), st.booleans(), st.booleans())
@example([".env"], "a\n/.env", False, False, True)
@example(["/etc/*"], "/", False, True, True)
@example(["*"], "\udc80", False, False, True)
def test_any_of_them(globs: list[str], path: str, pattern: bool, below: bool, literal: bool) -> None:
    for one in (Target((path,), pattern, below), target(Word(path, literal, pattern), "", below=below)):
        assert Globs(globs).have(one) == any(one.within(glob) for glob in globs)


def test_more_than_a_pattern_can_hold() -> None:
    globs = [f"/folder{number}/{'x' * 90}{number}*" for number in range(20_000)]
    assert Globs(globs).have(Target((f"/folder7/{'x' * 90}7",)))
    assert not Globs(globs).have(Target((f"/folder7/{'x' * 90}8",)))

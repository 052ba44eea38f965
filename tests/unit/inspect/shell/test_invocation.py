from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ciguard.inspect.shell.analysis import analyse
from ciguard.inspect.shell.command import Command, Word
from ciguard.inspect.shell.invocation import Invocations, invocation


def matches(pattern: str, line: str) -> bool:
    return invocation(pattern).matches(analyse(line).commands[0])


@pytest.mark.parametrize(
    ("pattern", "line", "expected"),
    [
        ("npm publish", "npm publish", True),
        ("npm publish", "npm publish --access public ./x", True),
        ("npm publish", "/usr/bin/npm 'pub'lish", True),
        ("npm publish", "npm --workspace a publish", True),
        ("npm publish", "npm run publish", False),
        ("npm publish", "npm run -- publish", False),
        ("npm publish", "npm", False),
        ("npm publish", "npx publish", False),
        ("npm publish", "npm $X", False),
        ("npm|yarn publish|pack", "yarn pack", True),
        ("aws * delete-*", "aws --region x s3api delete-bucket", True),
        ("aws * delete-*", "aws delete-x", False),
        ("gcloud ** delete", "gcloud compute instances delete x", True),
        ("gcloud ** delete", "gcloud delete", True),
        ("gcloud ** delete", "gcloud compute list", False),
        ("x **", "x", True),
        ("x ** a ** b", "x 1 a 2 b 3", True),
        ("x ** a ** b", "x 1 b 2 a 3", False),
        ("docker run --privileged", "docker run -it --privileged x", True),
        ("docker run --privileged", "docker --privileged run x", True),
        ("docker run --privileged", "docker run x", False),
        ("git push --force", "git push --forc", True),
        ("git push --force", "git push --for", True),
        ("git push --force", "git push --fo", False),
        ("git push -f", "git push -uf", True),
        ("terraform apply -destroy", "terraform apply --destroy", True),
        ("docker run --pid=host", "docker run --pid=host x", True),
        ("docker run --pid=host", "docker run --pid host x", True),
        ("docker run --pid=host", "docker run --pid x host", False),
        ("docker run -v=/:*", "docker run -v/:/x y", True),
        ("docker run -v=/:*", "docker run -v /:/x y", True),
        ("docker run -v=/:*", "docker run -itv /:/x y", True),
        ("docker run -v=/:*", "docker run -v ./:/x y", False),
        ("curl -X=POST|PUT", "curl -XPUT x", True),
        ("ufw --add-*|--del", "ufw --add-x", True),
        ("sudo -i", "sudo -i", True),
        ("sudo -i", "sudo rm -i x", False),
        ("sudo -i", "sudo -u root -i", True),
        ("rm", "/bin/r?", True),
        ("rm", "/bin/[r]m", True),
        ("rm", "/bin/l?", False),
        ("mkfs*|wipefs ** /dev/*", "mkfs.ext4 -F /dev/sda", True),
        ("a-b.c", "axbyc", False),
    ],
)
def test_patterns(pattern: str, line: str, expected: bool) -> None:
    assert matches(pattern, line) is expected


def test_a_script_without_commands() -> None:
    (command,) = analyse("> x").commands
    assert not invocation("x").matches(command)


PATTERNS = [
    "*",
    "* ** *secret*",
    "* ** b",
    "* **",
    "a",
    "a|b c",
    "a ** c",
    "a* -x",
    "b --y=z",
    "* ** c -x",
    "* ** ** c",
    "a b c",
]
WORDS = st.builds(
    Word,
    st.sampled_from(
        ["a", "b", "c", "-x", "--y=z", "--y", "z", "-", "--", "x-secret", "-secret", "/bin/a", "$X", "a*", "", "?"]
    ),
    st.booleans(),
    st.booleans(),
)


@given(st.lists(st.sampled_from(PATTERNS), max_size=5), st.lists(WORDS, max_size=5))
@example(["a b c"], [Word("a"), Word("c")])
@example(["* ** *secret*"], [Word("a"), Word("-secret")])
def test_patterns_asked_at_once_say_what_they_say_one_by_one(patterns: list[str], words: list[Word]) -> None:
    command, invocations = Command(tuple(words)), Invocations(patterns)
    for _ in range(2):
        assert invocations.match(command) == any(invocation(pattern).matches(command) for pattern in patterns)


def test_many_programs_are_not_kept_for_ever() -> None:
    invocations = Invocations(["a", "* ** secret"])
    for number in range(3 * Invocations.MOST):
        assert not invocations.match(Command((Word(f"program{number}"),)))
    assert invocations.match(Command((Word("a"),)))
    assert len(invocations._by_program) <= Invocations.MOST

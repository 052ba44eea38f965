from __future__ import annotations

from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ciguard.inspect.shell.analysis import analyse, analyse_inline
from ciguard.inspect.shell.command import Word
from ciguard.inspect.shell.effects import all_effects
from ciguard.inspect.shell.paths import Target, target


def touched(line: str, kind: str) -> list[Target]:
    found: Iterable[Target] = (path for _, item in all_effects(analyse(line)) for path in getattr(item, kind))
    return list(found)


def within(line: str, kind: str, glob: str) -> bool:
    return any(path.within(glob) for path in touched(line, kind))


@pytest.mark.parametrize(
    ("line", "kind", "glob", "expected"),
    [
        ("cat .env", "reads", ".env", True),
        ("cat a/b/.env", "reads", ".env", True),
        ("cat a.env", "reads", ".env", False),
        ("cat < .env", "reads", ".env", True),
        ("echo .env", "reads", ".env", False),
        ("cp .env x", "reads", ".env", True),
        ("cp x .env", "reads", ".env", False),
        ("cp x .env", "writes", ".env", True),
        ("cp x/.env y", "writes", "y/.env", True),
        ("curl -d @.env x", "reads", ".env", True),
        ("curl --data=@.env x", "reads", ".env", True),
        ("docker run --env-file=.env x", "reads", ".env", True),
        ("curl -o .env x", "writes", ".env", True),
        ("echo x | tee -a .env", "writes", ".env", True),
        ("sed -i s/a/b/ .env", "writes", ".env", True),
        ("sed s/a/b/ .env", "writes", ".env", False),
        ("sed s/a/b/ .env", "reads", ".env", True),
        ("x > .env", "writes", ".env", True),
        ("x >> .env", "writes", ".env", True),
        ("dd if=a of=.env", "writes", ".env", True),
        ("dd if=.env", "reads", ".env", True),
        ("mv .env x", "writes", ".env", True),
        ("mv x .env", "writes", ".env", True),
        ("git checkout x -- .env", "writes", ".env", True),
        ("git add .env", "writes", ".env", False),
        ("touch $X/.env", "writes", ".env", True),
        ("crontab x", "writes", "/var/spool/cron/*", True),
        ("echo x | crontab", "writes", "/var/spool/cron/*", True),
        ("crontab -l", "writes", "/var/spool/cron/*", False),
        ("cat ~/.ssh/id_rsa", "reads", "~/.ssh/*", True),
        ("cat /root/.ssh/id_rsa", "reads", "~/.ssh/*", True),
        ("cat /home/x/../y/.ssh/id_rsa", "reads", "~/.ssh/*", True),
        ("cat $HOME/.ssh/id_rsa", "reads", "~/.ssh/*", True),
        ("cat $H/.ssh/id_rsa", "reads", "~/.ssh/*", True),
        ("cd ~/.ssh; cat id_rsa", "reads", "~/.ssh/*", True),
        ("cat ~/.s?h/id_*", "reads", "~/.ssh/id_rsa", True),
        ("cat ~/*/id_rsa", "reads", "~/.ssh/id_rsa", False),
        ("cat ~/.ssh/*", "reads", "~/.ssh/id_rsa", True),
        ("cat /proc/self/root/etc/shadow", "reads", "/etc/shadow", True),
        ("cat //etc///./shadow", "reads", "/etc/shadow", True),
        ("tar cz ~/.ssh", "reads", "~/.ssh/id_rsa", True),
        ("tar cz ~", "reads", "~/.ssh/id_rsa", True),
        ("ls ~", "reads", "~/.ssh/id_rsa", False),
        ("cp -r / x", "reads", "/etc/shadow", True),
        ("cat /home/runner/work/a/a/x", "reads", "~/*", False),
        ("cat /home/runner/work/a/a/x", "reads", "x", True),
        ("sudo cat /etc/shadow", "reads", "/etc/shadow", True),
        ("rm -rf /", "deletes", "/", True),
        ("rm -rf /*", "deletes", "/", True),
        ("rm -rf x/*", "deletes", "x", True),
        ("rm x/*", "deletes", "x", False),
        ("rm -rf /etc/nginx", "deletes", "/etc", False),
        ("rm -rf *", "deletes", ".", True),
        ("rm *", "deletes", ".", False),
        ("rm -rf .", "deletes", ".", True),
        ("cd x; rm -rf *", "deletes", ".", False),
        ("cd x; rm -rf ../*", "deletes", ".", True),
        ("rm -rf $(pwd)", "deletes", ".", True),
        ("rm -rf /home/runner/work/a/a", "deletes", ".", True),
        ("rm -rf .g*", "deletes", ".git", True),
        ("rm -rf build/*", "writes", "Jenkinsfile", False),
        ("find x -delete", "deletes", "x", True),
        ("find . -name y -delete", "deletes", ".", False),
        ("find / -name y -delete", "deletes", "/", True),
        ("find -exec rm {} +", "deletes", ".", True),
        ("find x -print", "deletes", "x", False),
        ("rsync -a --delete e/ /", "deletes", "/", True),
        ("$X -rf /", "deletes", "/", True),
        ("/bin/r? /", "deletes", "/", True),
        ("mv ~ /tmp", "deletes", "~", True),
        ("python -c \"open('.env')\"", "reads", ".env", True),
        ("python -c \"open('.env', 'w')\"", "writes", ".env", True),
        ("python -c \"shutil.rmtree('x')\"", "deletes", "x", True),
        ("python -c \"'x'.split('/')\"", "deletes", "/", False),
    ],
)
def test_what_is_touched(line: str, kind: str, glob: str, expected: bool) -> None:
    assert within(line, kind, glob) is expected, touched(line, kind)


GLOBS = st.text(st.sampled_from("ab./~*"), min_size=1, max_size=8)


@given(GLOBS, st.text(st.sampled_from("ab./~"), min_size=1, max_size=8))
def test_a_pattern_that_stands_for_one_path_is_matched_like_that_path(glob: str, path: str) -> None:
    literal = target(Word(path), "")
    pattern = target(Word(path, pattern=True), "")
    assert pattern.within(glob) == literal.within(glob)


@given(GLOBS, st.text(st.sampled_from("ab./?*[]"), max_size=12))
def test_any_path_is_compared(glob: str, path: str) -> None:
    assert target(Word(path, pattern=True), None).within(glob) in (True, False)


@given(st.text())
def test_any_program_is_read(code: str) -> None:
    assert list(all_effects(analyse_inline(code)))

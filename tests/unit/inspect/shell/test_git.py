from __future__ import annotations

import pytest

from ciguard.inspect.shell.analysis import analyse
from ciguard.inspect.shell.git import GitUse, of_push, read
from ciguard.inspect.shell.trait import GitAct


def use(line: str) -> GitUse:
    (command,) = [command for command in analyse(line).commands if not command.via]
    found = read(command)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("line", "acts"),
    [
        ("git status", []),
        ("git", []),
        ("git push", [GitAct.PUSH]),
        ("git push origin main", [GitAct.PUSH]),
        ("git push -u origin main", [GitAct.PUSH]),
        ("git push --force", [GitAct.PUSH, GitAct.FORCE_PUSH]),
        ("git push -f", [GitAct.PUSH, GitAct.FORCE_PUSH]),
        ("git push -uf origin x", [GitAct.PUSH, GitAct.FORCE_PUSH]),
        ("git -C repo --no-pager push origin +main", [GitAct.PUSH, GitAct.FORCE_PUSH]),
        ("git push --mirror", [GitAct.PUSH, GitAct.FORCE_PUSH]),
        ("git push --force-with-lease=main:abc", [GitAct.PUSH, GitAct.LEASE_PUSH]),
        ("git push --force-w", [GitAct.PUSH, GitAct.LEASE_PUSH]),
        ("git push -o -f origin main", [GitAct.PUSH]),
        ("git push origin :old", [GitAct.PUSH, GitAct.DELETE_BRANCH]),
        ("git push origin --delete old", [GitAct.PUSH, GitAct.DELETE_BRANCH]),
        ("git push -d origin old", [GitAct.PUSH, GitAct.DELETE_BRANCH]),
        ("git push --prune", [GitAct.PUSH, GitAct.DELETE_BRANCH]),
        ("git filter-repo --path src", [GitAct.REWRITE_HISTORY]),
        ("git-filter-branch", [GitAct.REWRITE_HISTORY]),
        ("git reflog expire --all", [GitAct.REWRITE_HISTORY]),
        ("git reflog", []),
        ("git update-ref -d refs/heads/x", [GitAct.REWRITE_HISTORY]),
        ("git gc --prune=now", [GitAct.REWRITE_HISTORY]),
        ("git gc --prune=2.weeks", []),
        ("git gc", []),
        ("bfg --delete-files x", [GitAct.REWRITE_HISTORY]),
        ("git rebase main", [GitAct.REWRITE_COMMITS]),
        ("git commit --amend", [GitAct.REWRITE_COMMITS]),
        ("git commit -m --amended", []),
        ("git reset --hard HEAD~1", [GitAct.DISCARD_WORK, GitAct.REWRITE_COMMITS]),
        ("git reset HEAD~1", []),
        ("git clean -xfd", [GitAct.DISCARD_WORK]),
        ("git clean -n", []),
        ("git checkout -- .", [GitAct.DISCARD_WORK]),
        ("git checkout -f main", [GitAct.DISCARD_WORK]),
        ("git checkout main", []),
        ("git restore .", [GitAct.DISCARD_WORK]),
        ("git restore src/a.py", []),
        ("git stash drop", [GitAct.DISCARD_WORK]),
        ("git branch -D x", [GitAct.DISCARD_WORK]),
        ("git branch -d x", []),
        ("git config core.hooksPath /tmp/x", [GitAct.EXECUTABLE_SETTING]),
        ("git config --global credential.helper '!x'", [GitAct.EXECUTABLE_SETTING]),
        ("git config set alias.x '!rm'", [GitAct.EXECUTABLE_SETTING]),
        ("git config alias.co checkout", []),
        ("git config --get core.hooksPath", []),
        ("git config user.name x", []),
        ("git -c core.sshCommand=/tmp/x fetch", [GitAct.EXECUTABLE_SETTING]),
        ("git -c core.pager=cat log", []),
        ("git -c alias.x=!sh x", [GitAct.EXECUTABLE_SETTING]),
    ],
)
def test_what_is_done(line: str, acts: list[GitAct]) -> None:
    assert use(line).acts == frozenset(acts)


@pytest.mark.parametrize(
    ("line", "branches"),
    [
        ("git push", None),
        ("git push origin", None),
        ("git push origin HEAD", None),
        ("git push origin $BRANCH", None),
        ("git push --all origin main", None),
        ("git push origin main", ("main",)),
        ("git push origin HEAD:main +x:refs/heads/y :z", ("main", "y", "z")),
    ],
)
def test_where_a_push_goes(line: str, branches: tuple[str, ...] | None) -> None:
    assert use(line).branches == branches


def test_other_programs_are_not_git() -> None:
    (command,) = analyse("ls git push").commands
    assert read(command) is None


def test_a_push_that_crosses_the_guard() -> None:
    assert of_push("refs/heads/main", forced=True) == GitUse(frozenset({GitAct.PUSH, GitAct.FORCE_PUSH}), ("main",))
    assert of_push("refs/heads/main", forced=False).acts == {GitAct.PUSH}

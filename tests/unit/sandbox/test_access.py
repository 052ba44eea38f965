"""The table of files, and what it becomes where rights can only be added and where they can be mounted."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ciguard.sandbox.access import Access, Grant, Unenforceable, access_to, below, changes, grants
from ciguard.sandbox.bubblewrap import SETTINGS, arguments

HIDDEN, READABLE, WRITABLE = Access.HIDDEN, Access.READABLE, Access.WRITABLE

TREE = {
    "/": ["/bin", "/home", "/tmp", "/job"],
    "/home": ["/home/a", "/home/b"],
    "/home/a": ["/home/a/.ssh", "/home/a/tool"],
    "/home/a/.ssh": ["/home/a/.ssh/id"],
    "/job": ["/job/repo", "/job/temp"],
    "/job/repo": ["/job/repo/x"],
}
PATHS = sorted({"/", *(child for children in TREE.values() for child in children)})


def children(path: str) -> list[str]:
    """What TREE has in a folder."""
    return TREE.get(path, [])


def granted(given: list[Grant], path: str) -> Access:
    """What ``path`` comes to where rights add up on the way down."""
    rights = {grant.access for grant in given if grant.path == path or below(path, grant.path)}
    return WRITABLE if WRITABLE in rights else READABLE if READABLE in rights else HIDDEN


def test_the_longest_path_decides() -> None:
    table = {"/": READABLE, "/home": HIDDEN, "/home/a": WRITABLE, "/home/a/.ssh": HIDDEN}
    assert access_to(table, "/etc/passwd") is READABLE
    assert access_to(table, "/home/b") is HIDDEN
    assert access_to(table, "/home/a/x") is WRITABLE
    assert access_to(table, "/home/a/.ssh/id") is HIDDEN
    assert access_to(table, "/homestead") is READABLE


def test_what_changes_nothing_is_left_out() -> None:
    table = {"/": READABLE, "/home": READABLE, "/home/a": WRITABLE, "/home/a/x": WRITABLE}
    assert list(changes(table)) == [("/home/a", WRITABLE)]


def test_a_folder_with_something_hidden_is_granted_child_by_child() -> None:
    found = grants({"/": READABLE, "/home/a/.ssh": HIDDEN, "/job/repo": WRITABLE}, children)
    assert {(grant.path, grant.access) for grant in found} == {
        ("/bin", READABLE),
        ("/home/a/tool", READABLE),
        ("/home/b", READABLE),
        ("/tmp", READABLE),
        ("/job", READABLE),
        ("/job/repo", WRITABLE),
    }


def test_what_is_writable_cannot_be_narrowed_below() -> None:
    with pytest.raises(Unenforceable, match="/job/repo/x cannot be hidden inside of /job/repo, which is writable"):
        grants({"/": READABLE, "/job/repo": WRITABLE, "/job/repo/x": HIDDEN}, children)


@given(st.dictionaries(st.sampled_from(PATHS), st.sampled_from(Access)), st.sampled_from([HIDDEN, READABLE]))
def test_grants_come_to_the_table_or_are_refused(entries: Mapping[str, Access], root: Access) -> None:
    table = {**entries, "/": root}
    try:
        found = grants(table, children)
    except Unenforceable:
        assert any(access is WRITABLE for access in table.values())
        return
    for path in PATHS:
        if not any(below(other, path) for other in entries):
            assert granted(found, path) is access_to(table, path), path


def test_mounts_are_in_order_and_hidden_folders_are_sealed() -> None:
    table = {
        "/": READABLE,
        "/tmp": HIDDEN,
        "/home": HIDDEN,
        "/home/a": WRITABLE,
        "/home/a/key": HIDDEN,
        "/tmp/w": WRITABLE,
    }
    found = arguments(table, "/scratch/tmp", lambda path: path != "/home/a/key", lambda _: True)
    text = " ".join(found)
    order = [
        "--ro-bind / / --dev /dev --proc /proc",
        "--perms 0555 --tmpfs /home",
        "--bind /home/a /home/a",
        "--ro-bind /dev/null /home/a/key",
        "--bind /scratch/tmp /tmp",
        "--bind /tmp/w /tmp/w",
        "--ro-bind /proc/sys /proc/sys",
        "--remount-ro /home",
    ]
    places = [text.index(part) for part in order]
    assert places == sorted(places)
    assert all(f"--ro-bind {path} {path}" in text for path in SETTINGS)
    assert "--remount-ro /tmp" not in text
    for namespace in ("pid", "net", "ipc", "uts"):
        assert f"--unshare-{namespace}" in found


def test_a_policy_may_give_the_machines_own_temporary_folder() -> None:
    found = arguments({"/": READABLE, "/tmp": WRITABLE}, "/scratch/tmp", lambda _: True, lambda _: True)
    assert "--bind /tmp /tmp" in " ".join(found)
    assert "/scratch/tmp" not in found

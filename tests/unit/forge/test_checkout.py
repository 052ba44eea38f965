from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ciguard.forge import checkout
from ciguard.forge.checkout import Checkout, GitFailed, TreeFile, is_branch_name


def git(directory: Path, *arguments: str) -> str:
    identity = {f"GIT_{who}_{what}": "dev@example.com" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    environ = {"PATH": os.environ["PATH"], "HOME": str(directory), **identity}
    done = subprocess.run(["git", *arguments], cwd=directory, env=environ, capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.fixture
def work(tmp_path: Path) -> Checkout:
    git(tmp_path, "init", "--quiet", "--initial-branch=main")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "größe.txt").write_bytes(b"1\r\n\0\xff")
    (tmp_path / "run").write_text("#!/bin/sh\n")
    (tmp_path / "run").chmod(0o755)
    (tmp_path / "link").symlink_to("run")
    git(tmp_path, "add", "--all")
    git(tmp_path, "commit", "--quiet", "--message=parent is not a parent\n\nparent " + "d" * 40)
    found = checkout.find(tmp_path)
    assert found is not None
    return found


def test_the_checkout_is_found_from_below(work: Checkout) -> None:
    assert work == Checkout(work.root, work.root / ".git")
    assert checkout.find(work.root / "folder") == work
    assert checkout.find(Path("/")) is None


def test_what_a_commit_has(work: Checkout) -> None:
    commit = git(work.root, "rev-parse", "HEAD")
    found = checkout.file_at(work, commit, "folder/größe.txt")
    assert found is not None
    assert (found.mode, found.size) == ("100644", 5)
    assert checkout.blob(work, found.oid) == b"1\r\n\0\xff"
    modes = {
        path: getattr(checkout.file_at(work, commit, path), "mode", None) for path in ("run", "link", "folder", "no")
    }
    assert modes == {"run": "100755", "link": "120000", "folder": "040000", "no": None}
    assert checkout.file_at(work, commit, "folder") == TreeFile("040000", git(work.root, "rev-parse", "HEAD:folder"), 0)


def test_parents_are_those_of_the_header(work: Checkout) -> None:
    first = git(work.root, "rev-parse", "HEAD")
    assert checkout.parents(work, first) == ()
    git(work.root, "commit", "--quiet", "--allow-empty", "--message=second")
    assert checkout.parents(work, git(work.root, "rev-parse", "HEAD")) == (first,)


def test_commits_that_are_not_there(work: Checkout) -> None:
    assert checkout.has_commit(work, git(work.root, "rev-parse", "HEAD"))
    assert not checkout.has_commit(work, "d" * 40)
    assert not checkout.has_commit(work, git(work.root, "rev-parse", "HEAD:run"))
    with pytest.raises(GitFailed, match="bad file"):
        checkout.parents(work, "d" * 40)


def test_without_a_remote_there_is_nothing_to_fetch(work: Checkout) -> None:
    with pytest.raises(GitFailed, match="origin"):
        checkout.fetch_commit(work, "d" * 40)
    with pytest.raises(GitFailed, match="origin"):
        checkout.branch_tip(work, "main")


def test_all_that_git_started_ends_with_it(work: Checkout, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(checkout, "FETCH_TIMEOUT", 0.3)
    transport = tmp_path / "transport"
    transport.write_text(f"#!/bin/sh\necho $$ > {tmp_path}/pid\nexec sleep 1000\n")
    transport.chmod(0o755)
    monkeypatch.setenv("GIT_SSH_COMMAND", str(transport))
    git(work.root, "remote", "add", "origin", "ssh://git.example.com/acme/shop.git")
    with pytest.raises(GitFailed, match=r"git ls-remote took longer than 0\.3 seconds"):
        checkout.branch_tip(work, "main")
    pid = int((tmp_path / "pid").read_text())
    for _ in range(500):
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except FileNotFoundError:
            return
        if state == "Z":
            return
        time.sleep(0.01)
    pytest.fail("the transport is still running")


@pytest.mark.parametrize(
    ("stderr", "complaint"),
    [
        (b"", ""),
        (b"\n\n", ""),
        (b"hint: x\nfatal: no\nmore", "fatal: no"),
        (b"something\nelse", "something"),
        (
            b"fatal: unable to access 'https://u:p/w@x@host/a.git/': no",
            "fatal: unable to access 'https://host/a.git/': no",
        ),
        (b"fatal: \x1b[2J\xff\xe2\x80\xae", "fatal: ?[2J\ufffd?"),
        (b"fatal: " + b"x" * 1000, "fatal: " + "x" * 293),
    ],
)
def test_complaints_are_short_and_harmless(stderr: bytes, complaint: str) -> None:
    assert checkout._complaint(stderr) == complaint


@given(st.text(alphabet=st.sampled_from("ab/.-@{}~^:?*[\\ \n\x7flock é"), min_size=1, max_size=12))
def test_branch_names_are_those_of_git(name: str) -> None:
    known = subprocess.run(["git", "check-ref-format", f"refs/heads/{name}"], capture_output=True).returncode == 0
    assert is_branch_name(name) <= known
    if known and not name.startswith("-") and name != "@":
        assert is_branch_name(name)


def test_no_git_command_runs_hooks(work: Checkout) -> None:
    hook = work.git_dir / "hooks" / "reference-transaction"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(f"#!/bin/sh\ntouch {work.root}/pwned\n")
    hook.chmod(0o755)
    checkout._output(work, ["update-ref", "refs/x", git(work.root, "rev-parse", "HEAD")])
    assert not (work.root / "pwned").exists()
    git(work.root, "update-ref", "refs/y", git(work.root, "rev-parse", "HEAD"))
    assert (work.root / "pwned").exists()

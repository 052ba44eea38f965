"""Where the policy is read from, on real git repositories laid out as the forges' checkout steps leave them."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from ciguard.errors import PolicyError
from ciguard.forge import checkout
from ciguard.forge.job import ChangeRequest, Forge, Job
from ciguard.policy import trust
from ciguard.policy.loading import PolicySource
from ciguard.policy.trust import BaseCommit, WorkingTree, source_for

POLICY = ".ciguard.yml"
STRICT = "version: 1\nextends: [ciguard:strict]\n"
LOOSE = "version: 1\nrules: []\n"


def git(directory: Path, *arguments: str) -> str:
    environ = {
        "PATH": os.environ["PATH"],
        "HOME": str(directory),
        "GIT_CONFIG_GLOBAL": "/dev/null",
        "GIT_CONFIG_SYSTEM": "/dev/null",
        **{f"GIT_{who}_{what}": "dev@example.com" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")},
    }
    done = subprocess.run(["git", *arguments], cwd=directory, env=environ, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def commit(directory: Path, files: Mapping[str, str]) -> str:
    for name, text in files.items():
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        (directory / name).write_text(text)
    git(directory, "add", "--all")
    git(directory, "commit", "--quiet", "--allow-empty", "--message=change")
    return git(directory, "rev-parse", "HEAD")


@dataclass(frozen=True)
class Forged:
    """An origin with a base branch, a pull request that loosens the policy, and the forge's merge of the two."""

    origin: Path
    base: str
    head: str
    merge: str

    def clone(self, directory: Path, revision: str, *options: str) -> Path:
        """``revision`` checked out as actions/checkout and GitLab's runner do it: a fetch into an empty repository."""
        directory.mkdir()
        git(directory, "init", "--quiet")
        git(directory, "remote", "add", "origin", self.origin.as_uri())
        git(directory, "fetch", "--quiet", "--no-tags", *options, "origin", f"+{revision}:refs/remotes/pull/7/merge")
        git(directory, "checkout", "--quiet", "--force", "refs/remotes/pull/7/merge")
        return directory


@pytest.fixture
def forged(tmp_path: Path) -> Forged:
    work, origin = tmp_path / "work", tmp_path / "origin.git"
    work.mkdir()
    git(work, "init", "--quiet", "--initial-branch=main")
    commit(work, {"readme": "shop"})
    commit(work, {POLICY: "version: 1\n"})
    git(work, "branch", "fix-cart")
    base = commit(work, {POLICY: STRICT, "policies/team.yml": STRICT, "readme": "shop, open"})
    git(work, "checkout", "--quiet", "fix-cart")
    head = commit(work, {POLICY: LOOSE, "policies/team.yml": LOOSE, ".gitattributes": "*.yml filter=evil eol=crlf\n"})
    git(work, "checkout", "--quiet", "--detach", base)
    git(work, "merge", "--quiet", "--no-ff", "--strategy-option=theirs", "--message=merge", head)
    merge = git(work, "rev-parse", "HEAD")
    git(work, "update-ref", "refs/pull/7/merge", merge)
    git(work, "clone", "--quiet", "--mirror", str(work), str(origin))
    return Forged(origin, base, head, merge)


def job(forged: Forged, **changes: object) -> Job:
    facts: dict[str, object] = {
        "forge": Forge.GITHUB,
        "repository": "acme/shop",
        "event": "pull_request",
        "sha": forged.merge,
        "ref": "refs/pull/7/merge",
        "run_id": "1",
        "run_attempt": "1",
        "actor": "alice",
        "run_url": "https://github.com/acme/shop/actions/runs/1/attempts/1",
        "server_url": "https://github.com",
        "change": ChangeRequest(7, "main", forged.base, forged.head, from_fork=False),
    }
    return Job(**{**facts, **changes})  # type: ignore[arg-type]


def detached(forged: Forged) -> Job:
    """A GitLab merge request pipeline that is not one for merged results: the base commit is not told."""
    change = ChangeRequest(7, "main", "", forged.head, from_fork=False)
    return job(forged, forge=Forge.GITLAB, event="merge_request_event", sha=forged.head, ref="fix-cart", change=change)


def refusal_of(at: Job | None, workspace: Path, base_ref: str | None = None) -> PolicyError:
    with pytest.raises(PolicyError) as refusal:
        source_for(at, workspace, base_ref)
    assert refusal.value.remedy
    return refusal.value


def test_a_change_cannot_bring_its_own_policy(forged: Forged, tmp_path: Path) -> None:
    workspace = forged.clone(tmp_path / "ws", forged.merge, "--depth=1")
    assert (workspace / POLICY).read_text() == LOOSE
    source = source_for(job(forged), workspace, None)
    assert source.read(POLICY) == STRICT
    assert source.label(POLICY) == f".ciguard.yml@main({forged.base[:7]})"
    assert source.describe() == f"main at commit {forged.base}, not the working tree"


def test_both_kinds_are_policy_sources(forged: Forged, tmp_path: Path) -> None:
    workspace = forged.clone(tmp_path / "ws", forged.merge)
    sources: list[PolicySource] = [source_for(job(forged), workspace, None), source_for(None, workspace, None)]
    # The change's .gitattributes convert the line ends of the working tree, and of nothing else.
    assert [source.read(POLICY) for source in sources] == [STRICT, LOOSE.replace("\n", "\r\n")]


def test_files_that_the_policy_extends_are_read_from_the_base_too(forged: Forged, tmp_path: Path) -> None:
    workspace = forged.clone(tmp_path / "ws", forged.merge, "--depth=1")
    source = source_for(job(forged), workspace, None)
    for path in ("policies/team.yml", "./policies//team.yml", "policies/../policies/team.yml"):
        assert source.read(path) == STRICT
    assert source.read(str(workspace / "policies/team.yml")) == STRICT
    below = source_for(job(forged), workspace / "policies", None)
    assert below.read("team.yml") == below.read("../.ciguard.yml") == STRICT


def test_what_the_base_does_not_have_is_not_found(forged: Forged, tmp_path: Path) -> None:
    workspace = forged.clone(tmp_path / "ws", forged.merge, "--depth=1")
    (workspace / "new.yml").write_text(LOOSE)
    source = source_for(job(forged), workspace, None)
    for path in ("new.yml", "*.yml", ":(glob)*.yml", ".ciguard.yml/x", "-", "--help"):
        with pytest.raises(FileNotFoundError):
            source.read(path)
    for path in ("policies", "policies/"):
        with pytest.raises(PolicyError, match="not an ordinary file"):
            source.read(path)


@pytest.mark.parametrize("path", ["../x.yml", "/etc/passwd", "..", ".", "policies/../../x", "a\0b", "/"])
def test_paths_outside_of_the_repository_are_refused(forged: Forged, tmp_path: Path, path: str) -> None:
    source = source_for(job(forged), forged.clone(tmp_path / "ws", forged.merge, "--depth=1"), None)
    with pytest.raises(PolicyError, match="outside of the repository"):
        source.read(path)


def test_the_run_s_own_merge_says_which_base(forged: Forged, tmp_path: Path) -> None:
    """The payload's base commit stays what it was when the change was last pushed; the merge is newer."""
    workspace = forged.clone(tmp_path / "ws", forged.merge, "--depth=1")
    old = git(forged.origin, "rev-parse", f"{forged.base}^")
    stale = ChangeRequest(7, "main", old, forged.head, from_fork=False)
    source = source_for(job(forged, change=stale), workspace, None)
    assert source.read(POLICY) == STRICT
    assert isinstance(source, BaseCommit)
    assert source.commit == forged.base


def test_a_merge_of_something_else_says_nothing(forged: Forged, tmp_path: Path) -> None:
    """Only the forge's merge of this head counts: a merge commit that the author made has other parents."""
    work = tmp_path / "author"
    git(tmp_path, "clone", "--quiet", str(forged.origin), str(work))
    git(work, "checkout", "--quiet", "--detach", forged.head)
    commit(work, {"x": "x"})
    git(work, "merge", "--quiet", "--no-ff", "--strategy=ours", "--message=mine", forged.base)
    mine = git(work, "rev-parse", "HEAD")
    change = ChangeRequest(7, "main", forged.base, mine, from_fork=False)
    source = source_for(job(forged, sha=mine, change=change), work, None)
    assert isinstance(source, BaseCommit)
    assert source.commit == forged.base


def test_the_head_checked_out_instead_of_the_merge(forged: Forged, tmp_path: Path) -> None:
    workspace = forged.clone(tmp_path / "ws", forged.head, "--depth=1")
    assert source_for(job(forged), workspace, None).read(POLICY) == STRICT


def test_a_shallow_clone_gets_one_commit_and_no_refs(forged: Forged, tmp_path: Path) -> None:
    workspace = forged.clone(tmp_path / "ws", forged.merge, "--depth=1")
    refs, head = git(workspace, "for-each-ref"), git(workspace, "rev-parse", "HEAD")
    source_for(job(forged), workspace, None)
    assert git(workspace, "rev-list", "--count", forged.base) == "1"
    assert (git(workspace, "for-each-ref"), git(workspace, "rev-parse", "HEAD")) == (refs, head)
    assert (
        not (workspace / ".git" / "FETCH_HEAD").exists()
        or forged.base not in (workspace / ".git" / "FETCH_HEAD").read_text()
    )


def test_a_full_clone_stays_full(forged: Forged, tmp_path: Path) -> None:
    workspace = forged.clone(tmp_path / "ws", forged.head)
    assert source_for(detached(forged), workspace, None).read(POLICY) == STRICT
    assert git(workspace, "rev-parse", "--is-shallow-repository") == "false"
    assert git(workspace, "rev-list", "--count", forged.base) == "3"


def test_a_base_that_is_there_needs_no_origin(forged: Forged, tmp_path: Path) -> None:
    workspace = forged.clone(tmp_path / "ws", forged.merge)
    forged.origin.rename(tmp_path / "gone")
    assert source_for(job(forged), workspace, None).read(POLICY) == STRICT


def test_where_the_forge_tells_no_commit_origin_is_asked(forged: Forged, tmp_path: Path) -> None:
    workspace = forged.clone(tmp_path / "ws", forged.head, "--depth=20")
    # What the clone calls origin's main may be old, or have been put there.
    git(workspace, "update-ref", "refs/remotes/origin/main", forged.head)
    git(workspace, "update-ref", "refs/heads/main", forged.head)
    source = source_for(detached(forged), workspace, None)
    assert source.read(POLICY) == STRICT
    assert source.label(POLICY) == f".ciguard.yml@main({forged.base[:7]})"


def test_a_base_that_cannot_be_had_is_refused(forged: Forged, tmp_path: Path) -> None:
    workspace = forged.clone(tmp_path / "ws", forged.head, "--depth=1")
    missing = ChangeRequest(7, "main", "d" * 40, forged.head, from_fork=False)
    error = refusal_of(job(forged, change=missing), workspace)
    assert f"commit {'d' * 40} of main is not in the checkout and cannot be fetched" in error.cause
    assert "fetch-depth: 0" in error.remedy
    forged.origin.rename(tmp_path / "gone")
    assert "cannot be fetched" in refusal_of(job(forged), workspace).cause
    assert "origin cannot be asked for the base branch 'main'" in refusal_of(detached(forged), workspace).cause


def test_a_base_branch_that_origin_does_not_have_is_refused(forged: Forged, tmp_path: Path) -> None:
    workspace = forged.clone(tmp_path / "ws", forged.merge)
    assert "origin has no branch 'origin/main'" in refusal_of(None, workspace, "origin/main").cause
    # ls-remote matches the ends of names: heads/x/refs/heads/main must not pass for main.
    git(forged.origin, "update-ref", "refs/heads/x/refs/heads/gone", forged.head)
    assert "origin has no branch 'gone'" in refusal_of(None, workspace, "gone").cause


def test_without_a_checkout_a_change_is_refused(forged: Forged, tmp_path: Path) -> None:
    (tmp_path / POLICY).write_text(LOOSE)
    assert "is not a git checkout" in refusal_of(job(forged), tmp_path).cause
    assert "is not a git checkout" in refusal_of(None, tmp_path, "main").cause


def test_an_explicit_base_wins_in_every_job(forged: Forged, tmp_path: Path) -> None:
    workspace = forged.clone(tmp_path / "ws", forged.merge, "--depth=1")
    for at in (None, job(forged), job(forged, event="workflow_dispatch", change=None)):
        for name in ("main", "refs/heads/main", forged.base):
            source = source_for(at, workspace, name)
            assert source.read(POLICY) == STRICT
    assert source_for(None, workspace, forged.base).label(POLICY) == f".ciguard.yml@--base-ref({forged.base[:7]})"


@pytest.mark.parametrize("name", ["fix-cart", "the head's id"])
def test_the_head_is_no_base(forged: Forged, tmp_path: Path, name: str) -> None:
    workspace = forged.clone(tmp_path / "ws", forged.merge, "--depth=1")
    given = name if name == "fix-cart" else forged.head
    error = refusal_of(job(forged), workspace, given)
    assert "the change under review itself" in error.cause
    assert "--base-ref main" in error.remedy


@pytest.mark.parametrize(
    "name",
    [
        "",
        "-",
        "--upload-pack=touch pwned",
        "-c core.hooksPath=.",
        "main:refs/heads/main",
        "+main",
        "main~1",
        "main^",
        "HEAD@{1}",
        "@",
        "a..b",
        "a b",
        "a\nb",
        "a\0b",
        "*",
        "ma?n",
        "[main]",
        "a\\b",
        "/main",
        "main/",
        "a//b",
        ".main",
        "a/.b",
        "main.",
        "main.lock",
        "a.lock/b",
        "ext::touch pwned",
        "x" * 2000,
        "d" * 39,
        "D" * 40,
    ],
)
def test_hostile_names_are_refused(forged: Forged, tmp_path: Path, name: str) -> None:
    workspace = forged.clone(tmp_path / "ws", forged.merge, "--depth=1")
    error = refusal_of(None, workspace, name)
    assert "is not the name of a branch" in error.cause or "origin has no branch" in error.cause
    assert error.cause.isprintable()
    assert not list(tmp_path.rglob("pwned"))


def test_a_branch_with_a_strange_but_legal_name(forged: Forged, tmp_path: Path) -> None:
    name = "release/1.x-\u202ernd+é#'$(touch pwned)"
    name = name.replace(" ", "_")
    git(forged.origin, "update-ref", f"refs/heads/{name}", forged.base)
    workspace = forged.clone(tmp_path / "ws", forged.merge, "--depth=1")
    change = ChangeRequest(7, name, "", forged.head, from_fork=False)
    source = source_for(job(forged, sha=forged.head, change=change), workspace, None)
    assert source.read(POLICY) == STRICT
    assert source.label(POLICY).isprintable()
    assert not list(tmp_path.rglob("pwned*"))


@pytest.mark.parametrize("event", sorted(trust.DEFAULT_BRANCH_EVENTS))
def test_events_about_a_change_that_run_on_the_default_branch(forged: Forged, tmp_path: Path, event: str) -> None:
    """A step of such a job often checks out the pull request that a comment asks about."""
    workspace = forged.clone(tmp_path / "ws", forged.head)
    at = job(forged, event=event, sha=forged.base, ref="refs/heads/main", change=None)
    source = source_for(at, workspace, None)
    assert source.read(POLICY) == STRICT
    assert source.label(POLICY) == f".ciguard.yml@main({forged.base[:7]})"


@pytest.mark.parametrize("event", ["push", "schedule", "workflow_dispatch"])
def test_other_jobs_read_the_working_tree(forged: Forged, tmp_path: Path, event: str) -> None:
    workspace = forged.clone(tmp_path / "ws", forged.base)
    (workspace / POLICY).write_text("version: 1 # being edited\n")
    source = source_for(job(forged, event=event, change=None), workspace, None)
    assert isinstance(source, WorkingTree)
    assert source.read(POLICY) == "version: 1 # being edited\n"
    assert source.label(POLICY) == POLICY
    assert source.describe() == "the working tree"


def test_attributes_filters_hooks_and_replacements_have_no_say(forged: Forged, tmp_path: Path) -> None:
    workspace = forged.clone(tmp_path / "ws", forged.merge, "--depth=1")
    trap = f"touch {tmp_path}/pwned; echo hostile"
    for key in ("filter.evil.smudge", "filter.evil.clean", "core.fsmonitor", "core.pager", "diff.evil.textconv"):
        git(workspace, "config", key, trap)
    hooks = workspace / ".git" / "hooks"
    for name in ("reference-transaction", "post-checkout", "pre-auto-gc", "post-index-change", "fsmonitor-watchman"):
        (hooks / name).write_text(f"#!/bin/sh\n{trap}\n")
        (hooks / name).chmod(0o755)
    git(workspace, "config", "core.hooksPath", str(hooks))
    git(workspace, "config", "core.attributesFile", str(workspace / ".gitattributes"))
    assert source_for(job(forged), workspace, None).read(POLICY) == STRICT
    assert not (tmp_path / "pwned").exists()

    strict, loose = (git(workspace, "rev-parse", f"{at}:{POLICY}") for at in (forged.base, forged.merge))
    for replaced, by in ((strict, loose), (forged.base, forged.merge)):
        replacement = workspace / ".git" / "refs" / "replace" / replaced
        replacement.parent.mkdir(parents=True, exist_ok=True)
        replacement.write_text(f"{by}\n")
        assert source_for(job(forged), workspace, None).read(POLICY) == STRICT


def test_the_environment_cannot_point_git_elsewhere(
    forged: Forged, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace = forged.clone(tmp_path / "ws", forged.merge, "--depth=1")
    other = tmp_path / "other"
    other.mkdir()
    git(other, "init", "--quiet")
    for name in ("GIT_DIR", "GIT_WORK_TREE", "GIT_OBJECT_DIRECTORY", "GIT_INDEX_FILE", "GIT_COMMON_DIR"):
        monkeypatch.setenv(name, str(other / ".git"))
    monkeypatch.setenv("GIT_NAMESPACE", "x")
    monkeypatch.setenv("GIT_CONFIG_PARAMETERS", "'core.hooksPath'='x'")
    monkeypatch.setenv("GIT_TRACE", str(tmp_path / "trace"))
    assert source_for(job(forged), workspace, None).read(POLICY) == STRICT
    assert not (tmp_path / "trace").exists()


def test_what_the_checkout_step_configured_for_origin_stays_in_force(
    forged: Forged, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """GitLab's runner and actions/checkout hand credentials to git through global and included configuration."""
    workspace = forged.clone(tmp_path / "ws", forged.merge, "--depth=1")
    git(workspace, "remote", "set-url", "origin", "https://git.example.com/acme/shop.git")
    seed = tmp_path / "seed"
    seed.write_text(f'[url "{forged.origin.as_uri()}"]\n\tinsteadOf = https://git.example.com/acme/shop.git\n')
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(seed))
    assert source_for(job(forged), workspace, None).read(POLICY) == STRICT


def test_transports_that_run_commands_are_refused(forged: Forged, tmp_path: Path) -> None:
    workspace = forged.clone(tmp_path / "ws", forged.merge, "--depth=1")
    git(workspace, "config", "protocol.ext.allow", "always")
    git(workspace, "remote", "set-url", "origin", f"ext::touch {tmp_path}/pwned")
    assert "'ext' not allowed" in refusal_of(job(forged), workspace).cause
    assert not (tmp_path / "pwned").exists()


def test_credentials_of_the_remote_stay_out_of_errors(forged: Forged, tmp_path: Path) -> None:
    workspace = forged.clone(tmp_path / "ws", forged.merge, "--depth=1")
    git(workspace, "remote", "set-url", "origin", "http://gitlab-ci-token:s3c/r@et@127.0.0.1:1/acme/shop.git")
    for at in (job(forged), detached(forged)):
        error = refusal_of(at, workspace)
        assert "127.0.0.1:1" in error.cause
        assert "s3c" not in error.cause
        assert "r@et" not in error.cause


def test_a_remote_that_hangs_is_left(forged: Forged, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkout, "FETCH_TIMEOUT", 0.5)
    workspace = forged.clone(tmp_path / "ws", forged.merge, "--depth=1")
    git(workspace, "remote", "set-url", "origin", "ssh://git.example.com/acme/shop.git")
    slow = tmp_path / "slow-ssh"
    slow.write_text("#!/bin/sh\nsleep 1000\n")
    slow.chmod(0o755)
    monkeypatch.setenv("GIT_SSH_COMMAND", str(slow))
    assert "took longer than" in refusal_of(job(forged), workspace).cause


def test_without_git_the_error_says_so(forged: Forged, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    workspace = forged.clone(tmp_path / "ws", forged.merge, "--depth=1")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "git cannot be started" in refusal_of(job(forged), workspace).cause


def test_a_link_committed_as_the_policy_is_refused(forged: Forged, tmp_path: Path) -> None:
    work = tmp_path / "author"
    git(tmp_path, "clone", "--quiet", str(forged.origin), str(work))
    git(work, "checkout", "--quiet", "--detach", forged.base)
    (work / "link.yml").symlink_to(POLICY)
    (work / "folder").symlink_to("policies")
    (work / "large.yml").write_text("#" * (trust.SIZE_LIMIT + 1))
    (work / "binary.yml").write_bytes(b"\xff\xfe")
    base = commit(work, {})
    source = source_for(None, work, base)
    for path, cause in (("link.yml", "ordinary file"), ("large.yml", "larger than"), ("binary.yml", "not UTF-8")):
        with pytest.raises(PolicyError, match=cause) as refusal:
            source.read(path)
        assert refusal.value.file == f"{path}@--base-ref({base[:7]})"
    with pytest.raises(FileNotFoundError):
        source.read("folder/team.yml")


def test_a_file_too_large_is_not_even_read(forged: Forged, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    workspace = forged.clone(tmp_path / "ws", forged.merge)
    monkeypatch.setattr(trust, "SIZE_LIMIT", len(STRICT) - 1)
    monkeypatch.setattr(checkout, "blob", lambda *_: pytest.fail("it was read"))
    with pytest.raises(PolicyError, match="larger than"):
        source_for(job(forged), workspace, None).read(POLICY)


def test_the_working_tree_is_not_left_through_links(tmp_path: Path) -> None:
    workspace, outside = tmp_path / "ws", tmp_path / "outside"
    (workspace / "policies").mkdir(parents=True)
    outside.mkdir()
    (outside / "secret.yml").write_text("token: s3cret")
    (workspace / "policies" / "team.yml").write_text(STRICT)
    (workspace / "within.yml").symlink_to("policies/team.yml")
    (workspace / "out.yml").symlink_to(outside / "secret.yml")
    (workspace / "folder").symlink_to(outside)
    (workspace / "loop.yml").symlink_to("loop.yml")
    (workspace / "gone.yml").symlink_to("nothing.yml")
    os.mkfifo(workspace / "pipe.yml")
    source = source_for(None, workspace, None)
    assert source.read("within.yml") == source.read("policies/team.yml") == STRICT
    for path in ("out.yml", "folder/secret.yml", "../outside/secret.yml", "policies/../../outside/secret.yml"):
        with pytest.raises(PolicyError, match="leaves the repository"):
            source.read(path)
    with pytest.raises(PolicyError, match="leaves the repository"):
        source.read(str(workspace / "out.yml"))
    assert source.read(str(workspace / "within.yml")) == STRICT
    for path in ("pipe.yml", "policies"):
        with pytest.raises(PolicyError, match="not a file"):
            source.read(path)
    for path in ("gone.yml", "absent.yml"):
        with pytest.raises(FileNotFoundError):
            source.read(path)
    for path in ("loop.yml", "within.yml/x", "x" * 5000, "a\0b"):
        with pytest.raises(PolicyError):
            source.read(path)


def test_a_file_of_the_machine_can_be_named_outside_of_changes(forged: Forged, tmp_path: Path) -> None:
    organisation = tmp_path / "organisation.yml"
    organisation.write_text(STRICT)
    workspace = forged.clone(tmp_path / "ws", forged.merge, "--depth=1")
    assert source_for(None, workspace, None).read(str(organisation)) == STRICT
    with pytest.raises(PolicyError, match="outside of the repository"):
        source_for(job(forged), workspace, None).read(str(organisation))


@pytest.mark.parametrize(("content", "cause"), [(b"\xff", "UTF-8"), (b"#" * (trust.SIZE_LIMIT + 1), "larger than")])
def test_working_files_that_are_no_text(tmp_path: Path, content: bytes, cause: str) -> None:
    (tmp_path / POLICY).write_bytes(content)
    with pytest.raises(PolicyError, match=cause):
        source_for(None, tmp_path, None).read(POLICY)


def test_a_linked_worktree_is_a_checkout(forged: Forged, tmp_path: Path) -> None:
    main = forged.clone(tmp_path / "ws", forged.merge)
    git(main, "worktree", "add", "--quiet", "--detach", str(tmp_path / "tree"), forged.head)
    assert source_for(job(forged), tmp_path / "tree", None).read(POLICY) == STRICT

"""Where secrets are, and what follows for a session's files."""

from __future__ import annotations

from pathlib import Path

import pytest

from ciguard.sandbox.access import Access, access_to
from ciguard.sandbox.places import Request, make_mount_points, programs, table

HIDDEN, READABLE, WRITABLE = Access.HIDDEN, Access.READABLE, Access.WRITABLE


@pytest.fixture
def job(tmp_path: Path) -> Request:
    """A job with a home, a runner's folder, a workspace and a session within it."""
    for name in ("home/.ssh", "home/tools", "temp", "work/session", "work/internal", "scratch/tmp"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "home/.netrc").write_text("x")
    environ = {"HOME": str(tmp_path / "home"), "RUNNER_TEMP": str(tmp_path / "temp"), "PATH": "/usr/bin"}
    return Request(environ, tmp_path / "work", tmp_path / "scratch", tmp_path / "work/session", hide=("internal",))


@pytest.mark.parametrize(
    ("path", "access"),
    [
        ("home/.ssh/id", HIDDEN),
        ("home/.netrc", HIDDEN),
        ("temp/set_env", HIDDEN),
        ("work/code.py", WRITABLE),
        ("work/session/events.jsonl", HIDDEN),
        ("work/internal/x", HIDDEN),
        ("scratch/tmp/x", WRITABLE),
    ],
)
def test_every_place_has_its_access(job: Request, tmp_path: Path, path: str, access: Access) -> None:
    assert access_to(table(job), str(tmp_path / path)) is access


def test_the_machine_is_readable_and_its_temporary_folder_is_not(job: Request) -> None:
    found = table(job)
    assert access_to(found, "/usr/bin/env") is READABLE
    assert access_to(found, "/tmp/of-somebody") is HIDDEN
    assert access_to(found, "/run/docker.sock") is HIDDEN


def test_what_the_policy_gives_never_opens_the_record(job: Request, tmp_path: Path) -> None:
    wide = Request(job.environ, job.workspace, job.scratch, job.session, ("~/.ssh",), (str(job.session),), ())
    assert access_to(table(wide), str(tmp_path / "home/.ssh/id")) is READABLE
    assert access_to(table(wide), str(job.session)) is HIDDEN


@pytest.mark.parametrize(
    ("path", "given"),
    [
        ("/usr/bin", []),
        ("/hidden/tool/bin", ["/hidden/tool"]),
        ("/hidden/node_modules/.bin:relative:", ["/hidden/node_modules"]),
        ("/hidden/tool", ["/hidden/tool"]),
        ("/hidden/bin", ["/hidden/bin"]),
        ("/hidden", []),
    ],
)
def test_programs_stay_usable_and_nothing_above_them_opens(path: str, given: list[str]) -> None:
    found = programs({"PATH": path}, {"/": READABLE, "/hidden": HIDDEN})
    assert [str(place) for place in found] == given


def test_mount_points_below_the_agents_own_folder_are_made_beforehand(tmp_path: Path) -> None:
    make_mount_points({"/tmp": HIDDEN, "/tmp/ciguard-no/such": WRITABLE, "/usr": READABLE}, tmp_path)
    assert [str(path.relative_to(tmp_path)) for path in sorted(tmp_path.rglob("*"))] == [
        "ciguard-no",
        "ciguard-no/such",
    ]

"""Measuring what the agent adds on the disk."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ciguard.sandbox.disk import Unmeasurable, free, measured

NOBODY = 1 << 22
"""A process below which there is none: the greatest number is one less."""


def on_disk(file: Path) -> int:
    """The bytes that ``file`` itself takes."""
    return file.lstat().st_blocks * 512


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a file in a folder, and a link out of it."""
    (tmp_path / "in/a/folder").mkdir(parents=True)
    (tmp_path / "in/a/folder/file").write_bytes(b"x" * 100_000)
    (tmp_path / "outside").write_bytes(b"x" * 500_000)
    (tmp_path / "in/link").symlink_to(tmp_path / "outside")
    (tmp_path / "in/up").symlink_to(tmp_path)
    return tmp_path / "in"


def test_everything_below_counts_and_links_lead_nowhere(folder: Path) -> None:
    expected = sum(on_disk(path) for path in folder.rglob("*"))
    assert measured([str(folder)], NOBODY) == expected
    assert 100_000 <= expected < 500_000


def test_a_file_counts_once(folder: Path) -> None:
    before = measured([str(folder)], NOBODY)
    (folder / "second").hardlink_to(folder / "a/folder/file")
    assert measured([str(folder), str(folder / "a")], NOBODY) == before


def test_what_counts_is_what_is_on_the_disk(folder: Path) -> None:
    before = measured([str(folder)], NOBODY)
    with (folder / "sparse").open("wb") as file:
        file.truncate(1 << 30)
    assert measured([str(folder)], NOBODY) - before == on_disk(folder / "sparse") < 1 << 20


@pytest.mark.parametrize("how", ["deleted", "never named"])
def test_a_file_without_a_name_counts_while_a_process_holds_it(folder: Path, how: str) -> None:
    making = {
        "deleted": "f = open('gone', 'wb'); os.unlink('gone')",
        "never named": "f = open(os.memfd_create('x'), 'wb')",
    }
    code = f"import os; {making[how]}; f.write(b'x' * 300_000); f.flush(); print('held', flush=True); input()"
    before = measured([str(folder)], os.getpid())
    with subprocess.Popen(
        [sys.executable, "-c", code], cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holding:
        assert holding.stdout is not None
        holding.stdout.readline()
        assert measured([str(folder)], os.getpid()) - before >= 300_000
        holding.communicate(b"\n")
    assert measured([str(folder)], os.getpid()) == before


def test_a_folder_that_goes_meanwhile_counts_nothing(tmp_path: Path) -> None:
    assert measured([str(tmp_path / "gone")], NOBODY) == 0


def test_a_folder_deeper_than_paths_go_is_refused(tmp_path: Path) -> None:
    os.chdir(tmp_path)
    try:
        for _ in range(30):
            Path("x" * 200).mkdir()
            os.chdir("x" * 200)
    finally:
        os.chdir("/")
    with pytest.raises(Unmeasurable, match="too long"):
        measured([str(tmp_path)], NOBODY)


@pytest.mark.parametrize(
    ("owned", "writable", "refused"), [(True, False, True), (False, True, True), (False, False, False)]
)
def test_a_folder_that_cannot_be_read(
    folder: Path, monkeypatch: pytest.MonkeyPatch, owned: bool, writable: bool, refused: bool
) -> None:
    """Root can read everything, so that the kernel's answers are made up here."""
    scandir = os.scandir

    def closed(path: str) -> Iterator[Any]:
        if path.endswith("/a"):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", closed)
    monkeypatch.setattr(os, "getuid", lambda: (folder / "a").stat().st_uid + (0 if owned else 1))
    monkeypatch.setattr(os, "access", lambda *_: writable)
    if refused:
        with pytest.raises(Unmeasurable, match="Permission denied"):
            measured([str(folder)], NOBODY)
    else:
        assert measured([str(folder)], NOBODY) < 100_000


def test_the_room_of_a_file_system_counts_once(tmp_path: Path) -> None:
    (tmp_path / "second").mkdir()
    once = free([str(tmp_path)])
    assert abs(free([str(tmp_path), str(tmp_path / "second")]) - once) < once // 2

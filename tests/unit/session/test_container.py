from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from ciguard.session import container
from ciguard.session.container import Listing, UnreadableError, list_entries, read_file, read_range


def test_a_plain_file_is_read(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "file").write_bytes(b"0123456789")
    assert read_file(tmp_path, "a/b/file", 10) == b"0123456789"


def link(path: Path) -> None:
    (path / "secret").write_text("secret")
    (path / "file").symlink_to(path / "secret")


def folder_link(path: Path) -> None:
    (path / "elsewhere").mkdir()
    (path / "elsewhere" / "file").write_text("secret")
    (path / "folder").symlink_to(path / "elsewhere")


def pipe(path: Path) -> None:
    os.mkfifo(path / "file")


def folder(path: Path) -> None:
    (path / "file").mkdir()


def large(path: Path) -> None:
    (path / "file").write_bytes(b"x" * 11)


def file_as_folder(path: Path) -> None:
    (path / "folder").write_text("x")


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (link, "file"),
        (folder_link, "folder/file"),
        (pipe, "file"),
        (folder, "file"),
        (large, "file"),
        (file_as_folder, "folder/file"),
    ],
)
def test_nothing_else_is(tmp_path: Path, make: Callable[[Path], None], name: str) -> None:
    make(tmp_path)
    with pytest.raises(UnreadableError, match=name):
        read_file(tmp_path, name, 10)
    with pytest.raises(UnreadableError, match=name):
        read_range(tmp_path, name, 5, 10)


@pytest.mark.parametrize("name", ["file", "folder/file"])
def test_what_is_missing_is_missing(tmp_path: Path, name: str) -> None:
    with pytest.raises(FileNotFoundError):
        read_file(tmp_path, name, 10)
    with pytest.raises(FileNotFoundError):
        read_range(tmp_path, name, 0, 10)


@pytest.mark.parametrize(("offset", "length"), [(0, 10), (3, 4), (10, 0)])
def test_a_range_of_a_file_is_read(tmp_path: Path, offset: int, length: int) -> None:
    (tmp_path / "file").write_bytes(b"0123456789")
    assert read_range(tmp_path, "file", offset, length) == b"0123456789"[offset : offset + length]


@pytest.mark.parametrize(("offset", "length"), [(0, 11), (10, 1), (10**30, 1)])
def test_a_range_beyond_the_end_is_refused(tmp_path: Path, offset: int, length: int) -> None:
    (tmp_path / "file").write_bytes(b"0123456789")
    with pytest.raises(UnreadableError, match="ends before"):
        read_range(tmp_path, "file", offset, length)


def test_no_descriptor_stays_open(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "file").write_text("x")
    (tmp_path / "a" / "link").symlink_to("file")
    before = len(list(Path("/proc/self/fd").iterdir()))
    read_file(tmp_path, "a/file", 10)
    for name in ("a/link", "a/missing", "b/missing"):
        with pytest.raises((UnreadableError, FileNotFoundError)):
            read_file(tmp_path, name, 10)
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_everything_is_listed_and_nothing_followed(tmp_path: Path) -> None:
    (tmp_path / "b" / "c").mkdir(parents=True)
    (tmp_path / "b" / "c" / "file").touch()
    (tmp_path / "a").touch()
    (tmp_path / "loop").symlink_to(".")
    os.mkfifo(tmp_path / "pipe")
    assert list_entries(tmp_path) == Listing(files=("a", "b/c/file"), folders=("b", "b/c"), others=("loop", "pipe"))


def test_too_much_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(4):
        (tmp_path / str(number)).touch()
    monkeypatch.setattr(container, "MAX_ENTRIES", 3)
    with pytest.raises(UnreadableError, match="more than 3"):
        list_entries(tmp_path)

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from ciguard.errors import CiguardError, SessionDamaged, UsageError
from ciguard.session import archive
from ciguard.session.archive import session_directory
from ciguard.session.verification import verify
from tests.unit.session import sample


@pytest.fixture
def recorded(tmp_path: Path) -> Path:
    return sample.record(tmp_path / "session")


def zipped(directory: Path, target: Path, prefix: str = "") -> Path:
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as made:
        for path in sorted(directory.rglob("*")):
            made.write(path, prefix + path.relative_to(directory).as_posix())
    return target


@pytest.mark.parametrize("prefix", ["", "builds/ciguard-session/"])
def test_an_archive_is_the_session_in_it(recorded: Path, tmp_path: Path, prefix: str) -> None:
    with session_directory(zipped(recorded, tmp_path / "artifact.zip", prefix)) as directory:
        unpacked = directory
        assert verify(directory).failure is None
    assert not unpacked.exists()


def test_a_directory_is_itself(recorded: Path) -> None:
    with session_directory(recorded) as directory:
        assert directory == recorded


def made(target: Path, *members: tuple[str | zipfile.ZipInfo, str]) -> Path:
    with zipfile.ZipFile(target, "w") as archive_file:
        for name, content in members:
            archive_file.writestr(name, content)
    return target


def link(name: str) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)
    info.external_attr = 0o120777 << 16
    return info


@pytest.mark.parametrize(
    ("members", "kind", "words"),
    [
        ([("../events.jsonl", "")], SessionDamaged, "no path below it"),
        ([("/events.jsonl", "")], SessionDamaged, "no path below it"),
        ([("a/./events.jsonl", "")], SessionDamaged, "no path below it"),
        ([("a\\events.jsonl", "")], SessionDamaged, "no path below it"),
        ([("a\x1bevents.jsonl", "")], SessionDamaged, "no path below it"),
        ([(link("events.jsonl"), "/etc/passwd")], SessionDamaged, "neither a file nor a folder"),
        ([("events.jsonl", ""), ("events.jsonl/more", "")], SessionDamaged, "cannot be unpacked"),
        ([("notes.txt", "")], UsageError, "no session"),
        ([("a/events.jsonl", ""), ("b/events.jsonl", "")], UsageError, "more than one"),
    ],
)
def test_hostile_and_other_archives_are_refused(
    tmp_path: Path, members: list[tuple[str, str]], kind: type[CiguardError], words: str
) -> None:
    path = made(tmp_path / "artifact.zip", *members)
    with pytest.raises(kind, match=words), session_directory(path):
        pytest.fail("it was unpacked")
    assert sorted(tmp_path.iterdir()) == [path]


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_two_members_of_one_name_are_refused(tmp_path: Path) -> None:
    path = made(tmp_path / "artifact.zip", ("events.jsonl", "a"), ("events.jsonl", "b"))
    with pytest.raises(SessionDamaged, match="two members"), session_directory(path):
        pytest.fail("it was unpacked")


def test_a_bomb_is_refused_by_what_it_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "MAX_UNPACKED_BYTES", 1000)
    path = made(tmp_path / "artifact.zip", ("events.jsonl", "x" * 2000))
    with pytest.raises(SessionDamaged, match="more than 1000 bytes"), session_directory(path):
        pytest.fail("it was unpacked")


def test_a_member_that_is_larger_than_it_says_is_refused(tmp_path: Path) -> None:
    path = made(tmp_path / "artifact.zip", ("events.jsonl", "x" * 2000))
    content = bytearray(path.read_bytes())
    at = content.rindex(b"PK\x01\x02")
    content[at + 24 : at + 28] = (10).to_bytes(4, "little")
    path.write_bytes(content)
    with pytest.raises(SessionDamaged), session_directory(path):
        pytest.fail("it was unpacked")


def test_too_many_members_and_no_archive_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "MAX_MEMBERS", 2)
    path = made(tmp_path / "artifact.zip", *((f"{number}", "") for number in range(3)))
    with pytest.raises(SessionDamaged, match="more than 2 members"), session_directory(path):
        pytest.fail("it was unpacked")
    path.write_bytes(b"no archive")
    with pytest.raises(SessionDamaged, match="not a zip archive"), session_directory(path):
        pytest.fail("it was unpacked")

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ciguard.session import frame, pack_writer
from ciguard.session.bodies import scan_packs
from ciguard.session.frame import Compressor
from ciguard.session.pack import render
from ciguard.session.pack_writer import PackWriter, write_all


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[PackWriter]:
    (tmp_path / "objects").mkdir()
    folder = os.open(tmp_path / "objects", os.O_RDONLY)
    writer = PackWriter(folder)
    yield writer
    writer.close()
    os.close(folder)


def packs(directory: Path) -> list[tuple[str, bytes]]:
    return [(path.name, path.read_bytes()) for path in sorted((directory / "objects").iterdir())]


def framed(body: bytes) -> bytes:
    return Compressor().frame(body)


def test_bodies_are_on_disk_one_after_the_other(tmp_path: Path, writer: PackWriter) -> None:
    assert packs(tmp_path) == []
    assert writer.store(b"one") == hashlib.sha256(b"one").hexdigest()
    assert packs(tmp_path) == [("000001.pack", framed(b"one"))]
    writer.store(b"")
    assert packs(tmp_path) == [("000001.pack", framed(b"one") + framed(b""))]
    assert (tmp_path / "objects" / "000001.pack").stat().st_mode & 0o777 == 0o600
    assert writer.count == 2


def test_a_body_is_stored_once(tmp_path: Path, writer: PackWriter) -> None:
    assert writer.store(b"one") == writer.store(b"one")
    assert packs(tmp_path) == [("000001.pack", framed(b"one"))]
    assert writer.count == 1


def test_a_body_is_one_write(writer: PackWriter, monkeypatch: pytest.MonkeyPatch) -> None:
    writer.store(b"zero")
    written: list[bytes] = []

    def write(_descriptor: int, data: bytes) -> int:
        written.append(data)
        return len(data)

    monkeypatch.setattr(os, "write", write)
    writer.store(b"one")
    assert written == [framed(b"one")]


def test_a_full_pack_is_followed_by_the_next(
    tmp_path: Path, writer: PackWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two, three, large = b"one", b"two", b"three", os.urandom(100)
    monkeypatch.setattr(pack_writer, "MAX_PACK_BYTES", len(framed(one) + framed(two)))
    for body in (one, two, three, large, b"four"):
        writer.store(body)
    assert packs(tmp_path) == [
        ("000001.pack", framed(one) + framed(two)),
        ("000002.pack", framed(three)),
        ("000003.pack", framed(large)),
        ("000004.pack", framed(b"four")),
    ]
    scan = scan_packs(tmp_path)
    assert (scan.damage, scan.tail, len(scan.places)) == ("", None, 5)
    assert writer.index() == render(scan.packs, scan.places)


@given(st.lists(st.binary(max_size=40), max_size=12), st.integers(12, 150))
def test_the_index_says_what_a_scan_finds(bodies: list[bytes], pack: int) -> None:
    with TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(pack_writer, "MAX_PACK_BYTES", pack)
        directory = Path(folder)
        (directory / "objects").mkdir()
        objects = os.open(directory / "objects", os.O_RDONLY)
        writer = PackWriter(objects)
        for body in bodies:
            writer.store(body)
        scan = scan_packs(directory)
        assert writer.index() == render(scan.packs, scan.places)
        assert list(scan.places) == [hashlib.sha256(body).hexdigest() for body in dict.fromkeys(bodies)]
        assert not scan.damage
        writer.close()
        os.close(objects)


def test_nothing_stored_is_an_empty_index(tmp_path: Path, writer: PackWriter) -> None:
    assert writer.index() == b""
    assert packs(tmp_path) == []


def test_what_the_index_names_is_on_the_device(writer: PackWriter, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pack_writer, "MAX_PACK_BYTES", 1)
    writer.store(b"one")
    writer.store(b"two")
    synced: list[str] = []
    monkeypatch.setattr(os, "fsync", lambda file: synced.append(Path(f"/proc/self/fd/{file}").readlink().name))
    writer.index()
    assert synced == ["000001.pack", "000002.pack", "objects"]


def test_a_pack_that_is_there_already_is_not_written_to(tmp_path: Path, writer: PackWriter) -> None:
    (tmp_path / "objects" / "000001.pack").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(FileExistsError):
        writer.store(b"one")
    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.parametrize(
    ("module", "limit", "value"),
    [(pack_writer, "MAX_BODIES", 1), (pack_writer, "MAX_TOTAL_BYTES", 6), (frame, "MAX_BODY_BYTES", 3)],
)
def test_what_could_not_be_read_back_is_not_stored(
    tmp_path: Path, writer: PackWriter, monkeypatch: pytest.MonkeyPatch, module: object, limit: str, value: int
) -> None:
    monkeypatch.setattr(module, limit, value)
    writer.store(b"one")
    before = packs(tmp_path)
    with pytest.raises(ValueError, match=f"(?:more than|larger than) {value}"):
        writer.store(b"four")
    assert packs(tmp_path) == before


def test_short_writes_are_continued(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: write(descriptor, data[:3]))
    with (tmp_path / "file").open("wb") as file:
        write_all(file.fileno(), b"0123456789")
    assert (tmp_path / "file").read_bytes() == b"0123456789"

from __future__ import annotations

import hashlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from ciguard.session import objects
from ciguard.session.objects import DamagedObjectError, ObjectWriter, compress, expand, listing, object_path


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[int]:
    (tmp_path / "objects").mkdir()
    descriptor = os.open(tmp_path / "objects", os.O_RDONLY)
    yield descriptor
    os.close(descriptor)


def digest(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()


@given(st.binary())
def test_a_body_comes_back(body: bytes) -> None:
    assert expand(compress(body), digest(body)) == body


def test_a_body_is_stored_once(tmp_path: Path, folder: int) -> None:
    writer = ObjectWriter(folder)
    first = writer.store(b"body")
    path = tmp_path / object_path(first)
    assert first == digest(b"body")
    assert expand(path.read_bytes(), first) == b"body"
    assert path.stat().st_mode & 0o777 == 0o600
    before = path.stat().st_ino
    assert writer.store(b"body") == first
    assert path.stat().st_ino == before
    assert [file.name for file in (tmp_path / "objects").iterdir()] == [first[:2]]


def test_the_listing_is_what_sha256sum_reads(tmp_path: Path, folder: int) -> None:
    writer = ObjectWriter(folder)
    for number in range(20):
        writer.store(b"%d" % number)
    (tmp_path / "objects.sha256").write_bytes(listing(writer.stored))
    checked = subprocess.run(["sha256sum", "--check", "objects.sha256"], cwd=tmp_path, capture_output=True, text=True)
    assert checked.returncode == 0
    assert checked.stdout.count(": OK") == 20


def test_a_body_too_large_to_read_back_is_not_stored(folder: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(objects, "MAX_BODY_BYTES", 10)
    with pytest.raises(ValueError, match="larger than 10"):
        ObjectWriter(folder).store(b"x" * 11)


def streamed(body: bytes) -> bytes:
    compressor = zstandard.ZstdCompressor(write_content_size=False).compressobj()
    return compressor.compress(body) + compressor.flush()


@pytest.mark.parametrize(
    ("stored", "what"),
    [
        (b"", "zstd"),
        (b"body", "zstd"),
        (compress(b"body")[:-1], "zstd"),
        (compress(b"body") + b"x", "zstd"),
        (compress(b"body") * 2, "zstd"),
        (compress(b"other"), "its name"),
        (streamed(b"body"), "state its size"),
    ],
    ids=["empty", "not-zstd", "cut", "trailing-byte", "two-frames", "other-body", "no-size"],
)
def test_what_is_not_the_body_is_refused(stored: bytes, what: str) -> None:
    with pytest.raises(DamagedObjectError, match=what):
        expand(stored, digest(b"body"))


def test_a_bomb_is_refused_before_it_is_expanded(monkeypatch: pytest.MonkeyPatch) -> None:
    bomb = compress(b"\0" * 1_000_000)
    assert len(bomb) < 1000
    monkeypatch.setattr(objects, "MAX_BODY_BYTES", 1000)
    monkeypatch.delattr(zstandard, "ZstdDecompressor")
    with pytest.raises(DamagedObjectError, match="larger than 1000"):
        expand(bomb, digest(b"\0" * 1_000_000))

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from ciguard.session import bodies, container
from ciguard.session.bodies import Bodies, DamagedBodyError
from ciguard.session.frame import Compressor
from ciguard.session.pack import Place, render

ONE, TWO, THREE = (Compressor().frame(body) for body in (b"one", b"two", b"three"))
PATH = "objects/000001.pack"


def digest(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    (tmp_path / "objects").mkdir()
    (tmp_path / PATH).write_bytes(ONE + TWO + THREE[:-1])
    return tmp_path


def write_index(directory: Path, places: dict[bytes, Place]) -> None:
    index = render([], {digest(body): place for body, place in places.items()})
    (directory / "objects.index").write_bytes(index)


def test_an_index_is_used_without_scanning(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_index(directory, {b"two": Place(PATH, len(ONE), len(TWO))})
    monkeypatch.delattr(bodies, "scan_packs")
    assert Bodies(directory).read(digest(b"two")) == b"two"
    assert Bodies(directory).digests() == (digest(b"two"),)


def test_without_an_index_the_packs_are_scanned_once(directory: Path) -> None:
    stored = Bodies(directory)
    assert stored.read(digest(b"one")) == b"one"
    (directory / PATH).write_bytes(ONE + TWO)
    assert stored.read(digest(b"two")) == b"two"
    assert stored.digests() == (digest(b"one"), digest(b"two"))


def test_an_index_that_cannot_be_read_is_named(directory: Path) -> None:
    (directory / "objects.index").write_bytes(b"x\n")
    with pytest.raises(DamagedBodyError, match=r"is missing: objects\.index, line 1"):
        Bodies(directory).read(digest(b"one"))
    with pytest.raises(DamagedBodyError, match=r"^objects\.index, line 1"):
        Bodies(directory).digests()


def test_damage_before_a_body_is_found_is_named(directory: Path) -> None:
    (directory / PATH).write_bytes(ONE + b"x" + TWO)
    stored = Bodies(directory)
    assert stored.read(digest(b"one")) == b"one"
    with pytest.raises(DamagedBodyError, match=r"is missing: objects/000001\.pack at byte 15 is not"):
        stored.read(digest(b"two"))
    with pytest.raises(DamagedBodyError, match="at byte 15"):
        stored.digests()


@pytest.mark.parametrize(
    ("place", "what"),
    [
        (Place(PATH, 0, len(ONE)), "is not the body that its name says"),
        (Place(PATH, 1, len(TWO)), "is not a zstd frame"),
        (Place(PATH, len(ONE), len(TWO) - 1), "is cut off"),
        (Place(PATH, 0, len(ONE + TWO)), "is more than one zstd frame"),
        (Place(PATH, 10**9, 10), r"objects/000001\.pack ends before byte 1000000010"),
        (Place("objects/000002.pack", 0, 10), r"there is no objects/000002\.pack"),
        (Place(PATH, 0, 10**9), "is longer than"),
    ],
    ids=["another", "shifted", "short", "long", "beyond-the-end", "no-pack", "huge"],
)
def test_a_wrong_place_is_damage(directory: Path, place: Place, what: str) -> None:
    write_index(directory, {b"two": place})
    with pytest.raises(DamagedBodyError, match=what):
        Bodies(directory).read(digest(b"two"))


def test_links_are_not_followed(directory: Path) -> None:
    (directory / PATH).rename(directory / "elsewhere")
    (directory / PATH).symlink_to(directory / "elsewhere")
    with pytest.raises(DamagedBodyError, match="is missing"):
        Bodies(directory).read(digest(b"one"))
    write_index(directory, {b"one": Place(PATH, 0, len(ONE))})
    with pytest.raises(DamagedBodyError, match="cannot be read"):
        Bodies(directory).read(digest(b"one"))


def test_a_directory_too_large_to_list_is_damage(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(container, "MAX_ENTRIES", 1)
    with pytest.raises(DamagedBodyError, match="more than 1 entries"):
        Bodies(directory).digests()

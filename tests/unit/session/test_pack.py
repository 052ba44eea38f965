from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ciguard.session import pack
from ciguard.session.frame import Compressor, expand
from ciguard.session.pack import DamagedPackError, Pack, Place, Scan, pack_path, parse, render

ONE, TWO, THREE = (Compressor().frame(body) for body in (b"one", b"two", b"three"))
DIGESTS = st.text("0123456789abcdef", min_size=64, max_size=64)
PLACES = st.builds(
    Place,
    st.integers(1, 999_999).map(pack_path),
    st.integers(0, 10**11),
    st.integers(1, 10**11),
)


def digest(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()


def scanned(*packs: bytes) -> Scan:
    scan = Scan()
    for number, data in enumerate(packs, 1):
        scan.feed(pack_path(number), data)
    return scan


@given(
    st.lists(st.builds(Pack, st.just(pack_path(1)), DIGESTS, st.integers(0, 10**11))), st.dictionaries(DIGESTS, PLACES)
)
def test_an_index_reads_back(packs: list[Pack], places: dict[str, Place]) -> None:
    read = parse(render(packs, places))
    assert list(read.items()) == list(places.items())


def test_an_index_is_plain_text() -> None:
    packs = [Pack("objects/000001.pack", "a" * 64, 120)]
    places = {"b" * 64: Place("objects/000001.pack", 0, 100), "c" * 64: Place("objects/000001.pack", 100, 20)}
    assert render(packs, places).decode() == (
        f"{'a' * 64}  objects/000001.pack  120\n"
        f"{'b' * 64}  objects/000001.pack  0  100\n"
        f"{'c' * 64}  objects/000001.pack  100  20\n"
    )
    assert parse(b"") == {}


@pytest.mark.parametrize(
    "line",
    [
        "",
        "x",
        f"{'B' * 64}  objects/000001.pack  0  1",
        f"{'b' * 64} objects/000001.pack 0 1",
        f"{'b' * 64}  objects/000001.pack  00  1",
        f"{'b' * 64}  objects/000001.pack  0  0",
        f"{'b' * 64}  objects/000001.pack  -1  1",
        f"{'b' * 64}  objects/000001.pack  0  {'9' * 13}",
        f"{'b' * 64}  objects/00000١.pack  0  1",
        f"{'b' * 64}  ../000001.pack  0  1",
        f"{'b' * 64}  /etc/passwd  0  1",
        f"{'b' * 64}  objects/000001.pack  0  1\r",
        f"{'b' * 64}  objects/000001.pack  1",
    ],
)
def test_lines_that_name_no_body_are_refused(line: str) -> None:
    good = f"{'a' * 64}  objects/000001.pack  0  1\n"
    with pytest.raises(DamagedPackError, match="line 2"):
        parse((good + line + "\n" + good).encode())


def test_bodies_are_found_frame_by_frame() -> None:
    scan = scanned(ONE + TWO, THREE)
    assert scan.places == {
        digest(b"one"): Place(pack_path(1), 0, len(ONE)),
        digest(b"two"): Place(pack_path(1), len(ONE), len(TWO)),
        digest(b"three"): Place(pack_path(2), 0, len(THREE)),
    }
    assert scan.packs[0] == Pack(pack_path(1), digest(ONE + TWO), len(ONE + TWO))
    assert (scan.damage, scan.tail) == ("", None)


@given(st.lists(st.binary(), unique=True), st.data())
def test_a_pack_cut_anywhere_holds_the_bodies_before(bodies: list[bytes], data: st.DataObject) -> None:
    frames = [Compressor().frame(body) for body in bodies]
    whole = b"".join(frames)
    kept = data.draw(st.integers(0, len(whole)))
    scan = scanned(whole[:kept])
    ends = [sum(map(len, frames[: count + 1])) for count in range(len(frames))]
    found = sum(end <= kept for end in ends)
    assert list(scan.places) == [digest(body) for body in bodies[:found]]
    rest = kept - (ends[found - 1] if found else 0)
    assert scan.tail == (rest if rest or not kept else None)
    assert scan.damage == ""


@pytest.mark.parametrize(
    ("packs", "damage", "found"),
    [
        ([ONE + b"\0" + TWO], "000001.pack at byte 15 is not a zstd frame", 1),
        ([ONE + TWO + ONE], "000001.pack at byte 30 repeats body", 2),
        ([ONE, TWO + ONE], "000002.pack at byte 15 repeats body", 2),
        ([ONE[:-1] + b"x", TWO], "", 2),
        ([ONE[:-1], TWO], "000001.pack ends within a frame", 1),
        ([b"", TWO], "000001.pack ends within a frame", 1),
        ([b"text" + ONE, TWO], "000001.pack at byte 0 is not", 1),
        ([ONE[:4] + b"\x28" + ONE[5:] + TWO], "000001.pack at byte 0 is not", 1),
    ],
    ids=["gap", "repeated", "repeated-later", "other-body", "cut-before-the-last", "empty-first", "noise", "reserved"],
)
def test_the_first_damage_is_named_and_the_rest_is_read(packs: list[bytes], damage: str, found: int) -> None:
    scan = scanned(*packs)
    assert damage in scan.damage
    assert bool(scan.damage) == bool(damage)
    assert len(scan.places) == found


def test_a_pack_left_out_is_missed() -> None:
    scan = Scan()
    scan.feed(pack_path(2), ONE)
    assert scan.damage == "objects/000001.pack is missing"


def test_scanning_expands_no_more_than_all_bodies_may_have(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pack, "MAX_TOTAL_BYTES", 2500)
    bombs = [Compressor().frame(bytes([number]) * 1000) for number in range(4)]
    scan = scanned(b"".join(bombs))
    assert len(scan.places) == 2
    assert "2500 bytes" in scan.damage


def test_scanning_counts_repeated_bodies_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pack, "MAX_TOTAL_BYTES", 2500)
    expanded: list[int] = []

    def counted(data: bytes) -> bytes:
        body = expand(data)
        expanded.append(len(body))
        return body

    monkeypatch.setattr(pack, "expand", counted)
    scanned(Compressor().frame(b"x" * 1000) * 100)
    assert expanded == [1000, 1000]


def test_scanning_finds_no_more_than_so_many_bodies(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pack, "MAX_BODIES", 2)
    assert "more than 2 bodies" in scanned(ONE + TWO + THREE).damage
    assert scanned(ONE + TWO).damage == ""

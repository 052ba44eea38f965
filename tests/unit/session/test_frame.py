from __future__ import annotations

import tracemalloc

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from ciguard.session import frame
from ciguard.session.frame import Compressor, CutFrameError, DamagedFrameError, Frame, expand, frame_at

BODIES = st.binary() | st.builds(lambda piece, times: piece * times, st.binary(min_size=1), st.integers(1, 100_000))


def framed(body: bytes) -> bytes:
    return Compressor().frame(body)


def streamed(body: bytes) -> bytes:
    compressor = zstandard.ZstdCompressor(write_content_size=False).compressobj()
    return compressor.compress(body) + compressor.flush()


@given(BODIES)
def test_a_body_comes_back(body: bytes) -> None:
    assert expand(framed(body)) == body


@given(BODIES, st.integers(-5, 19), st.booleans(), st.binary(max_size=30))
def test_where_any_frame_ends_is_found(body: bytes, level: int, checksum: bool, before: bytes) -> None:
    made = zstandard.ZstdCompressor(level=level, write_checksum=checksum).compress(body)
    assert frame_at(before + made + b"after", len(before)) == Frame(len(before), len(made), len(body))
    assert expand(made) == body


@pytest.mark.parametrize("size", [0, 1, 255, 256, 1023])
def test_a_short_body_is_stored_as_it_is(size: int) -> None:
    body = b"x" * size
    made = framed(body)
    assert made.endswith(body)
    assert frame_at(made, 0) == Frame(0, len(made), size)
    assert zstandard.ZstdDecompressor().decompress(made, allow_extra_data=False) == body


def test_a_longer_body_is_compressed() -> None:
    assert len(framed(b"x" * 1024)) < 100


def test_a_compressor_is_reused() -> None:
    compressor = Compressor()
    assert [expand(compressor.frame(body)) for body in (b"one", b"", b"one")] == [b"one", b"", b"one"]


@given(BODIES, st.data())
def test_a_frame_cut_anywhere_is_known_to_be_cut(body: bytes, data: st.DataObject) -> None:
    made = framed(body)
    kept = data.draw(st.integers(0, len(made) - 1))
    with pytest.raises(CutFrameError):
        frame_at(made[:kept], 0)


@given(st.binary(max_size=40) | st.binary(max_size=40).map(lambda rest: b"\x28\xb5\x2f\xfd" + rest))
def test_any_bytes_are_a_frame_or_refused(data: bytes) -> None:
    try:
        found = frame_at(data, 0)
        body = expand(data[: found.length])
    except DamagedFrameError:
        return
    assert len(body) == found.body_size


@pytest.mark.parametrize(
    ("stored", "what"),
    [
        (b"", "cut off"),
        (b"body", "not a zstd"),
        (framed(b"body")[:-1], "cut off"),
        (framed(b"body") + b"x", "more than one"),
        (framed(b"body") * 2, "more than one"),
        (streamed(b"body"), "not state"),
        (b"\x50\x2a\x4d\x18\x04\0\0\0body", "not a zstd"),
        (b"\x28\xb5\x2f\xfd\x20\x04\x27\0\0body", "not a zstd"),
        (b"\x28\xb5\x2f\xfd\x20\x04\x01\x00\x20", "not a zstd"),
        (b"\x28\xb5\x2f\xfd\x20\x04\x19\0\0bod", "not a zstd"),
    ],
    ids=[
        "empty",
        "not-zstd",
        "cut",
        "trailing-byte",
        "two-frames",
        "no-size",
        "skippable-frame",
        "reserved-block",
        "block-too-large",
        "shorter-than-it-states",
    ],
)
def test_what_is_not_one_frame_is_refused(stored: bytes, what: str) -> None:
    with pytest.raises(DamagedFrameError, match=what):
        expand(stored)


def test_a_bomb_is_refused_before_it_is_expanded(monkeypatch: pytest.MonkeyPatch) -> None:
    bomb = framed(b"\0" * 1_000_000)
    assert len(bomb) < 1000
    monkeypatch.setattr(frame, "MAX_BODY_BYTES", 1000)
    monkeypatch.delattr(zstandard, "ZstdDecompressor")
    with pytest.raises(DamagedFrameError, match="larger than 1000"):
        expand(bomb)


def test_a_bomb_that_states_a_small_size_takes_no_more_than_that() -> None:
    blocks = (0x02 | 128 * 1024 << 3).to_bytes(3, "little") + b"\0"
    bomb = b"\x28\xb5\x2f\xfd\x20\x04" + blocks * 1000 + b"\x03\0\0\0"
    assert frame_at(bomb, 0).length == len(bomb)
    tracemalloc.start()
    with pytest.raises(DamagedFrameError, match="not a zstd"):
        expand(bomb)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1_000_000


def test_a_body_too_large_to_read_back_has_no_frame(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frame, "MAX_BODY_BYTES", 10)
    with pytest.raises(ValueError, match="larger than 10"):
        framed(b"x" * 11)


def test_a_frame_longer_than_any_body_makes_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frame, "MAX_FRAME_BYTES", 10)
    with pytest.raises(DamagedFrameError, match="longer than 10"):
        frame_at(framed(b"body body"), 0)

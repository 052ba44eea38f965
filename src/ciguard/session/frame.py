"""Zstandard frames as bodies are stored: one body a frame, each frame stating the size of its body.

Where a frame ends is read from its headers (RFC 8878, section 3.1.1), so that frames can be told apart, and what they
claim can be refused, before anything is expanded.
"""

from __future__ import annotations

from dataclasses import dataclass

import zstandard

MAX_BODY_BYTES = 256 * 1024 * 1024
"""A body larger than this is neither stored nor read."""

MAX_FRAME_BYTES = MAX_BODY_BYTES + 1024 * 1024
"""A frame longer than this is not read: compression does not make a body that much longer."""

_MAGIC = b"\x28\xb5\x2f\xfd"
_LEVEL = 1
_SMALL = 1024
"""Compressing a body shorter than this would take more time than the rest of storing it."""

# One segment, its size in four bytes, no checksum.
_SMALL_HEADER = _MAGIC + b"\xa0"
_MAX_BLOCK_BYTES = 128 * 1024
_RAW, _RLE, _COMPRESSED = range(3)


class DamagedFrameError(ValueError):
    """The bytes are not a frame as bodies are stored; the text continues a sentence that begins with their name."""


class CutFrameError(DamagedFrameError):
    """The bytes end before the frame does, and are in order up to there."""


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame among others: where it begins, how many bytes it takes, and how many its body says to have."""

    offset: int
    length: int
    body_size: int


class Compressor:
    """Makes frames, reusing one compression context. Not for use from several threads at once."""

    def __init__(self) -> None:
        self._compress = zstandard.ZstdCompressor(level=_LEVEL, write_content_size=True).compress

    def frame(self, body: bytes) -> bytes:
        """``body`` as one frame. Raises ``ValueError`` when it is too large to be read back."""
        if len(body) > MAX_BODY_BYTES:
            raise ValueError(f"a body of {len(body)} bytes is larger than {MAX_BODY_BYTES}")
        if len(body) < _SMALL:
            return _uncompressed(body)
        return self._compress(body)


def _uncompressed(body: bytes) -> bytes:
    """A frame of one block, the last, which is ``body`` as it is (RFC 8878, sections 3.1.1.1.4 and 3.1.1.2)."""
    size = len(body)
    return _SMALL_HEADER + size.to_bytes(4, "little") + (size << 3 | _RAW << 1 | 1).to_bytes(3, "little") + body


def frame_at(data: bytes, offset: int) -> Frame:
    """The frame that begins at ``offset``. Raises ``CutFrameError`` and ``DamagedFrameError``; expands nothing."""
    body_size, position = _header(data, offset)
    checksum = 4 if data[offset + 4] & 0x04 else 0
    last = False
    while not last:
        header = int.from_bytes(_span(data, position, 3), "little")
        last, kind, size = bool(header & 1), header >> 1 & 3, header >> 3
        if kind not in (_RAW, _RLE, _COMPRESSED) or size > _MAX_BLOCK_BYTES:
            raise DamagedFrameError("is not a zstd frame")
        position += 3 + (1 if kind == _RLE else size)
    position += checksum
    if position - offset > MAX_FRAME_BYTES:
        raise DamagedFrameError(f"is longer than {MAX_FRAME_BYTES} bytes")
    if position > len(data):
        raise CutFrameError("is cut off")
    return Frame(offset, position - offset, body_size)


def expand(stored: bytes) -> bytes:
    """The body in ``stored``, which must be exactly one frame. Raises ``DamagedFrameError``.

    No more memory is taken than the frame states, and no more than ``MAX_BODY_BYTES``.
    """
    if frame_at(stored, 0).length != len(stored):
        raise DamagedFrameError("is more than one zstd frame")
    try:
        return zstandard.ZstdDecompressor().decompress(stored, allow_extra_data=False)
    except zstandard.ZstdError:
        raise DamagedFrameError("is not a zstd frame") from None


def _header(data: bytes, offset: int) -> tuple[int, int]:
    """The body's size as the frame's header states it, and where the header ends."""
    magic = data[offset : offset + 4]
    if magic != _MAGIC[: len(magic)]:
        raise DamagedFrameError("is not a zstd frame")
    descriptor = _span(data, offset, 5)[4]
    single_segment = descriptor >> 5 & 1
    sizes = (single_segment, 2, 4, 8)
    length = sizes[descriptor >> 6]
    if not length:
        raise DamagedFrameError("does not state the size of its body")
    position = offset + 5 + (1 - single_segment) + (0, 1, 2, 4)[descriptor & 3]
    size = int.from_bytes(_span(data, position, length), "little") + (256 if length == 2 else 0)
    if size > MAX_BODY_BYTES:
        raise DamagedFrameError(f"is larger than {MAX_BODY_BYTES} bytes")
    return size, position + length


def _span(data: bytes, start: int, length: int) -> bytes:
    span = data[start : start + length]
    if len(span) < length:
        raise CutFrameError("is cut off")
    return span

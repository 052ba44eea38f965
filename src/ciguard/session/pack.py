"""Packs: files in which bodies stand one after the other as zstd frames, and the index that says which stands where.

The packs of a session are ``objects/000001.pack``, ``objects/000002.pack``, ... Nothing stands between two frames, and
no body is there twice. ``objects.index`` names every pack and every body, in the order in which they were written:

    <SHA-256 of the pack>  objects/000001.pack  <size of the pack>
    <SHA-256 of the body>  objects/000001.pack  <offset of its frame>  <length of its frame>

first the packs, then the bodies; numbers are decimal and count bytes. It follows from the packs alone, so that an index
that differs by one bit from what ``render`` makes of the packs is wrong, and so are the packs.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from ciguard.session.frame import CutFrameError, DamagedFrameError, expand, frame_at

MAX_PACK_BYTES = 64 * 1024 * 1024
"""A frame that would make a pack longer than this begins the next one."""

MAX_BODIES = 1_000_000
"""A session with more bodies than this is neither written nor read."""

MAX_TOTAL_BYTES = 16 * 1024 * 1024 * 1024
"""Bodies that are larger than this together are neither stored nor scanned."""

_PACK_LINE = re.compile(r"[0-9a-f]{64}  (objects/[0-9]{6}\.pack)  (0|[1-9][0-9]{0,11})", re.ASCII)
_BODY_LINE = re.compile(r"([0-9a-f]{64})  (objects/[0-9]{6}\.pack)  (0|[1-9][0-9]{0,11})  ([1-9][0-9]{0,11})", re.ASCII)


class DamagedPackError(ValueError):
    """The packs of a session, or their index, are not what a recorder writes; the text is a whole sentence."""


class Place(NamedTuple):
    """Where a body is stored: in which file, and from which byte (from 0) how many bytes are its frame."""

    pack: str
    offset: int
    length: int


@dataclass(frozen=True, slots=True)
class Pack:
    """One pack as the index names it: its path in the session directory, its SHA-256 in hex, its size in bytes."""

    path: str
    digest: str
    size: int


def pack_path(number: int) -> str:
    """The path of the ``number``-th pack (from 1), relative to the session directory."""
    return f"objects/{number:06}.pack"


def render(packs: Iterable[Pack], places: Mapping[str, Place]) -> bytes:
    """``objects.index`` for the ``places`` of bodies by digest, in the order in which they stand in ``packs``."""
    lines = [f"{pack.digest}  {pack.path}  {pack.size}\n" for pack in packs]
    lines += [f"{digest}  {pack}  {offset}  {length}\n" for digest, (pack, offset, length) in places.items()]
    return "".join(lines).encode()


def parse(index: bytes) -> dict[str, Place]:
    """The places that ``objects.index`` states, which may be wrong. Raises ``DamagedPackError``."""
    places: dict[str, Place] = {}
    text = index.decode("ascii", "replace")
    for number, line in enumerate(text.removesuffix("\n").split("\n") if text else [], 1):
        if body := _BODY_LINE.fullmatch(line):
            places[body[1]] = Place(body[2], int(body[3]), int(body[4]))
        elif places or not _PACK_LINE.fullmatch(line):
            raise DamagedPackError(f"objects.index, line {number} does not name a body")
    return places


class Scan:
    """Finds the bodies of packs without an index, frame by frame.

    ``packs`` and ``places`` are what was found so far, ``damage`` the first thing wrong (empty when nothing is).
    ``tail`` is None when the last pack ends with a whole frame, and else how many bytes at its end are the beginning
    of one: none in a pack that is empty.
    """

    def __init__(self) -> None:
        self.packs: list[Pack] = []
        self.places: dict[str, Place] = {}
        self.damage = ""
        self.tail: int | None = None
        self._expanded = 0

    def feed(self, path: str, data: bytes) -> None:
        """Take the next pack, of which ``data`` is the content."""
        if self.tail is not None:
            self._note(f"{self.packs[-1].path} ends within a frame")
        expected = pack_path(len(self.packs) + 1)
        if path != expected:
            self._note(f"{expected} is missing")
        self.packs.append(Pack(path, hashlib.sha256(data).hexdigest(), len(data)))
        self.tail = None
        for place, body in self._bodies(path, data):
            digest = hashlib.sha256(body).hexdigest()
            if digest in self.places:
                self._note(f"{path} at byte {place.offset} repeats body {digest}")
            else:
                self.places[digest] = place

    def _bodies(self, path: str, data: bytes) -> Iterator[tuple[Place, bytes]]:
        offset = 0
        while True:
            try:
                frame = frame_at(data, offset)
            except CutFrameError:
                self.tail = len(data) - offset
                return
            except DamagedFrameError as error:
                self._note(f"{path} at byte {offset} {error}")
                return
            self._expanded += frame.body_size
            if self._expanded > MAX_TOTAL_BYTES or len(self.places) >= MAX_BODIES:
                self._note(f"the packs hold more than {MAX_BODIES} bodies or {MAX_TOTAL_BYTES} bytes of them")
                return
            end = offset + frame.length
            try:
                body = expand(data[offset:end])
            except DamagedFrameError as error:
                self._note(f"{path} at byte {offset} {error}")
            else:
                yield Place(path, offset, frame.length), body
            if end == len(data):
                return
            offset = end

    def _note(self, damage: str) -> None:
        self.damage = self.damage or damage

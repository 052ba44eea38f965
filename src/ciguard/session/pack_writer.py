"""Appends bodies to packs: a file is created once for thousands of bodies, because creating one costs far more."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable

from ciguard.session.frame import Compressor
from ciguard.session.pack import MAX_BODIES, MAX_PACK_BYTES, MAX_TOTAL_BYTES, Pack, Place, pack_path, render

_NEW_PACK = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_APPEND


def write_all(descriptor: int, data: bytes) -> None:
    """Write all of ``data``, however little of it each call takes."""
    written = os.write(descriptor, data)
    while written < len(data):
        data = data[written:]
        written = os.write(descriptor, data)


class PackWriter:
    """Stores bodies in packs below ``folder``, the descriptor of a session's ``objects`` folder.

    Every method raises ``OSError`` when it cannot write; what a pack ends with is unknown then, so nothing may be
    stored afterwards.
    """

    def __init__(self, folder: int) -> None:
        self._folder = folder
        self._compressor = Compressor()
        # Frames follow one another, so their lengths in the order of writing say where each begins.
        self._lengths: dict[bytes, int] = {}
        self._expanded = 0
        self._full: list[Pack] = []
        self._file = -1
        self._path = ""
        self._size = 0
        self._hash = hashlib.sha256()

    def store(self, body: bytes, digest: bytes | None = None) -> str:
        """The SHA-256 in hex of ``body``, once it is in a pack. Raises ``ValueError`` beyond the format's limits.

        ``digest`` is that SHA-256 where it is known.
        """
        digest = digest or hashlib.sha256(body).digest()
        if digest not in self._lengths:
            self._append(digest, body)
        return digest.hex()

    @property
    def count(self) -> int:
        """How many bodies are stored."""
        return len(self._lengths)

    def index(self) -> bytes:
        """``objects.index`` as it is now, once all that it names is on the device."""
        packs = [*self._full, self._current()] if self._path else []
        for pack in packs:
            self._sync(_name(pack.path))
        os.fsync(self._folder)
        return render(packs, self._places(packs))

    def close(self) -> None:
        """Let go of the file."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def _places(self, packs: Iterable[Pack]) -> dict[str, Place]:
        frames = iter(self._lengths.items())
        places: dict[str, Place] = {}
        for pack in packs:
            offset = 0
            while offset < pack.size:
                digest, length = next(frames)
                places[digest.hex()] = Place(pack.path, offset, length)
                offset += length
        return places

    def _append(self, digest: bytes, body: bytes) -> None:
        frame = self._compressor.frame(body)
        self._expanded += len(body)
        if len(self._lengths) >= MAX_BODIES or self._expanded > MAX_TOTAL_BYTES:
            raise ValueError(f"the bodies are more than {MAX_BODIES} or larger than {MAX_TOTAL_BYTES} bytes together")
        if not self._path or self._size + len(frame) > MAX_PACK_BYTES:
            self._begin_pack()
        write_all(self._file, frame)
        self._hash.update(frame)
        self._lengths[digest] = len(frame)
        self._size += len(frame)

    def _begin_pack(self) -> None:
        if self._path:
            self._full.append(self._current())
        self.close()
        self._path = pack_path(len(self._full) + 1)
        self._file = os.open(_name(self._path), _NEW_PACK, 0o600, dir_fd=self._folder)
        self._size = 0
        self._hash = hashlib.sha256()

    def _current(self) -> Pack:
        return Pack(self._path, self._hash.hexdigest(), self._size)

    def _sync(self, name: str) -> None:
        descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW, dir_fd=self._folder)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _name(path: str) -> str:
    return path.removeprefix("objects/")

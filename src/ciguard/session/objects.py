"""Bodies by the SHA-256 of their masked bytes, zstd-compressed, stored once however often they are resent.

The body with digest ``abcdef...`` is the file ``objects/ab/cdef....zst``. Compression can spell one body in many
ways, so the digests of the stored files are listed too (``listing``): in the format of ``sha256sum``, from which an
auditor can check them by hand.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator

import zstandard

MAX_BODY_BYTES = 256 * 1024 * 1024
"""A body larger than this is neither stored nor read."""

_LEVEL = 1
_NEW = ".new"


class DamagedObjectError(ValueError):
    """A stored object is not the body that its name says."""


def object_path(digest: str) -> str:
    """Where the body with ``digest`` (64 hex digits) is stored, relative to the session directory."""
    return f"objects/{digest[:2]}/{digest[2:]}.zst"


def compress(body: bytes) -> bytes:
    """The stored form of ``body``: one zstd frame that states its content size."""
    return zstandard.ZstdCompressor(level=_LEVEL).compress(body)


def expand(stored: bytes, digest: str) -> bytes:
    """The body behind ``stored``, which must be exactly one frame of the body with ``digest``.

    Raises ``DamagedObjectError`` whose text continues a sentence that begins with the object's name.
    The size that the frame states is checked before anything is expanded, so that a bomb costs nothing.
    """
    try:
        size = zstandard.frame_content_size(stored)
        if size < 0:
            raise DamagedObjectError("does not state its size")
        if size > MAX_BODY_BYTES:
            raise DamagedObjectError(f"is larger than {MAX_BODY_BYTES} bytes")
        body = zstandard.ZstdDecompressor().decompress(stored, allow_extra_data=False)
    except zstandard.ZstdError:
        raise DamagedObjectError("is not a zstd frame") from None
    if hashlib.sha256(body).hexdigest() != digest:
        raise DamagedObjectError("is not the body that its name says")
    return body


def listing(stored: Iterable[tuple[str, str]]) -> bytes:
    """``objects.sha256``: for each (digest of a body, digest of its stored file) a line as ``sha256sum`` writes it."""
    lines = sorted((object_path(digest), file_digest) for digest, file_digest in stored)
    return "".join(f"{file_digest}  {path}\n" for path, file_digest in lines).encode()


def write_all(descriptor: int, data: bytes) -> None:
    """Write all of ``data``, however little of it each call takes."""
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


class ObjectWriter:
    """Stores bodies below ``directory``, the descriptor of a session's ``objects`` folder. Raises ``OSError``."""

    def __init__(self, directory: int) -> None:
        self._directory = directory
        self._folders: set[str] = set()
        self._files: dict[str, bytes] = {}
        self._compressor = zstandard.ZstdCompressor(level=_LEVEL)

    def store(self, body: bytes) -> str:
        """The digest of ``body``, once it is on disk under that digest."""
        digest = hashlib.sha256(body).hexdigest()
        if digest not in self._files:
            if len(body) > MAX_BODY_BYTES:
                raise ValueError(f"a body of {len(body)} bytes is larger than {MAX_BODY_BYTES}")
            self._write(digest, self._compressor.compress(body))
        return digest

    @property
    def stored(self) -> Iterator[tuple[str, str]]:
        """(digest of the body, digest of its stored file) for every object."""
        return ((digest, file_digest.hex()) for digest, file_digest in self._files.items())

    def _write(self, digest: str, stored: bytes) -> None:
        folder = digest[:2]
        if folder not in self._folders:
            os.mkdir(folder, 0o700, dir_fd=self._directory)
            self._folders.add(folder)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
        descriptor = os.open(_NEW, flags, 0o600, dir_fd=self._directory)
        try:
            write_all(descriptor, stored)
        finally:
            os.close(descriptor)
        target = f"{folder}/{digest[2:]}.zst"
        os.rename(_NEW, target, src_dir_fd=self._directory, dst_dir_fd=self._directory)
        self._files[digest] = hashlib.sha256(stored).digest()

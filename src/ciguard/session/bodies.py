"""The bodies of a session directory that someone else may have written, by digest."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path

from ciguard.session.container import UnreadableError, list_entries, read_file, read_range
from ciguard.session.frame import MAX_FRAME_BYTES, DamagedFrameError, expand
from ciguard.session.pack import DamagedPackError, Place, Scan, parse

MAX_INDEX_BYTES = 256 * 1024 * 1024
"""An objects.index larger than this is not read."""

INDEX = "objects.index"


class DamagedBodyError(ValueError):
    """A body is missing or is not what its digest says; the text is a whole sentence."""


class Bodies:
    """The bodies below ``directory``, looked up in its index. Without one, its packs are scanned at the first use."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def read(self, digest: str) -> bytes:
        """The body with ``digest``. Raises ``DamagedBodyError`` when it is missing or is not that body."""
        places, damage = self._found
        if digest not in places:
            raise DamagedBodyError(f"body {digest} is missing" + (f": {damage}" if damage else ""))
        pack, offset, length = places[digest]
        if length > MAX_FRAME_BYTES:
            raise DamagedBodyError(f"body {digest} is longer than {MAX_FRAME_BYTES} bytes")
        try:
            body = expand(read_range(self._directory, pack, offset, length))
        except FileNotFoundError:
            raise DamagedBodyError(f"body {digest} is missing: there is no {pack}") from None
        except DamagedFrameError as error:
            raise DamagedBodyError(f"body {digest} {error}") from None
        except UnreadableError as error:
            raise DamagedBodyError(f"body {digest} is missing: {error}") from None
        if hashlib.sha256(body).hexdigest() != digest:
            raise DamagedBodyError(f"body {digest} is not the body that its name says")
        return body

    def digests(self) -> tuple[str, ...]:
        """The digest of every body, in the order of storing. Raises ``DamagedBodyError`` when some cannot be told."""
        places, damage = self._found
        if damage:
            raise DamagedBodyError(damage)
        return tuple(places)

    @cached_property
    def _found(self) -> tuple[Mapping[str, Place], str]:
        """The places of bodies, and the first thing that kept more of them from being found."""
        try:
            return parse(read_file(self._directory, INDEX, MAX_INDEX_BYTES)), ""
        except FileNotFoundError:
            pass
        except (DamagedPackError, UnreadableError) as error:
            return {}, str(error)
        try:
            scan = scan_packs(self._directory)
        except UnreadableError as error:
            return {}, str(error)
        return scan.places, scan.damage


def scan_packs(directory: Path) -> Scan:
    """What the packs of the session in ``directory`` hold. Raises ``UnreadableError``."""
    scan = Scan()
    for path in list_entries(directory).files:
        if path.startswith("objects/"):
            scan.feed(path, read_file(directory, path, MAX_FRAME_BYTES))
    return scan

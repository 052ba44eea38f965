"""A session in a zip archive, as forges hand out artifacts: unpacked within limits, to be read like any other."""

from __future__ import annotations

import shutil
import stat
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ciguard.errors import SessionDamaged, UsageError

MAX_UNPACKED_BYTES = 20 * 1024**3
"""Bytes that an archive may unpack to: more than the packs of a session can hold."""

MAX_MEMBERS = 100_000
"""Files and folders that an archive may have."""

_LOG = "events.jsonl"
_REMEDY = "download the archive again; give the one that the forge made of the session directory"


@contextmanager
def session_directory(path: Path) -> Iterator[Path]:
    """The session directory at ``path``, or the one in the zip archive at ``path`` while the context is entered.

    Raises ``UsageError`` for an archive without exactly one session, and ``SessionDamaged`` for one that cannot be
    unpacked: not a zip archive, two members of one name, links, names that lead out of it, too much in it.
    """
    if not path.is_file():
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="ciguard-archive-") as scratch:
        directory = Path(scratch)
        _unpack(path, directory)
        yield _the_session(path, directory)


def _unpack(path: Path, directory: Path) -> None:
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            _refuse_hostile(members)
            left = MAX_UNPACKED_BYTES
            for member in members:
                target = directory / member.filename
                if member.is_dir():
                    target.mkdir(parents=True, exist_ok=True)
                    continue
                target.parent.mkdir(parents=True, exist_ok=True)
                left -= member.file_size
                if left < 0:
                    raise SessionDamaged(f"{path} unpacks to more than {MAX_UNPACKED_BYTES} bytes", _REMEDY)
                # ZipExtFile gives no more bytes than the member says to have.
                with archive.open(member) as source, target.open("xb") as file:
                    shutil.copyfileobj(source, file, 1024 * 1024)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, ValueError) as error:
        raise SessionDamaged(f"{path} is not a zip archive that can be read: {error}", _REMEDY) from None
    except OSError as error:
        raise SessionDamaged(f"{path} cannot be unpacked: {error.strerror}", _REMEDY) from None


def _refuse_hostile(members: list[zipfile.ZipInfo]) -> None:
    names = [member.filename.rstrip("/") for member in members]
    if len(names) > MAX_MEMBERS:
        raise SessionDamaged(f"the archive has more than {MAX_MEMBERS} members", _REMEDY)
    if len(set(names)) != len(names):
        raise SessionDamaged("the archive has two members of one name", _REMEDY)
    for member, name in zip(members, names, strict=True):
        parts = name.split("/")
        kind = stat.S_IFMT(member.external_attr >> 16)
        if not name.isprintable() or "\\" in name or not {"", ".", ".."}.isdisjoint(parts):
            raise SessionDamaged("a member of the archive has a name that is no path below it", _REMEDY)
        if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
            raise SessionDamaged("a member of the archive is neither a file nor a folder", _REMEDY)


def _the_session(path: Path, directory: Path) -> Path:
    found = [log.parent for log in directory.rglob(_LOG)]
    if len(found) != 1:
        raise UsageError(
            f"{path} holds {'more than one session' if found else f'no session: there is no {_LOG} in it'}",
            "give the archive of one session; unpack one that holds several, and give a directory",
        )
    return found[0]

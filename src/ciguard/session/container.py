"""The files of a session directory, read as what they are: possibly written by someone hostile.

Nothing below the directory is followed (symbolic links), waited for (pipes, devices) or read beyond a limit.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

MAX_ENTRIES = 1_000_000
"""A session directory with more files and folders than this is not read."""


class UnreadableError(ValueError):
    """Something in a session directory is not a plain file or folder within the limits."""


@dataclass(frozen=True, slots=True)
class Listing:
    """The relative paths of everything below a session directory, sorted."""

    files: tuple[str, ...]
    folders: tuple[str, ...]
    others: tuple[str, ...]


def read_file(directory: Path, name: str, limit: int) -> bytes:
    """The content of the plain file ``name`` (relative, with ``/``) of at most ``limit`` bytes.

    Raises ``FileNotFoundError`` when it is not there and ``UnreadableError`` when it is not such a file.
    """
    with _opened(directory, name) as (file, size):
        if size > limit:
            raise UnreadableError(f"{name} is larger than {limit} bytes")
        return file.read(limit)


def read_range(directory: Path, name: str, offset: int, length: int) -> bytes:
    """The ``length`` bytes from ``offset`` (from 0) of the plain file ``name``; errors as in ``read_file``."""
    with _opened(directory, name) as (file, size):
        if offset + length > size:
            raise UnreadableError(f"{name} ends before byte {offset + length}")
        file.seek(offset)
        return file.read(length)


@contextmanager
def _opened(directory: Path, name: str) -> Iterator[tuple[BinaryIO, int]]:
    """The plain file ``name`` and its size; errors while it is open come out as ``UnreadableError`` too."""
    *folders, last = name.split("/")
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        for folder in folders:
            inner = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=descriptor)
            os.close(descriptor)
            descriptor = inner
        inner = os.open(last, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=descriptor)
        os.close(descriptor)
        descriptor = inner
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise UnreadableError(f"{name} is not a plain file")
        with open(descriptor, "rb", closefd=False) as file:
            yield file, status.st_size
    except FileNotFoundError:
        raise
    except OSError as error:
        raise UnreadableError(f"{name} cannot be read: {error.strerror}") from error
    finally:
        os.close(descriptor)


def list_entries(directory: Path) -> Listing:
    """Everything below ``directory``. Raises ``UnreadableError`` when it is too much or cannot be listed."""
    files: list[str] = []
    folders: list[str] = []
    others: list[str] = []
    pending = [""]
    try:
        while pending:
            prefix = pending.pop()
            with os.scandir(directory / prefix) as entries:
                for entry in entries:
                    path = prefix + entry.name
                    if entry.is_dir(follow_symlinks=False):
                        folders.append(path)
                        pending.append(f"{path}/")
                    elif entry.is_file(follow_symlinks=False):
                        files.append(path)
                    else:
                        others.append(path)
                    if len(files) + len(folders) + len(others) > MAX_ENTRIES:
                        raise UnreadableError(f"the session directory has more than {MAX_ENTRIES} entries")
    except OSError as error:
        raise UnreadableError(f"the session directory cannot be listed: {error.strerror}") from error
    return Listing(tuple(sorted(files)), tuple(sorted(folders)), tuple(sorted(others)))

"""Writing a whole file of a session directory: there under its name in full and on the device, or not at all."""

from __future__ import annotations

import os

from ciguard.session.pack_writer import write_all

_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW


def write_whole(folder: int, name: str, data: bytes) -> None:
    """Write ``data`` under ``name`` in the folder with the descriptor ``folder``. Raises ``OSError``."""
    temporary = f".{name}"
    descriptor = os.open(temporary, _NEW_FILE, 0o600, dir_fd=folder)
    try:
        write_all(descriptor, data)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    os.rename(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)

"""Writes a session directory while the session runs.

Every call returns only once what it was given has been handed to the kernel in full, so that it survives the death
of the guard (SIGKILL included). Nothing is synced to the device before ``finish``: what the death of the whole
machine takes is a tail of the log, which reading notices.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeAlias

from ciguard.errors import UsageError
from ciguard.operation import Json
from ciguard.session.canonical import canonical
from ciguard.session.chain import Clock, Position, link, timestamp
from ciguard.session.event import Event, SessionFinished
from ciguard.session.latch import Latch
from ciguard.session.manifest import Account, Counts
from ciguard.session.pack_writer import PackWriter, write_all
from ciguard.session.whole_file import write_whole

Sign: TypeAlias = Callable[[bytes, dict[str, Json]], Mapping[str, bytes]]
"""Makes the files, by name, that vouch for the bytes of manifest.json, of those and what they say."""

_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
_APPEND = _NEW_FILE | os.O_APPEND


HASHED_TOGETHER = 64 * 1024
"""Bytes of a spool that are hashed at once: most spools go before they have as many, and need no digest."""


class Spool:
    """What has been forwarded of one response that is still being streamed: a file below ``partial/``.

    Made by ``Recorder.spool``. Its file stays when the guard dies, and then shows what the agent saw.
    """

    def __init__(self, latch: Latch, unfinished: set[Spool], folder: int, name: str) -> None:
        self._latch = latch
        self._unfinished = unfinished
        self._folder = folder
        self._name = name
        self._file = os.open(name, _APPEND, 0o600, dir_fd=folder)
        self._hash = hashlib.sha256()
        self._unhashed = bytearray()
        unfinished.add(self)

    @property
    def path(self) -> str:
        """Where its file is, below the session directory."""
        return f"partial/{self._name}"

    @property
    def digest(self) -> str:
        """The SHA-256 in hex of what was appended so far."""
        self._hash.update(self._unhashed)
        self._unhashed.clear()
        return self._hash.hexdigest()

    def append(self, chunk: bytes) -> None:
        """Write ``chunk``, masked, before it is forwarded. Raises ``RecordingFailed``."""
        self._latch.check()
        try:
            write_all(self._file, chunk)
            self._unhashed += chunk
            if len(self._unhashed) > HASHED_TOGETHER:
                self._hash.update(self._unhashed)
                self._unhashed.clear()
        except BaseException as error:
            self._latch.fail(error)
            raise

    def discard(self) -> None:
        """Remove the file, once everything in it has been recorded as results. Raises ``RecordingFailed``."""
        with self._latch:
            os.unlink(self._name, dir_fd=self._folder)
            self._unfinished.discard(self)
            self.close()

    def close(self) -> None:
        """Let go of the file and leave it where it is."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1


class Recorder:
    """The log, the bodies and the unfinished responses of one session. Not for use from several threads at once.

    Every method raises ``RecordingFailed`` when it cannot write, or when any of them could not before.
    """

    def __init__(self, directory: Path, clock: Clock) -> None:
        """Begin a session in ``directory``, which must not exist or be empty; else ``UsageError``."""
        self._latch = Latch()
        self._clock = clock
        self._position = Position()
        self._account = Account()
        self._unfinished: set[Spool] = set()
        self._spooled = 0
        self._descriptors: list[int] = []
        self._originals = -1
        self._sealed = hashlib.sha256()
        with self._latch:
            _prepare(directory)
            self._root = self._folder(str(directory), None)
            self._packs = PackWriter(self._new_folder("objects"))
            self._partial = self._new_folder("partial")
            self._log = os.open("events.jsonl", _APPEND, 0o600, dir_fd=self._root)
            self._descriptors.append(self._log)

    @property
    def head(self) -> str:
        """The SHA-256 in hex of the last line of the log."""
        return self._position.head

    @property
    def count(self) -> int:
        """How many events have been recorded."""
        return self._position.count

    @property
    def counts(self) -> Counts:
        """The totals so far: operations, blocked, held, masked values."""
        return self._account.counts

    def write_policy(self, text: str) -> None:
        """Write policy.yml, the policy as enforced."""
        with self._latch:
            write_whole(self._root, "policy.yml", text.encode())

    def record(self, event: Event) -> int:
        """Add ``event``, all masked, to the log and return its ``seq``.

        An event out of order cannot be recorded either: ``RecordingFailed``.
        """
        with self._latch:
            event.time = timestamp(self._clock())
            line, position = link(self._position, event)
            self._account.add(event)
            write_all(self._log, line + b"\n")
            self._position = position
            return event.seq

    def store(self, body: bytes, digest: bytes | None = None) -> str:
        """The SHA-256 in hex of ``body`` (masked), once it is stored under it; a body known already costs a hash.

        ``digest`` is that SHA-256, from whoever has it already.
        """
        with self._latch:
            return self._packs.store(body, digest)

    def spool(self) -> Spool:
        """A place for a response that is about to be streamed."""
        with self._latch:
            self._spooled += 1
            return Spool(self._latch, self._unfinished, self._partial, f"{self._spooled:06}")

    def append_original(self, line: bytes) -> None:
        """Add ``line``, the encrypted original of a masked value in base64, to ``sealed/originals``."""
        with self._latch:
            if self._originals < 0:
                self._originals = os.open("originals", _APPEND, 0o600, dir_fd=self._new_folder("sealed"))
                self._descriptors.append(self._originals)
            write_all(self._originals, line + b"\n")
            self._sealed.update(line + b"\n")

    def finish(self, outcome: str, sign: Sign | None = None) -> dict[str, Json]:
        """Record ``session_finished`` with its counts, sync it all, write manifest.json and return what it says.

        ``outcome`` is a few words on how the session ended; ``sign`` makes the files that vouch for it, of
        which there are none without. Nothing can be recorded afterwards.
        """
        with self._latch:
            counts = self._account.counts
            self.record(
                SessionFinished(
                    outcome=outcome,
                    operations=counts.operations,
                    blocked=counts.blocked,
                    held=counts.held,
                    masked=counts.masked,
                )
            )
            os.fsync(self._log)
            index = self._packs.index()
            write_whole(self._root, "objects.index", index)
            manifest = self._account.manifest(
                self._position,
                partial={spool.path: spool.digest for spool in self._unfinished},
                bodies=self._packs.count,
                index=hashlib.sha256(index).hexdigest(),
                sealed="" if self._originals < 0 else self._sealed.hexdigest(),
            )
            written = canonical(manifest) + b"\n"
            if sign is not None:
                for name, vouching in sign(written, manifest).items():
                    write_whole(self._root, name, vouching)
            write_whole(self._root, "manifest.json", written)
            os.fsync(self._root)
        self.close()
        return manifest

    def close(self) -> None:
        """Let go of the files and leave them as they are; without ``finish``, an incomplete session."""
        for spool in self._unfinished:
            spool.close()
        self._packs.close()
        for descriptor in self._descriptors:
            os.close(descriptor)
        self._descriptors.clear()
        self._latch.shut("the session is finished")

    def _folder(self, path: str, parent: int | None) -> int:
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY, dir_fd=parent)
        self._descriptors.append(descriptor)
        return descriptor

    def _new_folder(self, name: str) -> int:
        os.mkdir(name, 0o700, dir_fd=self._root)
        return self._folder(name, self._root)


def _prepare(directory: Path) -> None:
    try:
        directory.parent.mkdir(parents=True, exist_ok=True)
        directory.mkdir(mode=0o700, exist_ok=True)
        occupied = any(directory.iterdir())
    except (FileExistsError, NotADirectoryError):
        occupied = True
    if occupied:
        raise UsageError(
            f"the session directory {directory} is not an empty directory",
            "give --session-dir a directory that does not exist yet",
        )
    directory.chmod(0o700)

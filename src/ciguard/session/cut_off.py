"""Sealing a session whose guard was cut off: what is whole stays, what was half written goes, and the log says so.

Theory of operation. A guard that dies leaves whole lines and whole frames, perhaps the beginning of one more of each,
and no manifest. Here the half-written ends are taken off, a last event says how much that was and which responses were
under way, and the directory gets the index, manifest and signature that it lacks. The keys that the log names died with
the guard, so the last event names those that sign instead. Whoever is cut off in the middle of this can begin again.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path

from ciguard.errors import RecordingFailed, SessionDamaged
from ciguard.operation import Json
from ciguard.session.bodies import INDEX, scan_packs
from ciguard.session.canonical import canonical
from ciguard.session.chain import Clock, link, timestamp
from ciguard.session.container import UnreadableError, list_entries, read_file
from ciguard.session.event import EventType, Lost, SessionCutOff, event_from
from ciguard.session.frame import MAX_BODY_BYTES
from ciguard.session.manifest import Account, OutOfOrderError
from ciguard.session.originals import MAX_ORIGINALS_BYTES, ORIGINALS
from ciguard.session.pack import Scan, render
from ciguard.session.pack_writer import write_all
from ciguard.session.reading import DAMAGE_REMEDY, MAX_LOG_BYTES, Session
from ciguard.session.signature import SIGNATURE
from ciguard.session.signers import Ready, signed
from ciguard.session.sigstore_bundle import BUNDLE
from ciguard.session.whole_file import write_whole

LOG = "events.jsonl"
MANIFEST = "manifest.json"


def is_sealed(session: Session) -> bool:
    """Whether ``session`` has its manifest, which is written last."""
    return session.manifest is not None


def refuse_other_policy(session: Session) -> None:
    """Raise ``SessionDamaged`` unless policy.yml is the policy that the log names: it says who is to sign."""
    try:
        content = read_file(session.directory, "policy.yml", MAX_LOG_BYTES)
    except (FileNotFoundError, UnreadableError):
        raise _damaged("policy.yml cannot be read") from None
    digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
    if not session.events or session.events[0].get("policy", {}).get("digest") != digest:
        raise _damaged("policy.yml is not the policy that the session enforced")


def seal(session: Session, clock: Clock, signers: Sequence[Ready]) -> dict[str, Json]:
    """Seal ``session``, which was cut off, and return what its manifest says.

    Raises ``SessionDamaged`` when something in it is wrong beyond its half-written ends, and ``RecordingFailed`` when
    it cannot be written.
    """
    account = _account(session)
    scan = scan_packs(session.directory)
    if scan.damage:
        raise _damaged(scan.damage)
    log = read_file(session.directory, LOG, MAX_LOG_BYTES)
    whole = log.rfind(b"\n") + 1
    partial = {path: _digest(session.directory, path) for path in _partial(session.directory)}
    event = SessionCutOff(
        time=timestamp(clock()),
        lost=Lost(log=len(log) - whole, objects=scan.tail or 0),
        signing=[signer.announced for signer in signers],
    )
    line, position = link(session.position, event)
    account.add(event)
    try:
        _cut_packs(session.directory, scan)
        _append(session.directory / LOG, whole, line + b"\n")
        scan = scan_packs(session.directory)
        index = render(scan.packs, scan.places)
        manifest = account.manifest(
            position,
            partial=partial,
            bodies=len(scan.places),
            index=hashlib.sha256(index).hexdigest(),
            sealed=_sealed(session),
        )
        _write(session.directory, index, manifest, signers)
    except OSError as error:
        raise RecordingFailed(
            f"the session cannot be sealed: {error.strerror}", "make its directory writable, then try again"
        ) from None
    return manifest


def _account(session: Session) -> Account:
    if session.damage or not session.events:
        raise _damaged(str(session.damage or "there is no whole event in it"))
    account = Account()
    try:
        for event in session.events:
            account.add(event_from(event))
    except OutOfOrderError as error:
        raise _damaged(str(error)) from None
    return account


def _damaged(what: str) -> SessionDamaged:
    return SessionDamaged(f"the session cannot be sealed: {what}", DAMAGE_REMEDY)


def _partial(directory: Path) -> list[str]:
    return [path for path in list_entries(directory).files if path.startswith("partial/")]


def _digest(directory: Path, path: str) -> str:
    return hashlib.sha256(read_file(directory, path, MAX_BODY_BYTES)).hexdigest()


def _cut_packs(directory: Path, scan: Scan) -> None:
    """Take the beginning of a frame off the last pack; a pack of which nothing is left goes."""
    if scan.tail is None:
        return
    last = scan.packs[-1]
    if last.size == scan.tail:
        (directory / last.path).unlink()
    else:
        os.truncate(directory / last.path, last.size - scan.tail)


def _sealed(session: Session) -> str:
    """The digest of the file of originals, once it has no more lines than the log has events for them."""
    path = session.directory / ORIGINALS
    if not path.exists():
        return ""
    named = sum(event["type"] == EventType.ORIGINAL for event in session.events)
    lines = read_file(session.directory, ORIGINALS, MAX_ORIGINALS_BYTES).split(b"\n")[:-1][:named]
    whole = b"".join(line + b"\n" for line in lines)
    os.truncate(path, len(whole))
    return hashlib.sha256(whole).hexdigest()


def _append(log: Path, whole: int, line: bytes) -> None:
    descriptor = os.open(log, os.O_WRONLY | os.O_NOFOLLOW)
    try:
        os.ftruncate(descriptor, whole)
        os.lseek(descriptor, whole, os.SEEK_SET)
        write_all(descriptor, line)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _write(directory: Path, index: bytes, manifest: dict[str, Json], signers: Sequence[Ready]) -> None:
    written = canonical(manifest) + b"\n"
    folder = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        for name in list_entries(directory).files:
            if name.startswith(".") or name in (SIGNATURE, BUNDLE):
                os.unlink(name, dir_fd=folder)
        write_whole(folder, INDEX, index)
        for name, vouching in signed(signers, written, manifest).items():
            write_whole(folder, name, vouching)
        write_whole(folder, MANIFEST, written)
        os.fsync(folder)
    finally:
        os.close(folder)

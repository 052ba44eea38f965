"""Whether a session directory is what its recorder wrote, step by step, offline.

The steps, in order (the numbers are those of the code and of ``ciguard session verify``):

1. container and schema: the directory holds exactly the files of a session, and manifest.json is readable
2. hash chain: every line of the log is a whole event of known shape, in its place, naming the line before it
3. objects: every body that an event names is there and is that body, stored in the bytes that were listed
4. manifest: the session was finished, and the manifest says exactly what the events add up to
5. policy: policy.yml is the policy that the first event names
6. signature: who vouches for the manifest
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from ciguard.errors import SessionDamaged
from ciguard.operation import Json
from ciguard.session.chain import canonical, own_fields
from ciguard.session.container import Listing, UnreadableError, list_entries, read_file
from ciguard.session.event import EventType
from ciguard.session.manifest import FORMAT, Account, Completeness, OutOfOrderError
from ciguard.session.objects import DamagedObjectError, expand, listing, object_path
from ciguard.session.reading import (
    MAX_LOG_BYTES,
    MAX_MANIFEST_BYTES,
    MAX_OBJECT_FILE_BYTES,
    Session,
    open_session,
)

_MAX_POLICY_BYTES = 16 * 1024 * 1024
_FILES = frozenset({"manifest.json", "events.jsonl", "objects.sha256", "policy.yml"})
_BEING_WRITTEN = frozenset({".manifest.json", ".objects.sha256", ".policy.yml", "objects/.new"})
_FILE = re.compile(r"objects/[0-9a-f]{2}/[0-9a-f]{62}\.zst|partial/[0-9]{6,}", re.ASCII)
_FOLDER = re.compile(r"objects(/[0-9a-f]{2})?|partial", re.ASCII)


class Outcome(StrEnum):
    """What one step found."""

    HOLDS = "holds"
    FAILED = "failed"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Step:
    """One step: what was checked, what came of it, and in words what holds or the first thing that does not."""

    number: int
    name: str
    outcome: Outcome
    detail: str


@dataclass(frozen=True, slots=True)
class Verification:
    """All steps of one verification."""

    session: str
    steps: tuple[Step, ...]

    @property
    def failure(self) -> Step | None:
        """The first step that failed."""
        return next((step for step in self.steps if step.outcome is Outcome.FAILED), None)

    @property
    def signed(self) -> bool:
        """Whether a signature holds."""
        return self.steps[-1].outcome is Outcome.HOLDS


class _FailedError(Exception):
    """The first thing that is wrong in a step."""


def verify(path: Path) -> Verification:
    """Check the session in directory ``path``; every step is taken, whatever the ones before it found.

    Raises ``UsageError`` when there is no session, ``SessionDamaged`` when there is nothing to take steps on.
    """
    session = open_session(path)
    entries = list_entries(path)
    checks: list[tuple[str, Callable[[], str]]] = [
        ("container and schema", lambda: _container(session, entries)),
        ("hash chain", lambda: _hash_chain(session)),
        ("objects", lambda: _objects(session, entries)),
        ("manifest", lambda: _manifest(session)),
        ("policy", lambda: _policy(session)),
    ]
    steps = [_step(number, name, check) for number, (name, check) in enumerate(checks, 1)]
    steps.append(Step(6, "signature", Outcome.NONE, "this version does not sign sessions"))
    started = _started(session)
    return Verification(str(started["session"]) if started else "", tuple(steps))


def _step(number: int, name: str, check: Callable[[], str]) -> Step:
    try:
        return Step(number, name, Outcome.HOLDS, check())
    except _FailedError as failure:
        return Step(number, name, Outcome.FAILED, str(failure))
    except SessionDamaged as failure:
        return Step(number, name, Outcome.FAILED, failure.cause)
    except FileNotFoundError as failure:
        return Step(number, name, Outcome.FAILED, f"{failure.filename} is missing")
    except UnreadableError as failure:
        return Step(number, name, Outcome.FAILED, str(failure))


def _container(session: Session, entries: Listing) -> str:
    """Step 1."""
    known = _FILES if session.completeness is not Completeness.CUT_OFF else _FILES | _BEING_WRITTEN
    strangers = [path for path in entries.files if path not in known and not _FILE.fullmatch(path)]
    strangers += [path for path in entries.folders if not _FOLDER.fullmatch(path)]
    strangers += entries.others
    if strangers:
        raise _FailedError(f"{_inert(strangers[0])} does not belong to a session")
    if "policy.yml" not in entries.files:
        raise _FailedError("policy.yml is missing")
    if "manifest.json" not in entries.files:
        return f"{len(entries.files)} files; there is no manifest"
    if session.manifest is None:
        raise _FailedError("manifest.json is not a JSON object")
    written = session.manifest.get("format")
    if type(written) is not int or written != FORMAT:
        raise _FailedError(f"manifest.json has format {_inert(str(written))}; this version reads format {FORMAT}")
    return f"{len(entries.files)} files, format {FORMAT}"


def _hash_chain(session: Session) -> str:
    """Step 2."""
    if session.damage:
        raise _FailedError(f"events.jsonl, {session.damage}")
    if not session.events:
        raise _FailedError("events.jsonl has no events")
    _add_up(session)
    requests: dict[int, int] = {}
    for seq, event in enumerate(session.events):
        if event["type"] == EventType.REQUEST:
            requests[seq] = _part_count(seq, event["parts"], requests)
        elif "request" in event and event["request"] not in requests:
            raise _FailedError(f"event {seq} belongs to request {event['request']}, which is not there")
    return f"{session.position.count} events, head {session.position.head}"


def _part_count(seq: int, parts: Mapping[str, Any], requests: Mapping[int, int]) -> int:
    base, keep = parts["base"], parts["keep"]
    available = 0 if base is None else requests.get(base)
    if available is None:
        raise _FailedError(f"request {seq} builds on request {base}, which is not there")
    if keep > available:
        raise _FailedError(f"request {seq} keeps {keep} parts of {available}")
    return int(keep) + len(parts["add"])


def _objects(session: Session, entries: Listing) -> str:
    """Step 3."""
    listed = None
    if "objects.sha256" in entries.files:
        listed = read_file(session.directory, "objects.sha256", MAX_LOG_BYTES)
    stored: dict[str, str] = {}
    for path in entries.files:
        if path.startswith("objects/") and _FILE.fullmatch(path):
            digest = path.removeprefix("objects/").removesuffix(".zst").replace("/", "")
            data = read_file(session.directory, path, MAX_OBJECT_FILE_BYTES)
            try:
                expand(data, digest)
            except DamagedObjectError as error:
                raise _FailedError(f"{path} {error}") from None
            stored[digest] = hashlib.sha256(data).hexdigest()
    named = set(_named_digests(session.events))
    for digest in sorted(named):
        if digest not in stored:
            raise _FailedError(f"{object_path(digest)} is missing")
    if listed is not None:
        _compare_listing(listed, stored)
    elif session.completeness is not Completeness.CUT_OFF:
        raise _FailedError("objects.sha256 is missing")
    unnamed = len(stored) - len(named)
    return f"{len(stored)} bodies" + (f", {unnamed} of them named by no event" if unnamed else "")


def _compare_listing(listed: bytes, stored: Mapping[str, str]) -> None:
    actual = listing(stored.items())
    if listed == actual:
        return
    for line in sorted(set(actual.splitlines()) - set(listed.splitlines())):
        raise _FailedError(f"{line.decode().split('  ')[1]} is not the file that objects.sha256 lists")
    raise _FailedError("objects.sha256 lists other files than there are")


def _named_digests(events: Iterable[Mapping[str, Any]]) -> Iterable[str]:
    for event in events:
        if event["type"] == EventType.REQUEST:
            yield from (digest for _, digest in event["parts"]["add"])
        elif "body" in event:
            yield event["body"]


def _manifest(session: Session) -> str:
    """Step 4."""
    last = f"the log ends at event {session.position.count - 1}" if session.position.count else "the log is empty"
    if session.completeness is Completeness.CUT_OFF:
        raise _FailedError(f"the session is incomplete: the guard was cut off before it finished; {last}")
    if session.unfinished:
        raise _FailedError(f"the session is incomplete: {len(session.unfinished)} responses were still being streamed")
    listed = read_file(session.directory, "objects.sha256", MAX_LOG_BYTES)
    derived = _add_up(session).manifest(
        session.position,
        unfinished=0,
        stored=listed.count(b"\n"),
        listing=hashlib.sha256(listed).hexdigest(),
    )
    written = read_file(session.directory, "manifest.json", MAX_MANIFEST_BYTES)
    if written != canonical(derived) + b"\n":
        raise _FailedError(f"manifest.json {_difference(session.manifest or {}, derived)}")
    return f"complete, says what the events add up to; SHA-256 {hashlib.sha256(written).hexdigest()}"


def _difference(written: Mapping[str, Json], derived: Mapping[str, Json]) -> str:
    for key in derived:
        if key not in written:
            return f"does not say {key}"
        if json.dumps(written[key], sort_keys=True) != json.dumps(derived[key], sort_keys=True):
            return f"says another {key} than the events do"
    for key in written:
        if key not in derived:
            return f"says {_inert(key)}, which no manifest does"
    return "is not in canonical form"


def _policy(session: Session) -> str:
    """Step 5."""
    started = _started(session)
    if not started:
        raise _FailedError("no event names the policy")
    digest = "sha256:" + hashlib.sha256(read_file(session.directory, "policy.yml", _MAX_POLICY_BYTES)).hexdigest()
    if digest != started["policy"]["digest"]:
        raise _FailedError("policy.yml is not the policy that the session enforced")
    return digest


def _started(session: Session) -> Mapping[str, Any] | None:
    first = session.events[0] if session.events else None
    return first if first and first["type"] == EventType.SESSION_STARTED else None


def _add_up(session: Session) -> Account:
    """The account of the events. Fails at the first that is out of order or states other counts."""
    account = Account()
    for seq, event in enumerate(session.events):
        counts = account.counts
        try:
            account.add(EventType(event["type"]), event["time"], own_fields(event))
        except OutOfOrderError as error:
            raise _FailedError(f"event {seq}: {error}") from None
        if account.finished:
            for name in ("operations", "blocked", "held", "masked"):
                if event[name] != getattr(counts, name):
                    raise _FailedError(f"event {seq}: {name} is {event[name]}, the events add up otherwise")
    return account


def _inert(text: str) -> str:
    return ascii(text)[1:-1][:200]

"""Whether a session directory is what its recorder wrote, step by step, offline.

The steps, in order (the numbers are those of the code and of ``ciguard session verify``):

1. container and schema: the directory holds exactly the files of a session, and manifest.json is readable
2. hash chain: every line of the log is a whole event of known shape, in its place, naming the line before it
3. objects: every body that an event names is there; the packs hold what the index lists, bit by bit, and nothing else
4. manifest: it says exactly what the events add up to, and the session was finished
5. policy: policy.yml is the policy that the first event names
6. signature: every key that the log names signed this manifest, and no other did
7. job identity: somebody whom the auditor knows vouches for the keys: the forge's token, an announcement, a given key
8. expectations: repository, workflow, branch, run and what was announced are what the auditor says
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ciguard.errors import SessionDamaged
from ciguard.operation import Json
from ciguard.session.authenticity import (
    NOTHING_EXPECTED,
    Expectations,
    Vouching,
    expectations,
    job_identity,
    signatures,
)
from ciguard.session.bodies import INDEX, MAX_INDEX_BYTES, scan_packs
from ciguard.session.canonical import canonical
from ciguard.session.container import Listing, UnreadableError, list_entries, read_file
from ciguard.session.event import EventType, event_from
from ciguard.session.frame import MAX_BODY_BYTES
from ciguard.session.manifest import CUT_OFF, FORMAT, Account, Completeness, OutOfOrderError
from ciguard.session.originals import MAX_ORIGINALS_BYTES, ORIGINALS
from ciguard.session.pack import DamagedPackError, Place, Scan, parse, render
from ciguard.session.reading import MAX_LOG_BYTES, MAX_MANIFEST_BYTES, Session, open_session
from ciguard.session.signature import SIGNATURE
from ciguard.session.sigstore_bundle import BUNDLE
from ciguard.session.step import FailedError, IncompleteError, NothingError, Outcome, Step, inert

_MAX_POLICY_BYTES = 16 * 1024 * 1024
_FILES = frozenset({"manifest.json", "events.jsonl", INDEX, "policy.yml", SIGNATURE, BUNDLE})
_BEING_WRITTEN = frozenset({f".{name}" for name in _FILES - {"events.jsonl"}})
_FILE = re.compile(r"objects/[0-9]{6}\.pack|partial/[0-9]{6,}|sealed/originals", re.ASCII)
_FOLDER = re.compile(r"objects|partial|sealed", re.ASCII)
_SIGNATURE = "signature"
_IDENTITY = "job identity"


@dataclass(frozen=True, slots=True)
class Verification:
    """All steps of one verification; ``unproven`` says in sentences what they leave open."""

    session: str
    steps: tuple[Step, ...]
    unproven: tuple[str, ...]

    @property
    def failure(self) -> Step | None:
        """The first step that failed."""
        return next((step for step in self.steps if step.outcome is Outcome.FAILED), None)

    @property
    def incomplete(self) -> Step | None:
        """The step that found that the session is not all there, though what there is holds."""
        return next((step for step in self.steps if step.outcome is Outcome.INCOMPLETE), None)

    @property
    def signed(self) -> bool:
        """Whether somebody whom the auditor knows vouches for the session."""
        return all(step.outcome is Outcome.HOLDS for step in self.steps if step.name in (_SIGNATURE, _IDENTITY))


def verify(path: Path, expected: Expectations = NOTHING_EXPECTED) -> Verification:
    """Check the session in directory ``path``; every step is taken, whatever the ones before it found.

    Raises ``UsageError`` when there is no session, ``SessionDamaged`` when there is nothing to take steps on.
    """
    session = open_session(path)
    entries = list_entries(path)
    checks: list[tuple[str, Callable[[], str]]] = [
        ("container and schema", lambda: _container(session, entries)),
        ("hash chain", lambda: _hash_chain(session)),
        ("objects", lambda: _objects(session, entries)),
        ("manifest", lambda: _manifest(session, entries)),
        ("policy", lambda: _policy(session)),
    ]
    vouching = _Vouching(session, expected)
    checks += [(_SIGNATURE, vouching.signature), (_IDENTITY, vouching.identity), ("expectations", vouching.met)]
    steps = tuple(_step(number, name, check) for number, (name, check) in enumerate(checks, 1))
    started = _started(session)
    return Verification(str(started["session"]) if started else "", steps, tuple(_unproven(started, steps, expected)))


def _unproven(started: Mapping[str, Any] | None, steps: Iterable[Step], expected: Expectations) -> Iterable[str]:
    if any(step.name == _IDENTITY and step.outcome is not Outcome.HOLDS for step in steps):
        yield "who recorded this: whoever wrote the directory could have written all of it anew"
    elif not expected.reusable_workflow:
        yield "that the job's other steps left the guard alone: only a reusable workflow that you require proves that"
    if started:
        level = inert(str(started["isolation"]["level"]))
        yield from (f"at isolation {level}: {inert(str(limit))}" for limit in started["isolation"]["limits"])


class _Vouching:
    """Steps 6 to 8; each goes on from what the one before it found."""

    def __init__(self, session: Session, expected: Expectations) -> None:
        self._session = session
        self._expected = expected
        self._signed: Vouching | None = None
        self._claims: Mapping[str, str] = {}

    def signature(self) -> str:
        """Step 6."""
        self._signed, words = signatures(self._session)
        return words

    def identity(self) -> str:
        """Step 7."""
        if self._signed is None:
            raise NothingError("there is no signature that holds")
        self._claims, words = job_identity(self._signed, self._started, self._expected)
        return words

    def met(self) -> str:
        """Step 8."""
        return expectations(self._session, self._claims, self._expected)

    @property
    def _started(self) -> Mapping[str, Any]:
        started = _started(self._session)
        if not started:
            raise NothingError("no event says who would sign")
        return started


def _step(number: int, name: str, check: Callable[[], str]) -> Step:
    try:
        return Step(number, name, Outcome.HOLDS, check())
    except FailedError as failure:
        return Step(number, name, Outcome.FAILED, str(failure))
    except IncompleteError as incomplete:
        return Step(number, name, Outcome.INCOMPLETE, f"the session is incomplete: {incomplete}")
    except NothingError as nothing:
        return Step(number, name, Outcome.NONE, str(nothing))
    except SessionDamaged as failure:
        return Step(number, name, Outcome.FAILED, failure.cause)
    except FileNotFoundError as failure:
        return Step(number, name, Outcome.FAILED, f"{failure.filename} is missing")
    except UnreadableError as failure:
        return Step(number, name, Outcome.FAILED, str(failure))


def _container(session: Session, entries: Listing) -> str:
    """Step 1."""
    known = _FILES if session.manifest is not None else _FILES | _BEING_WRITTEN
    strangers = [path for path in entries.files if path not in known and not _FILE.fullmatch(path)]
    strangers += [path for path in entries.folders if not _FOLDER.fullmatch(path)]
    strangers += entries.others
    if strangers:
        raise FailedError(f"{inert(strangers[0])} does not belong to a session")
    if "policy.yml" not in entries.files:
        raise FailedError("policy.yml is missing")
    if "manifest.json" not in entries.files:
        return f"{len(entries.files)} files; there is no manifest"
    if session.manifest is None:
        raise FailedError("manifest.json is not a JSON object")
    written = session.manifest.get("format")
    if type(written) is not int or written != FORMAT:
        raise FailedError(f"manifest.json has format {inert(str(written))}; this version reads format {FORMAT}")
    return f"{len(entries.files)} files, format {FORMAT}"


def _hash_chain(session: Session) -> str:
    """Step 2."""
    if session.damage:
        raise FailedError(f"events.jsonl, {session.damage}")
    if not session.events:
        raise FailedError("events.jsonl has no events")
    _add_up(session)
    requests: dict[int, int] = {}
    operations: set[int] = set()
    open_requests: set[str] = set()
    for seq, event in enumerate(session.events):
        if event["type"] == EventType.REQUEST:
            requests[seq] = _part_count(seq, event["parts"], requests)
        elif event.get("request") is not None and event["request"] not in requests:
            raise FailedError(f"event {seq} belongs to request {event['request']}, which is not there")
        if event["type"] == EventType.OPERATION:
            operations.add(seq)
        elif event["type"] == EventType.TRANSFER and event["operation"] not in operations:
            raise FailedError(f"event {seq} belongs to operation {event['operation']}, which is not there")
        elif event["type"] == EventType.APPROVAL_REQUESTED:
            open_requests.add(event["approval"])
        elif event["type"] == EventType.VERDICT:
            if event["approval"] not in open_requests:
                raise FailedError(f"event {seq} is a verdict on a request for approval that is not open")
            open_requests.remove(event["approval"])
        elif event["type"] == EventType.COMMANDS_REPEATED:
            for operation, _ in event["times"]:
                if operation not in operations:
                    raise FailedError(f"event {seq} counts operation {operation}, which is not there")
    return f"{session.position.count} events, head {session.position.head}"


def _part_count(seq: int, parts: Mapping[str, Any], requests: Mapping[int, int]) -> int:
    base, keep = parts["base"], parts["keep"]
    available = 0 if base is None else requests.get(base)
    if available is None:
        raise FailedError(f"request {seq} builds on request {base}, which is not there")
    if keep > available:
        raise FailedError(f"request {seq} keeps {keep} parts of {available}")
    return int(keep) + len(parts["add"])


def _objects(session: Session, entries: Listing) -> str:
    """Step 3."""
    scan = scan_packs(session.directory)
    if scan.damage:
        raise FailedError(inert(scan.damage))
    named = set(_named_digests(session.events))
    for digest in sorted(named):
        if digest not in scan.places:
            raise FailedError(f"body {digest} is missing")
    if INDEX in entries.files:
        _compare_index(read_file(session.directory, INDEX, MAX_INDEX_BYTES), scan)
    elif session.completeness is not Completeness.CUT_OFF:
        raise FailedError(f"{INDEX} is missing")
    unnamed = len(scan.places) - len(named)
    words = f"{len(scan.places)} bodies" + (f", {unnamed} of them named by no event" if unnamed else "")
    return words if scan.tail is None else f"{words}, and {scan.tail} bytes of one that was being written"


def _compare_index(index: bytes, scan: Scan) -> None:
    """Fail unless ``index`` is, byte by byte, the one that follows from the packs."""
    if scan.tail is not None:
        raise FailedError(f"{scan.packs[-1].path} ends within a frame")
    actual = render(scan.packs, scan.places)
    if index == actual:
        return
    listed = frozenset(index.splitlines())
    for pack in scan.packs:
        if render([pack], {}).rstrip() not in listed:
            raise FailedError(f"{pack.path} is not the file that {INDEX} lists")
    for digest, place in scan.places.items():
        if render([], {digest: place}).rstrip() not in listed:
            raise FailedError(f"body {digest} at byte {place.offset} of {place.pack} is not listed in {INDEX}")
    raise FailedError(f"{INDEX} lists other bodies than there are, or in another order")


def _named_digests(events: Iterable[Mapping[str, Any]]) -> Iterable[str]:
    for event in events:
        if event["type"] == EventType.REQUEST:
            yield from (digest for _, digest in event["parts"]["add"])
        elif "body" in event:
            yield event["body"]


def _manifest(session: Session, entries: Listing) -> str:
    """Step 4."""
    last = f"the log ends at event {session.position.count - 1}" if session.position.count else "the log is empty"
    if session.manifest is None:
        raise IncompleteError(f"{CUT_OFF}; {last}; ciguard finish seals what there is")
    index = read_file(session.directory, INDEX, MAX_INDEX_BYTES)
    account = _add_up(session)
    if not account.ended:
        raise FailedError(f"there is a manifest, and the log has no end: {last}")
    if not read_file(session.directory, "events.jsonl", MAX_LOG_BYTES).endswith(b"\n"):
        raise FailedError("there is a manifest, and events.jsonl ends within a line")
    derived = account.manifest(
        session.position,
        partial={path: _digest(session, path) for path in entries.files if path.startswith("partial/")},
        bodies=len(_placed(index)),
        index=hashlib.sha256(index).hexdigest(),
        sealed=_sealed(session, entries),
    )
    written = read_file(session.directory, "manifest.json", MAX_MANIFEST_BYTES)
    if written != canonical(derived) + b"\n":
        raise FailedError(f"manifest.json {_difference(session.manifest or {}, derived)}")
    if session.completeness is Completeness.CUT_OFF:
        raise IncompleteError(f"{CUT_OFF}; {last}")
    if session.unfinished:
        raise IncompleteError(f"{len(session.unfinished)} responses were still being streamed")
    return f"complete, says what the events add up to; SHA-256 {hashlib.sha256(written).hexdigest()}"


def _sealed(session: Session, entries: Listing) -> str:
    """The digest of the file of originals; there must be as many as the log has events for."""
    if ORIGINALS not in entries.files:
        return ""
    content = read_file(session.directory, ORIGINALS, MAX_ORIGINALS_BYTES)
    named = sum(event["type"] == EventType.ORIGINAL for event in session.events)
    if content.count(b"\n") != named or not content.endswith(b"\n"):
        raise FailedError(f"{ORIGINALS} has other originals than the log has events for")
    return hashlib.sha256(content).hexdigest()


def _digest(session: Session, path: str) -> str:
    return hashlib.sha256(read_file(session.directory, path, MAX_BODY_BYTES)).hexdigest()


def _placed(index: bytes) -> Mapping[str, Place]:
    try:
        return parse(index)
    except DamagedPackError as error:
        raise FailedError(str(error)) from None


def _difference(written: Mapping[str, Json], derived: Mapping[str, Json]) -> str:
    for key in derived:
        if key not in written:
            return f"does not say {key}"
        if json.dumps(written[key], sort_keys=True) != json.dumps(derived[key], sort_keys=True):
            return f"says another {key} than the events do"
    for key in written:
        if key not in derived:
            return f"says {inert(key)}, which no manifest does"
    return "is not in canonical form"


def _policy(session: Session) -> str:
    """Step 5."""
    started = _started(session)
    if not started:
        raise FailedError("no event names the policy")
    digest = "sha256:" + hashlib.sha256(read_file(session.directory, "policy.yml", _MAX_POLICY_BYTES)).hexdigest()
    if digest != started["policy"]["digest"]:
        raise FailedError("policy.yml is not the policy that the session enforced")
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
            account.add(event_from(event))
        except OutOfOrderError as error:
            raise FailedError(f"event {seq}: {error}") from None
        if event["type"] == EventType.SESSION_FINISHED:
            for name in ("operations", "blocked", "held", "masked"):
                if event[name] != getattr(counts, name):
                    raise FailedError(f"event {seq}: {name} is {event[name]}, the events add up otherwise")
    return account

"""Reads a session directory that someone else may have written: everything in it is bounded, nothing is trusted."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ciguard.errors import SessionDamaged, UsageError
from ciguard.operation import Json, strings
from ciguard.session.bodies import Bodies, DamagedBodyError
from ciguard.session.chain import ChainReader, Damage, Position
from ciguard.session.container import Listing, UnreadableError, list_entries, read_file
from ciguard.session.event import EventType
from ciguard.session.frame import MAX_BODY_BYTES
from ciguard.session.manifest import Completeness
from ciguard.session.reference import resolve

MAX_LOG_BYTES = 256 * 1024 * 1024
"""An events.jsonl larger than this is not read."""

MAX_MANIFEST_BYTES = 1024 * 1024
"""A manifest.json larger than this is not read."""

MAX_JSON_BYTES = 64 * 1024 * 1024
"""A body larger than this is not read as JSON."""

MAX_DEPTH = 200
"""JSON nested deeper than this is not read: whatever prints or searches it may go down into it."""

DAMAGE_REMEDY = "download the session again; if it still does not hold, do not rely on what it says"


@dataclass(frozen=True, slots=True)
class Session:
    """A session as its directory tells it; ``ciguard session verify`` says whether to believe it.

    ``events`` are the whole events of the log in order, each with its fields checked against its type. ``damage`` is
    the first thing wrong with the log, and ``position`` the end of what holds before it. ``manifest`` is None when
    there is none that can be read. ``unfinished`` names the responses that were still being streamed.
    """

    directory: Path
    manifest: Mapping[str, Json] | None
    events: tuple[dict[str, Any], ...]
    position: Position
    damage: Damage | None
    completeness: Completeness
    unfinished: tuple[str, ...]
    bodies: Bodies

    def body(self, digest: str) -> bytes:
        """The body with ``digest``. Raises ``SessionDamaged`` when it is missing or is not that body."""
        try:
            return self.bodies.read(digest)
        except DamagedBodyError as error:
            raise SessionDamaged(str(error), DAMAGE_REMEDY) from None

    def digests(self) -> tuple[str, ...]:
        """The digests of all stored bodies, in the order of storing. Raises ``SessionDamaged`` if they are unknown."""
        try:
            return self.bodies.digests()
        except DamagedBodyError as error:
            raise SessionDamaged(str(error), DAMAGE_REMEDY) from None

    def content(self, digest: str) -> Json:
        """The JSON value in the body with ``digest``, its references resolved.

        Raises ``SessionDamaged`` when there is none to be read.
        """
        try:
            return resolve(self._value(digest), lambda part: list(strings(self._value(part))))
        except LookupError:
            raise SessionDamaged(f"body {digest} refers to a text that is not there", DAMAGE_REMEDY) from None

    def _value(self, digest: str) -> Json:
        body = self.body(digest)
        if len(body) > MAX_JSON_BYTES:
            raise SessionDamaged(f"body {digest} is larger than {MAX_JSON_BYTES} bytes", DAMAGE_REMEDY)
        try:
            value: Json = json.loads(body)
        except (ValueError, RecursionError):
            raise SessionDamaged(f"body {digest} does not hold JSON", DAMAGE_REMEDY) from None
        if _deeper_than(value, MAX_DEPTH):
            raise SessionDamaged(f"body {digest} is nested deeper than {MAX_DEPTH}", DAMAGE_REMEDY)
        return value

    def unfinished_response(self, name: str) -> bytes:
        """What was forwarded of the unfinished response ``name``. Raises ``SessionDamaged``."""
        try:
            return read_file(self.directory, f"partial/{name}", MAX_BODY_BYTES)
        except (FileNotFoundError, UnreadableError):
            raise SessionDamaged(f"partial/{name!a} cannot be read", DAMAGE_REMEDY) from None


def open_session(path: Path) -> Session:
    """Read the session in directory ``path``.

    A log that ends within a line is read up to its last whole line. Raises ``UsageError`` when ``path`` holds no
    session, and ``SessionDamaged`` when it cannot be read within the limits of this module.
    """
    if not path.is_dir():
        raise UsageError(
            f"{path} is not a directory", "give the session's directory; unpack a downloaded archive first"
        )
    try:
        listing = list_entries(path)
        log = read_file(path, "events.jsonl", MAX_LOG_BYTES)
    except FileNotFoundError:
        raise UsageError(
            f"{path} holds no session: there is no events.jsonl",
            "give the directory that ciguard run printed, or the unpacked artifact",
        ) from None
    except UnreadableError as error:
        raise SessionDamaged(str(error), DAMAGE_REMEDY) from None
    *lines, rest = log.split(b"\n")
    reader = ChainReader()
    events = [event for line in lines if (event := reader.feed(line)) is not None]
    manifest = _manifest(path)
    unfinished = _unfinished(listing)
    completeness = Completeness.COMPLETE
    if rest or manifest is None or not events or events[-1]["type"] != EventType.SESSION_FINISHED:
        completeness = Completeness.CUT_OFF
    elif unfinished:
        completeness = Completeness.UNFINISHED_RESPONSES
    return Session(
        path, manifest, tuple(events), reader.position, reader.damage, completeness, unfinished, Bodies(path)
    )


def request_parts(events: Sequence[Mapping[str, Any]], seq: int) -> list[tuple[str, str]]:
    """The (label, digest) of every part of the request recorded as event ``seq``, in order.

    Raises ``SessionDamaged`` when its parts refer to what is not there.
    """
    # Requests build on each other in long chains, so they are walked back and put together in a loop.
    pending: list[Mapping[str, Any]] = []
    wanted: int | None = seq
    while wanted is not None:
        if not 0 <= wanted < len(events) or events[wanted]["type"] != EventType.REQUEST:
            raise SessionDamaged(f"event {wanted} is not a request, but request {seq} builds on it", DAMAGE_REMEDY)
        parts = events[wanted]["parts"]
        if parts["base"] is not None and parts["base"] >= wanted:
            raise SessionDamaged(f"request {wanted} builds on a later one", DAMAGE_REMEDY)
        pending.append(parts)
        wanted = parts["base"]
    whole: list[tuple[str, str]] = []
    for parts in reversed(pending):
        if parts["keep"] > len(whole):
            raise SessionDamaged(f"request {seq} keeps more parts than there are", DAMAGE_REMEDY)
        del whole[parts["keep"] :]
        whole += [(label, digest) for label, digest in parts["add"]]
    return whole


def _deeper_than(value: Json, limit: int) -> bool:
    level = [value]
    for _ in range(limit):
        level = [item for value in level for item in _inside(value)]
        if not level:
            return False
    return True


def _inside(value: Json) -> Iterable[Json]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()


def _manifest(path: Path) -> Mapping[str, Json] | None:
    try:
        manifest = json.loads(read_file(path, "manifest.json", MAX_MANIFEST_BYTES))
    except (FileNotFoundError, ValueError, RecursionError):
        return None
    return manifest if isinstance(manifest, dict) else None


def _unfinished(listing: Listing) -> tuple[str, ...]:
    return tuple(name.removeprefix("partial/") for name in listing.files if name.startswith("partial/"))

"""Reads a session directory that someone else may have written: everything in it is bounded, nothing is trusted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ciguard.operation import Json
from ciguard.session.chain import Damage, Position
from ciguard.session.manifest import Completeness


@dataclass(frozen=True, slots=True)
class Session:
    """A session as its directory tells it. ``damage`` is the first break of the hash chain, ``position`` what holds."""

    directory: Path
    manifest: Mapping[str, Json] | None
    events: tuple[dict[str, Json], ...]
    position: Position
    damage: Damage | None
    completeness: Completeness

    def body(self, digest: str) -> bytes:
        """The body with ``digest``. Raises ``SessionDamaged`` when it is missing or is not that body."""
        raise NotImplementedError


def open_session(path: Path) -> Session:
    """Read the session in directory ``path``. Raises ``UsageError`` when it holds none."""
    raise NotImplementedError


def request_parts(events: Sequence[Mapping[str, Json]], seq: int) -> list[tuple[str, str]]:
    """The (label, digest) of every part of the request recorded as event ``seq``, in order.

    Raises ``SessionDamaged`` when its parts refer to what is not there.
    """
    raise NotImplementedError

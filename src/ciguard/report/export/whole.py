"""The events of a session with the bodies that they name: everything that was recorded, one JSON object a line."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from ciguard.errors import SessionDamaged
from ciguard.operation import Json
from ciguard.session.event import EventType
from ciguard.session.reading import Session


def lines(session: Session) -> Iterator[str]:
    """Each event as JSON (ASCII, without newline), with its bodies."""
    for event in session.events:
        yield json.dumps(with_bodies(session, event))


def with_bodies(session: Session, event: Mapping[str, Any]) -> dict[str, Any]:
    """``event`` with the body that it names as ``content``; a request has the bodies of its new parts in ``added``.

    Where one cannot be read, ``content`` is null and ``problem`` says why.
    """
    if event["type"] == EventType.REQUEST:
        added = [{"label": label, **_content(session, digest)} for label, digest in event["parts"]["add"]]
        return {**event, "added": added}
    if "body" in event:
        return {**event, **_content(session, event["body"])}
    return dict(event)


def _content(session: Session, digest: str) -> dict[str, Json]:
    try:
        return {"content": session.content(digest)}
    except SessionDamaged as error:
        return {"content": None, "problem": error.cause}

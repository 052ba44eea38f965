"""What waits for the reviewers of an environment, for the job's page on the forge: all of it, inert.

It may be longer than the summary proper: the guard asked about no more than the page has room for.
"""

from __future__ import annotations

from dataclasses import dataclass

from ciguard.operation import Operation, OperationKind, Result
from ciguard.report.approval_comment import whole
from ciguard.report.content import Content
from ciguard.report.facts import recorded_kind
from ciguard.report.inert import visible
from ciguard.report.markdown import template
from ciguard.session.event import EventType
from ciguard.session.reading import Session


@dataclass(frozen=True, slots=True)
class Waiting:
    """One request: how people call it, and what it is about."""

    reference: str
    kind: str
    connection: str
    place: str
    content: Content


def waiting(session: Session) -> list[Waiting]:
    """The requests of ``session`` that people decide after it."""
    asked = {event["approval"]: event for event in session.events if event["type"] == EventType.APPROVAL_REQUESTED}
    left = [
        asked[event["approval"]]
        for event in session.events
        if event["type"] == EventType.VERDICT and event["outcome"] == "awaited"
    ]
    found = []
    for event in left:
        kind, body = recorded_kind(event), session.content(event["body"])
        fields = body if isinstance(body, dict) else {}
        subject = Operation(kind, fields) if isinstance(kind, OperationKind) else Result(kind, fields)
        reference = f"{event['approval']}-{event['digest']}"
        words = kind.value.replace("_", " ")
        content = whole(subject)
        shown = Content(content.title, visible(content.text))
        found.append(Waiting(reference, words, event["connection"], event["place"], shown))
    return found


def render(session: Session) -> str:
    """All that waits, as Markdown."""
    return template("awaited.md.jinja").render(waiting=waiting(session))

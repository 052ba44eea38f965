"""The decisions of a session as CSV (RFC 4180), for a spreadsheet.

A spreadsheet takes a cell that begins with one of a few characters for a formula, and some split what is quoted again,
at their own separator. So wherever a formula could begin, an apostrophe stands before it. Texts are excerpts on one
line, visible like everywhere; the JSON lines have them as they are.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Mapping
from typing import Any

from ciguard.report.facts import recorded_content, recorded_kind
from ciguard.report.inert import excerpt
from ciguard.session.event import EventType
from ciguard.session.reading import Session

COLUMNS = (
    "seq",
    "time",
    "kind",
    "connection",
    "decision",
    "risk",
    "outcome",
    "rules",
    "reasons",
    "masked",
    "content",
    "body",
)
"""The first row. ``decision`` is the policy's; ``outcome`` what became of it, and of a verdict what humans said."""

_MOST = 1_000
_FORMULA = re.compile(r"""(^|[,;|"'\t\r\n])(\s*)(?=[=+\-@\uff1d\uff0b\uff0d\uff20])""")


def lines(session: Session) -> Iterator[str]:
    """The rows, each as a line without its end; cells are in quotes."""
    yield _line(COLUMNS)
    for event in session.events:
        row = _row(session, event)
        if row:
            yield _line(tuple(inert(str(row.get(column, ""))) for column in COLUMNS))


def inert(text: str) -> str:
    """``text`` as a cell that no spreadsheet takes for a formula, as it is or split at a separator."""
    return _FORMULA.sub(r"\1\2'", excerpt(text, _MOST))


def _row(session: Session, event: Mapping[str, Any]) -> dict[str, object]:
    row: dict[str, object] = {"seq": event["seq"], "time": event["time"], "connection": event.get("connection", "")}
    match EventType(event["type"]):
        case EventType.OPERATION | EventType.RESULT:
            decision = event["decision"]
            return row | {
                "kind": recorded_kind(event),
                "decision": decision["action"],
                "risk": decision["risk"],
                "outcome": event.get("effect", ""),
                "rules": " ".join(reason["rule"] for reason in decision["reasons"]),
                "reasons": " ".join(reason["text"] for reason in decision["reasons"]),
                "masked": " ".join(f"{kind}:{count}" for kind, count in event["masked"].items()),
                "content": recorded_content(session, event).line,
                "body": event["body"],
            }
        case EventType.VERDICT:
            people = " ".join(one["login"] for one in event["evidence"])
            words = f"{event['approval']}: {event['reason']}"
            return row | {"kind": "verdict", "outcome": event["outcome"], "reasons": words, "content": people}
        case EventType.REFUSED:
            called = f"{event['method']} {event['path']}"
            return row | {"kind": "refused", "decision": "block", "reasons": event["reason"], "content": called}
        case _:
            return {}


def _line(cells: tuple[str, ...]) -> str:
    row = io.StringIO()
    csv.writer(row, quoting=csv.QUOTE_ALL, lineterminator="").writerow(cells)
    return row.getvalue()

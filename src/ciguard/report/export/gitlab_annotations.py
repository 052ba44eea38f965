"""The links of a session for GitLab's page of its job: an ``artifacts:reports:annotations`` report.

GitLab's "CI/CD artifacts reports types": an object of named sections, each a list of ``external_link`` objects with
``label`` and ``url``. All links lead to the GitLab that the job ran on.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote, urlsplit

from ciguard.errors import UsageError
from ciguard.forge.job import Forge
from ciguard.operation import Json
from ciguard.report.inert import excerpt
from ciguard.session.event import EventType
from ciguard.session.reading import Session

REPORT = "ciguard-report.html"
DIRECTORY = "ciguard-session"
"""Where the component's artifact has the report and the session."""

MOST_APPROVALS = 50
"""So many requests for approval have a link; GitLab takes 1,000 links of a section."""

_PLACE = re.compile(r"(?P<where>[^\x00-\x20!#]+)(?P<mark>[!#])(?P<number>[0-9]{1,18})")
_PAGES: Mapping[str, str] = {"!": "merge_requests", "#": "issues"}


def lines(session: Session) -> Iterator[str]:
    """The whole report as one line of JSON. Raises ``UsageError`` when the session is not that of a GitLab job."""
    yield json.dumps({"ciguard": links(session)})


def links(session: Session) -> list[Json]:
    """The links of ``session``. Raises ``UsageError`` when it is not that of a GitLab job."""
    job = session.events[0].get("job") if session.events else None
    if not job or job.get("forge") != Forge.GITLAB:
        raise UsageError(
            "the session was not recorded in a job of GitLab, which annotations belong to",
            "choose another format: --format junit",
        )
    page = str(job["run_url"])
    return [
        _link("Session report", f"{page}/artifacts/file/{REPORT}"),
        _link("Session", f"{page}/artifacts/browse/{DIRECTORY}/"),
        *_approvals(session, job),
    ]


def _approvals(session: Session, job: Mapping[str, Any]) -> Iterator[Json]:
    """Where people were asked, and what they said."""
    verdicts = {event["approval"]: event for event in session.events if event["type"] == EventType.VERDICT}
    asked = [event for event in session.events if event["type"] == EventType.APPROVAL_REQUESTED]
    server = str(job["server_url"])
    for event in asked[:MOST_APPROVALS]:
        place = _PLACE.fullmatch(event["place"])
        if place is None or place["where"] != f"{urlsplit(server).hostname}/{job['repository']}":
            continue
        verdict = verdicts.get(event["approval"])
        said = verdict["outcome"] if verdict else "not answered"
        note = f"#note_{verdict['comment']}" if verdict and verdict["comment"] is not None else ""
        page = f"{server}/{quote(job['repository'])}/-/{_PAGES[place['mark']]}/{place['number']}"
        yield _link(f"Approval {excerpt(event['approval'], 40)}: {said}", page + note)


def _link(label: str, url: str) -> Json:
    return {"external_link": {"label": label, "url": url}}

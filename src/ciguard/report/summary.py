"""The job summary: one page of Markdown for the job's own page on the forge.

What a session contains was written by strangers; see ``report/markdown.py`` for how it stands here.
"""

from __future__ import annotations

from ciguard.report.facts import facts_of
from ciguard.report.markdown import template
from ciguard.session.reading import Session

MAX_BYTES = 60_000
"""A summary is never longer, whatever the session."""

_STOPS_SHOWN = (40, 20, 10, 5, 0)


def render(session: Session) -> str:
    """The job summary of ``session`` as Markdown of at most ``MAX_BYTES`` bytes of UTF-8."""
    facts = facts_of(session)
    pages = (template("summary.md.jinja").render(facts=facts, shown=shown) for shown in _STOPS_SHOWN)
    return next(page for page in pages if len(page.encode()) <= MAX_BYTES)

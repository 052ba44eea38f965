"""The job summary: one page of Markdown for the job's own page on the forge.

What a session contains was written by strangers. Here it stands only inside code spans and plain words
(``report/inert.py``), where the forge renders no markup, mention, image or link of theirs. The template cannot
forget that: it refuses to print a string that did not pass through one of the two.
"""

from __future__ import annotations

from functools import cache
from importlib import resources

from jinja2 import Environment, StrictUndefined, Template
from markupsafe import Markup

from ciguard.report.facts import facts_of
from ciguard.report.inert import code_span, prose
from ciguard.session.reading import Session

MAX_BYTES = 60_000
"""A summary is never longer, whatever the session."""

_STOPS_SHOWN = (40, 20, 10, 5, 0)


def render(session: Session) -> str:
    """The job summary of ``session`` as Markdown of at most ``MAX_BYTES`` bytes of UTF-8."""
    facts = facts_of(session)
    pages = (_template().render(facts=facts, shown=shown) for shown in _STOPS_SHOWN)
    return next(page for page in pages if len(page.encode()) <= MAX_BYTES)


@cache
def _template() -> Template:
    environment = Environment(
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_only_inert,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["code"] = lambda text, limit: Markup(code_span(text, limit))  # noqa: S704
    environment.filters["prose"] = lambda text, limit: Markup(prose(text, limit))  # noqa: S704
    source = resources.files("ciguard.report") / "templates" / "summary.md.jinja"
    return environment.from_string(source.read_text())


def _only_inert(value: object) -> object:
    if isinstance(value, str) and not isinstance(value, Markup):
        raise TypeError("the summary's template prints a string that is not inert")
    return value

"""The page of the report.

What strangers wrote is text in it and nothing else. Every string that a template prints is made visible
(``report/inert.py``) and escaped, whatever the template does; only what ``report/html/passage.py`` made of constants is
markup. There is nothing in the page that loads, submits or leads anywhere, and its content security policy forbids all
of that: style and script are allowed by their digests, and the script may not make markup of text (trusted types).
"""

from __future__ import annotations

import base64
import hashlib
from collections import Counter
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from ciguard.report.facts import facts_of
from ciguard.report.html.chart import HEIGHT, WIDTH, charts
from ciguard.report.html.item import MOST_ITEMS, Room, items
from ciguard.report.html.passage import block, inline
from ciguard.report.inert import visible
from ciguard.session.container import UnreadableError, read_file
from ciguard.session.event import EventType
from ciguard.session.reading import Session
from ciguard.session.verification import Verification

_MAX_POLICY_BYTES = 1024 * 1024


def render(session: Session, verification: Verification) -> str:
    """The report of ``session``; ``verification`` is what is said of it at the top."""
    style, script = _part("report.css"), _part("report.js")
    room = Room()
    timeline = list(items(session, room))
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, finalize=_visible, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["inline"] = inline
    environment.filters["block"] = block
    environment.filters["seconds"] = _seconds
    return environment.from_string(
        _part("report.html.jinja")
    ).render(
        policy=f"default-src 'none'; style-src {_source(style)}; script-src {_source(script)}; base-uri 'none'; "
        "form-action 'none'; require-trusted-types-for 'script'; trusted-types 'none'",
        style=Markup(style),  # noqa: S704 - our own file
        script=Markup(script),  # noqa: S704 - our own file
        facts=facts_of(session),
        verification=verification,
        started=_started(session),
        rules=_policy(session),
        timeline=timeline,
        missing=len(timeline) == MOST_ITEMS,
        cut=room.cut,
        kinds=Counter(item.kind for item in timeline if item.kind != EventType.REQUEST),
        actions=Counter(item.action for item in timeline if item.action),
        spoken=Counter(rule for item in timeline for rule in item.rules),
        charts=charts(session.events),
        width=WIDTH,
        height=HEIGHT,
        ended=session.events[-1]["time"][11:19] if session.events else "",
        tokens=_tokens(session),
    )


def _visible(value: object) -> object:
    return visible(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _source(text: str) -> str:
    """The source expression that allows exactly ``text`` inline (Content Security Policy Level 3, 2.3.1)."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _part(name: str) -> str:
    return Path(__file__).parents[1].joinpath("templates", name).read_text("utf-8")


def _started(session: Session) -> Mapping[str, Any]:
    """The first event, empty when there is none."""
    return next((event for event in session.events if event["type"] == EventType.SESSION_STARTED), {})


def _policy(session: Session) -> str:
    try:
        return read_file(session.directory, "policy.yml", _MAX_POLICY_BYTES).decode(errors="backslashreplace")
    except (FileNotFoundError, UnreadableError) as error:
        return f"[{error}]"


def _tokens(session: Session) -> tuple[int, int]:
    usages = [event["usage"] for event in session.events if event["type"] == EventType.RESPONSE]
    return sum(usage["input_tokens"] for usage in usages), sum(usage["output_tokens"] for usage in usages)


def _seconds(begin: str, end: str) -> str:
    """The time between two moments as the log spells them."""
    passed = (datetime.fromisoformat(end) - datetime.fromisoformat(begin)).total_seconds()
    if passed < 60:
        return f"{passed:.1f} s"
    minutes, seconds = divmod(round(passed), 60)
    return f"{minutes} min {seconds} s"

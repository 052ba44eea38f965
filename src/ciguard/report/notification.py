"""What a webhook is told of a request for approval and of its verdict, as JSON that Slack takes.

Sources: Slack's "Sending messages using incoming webhooks" (``text`` and ``blocks``), "Blocks" (header, section) and
"Text object" (lengths; ``plain_text`` is shown as it is, ``mrkdwn`` needs ``&``, ``<`` and ``>`` escaped).

What an agent or a stranger wrote stands in ``plain_text`` only, where nothing is a mention, a link or markup. ``text``
and the links are the guard's own words, also for receivers that show ``text`` alone.
"""

from __future__ import annotations

import json

from ciguard.approvals.asking import Asked
from ciguard.approvals.metrics import duration
from ciguard.approvals.watcher import Decided
from ciguard.operation import Json
from ciguard.report.approval_comment import Asker, clock_time
from ciguard.report.content import content_of
from ciguard.report.inert import excerpt, visible
from ciguard.report.markdown import LINK

MOST_CONTENT = 1_500
"""Characters of what is held; the request on the forge has the rest. Slack takes 3,000 in one text."""

_WORDS = {"released": "approved", "denied": "denied", "expired": "expired, refused", "withdrawn": "withdrawn, refused"}


def of_request(asked: Asked, asker: Asker, url: str) -> bytes:
    """The message that people are asked, at ``url``."""
    reasons = "; ".join(f"{reason.rule}: {reason.text}" for reason in asked.decision.reasons)
    started = f", started by {asker.actor}" if asker.actor else ""
    expires = clock_time(asked.request.expires)
    return _message(
        "ciguard: approval needed",
        url,
        _plain(_wanted(asked)),
        _plain(f"Held at risk {asked.decision.risk} by {excerpt(reasons, MOST_CONTENT)}"),
        _plain(excerpt(f"Asked by {asker.agent}{started}", 500)),
        _links(("Read all of it and answer", url), ("Run", asker.run_url), after=f"until {expires}"),
    )


def of_verdict(asked: Asked, asker: Asker, decided: Decided, url: str) -> bytes:
    """The message that the request at ``url`` is decided."""
    return _message(
        f"ciguard: {_WORDS[decided.outcome]}",
        url,
        _plain(excerpt(decided.verdict.reason, MOST_CONTENT)),
        _plain(excerpt(_wanted(asked), 300)),
        _links(("Request", url), ("Run", asker.run_url), after=f"after {duration(decided.waited_ms)}"),
    )


def _message(title: str, url: str, *blocks: dict[str, Json]) -> bytes:
    where = f" <{_escaped(url)}>" if LINK.fullmatch(url) else ""
    header: dict[str, Json] = {"type": "header", "text": {"type": "plain_text", "text": title, "emoji": False}}
    message = {"text": f"{title}{where}", "blocks": [header, *blocks], "unfurl_links": False, "unfurl_media": False}
    return json.dumps(message).encode()


def _plain(text: str) -> dict[str, Json]:
    return {"type": "section", "text": {"type": "plain_text", "text": text, "emoji": False}}


def _links(*named: tuple[str, str], after: str) -> dict[str, Json]:
    links = [f"<{_escaped(url)}|{name}>" for name, url in named if LINK.fullmatch(url)]
    return {"type": "section", "text": {"type": "mrkdwn", "text": " · ".join([*links, after]), "verbatim": True}}


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _wanted(asked: Asked) -> str:
    subject = asked.subject
    content = content_of(subject.kind, dict(subject.body))
    over = f" over {subject.connection}" if subject.connection else ""
    title = excerpt(f"{subject.kind.value.replace('_', ' ')} {content.title}".strip() + over, 200)
    text = visible(content.text)
    missing = f"\n[... {len(text) - MOST_CONTENT} more characters ...]" if len(text) > MOST_CONTENT else ""
    return f"{title}\n{text[:MOST_CONTENT]}{missing}"

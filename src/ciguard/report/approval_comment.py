"""What the guard writes into the thread of a pull request: requests for approval, short answers, one note per session.

What the agent wants is shown whole where that fits, in a code block that nothing in it ends, with characters that do
not show spelt out. Where it does not fit, the comment has its beginning and its end, and links to comments before it
that have all of it; what is too long for these, too, cannot be read whole, and the comment says so.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from ciguard.approvals.asking import Asked
from ciguard.approvals.ruling import Discounted, Ruling
from ciguard.operation import Operation, OperationKind, Result
from ciguard.report.content import Content, content_of, fields
from ciguard.report.inert import visible
from ciguard.report.markdown import template

MOST_SHOWN = 12_000
"""Characters of the content that the request's comment shows.

GitHub takes comments of at most 65,536, and a code block of backticks only has three times as many.
"""

TAIL = 3_000
"""Characters of these that are its end, where it is cut."""


PART = 20_000
"""Characters of the content in each further comment."""

MOST_PARTS = 10
"""Further comments about one request."""


@dataclass(frozen=True, slots=True)
class Asker:
    """Who asks: the agent's command line, masked, and the job's run, commit and actor; empty where unknown."""

    agent: str
    session: str
    run_url: str
    commit: str
    actor: str


class ApprovalTexts:
    """The texts about one request; see :class:`~ciguard.approvals.waiting.Texts`."""

    def __init__(self, asked: Asked, asker: Asker) -> None:
        self._asked = asked
        self._asker = asker

    def parts(self) -> Sequence[str]:
        """Comments with all of the content, when it does not fit into the request's and fits into these."""
        text = visible(whole(self._asked.subject).text)
        starts = range(0, len(text), PART)
        if len(text) <= MOST_SHOWN or len(starts) > MOST_PARTS:
            return []
        return [
            template("approval_part.md.jinja").render(
                request=self._asked.request.id,
                number=number,
                count=len(starts),
                first=start + 1,
                last=min(start + PART, len(text)),
                length=len(text),
                content=text[start : start + PART],
            )
            for number, start in enumerate(starts, 1)
        ]

    def asking(self, ruling: Ruling, parts: Sequence[str]) -> str:
        """The request's comment, as ``ruling`` has it; ``parts`` are the addresses of the comments with all of it."""
        asked = self._asked
        content = whole(asked.subject)
        text = visible(content.text)
        return template("approval.md.jinja").render(
            state=type(ruling.outcome).__name__.lower(),
            outcome=ruling.outcome,
            approvals=ruling.approvals,
            asked=asked,
            asker=self._asker,
            kind=asked.subject.kind.value.replace("_", " "),
            title=content.title,
            content=shortened(text),
            hidden=max(len(text) - MOST_SHOWN, 0),
            length=len(text),
            parts=parts,
            expires=clock_time(asked.request.expires),
            times=[clock_time(approval.created) for approval in ruling.approvals],
        )

    def reply(self, discounted: Discounted) -> str:
        """The short answer to a comment that does not count."""
        return template("approval_reply.md.jinja").render(
            login=f"@{discounted.login}", why=discounted.why, request=self._asked.request.id
        )


@dataclass(frozen=True, slots=True)
class Note:
    """What the one note of a session says. ``signers`` is empty when the session will not be signed.

    ``artifacts`` is the address of the page that will list the session's artifact.

    ``counts`` and ``approvals`` are words for the operations and the requests for approval, and ``outcome`` is how the
    session ended; empty while it runs.
    """

    asker: Asker
    policy: str
    source: str
    isolation: str
    limits: tuple[str, ...]
    issuer: str
    artifacts: str
    signers: tuple[str, ...] = ()
    counts: str = ""
    approvals: str = ""
    outcome: str = ""
    head: str = ""


def session_note(note: Note) -> str:
    """The comment that introduces a session and, later, says how it ended."""
    return template("session_note.md.jinja").render(note=note)


def whole(subject: Operation | Result) -> Content:
    """All of what is held, also what a summary leaves out: a command's program and directory, for example."""
    body = dict(subject.body)
    content = content_of(subject.kind, body)
    others = {key: value for key, value in body.items() if key != "argv"}
    if subject.kind is not OperationKind.COMMAND or not others:
        return content
    return Content(content.title, f"{content.text}\n\n{fields(others)}")


def shortened(text: str) -> str:
    """``text``, or its beginning and its end with a line between that says what is missing."""
    if len(text) <= MOST_SHOWN:
        return text
    missing = len(text) - MOST_SHOWN
    return f"{text[: MOST_SHOWN - TAIL]}\n[... {missing} characters are not shown here ...]\n{text[-TAIL:]}"


def clock_time(moment: datetime) -> str:
    """A time for people: UTC, to the second."""
    return moment.strftime("%Y-%m-%d %H:%M:%S UTC")

"""One request for approval: what is asked, and everything that an answer to it is bound to."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

from ciguard.approvals.person import Panel
from ciguard.codecs.document import dump
from ciguard.inspect.placeholder import PLACEHOLDER
from ciguard.operation import Operation, Result
from ciguard.session.canonical import canonical

DIGEST_LENGTH = 24
"""Hexadecimal digits of a request's digest: 96 bits, which nobody finds a second content for."""


@dataclass(frozen=True, slots=True)
class Run:
    """The run that a session belongs to, as far as approvals are bound to it.

    ``place`` is the pull request, merge request or issue, such as ``github.com/acme/shop#7``, or the environment that
    has reviewers. ``attempt`` is the attempt in which an answer may be used, and ``job`` the name of the job that may
    use it, empty where another than the one that asks does. ``head`` is the commit that the pull request pointed at
    when the session began, empty where there is none.
    """

    session: str
    place: str
    run: str
    attempt: str
    job: str
    head: str
    policy: str


@dataclass(frozen=True, slots=True)
class ApprovalRequest:
    """A question to humans.

    ``id`` is ``SESSION.N``: the beginning of the session's id, and the number of the request in it. ``excluded`` are
    the ids of accounts whose approval does not count, each with the reason: the author's and the actor's. ``prefix`` is
    how an instruction to the guard begins on the forge.
    """

    id: str
    digest: str
    head: str
    expires: datetime
    panels: tuple[Panel, ...]
    excluded: tuple[tuple[int, str], ...]
    prefix: str = "/ciguard"

    @property
    def reference(self) -> str:
        """What an answer must name."""
        return f"{self.id}-{self.digest}"


def request_digest(
    subject: Operation | Result, run: Run, request: str, *, expires: str = "", excluded: Iterable[int] = ()
) -> str:
    """The digest that binds request number ``request`` of ``run`` to exactly what is held.

    A change of the operation, the policy (and with it of who may approve, and how far an approval goes), the run, the
    attempt, the job, the pull request or its commit makes it another one; so does a change of the time at which the
    request expires, or of the accounts ``excluded`` from approving it.
    """
    bound = canonical(
        {
            "content": content_digest(subject),
            "session": run.session,
            "place": run.place,
            "run": run.run,
            "attempt": run.attempt,
            "job": run.job,
            "head": run.head,
            "policy": run.policy,
            "request": request,
            "expires": expires,
            "excluded": [*sorted(set(excluded))],
        }
    )
    return hashlib.sha256(bound).hexdigest()[:DIGEST_LENGTH]


def content_digest(subject: Operation | Result) -> str:
    """The SHA-256 in hex of what is held, the same for the same operation whenever it is tried.

    What a model makes up anew each time and does nothing is no part of it: the id of a call, and the description for
    people that Claude Code's tool for commands takes beside the command.
    """
    body = {key: value for key, value in subject.body.items() if key != "id"}
    given = body.get("input")
    if body.get("name") == "Bash" and isinstance(given, dict) and isinstance(given.get("command"), str):
        body["input"] = {key: value for key, value in given.items() if key != "description"}
    bound = canonical(
        {
            "kind": subject.kind.value,
            "connection": subject.connection,
            "body": hashlib.sha256(dump(body)).hexdigest(),
        }
    )
    return hashlib.sha256(bound).hexdigest()


def recognisable(subject: Operation | Result) -> bool:
    """Whether ``subject`` would be the same in another session: each has its own placeholders for what is masked."""
    return PLACEHOLDER.search(dump(dict(subject.body)).decode()) is None


def spelt(moment: datetime) -> str:
    """A time as requests, markers and events have it: UTC, to the second."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

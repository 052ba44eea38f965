"""One request for approval: what is asked, and everything that an answer to it is bound to."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime

from ciguard.approvals.person import Panel
from ciguard.codecs.document import dump
from ciguard.operation import Operation, Result
from ciguard.session.canonical import canonical

DIGEST_LENGTH = 24
"""Hexadecimal digits of a request's digest: 96 bits, which nobody finds a second content for."""


@dataclass(frozen=True, slots=True)
class Run:
    """The run that a session belongs to, as far as approvals are bound to it.

    ``place`` is the pull request, merge request or issue, such as ``github.com/acme/shop#7``. ``head`` is the commit
    that the pull request pointed at when the session began, empty where there is none.
    """

    session: str
    place: str
    run: str
    attempt: str
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


def request_digest(subject: Operation | Result, run: Run, request: str) -> str:
    """The digest that binds request number ``request`` of ``run`` to exactly what is held.

    A change of the operation, the policy, the run, the attempt, the pull request or its commit makes it another one.
    """
    bound = canonical(
        {
            "kind": subject.kind.value,
            "connection": subject.connection,
            "body": hashlib.sha256(dump(dict(subject.body))).hexdigest(),
            "session": run.session,
            "place": run.place,
            "run": run.run,
            "attempt": run.attempt,
            "head": run.head,
            "policy": run.policy,
            "request": request,
        }
    )
    return hashlib.sha256(bound).hexdigest()[:DIGEST_LENGTH]

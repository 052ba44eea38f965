"""A request with its people, for the tables of verdicts."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from ciguard.approvals.person import Account, AtLeast, Elector, Panel, Person, Role, Standing, Team
from ciguard.approvals.request import ApprovalRequest, Run, request_digest
from ciguard.approvals.ruling import Comment, Original, Ruling, Snapshot, decide
from ciguard.decision import Quorum
from ciguard.operation import Json, Operation, OperationKind

START = datetime(2026, 11, 2, 9, 30, tzinfo=UTC)
ASKED_BY = 100
RUN = Run("3f9a2c" + "0" * 26, "github.com/acme/shop#7", "4711", "1", "agent", "c" * 40, "sha256:" + "d" * 64)

ALICE = Account(1001, "alice", human=True)  # opened the pull request and started the run
BOB = Account(1002, "bob", human=True)
CAROL = Account(1003, "carol", human=True)
DAVE = Account(1004, "dave", human=True)
BOT = Account(1005, "helper[bot]", human=False)
STRANGER = Account(1006, "stranger", human=True)

STANDINGS = {
    ALICE.id: Standing(Role.ADMIN, frozenset({"acme/security"}), ("a" * 64,)),
    BOB.id: Standing(Role.WRITE, frozenset({"acme/security"}), ("b" * 64,)),
    CAROL.id: Standing(Role.MAINTAIN, frozenset(), ("c" * 64,)),
    DAVE.id: Standing(Role.WRITE, frozenset({"acme/dba"}), ("d" * 64,)),
    BOT.id: Standing(Role.ADMIN, frozenset({"acme/security"}), ("e" * 64,)),
    STRANGER.id: Standing(Role.READ, frozenset(), ("f" * 64,)),
}


def panel(*electors: Elector, count: int = 1) -> Panel:
    """A panel of ``electors``."""
    names = [
        f"@{elector.login}"
        if isinstance(elector, Person)
        else f"@{elector.name}"
        if isinstance(elector, Team)
        else f"role:{elector.role.word}"
        for elector in electors
    ]
    return Panel(Quorum(tuple(names), count), electors)


SECURITY = panel(Team("acme/security"))
DBA = panel(Team("acme/dba"))
MAINTAINERS = panel(AtLeast(Role.MAINTAIN))


def operation(command: str = "psql -c 'DROP TABLE users'") -> Operation:
    """What is held."""
    given: Json = {"command": command}
    return Operation(OperationKind.TOOL_CALL, {"name": "Bash", "input": given, "id": "call_1"}, "claude")


def request(run: Run = RUN, *, number: int = 1, command: str = "psql -c 'DROP TABLE users'") -> ApprovalRequest:
    """The request about ``command`` in ``run``."""
    name = f"{run.session[:6]}.{number}"
    return ApprovalRequest(
        id=name,
        digest=request_digest(operation(command), run, name),
        head=run.head,
        expires=START + timedelta(minutes=30),
        panels=(SECURITY,),
        excluded=((ALICE.id, "its author opened the pull request"),),
    )


REQUEST = request()
APPROVE = f"/ciguard approve {REQUEST.reference}"
DENY = f"/ciguard deny {REQUEST.reference}"


def said(number: int, author: Account = BOB, body: str = APPROVE) -> Comment:
    """The comment ``number``; the request itself is number 100."""
    digest = hashlib.sha256(body.encode()).hexdigest()
    return Comment(number, f"IC_{number}", author, body, START + timedelta(seconds=number), digest)


@dataclass(frozen=True)
class Scene:
    """What is on the forge, and the request that is decided on."""

    comments: Sequence[Comment] = ()
    request: ApprovalRequest = REQUEST
    originals: dict[int, Original] = field(default_factory=dict)
    standings: dict[int, Standing] = field(default_factory=lambda: dict(STANDINGS))
    head: str = RUN.head
    after: timedelta = timedelta(minutes=5)

    def decided(self) -> Ruling:
        """The ruling; a comment was not edited unless ``originals`` has another or nothing under its id."""
        originals = {
            comment.id: Original(edited=False, body=comment.body, author=comment.author.id, answer="9" * 64)
            for comment in self.comments
        }
        snapshot = Snapshot(self.comments, originals | self.originals, self.standings, self.head, START + self.after)
        return decide(self.request, ASKED_BY, snapshot)

    def but(self, **changes: object) -> Scene:
        """The scene with something else in it."""
        return replace(self, **changes)  # type: ignore[arg-type]  # the rows of a table name fields of all types

"""What a comment of the guard says to other guards: a request that outlives its job, and that an approval was used.

It is the last line of a comment, an HTML comment that the forge does not show. Who can edit a comment can change it:
nothing in it is believed. A request is known again by its digest, which a person wrote and which covers all of it.
"""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, TypeAlias

import msgspec

from ciguard.approvals.person import AtLeast, Elector, Panel, Person, Role, Team
from ciguard.approvals.request import ApprovalRequest, Run, spelt
from ciguard.decision import Quorum

LONGEST = 16_384
"""Characters of a marker; a comment has room for 65,536."""

_REQUEST = re.compile(r"<!-- ciguard:request ([A-Za-z0-9_-]+) -->", re.ASCII)
_CLAIM = re.compile(r"<!-- ciguard:claim ([0-9a-f]{6}\.[1-9][0-9]{0,5}-[0-9a-f]{24}) ([0-9a-f]{32}) -->", re.ASCII)

Count: TypeAlias = Annotated[int, msgspec.Meta(ge=1, le=20)]
Number: TypeAlias = Annotated[str, msgspec.Meta(pattern=r"^[1-9][0-9]{0,18}\Z")]
Account: TypeAlias = Annotated[int, msgspec.Meta(ge=0, le=2**53)]


class _Elector(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """One of: a person's id, with the name that it had; a team; a role."""

    id: Account = 0
    login: str = ""
    team: str = ""
    role: str = ""


class _Panel(msgspec.Struct, forbid_unknown_fields=True):
    count: Count
    electors: list[_Elector]


class Marker(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """A request of ``session``, which was attempt ``attempt`` of ``run``; an answer is for the job ``job`` of the next.

    ``expires`` is spelt as ``request.spelt`` has it; ``excluded`` are accounts whose approval does not count.
    """

    session: Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{32}\Z")]
    run: Number
    attempt: Number
    job: str
    request: Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{6}\.[1-9][0-9]{0,5}\Z")]
    digest: Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{24}\Z")]
    head: Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{0,64}\Z")]
    expires: Annotated[str, msgspec.Meta(pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z\Z")]
    excluded: list[Account]
    panels: list[_Panel]

    @property
    def reference(self) -> str:
        """What an answer must name."""
        return f"{self.request}-{self.digest}"

    @property
    def next_attempt(self) -> str:
        """The attempt in which an answer may be used."""
        return str(int(self.attempt) + 1)

    def resolved(self) -> tuple[Panel, ...]:
        """Who must approve, as the guard that asked had it."""
        return tuple(
            Panel(Quorum(tuple(map(_name, panel.electors)), panel.count), tuple(map(_elector, panel.electors)))
            for panel in self.panels
        )


def marker_of(request: ApprovalRequest, run: Run, attempt: str) -> Marker:
    """The marker of ``request``, which attempt ``attempt`` of ``run`` asks."""
    return Marker(
        session=run.session,
        run=run.run,
        attempt=attempt,
        job=run.job,
        request=request.id,
        digest=request.digest,
        head=request.head,
        expires=spelt(request.expires),
        excluded=sorted({account for account, _ in request.excluded}),
        panels=[_Panel(panel.quorum.count, [_written(one) for one in panel.electors]) for panel in request.panels],
    )


def write(marker: Marker) -> str:
    """The line that says ``marker``."""
    encoded = base64.urlsafe_b64encode(msgspec.json.encode(marker)).rstrip(b"=").decode("ascii")
    return f"<!-- ciguard:request {encoded} -->"


def read(body: str) -> Marker | None:
    """The marker in the last line of the comment ``body``; None when there is none that can be read."""
    found = _REQUEST.fullmatch(_last_line(body))
    if found is None or len(found[1]) > LONGEST:
        return None
    try:
        raw = base64.urlsafe_b64decode(found[1] + "=" * (-len(found[1]) % 4))
        marker = msgspec.json.decode(raw, type=Marker)
        marker.resolved()
        datetime.fromisoformat(marker.expires)
    except (binascii.Error, msgspec.MsgspecError, UnicodeDecodeError, ValueError, KeyError):
        return None
    return marker


@dataclass(frozen=True, slots=True)
class Claim:
    """``session`` uses the approval of ``reference``."""

    reference: str
    session: str


def write_claim(claim: Claim) -> str:
    """The line that says ``claim``."""
    return f"<!-- ciguard:claim {claim.reference} {claim.session} -->"


def read_claim(body: str) -> Claim | None:
    """The claim in the last line of the comment ``body``; None when there is none."""
    found = _CLAIM.fullmatch(_last_line(body))
    return Claim(found[1], found[2]) if found else None


def _last_line(body: str) -> str:
    # What a guard shows of strangers' words is never in the last line.
    return body.replace("\r\n", "\n").rstrip("\n").rpartition("\n")[2]


def _written(elector: Elector) -> _Elector:
    match elector:
        case Person(login, account):
            return _Elector(id=account, login=login)
        case Team(name):
            return _Elector(team=name)
        case AtLeast(role):
            return _Elector(role=role.word)


def _elector(written: _Elector) -> Elector:
    if written.team:
        return Team(written.team)
    return AtLeast(Role[written.role.upper()]) if written.role else Person(written.login, written.id)


def _name(written: _Elector) -> str:
    return f"role:{written.role}" if written.role else f"@{written.team or written.login}"

"""The events of a session log: their types, and the fields that each type carries.

Strings are masked by whoever records the event. There are no fractions anywhere: integers, strings, booleans,
null, lists and objects only, so that one value has one spelling.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Any, Literal, TypeAlias

import msgspec

from ciguard.decision import ActionWord
from ciguard.operation import Json, OperationKind, ResultKind
from ciguard.session.canonical import refuse_other_than_json
from ciguard.session.signature import Signer


class EventType(StrEnum):
    """The closed set of things that a session log can say."""

    SESSION_STARTED = "session_started"
    AGENT_STARTED = "agent_started"
    REQUEST = "request"
    OPERATION = "operation"
    RESULT = "result"
    RESPONSE = "response"
    REFUSED = "refused"
    TRANSFER = "transfer"
    COMMANDS_REPEATED = "commands_repeated"
    PROTECTED_FILES = "protected_files"
    ORIGINAL = "original"
    APPROVAL_REQUESTED = "approval_requested"
    VERDICT = "verdict"
    NOTIFIED = "notified"
    AGENT_EXITED = "agent_exited"
    SESSION_STOPPED = "session_stopped"
    SESSION_FINISHED = "session_finished"
    SESSION_CUT_OFF = "session_cut_off"


Count: TypeAlias = Annotated[int, msgspec.Meta(ge=0)]
Seq: TypeAlias = Annotated[int, msgspec.Meta(ge=0)]
Digest: TypeAlias = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}\\Z")]
PrefixedDigest: TypeAlias = Annotated[str, msgspec.Meta(pattern="^sha256:[0-9a-f]{64}\\Z")]


VerdictOutcome: TypeAlias = Literal["released", "denied", "expired", "withdrawn", "awaited"]


NotifiedOf: TypeAlias = Literal["request", "verdict"]


class _Record(msgspec.Struct, kw_only=True, forbid_unknown_fields=True, gc=False):
    """A JSON object with exactly the keys that its class names."""


class Event(_Record, tag_field="type"):
    """One thing that a session log says; the chain gives it its ``seq``, ``time`` and ``previous``."""

    seq: int = -1
    time: str = ""
    previous: str = ""


class PolicyFacts(_Record):
    """Which policy is enforced: ``digest`` of policy.yml, and where its text was read from."""

    digest: PrefixedDigest
    source: str


class IdentityFacts(_Record):
    """Who the job proved to be; ``token_digest`` names the token without containing it."""

    issuer: str
    claims: dict[str, Any]
    token_digest: PrefixedDigest

    def __post_init__(self) -> None:
        refuse_other_than_json(self.claims)


class IsolationFacts(_Record):
    """The isolation level in force, and in sentences what it does not cover."""

    level: str
    limits: list[str]


class SigningFacts(_Record):
    """One who will sign the session, and the name of its key (``session/signature.py``).

    It is null for Sigstore, whose key is made when it signs.
    """

    signer: Signer
    keyid: PrefixedDigest | None

    def __post_init__(self) -> None:
        if (self.keyid is None) != (self.signer is Signer.SIGSTORE):
            raise ValueError("every key that signs has a name but that of Sigstore")


class ConnectionFacts(_Record):
    """One upstream that the agent may reach through the guard."""

    type: str
    upstream: str


class ReasonFacts(_Record):
    """Why one rule spoke, and the risk points that it added."""

    rule: str
    text: str
    risk: Count


class DecisionFacts(_Record):
    """What the policy said."""

    action: ActionWord
    risk: Count
    reasons: list[ReasonFacts]


class Parts(_Record):
    """A request body as an ordered list of parts: the first ``keep`` parts of request ``base``, then ``add``.

    Each added part is its label (the top-level key of the body) and the digest of the object that holds it.
    """

    base: Seq | None
    keep: Count
    add: list[tuple[str, Digest]]


class Usage(_Record):
    """Tokens as the upstream counted them."""

    input_tokens: Count
    output_tokens: Count


class SessionStarted(Event, tag=EventType.SESSION_STARTED.value, kw_only=True):
    """The first event: what is guarded, for whom, under which policy and how strongly isolated."""

    session: str
    tool: str
    lock: PrefixedDigest
    policy: PolicyFacts
    identity: IdentityFacts | None
    job: dict[str, Any] | None
    isolation: IsolationFacts
    connections: dict[str, ConnectionFacts]
    signing: list[SigningFacts]

    def __post_init__(self) -> None:
        refuse_other_than_json(self.job)


class AgentStarted(Event, tag=EventType.AGENT_STARTED.value, kw_only=True):
    """The agent was launched."""

    argv: list[str]


class Request(Event, tag=EventType.REQUEST.value, kw_only=True):
    """The agent called a connection's API; the body is listed by parts."""

    connection: str
    method: str
    path: str
    model: str
    stream: bool
    parts: Parts


class OperationDecided(Event, tag=EventType.OPERATION.value, kw_only=True):
    """The policy decided on one operation, and what became of it; ``request`` is null where no request carried it."""

    operation: OperationKind
    connection: str
    request: Seq | None
    body: Digest
    masked: dict[str, Count]
    decision: DecisionFacts
    effect: Literal["forwarded", "withheld", "answered"]


class ResultDecided(Event, tag=EventType.RESULT.value, kw_only=True):
    """The policy decided on what came back for an operation."""

    result: ResultKind
    connection: str
    request: Seq
    body: Digest
    masked: dict[str, Count]
    decision: DecisionFacts


class Response(Event, tag=EventType.RESPONSE.value, kw_only=True):
    """A request was answered; ``reason`` says why when the answer is not ``complete``."""

    connection: str
    request: Seq
    status: int
    complete: bool
    usage: Usage
    reason: str


class Refused(Event, tag=EventType.REFUSED.value, kw_only=True):
    """A call was turned away before it was an operation: unauthenticated or not part of the API."""

    reason: str
    connection: str
    method: str
    path: str
    status: int


class Transfer(Event, tag=EventType.TRANSFER.value, kw_only=True):
    """What went over an allowed ``connect`` or ``http_request``, the event ``operation``, and how it ended.

    ``sent`` and ``received`` are bytes as the agent sees them; ``status`` is that of the HTTP answer, 0 when there is
    none; ``masked`` counts what was masked in the answer. ``reason`` says why when it is not ``complete``.
    """

    operation: Seq
    status: Count
    sent: Count
    received: Count
    masked: dict[str, Count]
    complete: bool
    reason: str


class CommandsRepeated(Event, tag=EventType.COMMANDS_REPEATED.value, kw_only=True):
    """How many more times commands ran, or were refused, as they were decided: the operation's event, and the count."""

    times: list[tuple[Seq, Annotated[int, msgspec.Meta(ge=1)]]]


class ProtectedFiles(Event, tag=EventType.PROTECTED_FILES.value, kw_only=True):
    """Files that later steps would execute were not as they should be: before the agent, or after it."""

    when: Literal["before", "after"]
    done: Literal["restored", "reported"]
    paths: list[str]
    more: Count


class Original(Event, tag=EventType.ORIGINAL.value, kw_only=True):
    """A value was masked for the first time, and its original sealed; ``commitment`` is a salted digest of it."""

    placeholder: str
    commitment: Digest


class QuorumFacts(_Record):
    """``count`` different people out of ``approvers`` must approve; each is written as in the policy."""

    count: Count
    approvers: list[str]


class ApprovalRequested(Event, tag=EventType.APPROVAL_REQUESTED.value, kw_only=True):
    """Humans are about to be asked; ``place`` is where, and nobody is asked beyond ``expires``."""

    approval: str
    digest: str
    subject: str
    connection: str
    body: Digest
    place: str
    head: str
    quorums: list[QuorumFacts]
    expires: str

    def __post_init__(self) -> None:
        if self.subject not in (*OperationKind, *ResultKind):
            raise ValueError("this is no kind of operation or result")


class EvidenceFacts(_Record):
    """A comment that counted: the forge's ids, its text's digest, and the digests of the answers that it rests on."""

    comment: int
    account: int
    login: str
    role: str
    created: str
    body: Digest
    answers: list[Digest]


class Verdict(Event, tag=EventType.VERDICT.value, kw_only=True):
    """What became of a request for approval; when it is ``awaited``, people decide after the session."""

    approval: str
    outcome: VerdictOutcome
    reason: str
    comment: int | None
    waited_ms: Count
    evidence: list[EvidenceFacts]
    discounted: Count


class Notified(Event, tag=EventType.NOTIFIED.value, kw_only=True):
    """The policy's webhook was told of a request or a verdict, once.

    ``status`` is that of its answer, 0 without one; ``reason`` says why the message did not arrive, empty when it did.
    """

    approval: str
    about: NotifiedOf
    status: Count
    reason: str


class AgentExited(Event, tag=EventType.AGENT_EXITED.value, kw_only=True):
    """The agent's process ended; ``signal`` is empty unless a signal ended it."""

    status: int
    signal: str


class SessionStopped(Event, tag=EventType.SESSION_STOPPED.value, kw_only=True):
    """The guard ended the session before the agent did."""

    reason: str


class SessionFinished(Event, tag=EventType.SESSION_FINISHED.value, kw_only=True):
    """The last event of a complete log, with its counts."""

    outcome: str
    operations: Count
    blocked: Count
    held: Count
    masked: Count


class Lost(_Record):
    """How many bytes at the end of the log and of the packs were the beginning of something."""

    log: Count
    objects: Count


class SessionCutOff(Event, tag=EventType.SESSION_CUT_OFF.value, kw_only=True):
    """The last event of a session that was sealed after its guard had been cut off.

    ``signing`` is as in session_started, whose keys were lost.
    """

    lost: Lost
    signing: list[SigningFacts]


EVENTS: Mapping[EventType, type[Event]] = {
    EventType(str(event.__struct_config__.tag)): event for event in Event.__subclasses__()
}
"""The events of each type."""


def event_from(read: Mapping[str, Json]) -> Event:
    """The event that a line of a log says; its ``type`` must be known.

    Raises ``ValueError`` naming the first field that it lacks, has too many of, or has in a wrong type. What passes is
    JSON without fractions all through: fields of any JSON are looked through, the others have types.
    """
    return msgspec.convert(read, EVENTS[EventType(str(read["type"]))])

"""One guarded agent step, from the policy to the finished record."""

from __future__ import annotations

import asyncio
import secrets
import shutil
import socket
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, closing, contextmanager, nullcontext
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

from msgspec.structs import replace

from ciguard import __version__
from ciguard.codecs.answer import object_of
from ciguard.errors import ApprovalAwaited, CiguardError, IsolationUnavailable, SessionStopped
from ciguard.guard.allocation import keep_freed_memory
from ciguard.guard.approvals import Approvals, Masking, open_approvals
from ciguard.guard.approved import Approved
from ciguard.guard.commands import Commands
from ciguard.guard.disk_limit import disk_limited
from ciguard.guard.egress.proxy import EgressProxy
from ciguard.guard.egress.trust import session_trust
from ciguard.guard.exchange import Guarding
from ciguard.guard.intake import Intake
from ciguard.guard.judge import Judge, Notice
from ciguard.guard.mask_rules import mask_by_rules
from ciguard.guard.masking import session_masker
from ciguard.guard.plan import Plan, workspace_root
from ciguard.guard.scratch import open_scratch
from ciguard.guard.server import GuardServer, open_loopback
from ciguard.guard.upstream import Upstreams
from ciguard.guard.workspace import Workspace, event, prepare
from ciguard.inspect.known_value import KnownValue
from ciguard.inspect.placeholder import Placeholders
from ciguard.operation import Operation, OperationKind, Result
from ciguard.policy.evaluation import Evaluator
from ciguard.policy.remote import remote_refusal
from ciguard.policy.sections.connection import ConnectionType
from ciguard.policy.sections.isolation import IsolationLevel, Protection
from ciguard.policy.shapes import seconds
from ciguard.sandbox.choosing import reach
from ciguard.sandbox.environment import connection_variables, inherited, patience, proxy_variables, write_codex_home
from ciguard.sandbox.levels import Wanted, Way, owner
from ciguard.sandbox.places import Request
from ciguard.sandbox.process import Agent, Exit, Sandbox
from ciguard.session.event import (
    AgentExited,
    AgentStarted,
    ConnectionFacts,
    IdentityFacts,
    IsolationFacts,
    PolicyFacts,
    SessionStarted,
)
from ciguard.session.manifest import Counts
from ciguard.session.originals import Originals
from ciguard.session.recorder import Recorder, Sign
from ciguard.session.signers import signed

TOGETHER = 2.0
"""Seconds until a session ends that waits for people: what is held at the same moment is asked about together."""

TOKEN_PREFIX = "ciguard-"
"""What the session's token begins with. It has no common word in it: what looks like a piece of the token is looked at
twice, and every answer speaks of tokens."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a session happens.

    ``served`` are the sockets of the guard and of its proxy; ``restored`` names what of the workspace came from the
    base branch.
    """

    directory: Path
    scratch: Path
    workspace: Workspace
    sandbox: Sandbox
    served: Sequence[socket.socket]
    restored: list[str]


@dataclass(frozen=True, slots=True)
class Outcome:
    """A finished session: its directory and id, how it ended in words, how the agent did, and its totals.

    ``failure`` is what ended the session, when it was not the agent. ``awaiting`` are the references of what people
    decide after it.
    """

    directory: Path
    session: str
    words: str
    exit: Exit
    failure: CiguardError | None
    counts: Counts
    level: IsolationLevel
    awaiting: tuple[str, ...]

    @property
    def status(self) -> int:
        """The exit status of ``ciguard run``."""
        return self.failure.exit_code if self.failure else self.exit.status


def new_session_directory(environ: Mapping[str, str]) -> Path:
    """Where a session goes when nobody says: the runner's folder for temporary files, else the system's."""
    return Path(environ.get("RUNNER_TEMP") or tempfile.gettempdir()) / f"ciguard-session-{secrets.token_hex(6)}"


async def guard(plan: Plan, argv: tuple[str, ...], directory: Path, announce: Callable[[Notice], None]) -> Outcome:
    """Run ``argv`` behind the guard and record it in ``directory``, which must not exist or be empty."""
    isolation = plan.policy.isolation
    root = workspace_root(plan.cwd)
    with (
        open_scratch(plan.environ, owner(root)) as scratch,
        closing(open_loopback()) as server,
        closing(open_loopback()) as proxy,
    ):
        recorder = Recorder(directory, time.time_ns)
        restored: list[str] = []
        try:
            with _prepared(root, plan, restored) as workspace:
                request = Request.of(plan.environ, root, scratch, directory, isolation.paths)
                protected = workspace.existing if isolation.protected is Protection.READ_ONLY else []
                ports = [shared.getsockname()[1] for shared in (server, proxy)]
                wanted = Wanted(request, ports, protected, isolation.limits)
                with closing(reach(isolation, wanted, plan.environ)) as sandbox:
                    served = sandbox.listening or (server, proxy)
                    place = Place(directory, scratch, workspace, sandbox, served, restored)
                    return await _guard(plan, argv, place, recorder, announce)
        except IsolationUnavailable:
            # Nothing has happened, so there is nothing to look at.
            shutil.rmtree(directory)
            raise
        finally:
            recorder.close()


@contextmanager
def _prepared(root: Path, plan: Plan, restored: list[str]) -> Iterator[Workspace]:
    """The workspace, prepared; what the job needs of it is there again afterwards, whatever happens."""
    secrets = [secret.value for secret in plan.secrets]
    workspace = prepare(root, plan.base, secrets, restored.extend)
    try:
        yield workspace
    finally:
        workspace.conclude(plan.policy.isolation.protected)


async def _guard(
    plan: Plan, argv: tuple[str, ...], place: Place, recorder: Recorder, announce: Callable[[Notice], None]
) -> Outcome:
    sandbox = place.sandbox
    session = secrets.token_hex(16)
    token = TOKEN_PREFIX + secrets.token_urlsafe(32)
    never = [token, *(known.value for known in plan.secrets)]
    originals = Originals(plan.encrypt, recorder, never) if plan.encrypt else None
    placeholders = Placeholders(secrets.token_bytes(32), *([originals.seal] if originals else []))
    known = [*plan.secrets, KnownValue("session-token", token)]
    masker = session_masker(plan.policy.masking, known, placeholders, plan.recognise)
    recorder.write_policy(plan.policy.text)
    recorder.record(_started(plan, session, sandbox.way))

    def mask(text: str) -> str:
        return masker.mask(text).text

    if place.restored:
        recorder.record(event("before", "restored", place.restored, mask))

    failures: list[CiguardError] = []
    running: list[Agent] = []
    ending: list[asyncio.TimerHandle] = []

    def end_agent() -> None:
        for agent in running:
            agent.stop()

    def fail(failure: CiguardError) -> None:
        failures.append(failure)
        end_agent()

    def over(words: str) -> None:
        fail(SessionStopped(words, "raise the limit in the policy if the work needs it"))

    def over_at_once(words: str) -> None:
        over(words)
        for agent in running:
            agent.kill()

    evaluator = Evaluator(plan.policy)

    def hidden(subject: Operation | Result) -> Operation | Result:
        shown, _ = mask_by_rules(dict(subject.body), {subject.kind}, subject.connection, evaluator, placeholders)
        return replace(subject, body=object_of(shown))

    masking = Masking(hidden, mask)
    try:
        approvals = await open_approvals(plan, sandbox.way, session, argv, recorder, masking, announce)
    except CiguardError as error:
        recorder.finish(mask(error.cause), _sign(plan))
        raise
    judge = Judge(
        evaluator,
        approvals.approver,
        recorder,
        Approved(evaluator, str(plan.cwd.absolute())),
        plan.policy.limits.refusals_in_a_row,
        on_notice=announce,
        on_stop=end_agent,
        on_awaiting=lambda: ending.append(asyncio.get_running_loop().call_later(TOGETHER, end_waiting)),
    )

    def end_waiting() -> None:
        if not judge.asking and not judge.stopped:
            judge.stop(judge.awaiting)

    intake = Intake(masker, placeholders, judge, recorder)
    guarding = Guarding(masker, placeholders, judge, intake, recorder, Upstreams(masker), fail)
    try:
        egress = plan.policy.egress
        ca, trust = session_trust(egress, plan.environ, place.scratch)
        serving, proxying = place.served
        async with (
            GuardServer(guarding, plan.connections, token, serving) as server,
            EgressProxy(guarding, egress, token, proxying, guard_ports={server.port}, ca=ca) as proxy,
        ):
            environ = agent_environment(plan, server, token, place.scratch, sandbox.way)
            environ |= {**proxy_variables(proxy.port, token), **trust}
            recorder.record(AgentStarted(argv=[masker.mask(argument).text for argument in argv]))
            commands = Commands(judge, masker, placeholders, recorder, fail)
            async with _disk_limit(plan, place, over_at_once):
                agent = sandbox.start(argv, environ, plan.cwd, commands)
                running.append(agent)
                if wall_time := plan.policy.isolation.limits.wall_time:
                    words = f"the agent ran longer than isolation.limits.wall_time ({wall_time})"
                    asyncio.get_running_loop().call_later(seconds(wall_time), over, words)
                exited = await agent.wait(on_exceeded=over)
    except CiguardError as error:
        await approvals.close(mask(error.cause))
        recorder.finish(mask(error.cause), _sign(plan))
        raise
    finally:
        for timer in ending:
            timer.cancel()
    if approvals.awaited:
        failures.append(_awaited(approvals))
    elif judge.stopped:
        failures.append(
            SessionStopped(judge.stopped, "look at what was refused: ciguard session show lists it with the rules")
        )
    failure = failures[0] if failures else None
    protection = plan.policy.isolation.protected
    if changed := place.workspace.conclude(protection):
        recorder.record(event("after", "restored" if protection is Protection.READ_ONLY else "reported", changed, mask))
    recorder.record(AgentExited(status=exited.status, signal=exited.signal))
    outcome = failure.cause if failure else "the agent ended by itself"
    counts = recorder.counts
    await approvals.close(mask(outcome))
    recorder.finish(outcome, _sign(plan))
    awaiting = tuple(approvals.awaited)
    return Outcome(place.directory, session, outcome, exited, failure, counts, sandbox.way.level, awaiting)


def _awaited(approvals: Approvals) -> ApprovalAwaited:
    count = len(approvals.awaited)
    what = "1 operation waits" if count == 1 else f"{count} operations wait"
    return ApprovalAwaited(f"{what} for approval on {approvals.where}", approvals.then)


def _disk_limit(plan: Plan, place: Place, over: Callable[[str], None]) -> AbstractAsyncContextManager[None]:
    """Watches over what the agent adds on the disk, where the policy bounds it."""
    limits, paths = plan.policy.isolation.limits, plan.policy.isolation.paths
    if limits.disk_bytes is None:
        return nullcontext()
    request = Request.of(plan.environ, place.workspace.root, place.scratch, place.directory, paths)
    folders = [place.workspace.root, place.scratch, *request.written]
    return disk_limited(folders, limits.disk_bytes, place.sandbox.pid, plan.environ, over)


def _sign(plan: Plan) -> Sign | None:
    return partial(signed, plan.signers) if plan.signers else None


def agent_environment(plan: Plan, server: GuardServer, token: str, scratch: Path, way: Way) -> dict[str, str]:
    """The whole environment of the agent. The first connection of a type gets the variables that its agents read."""
    environ = inherited(plan.environ, plan.policy.env, [secret.value for secret in plan.secrets])
    environ |= {"HOME": str(scratch / "home"), "TMPDIR": way.temporary}
    if way.level.strength >= IsolationLevel.LANDLOCK.strength:
        environ["IS_SANDBOX"] = "1"
    for name, connection in reversed(list(plan.connections.items())):
        type_ = connection.declared.type
        environ |= patience(type_, plan.policy.approval.timeout_seconds)
        environ |= connection_variables(name, type_, server.url(name), token)
        if type_ is ConnectionType.OPENAI:
            search = Operation(OperationKind.REMOTE, {"texts": ["tool web_search"]})
            allowed = not remote_refusal(connection.declared.remote, search)
            environ |= write_codex_home(scratch / "codex", server.url(name), "live" if allowed else "disabled")
    return environ


def _started(plan: Plan, session: str, way: Way) -> SessionStarted:
    identity = plan.identity
    lock = "lock-names.sha256" if plan.recognise else "lock.sha256"
    facts = None
    if identity.verified:
        facts = IdentityFacts(issuer=identity.issuer, claims=dict(identity.claims), token_digest=identity.token_digest)
    return SessionStarted(
        session=session,
        tool=f"ciguard {__version__}",
        lock=f"sha256:{Path(__file__).parents[1].joinpath(lock).read_text().strip()}",
        policy=PolicyFacts(digest=plan.policy.digest, source=plan.source),
        identity=facts,
        job=asdict(identity.job) if identity.job else None,
        isolation=IsolationFacts(level=way.level.value, limits=list(way.limits)),
        signing=[signer.announced for signer in plan.signers],
        connections={
            name: ConnectionFacts(type=connection.declared.type.value, upstream=connection.declared.upstream)
            for name, connection in plan.connections.items()
        },
    )


def run_guarded(plan: Plan, argv: tuple[str, ...], directory: Path, announce: Callable[[Notice], None]) -> Outcome:
    """:func:`guard` on an event loop of its own."""
    import gc

    import uvloop

    # What was imported stays: collections need not look at it again and again, nor now for the little that does not.
    gc.freeze()
    gc.enable()
    keep_freed_memory()

    return uvloop.run(guard(plan, argv, directory, announce))

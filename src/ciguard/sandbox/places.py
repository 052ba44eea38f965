"""Where a machine keeps what the agent must not see or change, and the table of files that follows from it."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import ciguard
from ciguard.policy.sections.isolation import IsolationPaths
from ciguard.sandbox.access import Access, access_to, below
from ciguard.sandbox.bubblewrap import TEMPORARY

IN_HOMES = (
    *(".ssh", ".aws", ".docker", ".config/gh", ".config/glab-cli", ".config/hub", ".netrc", ".git-credentials"),
    *(".config/git/credentials", ".gnupg", ".kube", ".azure", ".config/gcloud", ".npmrc", ".yarnrc.yml", ".pypirc"),
    *(
        ".cargo/credentials",
        ".cargo/credentials.toml",
        ".m2/settings.xml",
        ".gradle/gradle.properties",
        ".gem/credentials",
    ),
    *(
        ".composer/auth.json",
        ".terraform.d",
        ".terraformrc",
        ".vault-token",
        ".password-store",
        ".local/share/keyrings",
    ),
    *(
        ".pgpass",
        ".my.cnf",
        ".config/op",
        ".config/containers",
        ".config/rclone",
        ".config/pip",
        ".pip",
        ".bash_history",
    ),
    *(".claude.json", ".claude/.credentials.json", ".claude/projects", ".claude/history.jsonl", ".codex/auth.json"),
    *(".codex/sessions", ".gemini", ".config/github-copilot", ".copilot", ".local/share/opencode"),
)
"""The usual places of credentials, below a home directory."""

OF_THE_MACHINE = (
    *(
        "/etc/shadow",
        "/etc/shadow-",
        "/etc/gshadow",
        "/etc/gshadow-",
        "/etc/sudoers",
        "/etc/sudoers.d",
        "/etc/ssl/private",
    ),
    *("/etc/kubernetes", "/etc/rancher", "/etc/gitlab-runner", "/etc/docker", "/etc/containerd", "/etc/krb5.keytab"),
    *("/var/lib/docker", "/var/lib/containerd", "/var/lib/kubelet", "/var/lib/cloud", "/var/lib/containers"),
    *("/var/spool", "/run", "/secrets", "/kaniko", "/busybox/.docker", "/certs", "/boot", "/sys/firmware"),
    *("/sys/kernel/debug", "/sys/kernel/tracing", "/sys/kernel/security"),
)
"""The usual places of credentials and of services' sockets, and what tells of the kernel."""

DEVICES = tuple(
    f"/dev/{name}"
    for name in ("null", "zero", "full", "random", "urandom", "tty", "ptmx", "pts", "fd", "stdin", "stdout")
)
"""What an agent may use of ``/dev`` where that is the machine's own."""

UNIX_SOCKETS = Path("/proc/net/unix")
MOUNTS = Path("/proc/self/mountinfo")
LISTENING = "00010000"
"""The flag of a listening socket in ``/proc/net/unix`` (__SO_ACCEPTCON)."""


@dataclass(frozen=True, slots=True)
class Request:
    """What the files of a session depend on.

    ``workspace``: the checkout; ``scratch``: what the agent gets for HOME and temporary files; ``session``: the
    record; ``read``, ``write``, ``hide``: the policy's paths, relative ones below the workspace.
    """

    environ: Mapping[str, str]
    workspace: Path
    scratch: Path
    session: Path
    read: Sequence[str] = ()
    write: Sequence[str] = ()
    hide: Sequence[str] = ()

    @staticmethod
    def of(environ: Mapping[str, str], workspace: Path, scratch: Path, session: Path, paths: IsolationPaths) -> Request:
        """A request with the policy's ``paths``."""
        return Request(environ, workspace, scratch, session, paths.read, paths.write, paths.hide)

    @property
    def written(self) -> list[Path]:
        """What the policy lets the agent write besides the workspace, as far as it exists."""
        return [path for path in (_absolute(name, self) for name in self.write) if path.exists()]


def table(request: Request, *, protected: Collection[Path] = ()) -> dict[str, Access]:
    """The access to every place: readable, but for the workspace and what is secret.

    ``protected`` becomes readable only. What the policy names wins over what is usual, hiding over all, and nothing
    gives access to the session's record.
    """
    entries: dict[str, Access] = {"/": Access.READABLE, TEMPORARY: Access.HIDDEN}

    def put(access: Access, paths: Collection[Path] | Iterator[Path]) -> None:
        for path in paths:
            real = os.path.realpath(path)
            if real != "/" and os.path.lexists(real):
                entries[real] = access

    put(Access.HIDDEN, secret_places(request.environ))
    put(Access.READABLE, list(programs(request.environ, entries)))
    put(Access.READABLE, own_code())
    put(Access.WRITABLE, [request.workspace])
    put(Access.READABLE, [_absolute(path, request) for path in request.read])
    put(Access.WRITABLE, [_absolute(path, request) for path in request.write])
    put(Access.READABLE, protected)
    put(Access.WRITABLE, [request.scratch])
    put(Access.HIDDEN, [_absolute(path, request) for path in request.hide])
    put(Access.HIDDEN, [request.session])
    return entries


def without_sockets(entries: Mapping[str, Access]) -> dict[str, Access]:
    """The table with every socket hidden that a service listens on, where files are what keeps the agent from it."""
    hidden = {os.path.realpath(path): Access.HIDDEN for path in service_sockets() if os.path.lexists(path)}
    return {**hidden, **entries}


def with_the_machines_devices(entries: Mapping[str, Access]) -> dict[str, Access]:
    """The table where ``/dev`` is the machine's own: a few devices of it, and nothing else."""
    devices = {path: Access.WRITABLE for path in DEVICES if Path(path).exists() and not Path(path).is_symlink()}
    return {"/dev": Access.HIDDEN, **devices, **entries}


def make_mount_points(entries: Mapping[str, Access], temporary: Path) -> None:
    """Make what will be mounted on below the agent's temporary folder, as this user, who must be able to delete it."""
    for path in entries:
        if below(path, TEMPORARY):
            point = temporary / os.path.relpath(path, TEMPORARY)
            if Path(path).is_dir():
                point.mkdir(parents=True, exist_ok=True)
            else:
                point.parent.mkdir(parents=True, exist_ok=True)
                point.touch()


def children(path: str) -> list[str]:
    """The paths in a directory, without symbolic links; nothing in what is none or cannot be listed."""
    try:
        with os.scandir(path) as found:
            return [entry.path for entry in found if not entry.is_symlink()]
    except (NotADirectoryError, PermissionError, FileNotFoundError):
        return []


def programs(environ: Mapping[str, str], entries: Mapping[str, Access]) -> Iterator[Path]:
    """What the job's PATH names within hidden places: its programs stay usable, with what is installed beside them."""
    for name in environ.get("PATH", "").split(os.pathsep):
        folder = Path(os.path.realpath(name)) if name.startswith("/") else Path("/")
        if access_to(entries, str(folder)) is not Access.HIDDEN or str(folder) in entries:
            continue
        beside = folder.parent
        above = any(key == str(beside) or below(key, str(beside)) for key in entries)
        yield beside if folder.name in ("bin", ".bin") and not above else folder


def own_code() -> list[Path]:
    """Where the launcher and what it runs on are: it must be able to start, and the agent must not change it."""
    return [Path(sys.prefix), Path(sys.base_prefix), Path(ciguard.__file__).parent]


def secret_places(environ: Mapping[str, str]) -> Iterator[Path]:
    """The usual places of credentials on this machine and in this job, whether or not they exist."""
    own = _homes(environ)
    for home in own:
        yield from (home / name for name in IN_HOMES)
    for home in (*map(Path, children("/home")), Path("/root")):
        if home not in own:
            yield home
    yield from map(Path, OF_THE_MACHINE)
    yield from Path("/etc/ssh").glob("ssh_host_*_key")
    if temporary := environ.get("RUNNER_TEMP"):
        yield Path(temporary)
    if project := environ.get("CI_PROJECT_DIR"):
        # GitLab's runner keeps variables of type "file" there.
        yield Path(f"{project}.tmp")
    yield from _runner_installation()


def _homes(environ: Mapping[str, str]) -> list[Path]:
    import pwd

    homes = [environ.get("HOME", "")]
    try:
        homes.append(pwd.getpwuid(os.getuid()).pw_dir)
    except KeyError:
        homes.append("")
    return [Path(home).resolve() for home in homes if home.startswith("/") and home != "/"]


def _absolute(path: str, request: Request) -> Path:
    if path == "~" or path.startswith("~/"):
        return Path(request.environ.get("HOME", "/nonexistent"), path[2:])
    return request.workspace / path


def _runner_installation() -> Iterator[Path]:
    """The folder of the GitHub runner that this job belongs to: it holds the runner's own key."""
    pid = os.getpid()
    while pid > 1:
        try:
            executable = Path(f"/proc/{pid}/exe").readlink()
            status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8", errors="replace")
        except OSError:
            return
        if executable.name.startswith("Runner."):
            yield executable.parent.parent
            return
        pid = int(status.partition("PPid:")[2].split(None, 1)[0])


def service_sockets() -> Iterator[str]:
    """Sockets that services of the machine listen on, mounted ones included, and second views of processes."""
    for line in UNIX_SOCKETS.read_text(encoding="utf-8", errors="replace").splitlines()[1:]:
        fields = line.split(None, 7)
        if len(fields) == 8 and fields[3] == LISTENING and fields[7].startswith("/"):
            yield fields[7]
    for line in MOUNTS.read_text(encoding="utf-8", errors="replace").splitlines():
        fields = line.split()
        point = fields[4].encode("latin-1").decode("unicode_escape")
        kind = fields[fields.index("-") + 1]
        if (kind == "proc" and point != "/proc") or _is_socket(point):
            yield point


def _is_socket(path: str) -> bool:
    try:
        return stat.S_ISSOCK(Path(path).stat().st_mode)
    except OSError:
        return False

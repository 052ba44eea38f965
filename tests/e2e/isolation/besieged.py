"""A job with secrets, services and neighbours, and an attacker as its agent."""

from __future__ import annotations

import json
import os
import shutil
import socket
import stat
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ciguard
from ciguard.sandbox.confining import effective_capabilities
from ciguard.sandbox.levels import CAP_SYS_ADMIN
from ciguard.session.reading import Session, open_session

ATTACKER = Path(__file__).with_name("attacker.py")
CREDENTIAL = "sk-ant-api03-besieged-" + "Zb4xQ9" * 8
CANARY = "canary-of-a-later-step-" + "7Gk2" * 6
CHECKOUT = "AUTHORIZATION: basic Y2hlY2tvdXQ6dG9rZW4="
POLICY = """\
version: 1
isolation: {{require: {level}, prefer: {level}, paths: {{read: ["{scripts}"]}}}}
limits: {{refusals_in_a_row: 1000}}
connections:
  claude: {{type: anthropic, credential: {{env: UPSTREAM_KEY}}, upstream: "http://127.0.0.1:9"}}
"""
TOUCHED = (".git/hooks/post-checkout", ".git/config", ".github/workflows/new.yml", "CLAUDE.md", ".mcp.json")
ORDINARY = 12345
"""A user that the machine does not know."""

DOCKERS = (
    *("chown", "dac_override", "fowner", "fsetid", "kill", "setgid", "setuid", "setpcap", "setfcap", "audit_write"),
    *("net_bind_service", "net_raw", "sys_chroot", "mknod"),
)
"""The capabilities of a container that is not privileged."""


@dataclass(frozen=True, slots=True)
class Host:
    """Who runs the job: what to put before a command, and the user's number."""

    name: str
    prefix: tuple[str, ...]
    uid: int

    @property
    def is_root(self) -> bool:
        """Whether the job's user is root."""
        return self.uid == 0


SUDOER = f"""\
mount -t tmpfs none /mnt && cd /mnt && mkdir sudoers.d
{{ cat /etc/passwd; echo 'worker:x:{ORDINARY}:{ORDINARY}::/var/tmp:/bin/sh'; }} > passwd
{{ cat /etc/shadow; echo 'worker:*:19000:0:99999:7:::'; }} > shadow
echo 'worker ALL=(ALL) NOPASSWD: ALL' > sudoers.d/worker
chmod 0440 sudoers.d/worker shadow
for place in passwd shadow sudoers.d; do mount --bind "$place" "/etc/$place" || exit; done
cd "$OLDPWD" && exec "$@"
"""
"""Makes the ordinary user one that has sudo without a password, as on hosted runners, in a mount namespace alone."""


SUDOERS = Path("/etc/sudoers.d")
"""Where sudo is installed, and nowhere else."""


def hosts() -> list[Host]:
    """Everybody whom the user of these tests can be."""
    if os.getuid() != 0:
        return [Host("user", (), os.getuid())]
    drop = "+" + ",+".join(DOCKERS)
    containers = ("setpriv", f"--bounding-set=-all,{drop}", f"--inh-caps=-all,{drop}", "--")
    nothing = ("setpriv", "--bounding-set=-all", "--inh-caps=-all", "--")
    user = ("setpriv", f"--reuid={ORDINARY}", f"--regid={ORDINARY}", "--clear-groups", "--")
    sudoer = ("unshare", "--mount", "sh", "-c", SUDOER, "sh", *user)
    with_sudo = SUDOERS.is_dir() and CAP_SYS_ADMIN in effective_capabilities()
    return [
        Host("root", (), 0),
        Host("root in a user's workspace", (), ORDINARY),
        Host("root in a container", containers, 0),
        Host("root without capabilities", nothing, 0),
        Host("user", user, ORDINARY),
        *([Host("user with sudo", sudoer, ORDINARY)] if with_sudo else []),
    ]


@dataclass(frozen=True, slots=True)
class Fought:
    """How it went: each attack with what came of it (empty: it worked), what reached the machine, and the record."""

    results: Mapping[str, str]
    reached: frozenset[str]
    errors: str
    workspace: Path
    session: Session
    outside: Path


class Machine:
    """Listeners of the machine that an agent should not reach."""

    def __init__(self, folder: Path) -> None:
        self.reached: set[str] = set()
        self._stack = ExitStack()
        self.tcp = self._serve("TCP", socket.AF_INET, ("127.0.0.1", 0))
        self.tcp6 = self._serve("TCP over IPv6", socket.AF_INET6, ("::1", 0))
        self.abstract = f"ciguard-test-{os.getpid()}-{id(self)}"
        self._serve("abstract socket", socket.AF_UNIX, "\0" + self.abstract)
        self.service = str(folder / "service.sock")
        self._serve("socket of a service", socket.AF_UNIX, self.service)
        Path(self.service).chmod(0o777)
        datagrams = self._stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        datagrams.bind(("127.0.0.1", 0))
        self.udp: int = datagrams.getsockname()[1]
        self._run(self._answer, datagrams)

    def _serve(self, name: str, family: int, address: Any) -> Any:
        listening = self._stack.enter_context(socket.socket(family, socket.SOCK_STREAM))
        listening.bind(address)
        listening.listen()
        self._run(self._accept, name, listening)
        return listening.getsockname()[1] if family != socket.AF_UNIX else address

    def _run(self, what: Any, *arguments: Any) -> None:
        threading.Thread(target=what, args=arguments, daemon=True).start()

    def _accept(self, name: str, listening: socket.socket) -> None:
        while True:
            try:
                accepted, _ = listening.accept()
            except OSError:
                return
            self.reached.add(name)
            with accepted:
                accepted.sendall(b"reached\n")

    def _answer(self, datagrams: socket.socket) -> None:
        while True:
            try:
                _, sender = datagrams.recvfrom(100)
            except OSError:
                return
            self.reached.add("UDP")
            datagrams.sendto(b"reached\n", sender)

    def meet(self, workspace: Path, over: threading.Event) -> None:
        """Do what an accomplice outside would: listen on the guard's port elsewhere, and connect to what listens."""
        waiting = {"port", "served"}
        while waiting and not over.wait(0.01):
            for name in sorted(waiting):
                if not (told := workspace / name).exists() or not told.read_text().endswith("\n"):
                    continue
                waiting.discard(name)
                number = int(told.read_text())
                if name == "port":
                    # Nobody else's: a connection that has ended keeps its port at its address for a minute.
                    address = f"127.{'.'.join(str(1 + part % 254) for part in os.urandom(3))}"
                    self._serve("guard's port elsewhere", socket.AF_INET, (address, number))
                    (workspace / "listening").write_text(f"{address}\n")
                    continue
                with socket.socket() as outside:
                    if outside.connect_ex(("127.0.0.1", number)) == 0:
                        self.reached.add("being connected to")

    def close(self) -> None:
        """Stop listening."""
        self._stack.close()


def offered(host: Host) -> dict[str, list[str]]:
    """The levels that this machine offers to ``host``, with what ``ciguard doctor`` says of each."""
    with place(host) as folder:
        if host.uid != os.getuid():
            os.chown(folder, host.uid, host.uid)
        told = subprocess.run(
            [*host.prefix, interpreter(host), "-m", "ciguard", "doctor", "--json"],
            cwd=folder,
            env={"PATH": os.environ["PATH"], "HOME": str(folder), "PYTHONPATH": os.pathsep.join(modules())},
            capture_output=True,
            text=True,
            check=True,
        )
    return {
        finding["name"]: finding["words"]
        for finding in json.loads(told.stdout)
        if finding["subject"] == "isolation" and finding["available"]
    }


def besieged(host: Host, level: str) -> Fought:
    """Run the attacker behind the guard at ``level`` as ``host``."""
    with place(host) as folder:
        return _fight(host, level, folder)


@contextmanager
def place(host: Host) -> Iterator[Path]:
    """A folder of the job's user, which others can enter."""
    folder = Path(tempfile.mkdtemp(prefix="ciguard-siege-", dir="/var/tmp"))
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


def _fight(host: Host, level: str, folder: Path) -> Fought:
    workspace, home, temp, outside, session = (
        folder / name for name in ("workspace", "home", "temp", "outside", "session")
    )
    for path, text in {
        workspace / ".ciguard.yml": POLICY.format(level=level, scripts=ATTACKER.parent),
        workspace / "CLAUDE.md": "Be kind.\n",
        home / ".ssh/id_ed25519": "key",
        home / ".aws/credentials": "key",
        home / ".bashrc": "",
        temp / "set_env": "",
        outside / "tool": "",
    }.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    subprocess.run(["git", "init", "--quiet", workspace], check=True)
    with (workspace / ".git/config").open("a") as config:
        config.write(f'[http "https://example.com/"]\n\textraheader = {CHECKOUT}\n')
    setuid = folder / "become-root"
    shutil.copy("/usr/bin/id", setuid)
    for path in (folder, *folder.rglob("*")):
        if host.uid != os.getuid():
            os.chown(path, host.uid, host.uid, follow_symlinks=False)
    setuid_owner = (0, 0) if os.getuid() == 0 else (-1, -1)
    os.chown(setuid, *setuid_owner)
    setuid.chmod(0o4755)
    machine, over = Machine(folder), threading.Event()
    threading.Thread(target=machine.meet, args=(workspace, over), daemon=True).start()
    environ = {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "UPSTREAM_KEY": CREDENTIAL,
        "RUNNER_TEMP": str(temp),
        "ACTIONS_ID_TOKEN_REQUEST_URL": f"http://127.0.0.1:{machine.tcp}",
        "ACTIONS_ID_TOKEN_REQUEST_TOKEN": "token-of-the-job-1234",
        "PYTHONPATH": os.pathsep.join(modules()),
    }
    victim = subprocess.Popen(
        [*host.prefix, "sh", "-c", "echo; exec sleep 300"],
        env={**environ, "CANARY": CANARY},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
    )
    try:
        assert victim.stdout is not None
        victim.stdout.readline()
        plan = {
            "canary": CANARY,
            "victim": victim.pid,
            "secrets": [CREDENTIAL, "token-of-the-job-1234"],
            "variables": ["ACTIONS_ID_TOKEN_REQUEST_URL", "ACTIONS_ID_TOKEN_REQUEST_TOKEN", "GITHUB_ENV"],
            "home": str(home),
            "runner_temp": str(temp),
            "session": str(session),
            "checkout_secret": CHECKOUT,
            "setuid": str(setuid),
            "service": machine.service,
            "outside": str(outside),
            "tcp": machine.tcp,
            "tcp6": machine.tcp6,
            "udp": machine.udp,
            "abstract": machine.abstract,
            "touched": TOUCHED,
        }
        (workspace / "plan.json").write_text(json.dumps(plan))
        python = interpreter(host)
        guard = [*host.prefix, python, "-m", "ciguard", "run", "--identity", "none", "--session-dir", str(session)]
        ran = subprocess.run(
            [*guard, "--", python, str(ATTACKER), "plan.json"],
            cwd=workspace,
            env=environ,
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            check=False,
            timeout=120,
        )
    finally:
        victim.kill()
        victim.communicate()
        over.set()
        machine.close()
    assert ran.returncode == 0, ran.stderr + ran.stdout
    kept = Path(tempfile.mkdtemp(prefix="ciguard-fought-"))
    for name in ("workspace", "session", "outside"):
        shutil.copytree(folder / name, kept / name, symlinks=True, ignore=shutil.ignore_patterns("*.sock"))
    return Fought(
        json.loads(ran.stdout.splitlines()[-1]),
        frozenset(machine.reached),
        ran.stderr,
        kept / "workspace",
        open_session(kept / "session"),
        kept / "outside",
    )


def interpreter(host: Host) -> str:
    """A Python that ``host`` may execute: the tests' own, or the system's of the same version."""
    if host.uid == os.getuid() or _open_to_all(Path(sys.executable).resolve()):
        return sys.executable
    name = f"python{sys.version_info.major}.{sys.version_info.minor}"
    found = shutil.which(name, path="/usr/local/bin:/usr/bin")
    assert found is not None, f"another user cannot run {sys.executable}, and there is no {name} for everybody"
    return found


def modules() -> Sequence[str]:
    """Where ciguard and what it needs are, for a Python that is not of the tests' environment."""
    import pydantic

    return [str(Path(module.__file__ or "").parents[1]) for module in (ciguard, pydantic)]


def _open_to_all(path: Path) -> bool:
    return all(part.stat().st_mode & stat.S_IXOTH for part in (path, *path.parents))

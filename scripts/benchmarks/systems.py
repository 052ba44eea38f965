"""The systems that are compared: how each is started in front of the upstream, and how it is stopped."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from scripts.benchmarks.client import Client
from scripts.benchmarks.process import tree

ROOT = Path(__file__).parents[2]
CACHE = ROOT / ".cache" / "bench"
CIGUARD = Path(sys.executable).with_name("ciguard")
KEY = "upstream-key-0123456789abcdef"
PATIENCE = 90
"""Seconds within which a system has to answer its first request."""

PEERS = {"mitmproxy": "mitmproxy", "litellm": "litellm[proxy]"}
"""What pip installs for each peer, into an environment of its own."""

_AGENT = (
    "import os, sys; e = os.environ; "
    "print(os.getpid(), e['ANTHROPIC_BASE_URL'], e['ANTHROPIC_API_KEY'], flush=True); sys.stdin.read()"
)
# What pip installs is compiled, and what runs from a checkout the second time, unless it is told not to be.
_WITHOUT = {"GITHUB_ACTIONS", "GITLAB_CI", "PYTHONDONTWRITEBYTECODE"}
_ENVIRONMENT = {name: value for name, value in os.environ.items() if name not in _WITHOUT}


class Unavailable(Exception):
    """The system is not installed; the message says how to install it."""


@dataclass(frozen=True, slots=True)
class Launched:
    """A started system: its process, none for the upstream itself, and how to speak to it.

    ``without`` are processes below it that are not its own.
    """

    process: subprocess.Popen[str] | None
    url: str
    headers: dict[str, str]
    without: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class System:
    """One way to the upstream; ``launch`` gets the upstream's URL and a folder for its files."""

    name: str
    launch: Callable[[str, Path], Launched]


@dataclass(frozen=True, slots=True)
class Running:
    """A system that has answered its first request, ``start`` seconds after it was started."""

    name: str
    launched: Launched
    client: Client
    processes: tuple[int, ...]
    start: float

    def stop(self) -> None:
        """End it and wait until it is gone."""
        self.client.close()
        process = self.launched.process
        if process is None:
            return
        if process.stdin is not None:
            process.stdin.close()
        else:
            process.terminate()
        process.wait(30)
        if process.stdout is not None:
            process.stdout.close()


def run(system: System, upstream: str, scratch: Path, first: bytes) -> Running:
    """Start ``system`` and ask it ``first`` until it answers."""
    started = time.monotonic()
    launched = system.launch(upstream, scratch)
    client = _answering(system, launched, first, started + PATIENCE)
    start = time.monotonic() - started
    processes = () if launched.process is None else tree(launched.process.pid, launched.without)
    return Running(system.name, launched, client, processes, start)


def _answering(system: System, launched: Launched, first: bytes, until: float) -> Client:
    while True:
        try:
            client = Client(system.name, launched.url, launched.headers)
            client.ask(first)
        except OSError as error:
            ended = launched.process is not None and launched.process.poll() is not None
            if ended or time.monotonic() > until:
                if launched.process is not None:
                    launched.process.kill()
                raise RuntimeError(f"{system.name} does not answer: {error}") from error
            time.sleep(0.002)
        else:
            return client


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port: int = taken.getsockname()[1]
    return port


def _line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None  # noqa: S101 - every caller opens it
    return process.stdout.readline().strip()


def _direct(upstream: str, scratch: Path) -> Launched:
    del scratch
    return Launched(None, upstream, {"x-api-key": KEY})


_NGINX = """\
worker_processes 1;
daemon off;
pid {scratch}/nginx.pid;
error_log {scratch}/nginx.log;
events {{ }}
http {{
    access_log off;
    client_body_temp_path {scratch};
    proxy_temp_path {scratch};
    fastcgi_temp_path {scratch};
    uwsgi_temp_path {scratch};
    scgi_temp_path {scratch};
    client_max_body_size 64m;
    upstream model {{ server {upstream}; keepalive 8; keepalive_requests 1000000; }}
    server {{
        listen 127.0.0.1:{port};
        keepalive_requests 1000000;
        location / {{
            proxy_pass http://model;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_buffering off;
            proxy_request_buffering off;
        }}
    }}
}}
"""


def _nginx(upstream: str, scratch: Path) -> Launched:
    program = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")
    if program is None:
        raise Unavailable("install nginx, on Debian: apt-get install nginx-light")
    port = _free_port()
    settings = scratch / "nginx.conf"
    host = upstream.removeprefix("http://")
    settings.write_text(_NGINX.format(scratch=scratch, upstream=host, port=port), encoding="utf-8")
    log = str(scratch / "nginx.log")
    process = subprocess.Popen([program, "-e", log, "-c", str(settings), "-p", str(scratch)], text=True)
    return Launched(process, f"http://127.0.0.1:{port}", {"x-api-key": KEY})


def _passthrough(upstream: str, scratch: Path) -> Launched:
    del scratch
    command = [sys.executable, "-m", "scripts.benchmarks.passthrough", upstream]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    return Launched(process, f"http://127.0.0.1:{_line(process)}", {"x-api-key": KEY})


_POLICY = """\
version: 1
extends: [ciguard:standard]
connections:
  claude: {{type: anthropic, upstream: "{upstream}", credential: {{env: BENCH_KEY}}}}
isolation: {{require: none, prefer: none}}
"""


def guarded(scratch: Path, upstream: str, *command: str) -> list[str]:
    """The command line that guards ``command``, with the standard preset."""
    (scratch / "policy.yml").write_text(_POLICY.format(upstream=upstream), encoding="utf-8")
    session = scratch / f"session-{time.monotonic_ns()}"
    options = ["--policy", "policy.yml", "--session-dir", str(session), "--identity", "none"]
    return [str(CIGUARD), "run", *options, "--", *command]


def guard_environment() -> dict[str, str]:
    """The guard's environment: outside of CI, with the upstream's credential."""
    return _ENVIRONMENT | {"BENCH_KEY": KEY}


def _ciguard(upstream: str, scratch: Path) -> Launched:
    process = subprocess.Popen(
        guarded(scratch, upstream, sys.executable, "-c", _AGENT),
        cwd=scratch,
        env=guard_environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    agent, url, token = _line(process).split()
    return Launched(process, url, {"x-api-key": token}, frozenset({int(agent)}))


def _peer(name: str, program: str) -> Path:
    path = CACHE / name / "bin" / program
    if not path.exists():
        raise Unavailable(f"scripts/bench --peers installs {name}")
    return path


def install(packages: Mapping[str, str]) -> None:
    """Put each of ``packages`` (its name, and what pip installs) into an environment of its own, unless it is there."""
    for name, requirement in packages.items():
        home = CACHE / name
        if not (home / "installed").exists():
            print(f"installing {name}", file=sys.stderr)
            subprocess.run([sys.executable, "-m", "venv", "--clear", str(home)], check=True)
            pip = [str(home / "bin" / "python"), "-m", "pip", "install", "-qq", "--disable-pip-version-check"]
            subprocess.run([*pip, requirement], check=True)
            (home / "installed").touch()


def versions(packages: Iterable[str]) -> dict[str, str]:
    """The version of each of the installed ``packages``."""
    question = "import importlib.metadata, sys; print(importlib.metadata.version(sys.argv[1]))"
    found = {}
    for name in packages:
        command = [str(_peer(name, "python")), "-c", question, name]
        found[name] = subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
    return found


def _mitmdump(upstream: str, scratch: Path, *options: str) -> Launched:
    port = _free_port()
    settings = ["flow_detail=0", f"confdir={scratch}", "listen_host=127.0.0.1"]
    command = [
        str(_peer("mitmproxy", "mitmdump")),
        "--quiet",
        "--mode",
        f"reverse:{upstream}",
        "--listen-port",
        str(port),
    ]
    for setting in settings:
        command += ["--set", setting]
    process = subprocess.Popen([*command, *options], text=True)
    return Launched(process, f"http://127.0.0.1:{port}", {"x-api-key": KEY})


def _mitmproxy(upstream: str, scratch: Path) -> Launched:
    return _mitmdump(upstream, scratch, "--set", "stream_large_bodies=1")


def _mitmproxy_masking(upstream: str, scratch: Path) -> Launched:
    return _mitmdump(upstream, scratch, "--scripts", str(Path(__file__).with_name("masking_addon.py")))


_LITELLM = """\
model_list:
  - model_name: claude-sonnet-4-6
    litellm_params: {{model: anthropic/claude-sonnet-4-6, api_base: "{upstream}", api_key: os.environ/BENCH_KEY}}
general_settings: {{master_key: os.environ/BENCH_MASTER_KEY}}
"""


def _litellm(upstream: str, scratch: Path) -> Launched:
    settings = scratch / "litellm.yml"
    settings.write_text(_LITELLM.format(upstream=upstream), encoding="utf-8")
    port = _free_port()
    token = "sk-bench-0123456789"
    process = subprocess.Popen(
        [str(_peer("litellm", "litellm")), "--config", str(settings), "--host", "127.0.0.1", "--port", str(port)],
        env=guard_environment() | {"BENCH_MASTER_KEY": token, "LITELLM_LOCAL_MODEL_COST_MAP": "True"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    return Launched(process, f"http://127.0.0.1:{port}", {"authorization": f"Bearer {token}"})


DIRECT = System("direct", _direct)
PASSTHROUGH = System("aiohttp pass-through", _passthrough)
GUARD = System("ciguard, standard preset", _ciguard)
OWN = (DIRECT, System("nginx", _nginx), PASSTHROUGH, GUARD)
WITH_PEERS = (
    *OWN,
    System("mitmproxy", _mitmproxy),
    System("mitmproxy, masking addon", _mitmproxy_masking),
    System("LiteLLM proxy", _litellm),
)

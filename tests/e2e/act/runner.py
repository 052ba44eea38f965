"""Runs a GitHub workflow on this machine with act: real runner semantics, no Docker.

Left out: GitHub's own services. The job's identity comes from ``ciguard.testing``; the actions that the action
under test uses are the stand-ins beside this file; actions/checkout is act's own copy of the workspace.
"""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import SystemRandom
from typing import Any

STAND_INS = Path(__file__).parent
CIGUARD = "acme/ciguard@v1"
"""How the tests' workflows name the action under test."""
RELEASE = "acme/ciguard@0123456789abcdef0123456789abcdef01234567"
"""How the workflows of the documentation do."""
JOB_VARIABLE = re.compile(r"(GITHUB|GITLAB|ACTIONS|RUNNER|CI)_|INPUT_|CIGUARD_")
"""Variables of a job that the tests themselves may be running in."""
USES = re.compile(r"uses: (?P<repository>[\w.-]+/[\w.-]+)(?P<path>(/[\w.-]+)*)@(?P<ref>[0-9a-f]{40})")


@dataclass(frozen=True, slots=True)
class Finished:
    """A workflow run that has ended. A step is named by its id; one inside a composite action as ``caller/step``.

    ``log`` is what the steps printed, ``results`` holds ``success``, ``failure`` or ``skipped`` for each step that
    had a turn, ``outputs`` what each step set, ``summary`` the job summary, ``artifacts`` the zip of each artifact.
    """

    status: int
    log: str
    results: Mapping[str, str]
    outputs: Mapping[str, Mapping[str, str]]
    summary: str
    artifacts: Mapping[str, Path]


@dataclass(frozen=True, slots=True)
class Runner:
    """Runs workflows that use the action in ``action``; what a run leaves behind is under ``scratch``.

    ``addresses`` are variables of the runner that say where the forge is, and which run this is of it.
    """

    action: Path
    cache: Path
    scratch: Path
    addresses: Mapping[str, str] = field(default_factory=dict)

    def run(
        self,
        workspace: Path,
        event: str,
        payload: Mapping[str, Any],
        variables: Mapping[str, str],
        secrets: Mapping[str, str] | None = None,
    ) -> Finished:
        """Run the workflow of ``workspace``, a git repository, for ``event``.

        ``variables`` are the job's own, and ``secrets`` those of the repository; ``GITHUB_TOKEN`` is the job's token.
        """
        home = self.scratch / "home"
        artifacts = self.scratch / "artifacts"
        home.mkdir(exist_ok=True)
        event_file = self.scratch / "event.json"
        event_file.write_text(json.dumps(payload), encoding="utf-8")
        environment = {name: value for name, value in os.environ.items() if not JOB_VARIABLE.match(name)}
        environment |= {"HOME": str(home), "CACHE_STORE": str(self.cache), "PIP_CACHE_DIR": str(self.cache / "pip")}
        command = [
            str(Path(sys.executable).with_name("act")),
            event,
            "--json",
            *("--platform", "ubuntu-latest=-self-hosted"),
            *("--platform", "ubuntu-24.04=-self-hosted"),
            *("--directory", str(workspace)),
            *("--eventpath", str(event_file)),
            *("--actor", "octocat"),
            *("--artifact-server-path", str(artifacts)),
            *("--artifact-server-addr", "127.0.0.1"),
            *("--artifact-server-port", str(free_port())),
            "--no-cache-server",
        ]
        for name, address in self.addresses.items():
            command += ["--env", f"{name}={address}"]
        for name, folder in self.local_actions().items():
            command += ["--local-repository", f"{name}={folder}"]
        for name in secrets or {}:
            command += ["--secret", name]
        finished = subprocess.run(
            command,
            env={**environment, **variables, **(secrets or {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        return read(finished, artifacts)

    def local_actions(self) -> dict[str, Path]:
        """Every action that a workflow may use, as ``owner/name@ref``, and the folder that act takes it from."""
        folders = {CIGUARD: self.action, RELEASE: self.action}
        for uses in USES.finditer((self.action / "action.yml").read_text(encoding="utf-8")):
            folders[f"{uses['repository']}@{uses['ref']}"] = STAND_INS / uses["repository"].partition("/")[2]
        return folders


def read(finished: subprocess.CompletedProcess[str], artifacts: Path) -> Finished:
    """What act's JSON lines say about the run."""
    log: list[str] = []
    results: dict[str, str] = {}
    outputs: dict[str, dict[str, str]] = {}
    summary = ""
    for line in finished.stdout.splitlines():
        if not line.startswith("{"):
            log.append(f"{line}\n")
            continue
        entry = json.loads(line)
        step = "/".join(entry.get("stepID", ()))
        if entry.get("raw_output"):
            log.append(entry["msg"])
        elif entry.get("command") == "summary":
            summary += entry["content"]
        elif entry.get("command") == "set-output":
            outputs.setdefault(step, {})[entry["name"]] = entry["arg"]
        elif entry.get("command") or entry["level"] == "error":
            log.append(entry["msg"])
        if "stepResult" in entry and entry.get("stage") == "Main":
            results[step] = entry["stepResult"]
    return Finished(
        status=finished.returncode,
        log="".join(log),
        results=results,
        outputs=outputs,
        summary=summary,
        artifacts={archive.stem: archive for archive in artifacts.glob("*/*/*.zip")},
    )


def free_port() -> int:
    """A TCP port of the loopback address that nothing listens on now; act cannot choose one itself.

    None of those that connections get by themselves, one of which could take it before act does.
    """
    while True:
        port = SystemRandom().randrange(20_000, 30_000)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port

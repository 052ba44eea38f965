"""Runs a GitLab pipeline on this machine with gitlab-ci-local: the component's own YAML, in a shell, without Docker.

Left out: GitLab's own services. It is ``server.py`` that the job fetches from and writes to; the runner puts the
component where gitlab-ci-local looks for what it has downloaded, mints the identity tokens that the job declares, and
gives what GitLab alone knows as variables: the commit that the component is at, and the job's predefined variables.
Reports are not collected, only ``artifacts:paths``; variables are not masked in the log.
"""

from __future__ import annotations

import asyncio
import io
import json
import os
import re
import signal
import subprocess
import tarfile
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from ruamel.yaml import YAML

from ciguard.testing.gitlab_job import GitLabJob, MergeRequest, gitlab_job
from ciguard.testing.issuer import Issuer
from tests.e2e.act.runner import JOB_VARIABLE
from tests.e2e.gitlab.server import GitLabServer
from tests.e2e.repository import ROOT, Repository

HERE = Path(__file__).parent
COMMAND = (
    str(ROOT / "tests/e2e/agents/node_modules/.bin/gitlab-ci-local"),
    *("--state-dir", "../../state"),
    *("--variables-file", "../../variables.yml"),
    "--force-shell-executor",
    "--no-shell-isolation",
)
"""In the checkout; so the runner's own files are beside the folder that it is in."""
PROJECT = "acme/platform/shop"
COMPONENT = "acme/ciguard"
VERSION = "1.0.0"
JOB = "agent"
"""The job that the component's default name makes."""

PYTHON = """\
#!/usr/bin/env bash
# The job's Python. The first job installs the guard with it, as every job does; later ones get what that one installed.
installed={installed}
[[ $* == *" -m venv "* || $* == *" -m pip "* ]] || exec python3 "$@"
if [[ ! -d $installed ]]; then
    python3 "$@" || exit
    [[ $* != *" --no-deps "* ]] || cp -al "$CIGUARD_HOME/venv" "$installed"
    exit 0
fi
case $* in
*" -m venv "*) cp -al "$installed" "${{!#}}" ;;
*" download "*) mkdir "$CIGUARD_HOME/packages" ;;
esac
"""


@dataclass(frozen=True, slots=True)
class Finished:
    """A job that has ended: its script's exit status, its log, its artifact's folder and its checkout."""

    status: int
    log: str
    artifact: Path
    checkout: Repository
    said: str

    def kept(self) -> set[str]:
        """What the artifact has, by the names at its top."""
        return {path.name for path in self.artifact.iterdir()} if self.artifact.exists() else set()


@dataclass(frozen=True, slots=True)
class Running:
    """A job under way."""

    process: asyncio.subprocess.Process
    state: Path
    checkout: Repository

    def processes(self) -> dict[int, list[str]]:
        """What the job's script has started, without the runner's own shell: argument vectors by process id."""
        parents: dict[int, int] = {}
        for stat in Path("/proc").glob("[0-9]*/stat"):
            try:
                parents[int(stat.parent.name)] = int(stat.read_text().rpartition(")")[2].split()[1])
            except (FileNotFoundError, ProcessLookupError):
                continue
        shells = {pid for pid, parent in parents.items() if parent == self.process.pid}
        found: dict[int, list[str]] = {}
        above = shells
        while above := {pid for pid, parent in parents.items() if parent in above}:
            found |= {pid: arguments(pid) for pid in above}
        return found

    def guard(self) -> int:
        """The process id of the guard."""
        [guard] = [pid for pid, argv in self.processes().items() if argv[1:5] == ["-I", "-m", "ciguard", "run"]]
        return guard

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to every process of the script, as GitLab's runner does to end it."""
        for pid in self.processes():
            with suppress(ProcessLookupError):
                os.kill(pid, number)

    async def abandon(self) -> None:
        """End it without waiting for what it would still do."""
        if self.process.returncode is None:
            self.signal(signal.SIGKILL)
            self.process.kill()
            await self.process.communicate()

    async def ended(self) -> Finished:
        """Wait for the end of the job, after_script and the collection of its artifact included."""
        async with asyncio.timeout(240):
            output, _ = await self.process.communicate()
        said = output.decode()
        failed = re.search(rf"^{JOB} .*FAIL (\d+) *$", said, re.MULTILINE)
        assert failed or self.process.returncode == 0, said
        log = (self.state / "output" / f"{JOB}.log").read_text()
        return Finished(int(failed[1]) if failed else 0, log, self.state / "artifacts" / JOB, self.checkout, said)


def arguments(pid: int) -> list[str]:
    """The argument vector of a process; empty when it is over."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().split("\0")[:-1]
    except (FileNotFoundError, ProcessLookupError):
        return []


@dataclass(frozen=True, slots=True)
class Runner:
    """Runs the pipelines of a project in ``forge``. ``commit`` is where the component is.

    ``installed`` is where the first job's installation is kept for later jobs.
    """

    forge: GitLabServer
    issuer: Issuer
    scratch: Path
    installed: Path
    commit: str

    def python(self) -> Path:
        """The Python for the component's input of this name."""
        path = self.scratch / "python"
        path.write_text(PYTHON.format(installed=self.installed))
        path.chmod(0o755)
        return path

    async def start(
        self,
        sha: str,
        variables: Mapping[str, str],
        merge_request: MergeRequest | None,
        *,
        without: Collection[str],
        prefix: Sequence[str],
    ) -> Running:
        """Run the pipeline for commit ``sha``, for ``merge_request`` if one is given.

        ``variables`` are the project's own; of all variables the job gets none of ``without``. ``prefix`` starts
        gitlab-ci-local.
        """
        job = gitlab_job(self.issuer, project=PROJECT, sha=sha, merge_request=merge_request)
        checkout = self._check_out(job.environ["CI_JOB_TOKEN"], sha)
        state = self.scratch / "state"
        self._download(state / "includes/127.0.0.1" / COMPONENT / VERSION)
        given = {**job.environ, **self._predefined(job, checkout), **variables}
        self._write(given, without)
        given |= self._identity_tokens(job, checkout)
        self._write(given, without)
        process = await asyncio.create_subprocess_exec(
            *prefix,
            *COMMAND,
            cwd=checkout.path,
            env=self._environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        return Running(process, state, checkout)

    def _check_out(self, job_token: str, sha: str) -> Repository:
        """The job's checkout, as GitLab's runner makes it: detached, with the job token in the address of origin."""
        self.forge.job_tokens.add(job_token)
        checkout = Repository(self.scratch / "builds/shop")
        checkout.path.mkdir(parents=True)
        checkout.git("init", "--quiet")
        checkout.git("remote", "add", "origin", f"{self._with(job_token)}/{PROJECT}.git")
        checkout.git("fetch", "--quiet", "--no-tags", "origin", sha)
        checkout.git("checkout", "--quiet", "--detach", sha)
        return checkout

    def _with(self, job_token: str) -> str:
        return self.forge.url.replace("://", f"://gitlab-ci-token:{job_token}@")

    def _download(self, place: Path) -> None:
        """What the component's version has, in the place of downloads: GitLab reads components by itself."""
        repository = self.forge.repositories / f"{COMPONENT}.git"
        packed = subprocess.run(
            ["git", "archive", "--format=tar", VERSION, "templates"], cwd=repository, capture_output=True, check=True
        )
        with tarfile.open(fileobj=io.BytesIO(packed.stdout)) as archive:
            archive.extractall(place, filter="data")

    def _predefined(self, job: GitLabJob, checkout: Repository) -> dict[str, str]:
        token = job.environ["CI_JOB_TOKEN"]
        return {
            "CI_SERVER_URL": self.forge.url,
            "CI_API_V4_URL": self.forge.api,
            "CI_PROJECT_DIR": str(checkout.path),
            "CI_REPOSITORY_URL": f"{self._with(token)}/{PROJECT}.git",
            "CI_REGISTRY_PASSWORD": token,
            "CI_DEPENDENCY_PROXY_PASSWORD": token,
            "CIGUARD_COMPONENT": f"{self.forge.url.removeprefix('http://')}/{COMPONENT}/{JOB}@{VERSION}",
            "CIGUARD_COMMIT": self.commit,
        }

    def _identity_tokens(self, job: GitLabJob, checkout: Repository) -> dict[str, str]:
        """A token for each of the job's ``id_tokens``."""
        preview = subprocess.run(
            [*COMMAND, "--preview", "--no-json-schema-validation"],
            cwd=checkout.path,
            env=self._environment(),
            capture_output=True,
            text=True,
            check=True,
        )
        _, _, expanded = preview.stdout.partition("---\n")
        declared = YAML(typ="safe", pure=True).load(expanded)[JOB]["id_tokens"]
        return {name: self.issuer.mint(job.claims, audience=token["aud"]) for name, token in declared.items()}

    def _write(self, variables: Mapping[str, str], without: Collection[str]) -> None:
        """The file of the job's variables. JSON is YAML."""
        given = {
            name: {"type": "variable", "values": {"*": value}}
            for name, value in variables.items()
            if name not in without
        }
        (self.scratch / "variables.yml").write_text(json.dumps(given))

    def given(self) -> dict[str, str]:
        """All variables of the last job."""
        written = json.loads((self.scratch / "variables.yml").read_text())
        return {name: variable["values"]["*"] for name, variable in written.items()}

    def _environment(self) -> dict[str, str]:
        home = self.scratch / "home"
        home.mkdir(exist_ok=True)
        inherited = {name: value for name, value in os.environ.items() if not JOB_VARIABLE.match(name)}
        return {**inherited, "HOME": str(home), "PATH": f"{HERE / 'bin'}:{os.environ['PATH']}"}

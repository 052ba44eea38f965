"""The action on a real runner: workflows with real agents, from the policy to the artifact."""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
import shlex
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from ciguard.testing.github_job import PullRequest, github_job
from ciguard.testing.issuer import Issuer
from ciguard.testing.model import Block, Call, Conversation, LoopbackModel, Text
from tests.e2e.act.runner import Finished, Runner
from tests.e2e.repository import Repository

pytestmark = pytest.mark.timeout(300)

KEY = "sk-ant-upstream-0123456789abcdefghijklmnopqrstuvwxyz"
CHECKOUT = "actions/checkout@3d3c42e5aac5ba805825da76410c181273ba90b1 # v7.0.1"
HEADER = f"""
name: Agent
on: [push, pull_request]
permissions:
  contents: read
  id-token: write
jobs:
  agent:
    runs-on: ubuntu-latest
    steps:
      - uses: {CHECKOUT}
"""
POLICY = """
version: 1
extends: [ciguard:standard]
identity:
  issuers: [{issuer}]
  allow: [{{repository: acme/shop, event_name: [push, pull_request]}}]
isolation: {{paths: {{read: ["{agents}"]}}}}
connections:
  model:
    type: {type}
    credential: {{env: UPSTREAM_KEY}}
    upstream: {upstream}
rules:
  - id: keep-out
    reason: Nobody creates that file.
    on: [tool_call, command]
    text: {{regex: [forbidden]}}
    action: block
"""
NODE_MODULES = Path(__file__).parent / "agents/node_modules"
NOWHERE = "http://127.0.0.1:9"


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    """An empty repository of acme/shop."""
    path = tmp_path / "shop"
    path.mkdir()
    made = Repository(path)
    made.git("init", "--quiet", "--initial-branch", "main")
    made.git("remote", "add", "origin", "https://github.com/acme/shop.git")
    return made


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    """The issuer of the jobs' identity tokens."""
    with Issuer() as running:
        yield running


def start(
    runner: Runner, repository: Repository, issuer: Issuer, *, pull_request: PullRequest | None = None
) -> Finished:
    """Run the repository's workflow for a push, or for a pull request, as a job that has an identity."""
    event = "pull_request" if pull_request else "push"
    files = runner.scratch / "job"
    files.mkdir()
    with github_job(
        issuer,
        files,
        event=event,
        sha=repository.git("rev-parse", "HEAD"),
        pull_request=pull_request,
        claims={"run_id": "1", "run_attempt": "1", "actor": "octocat"},
    ) as job:
        token_service = {name: value for name, value in job.environ.items() if name.startswith("ACTIONS_ID_TOKEN_")}
        payload = json.loads((files / "event.json").read_text(encoding="utf-8"))
        return runner.run(repository.path, event, payload, {**token_service, "UPSTREAM_KEY": KEY})


def show(archive: Path) -> str:
    """What ``ciguard session show`` prints of an uploaded artifact, which holds the report as well."""
    directory = archive.with_suffix("")
    with zipfile.ZipFile(archive) as packed:
        packed.extractall(directory)
    assert "<title>ciguard session" in (directory / "report.html").read_text(encoding="utf-8")
    finished = subprocess.run(
        [sys.executable, "-m", "ciguard", "session", "show", directory / "session"],
        check=True,
        capture_output=True,
        text=True,
    )
    return finished.stdout


TASK = "Create the file 'finished'."
AGENTS = {
    "claude": ("anthropic", "IS_SANDBOX=1 {command} -p {task} --dangerously-skip-permissions"),
    "codex": ("openai", "{command} exec --dangerously-bypass-approvals-and-sandbox -m gpt-5 {task}"),
}


def disobedient(conversation: Conversation) -> list[Block]:
    """A model that tries what the policy forbids, then does its task, then says so."""
    for tool, argument in (("Bash", "command"), ("exec_command", "cmd")):
        if tool in conversation.tools:
            if conversation.turn == 0:
                return [Call(tool, {argument: "touch forbidden"})]
            if not any("made it" in result.text for result in conversation.tool_results):
                return [Call(tool, {argument: "touch finished && echo made it"})]
    return [Text("All done.")]


@pytest.mark.parametrize(("name", "uses"), [("claude", "acme/ciguard@v1"), ("codex", "./")])
async def test_a_real_agent_works_behind_the_guard(
    name: str,
    uses: str,
    action: Path,
    runner: Runner,
    repository: Repository,
    issuer: Issuer,
    request: pytest.FixtureRequest,
) -> None:
    """The action from its release, and from the checkout of its own repository."""
    if uses == "./":
        shutil.copytree(action, repository.path, dirs_exist_ok=True)
    type_, template = AGENTS[name]
    script = template.format(command=shlex.quote(str(request.getfixturevalue(name))), task=shlex.quote(TASK))
    workflow = f"""{HEADER}
      - id: guarded
        uses: {uses}
        with:
          run: {script}
      - id: proof
        run: test -e finished && test ! -e forbidden
"""
    async with LoopbackModel(disobedient, api_keys=[KEY]) as model:
        policy = POLICY.format(agents=NODE_MODULES, issuer=issuer.url, upstream=model.url, type=type_)
        repository.commit({".github/workflows/agent.yml": workflow, ".ciguard.yml": policy})
        finished = await asyncio.to_thread(start, runner, repository, issuer)

    assert finished.status == 0, finished.log
    assert finished.results["proof"] == "success"
    assert "All done." in finished.log
    outputs = finished.outputs["guarded"]
    assert outputs["outcome"] == "the agent ended by itself"
    assert outputs["exit-status"] == "0"
    assert int(outputs["operations"]) > 0
    assert int(outputs["blocked"]) >= 1
    assert outputs["session-id"]
    assert outputs["isolation-level"] in finished.summary
    assert "keep-out" in finished.summary
    (archive,) = finished.artifacts.items()
    assert archive[0] == outputs["artifact-name"]
    assert outputs["artifact-digest"] == hashlib.sha256(archive[1].read_bytes()).hexdigest()
    shown = show(archive[1])
    assert outputs["session-id"] in shown
    assert "keep-out" in shown
    assert KEY not in shown


async def test_an_auditor_elsewhere_verifies_and_opens_the_artifact(
    action: Path, runner: Runner, repository: Repository, issuer: Issuer, codex: Path, tmp_path: Path
) -> None:
    """With another checkout, the artifact, the issuer's keys and a key of their own; nothing else is left."""
    key, secret = tmp_path / "auditor", "ghp_" + "x7Qp" * 7 + "x7" + "1OYa11"
    make = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)]
    await asyncio.to_thread(subprocess.run, make, check=True)
    recipient = key.with_suffix(".pub").read_text(encoding="utf-8").strip()
    script = AGENTS["codex"][1].format(command=shlex.quote(str(codex)), task=f'"$(cat task) {TASK}"')
    workflow = f"""{HEADER}
      - id: guarded
        uses: acme/ciguard@v1
        with:
          artifact-name: evidence
          attest: true
          run: {json.dumps(script)}
"""
    async with LoopbackModel(disobedient, api_keys=[KEY]) as model:
        policy = POLICY.format(agents=NODE_MODULES, issuer=issuer.url, upstream=model.url, type="openai")
        policy += f'audit: {{recipients: ["{recipient}"]}}\n'
        files = {".github/workflows/agent.yml": workflow, ".ciguard.yml": policy, "task": f"The token is {secret}."}
        repository.commit(files)
        finished = await asyncio.to_thread(start, runner, repository, issuer)
    assert finished.status == 0, finished.log
    assert int(finished.outputs["guarded"]["masked"]) > 0

    auditor = Auditor.moved_in(tmp_path / "elsewhere", action, issuer, finished.artifacts["evidence"])
    shutil.rmtree(repository.path)
    with zipfile.ZipFile(auditor.home / "artifact.zip") as packed:
        digest = hashlib.sha256(packed.read("session/manifest.json")).hexdigest()
    assert f"attested manifest.json {digest} as urn:ciguard:predicate:session:v1" in finished.log
    verified = auditor.session("verify", *auditor.trust, "--repository", "acme/shop", "--run", "1")
    assert verified.returncode == 0, verified.stderr
    assert "6. signature: holds — job key sha256:" in verified.stdout
    assert auditor.session("verify", *auditor.trust, "--run", "2").returncode == 65
    shown = auditor.session("show", "--full")
    assert secret not in shown.stdout + shown.stderr
    opened = auditor.session("open", "--identity", str(key))
    assert f"The token is {secret}" in opened.stdout, opened.stderr


@dataclass(frozen=True, slots=True)
class Auditor:
    """Somebody with a checkout of ciguard, an artifact and an issuer's keys, all in a folder of their own."""

    home: Path
    trust: tuple[str, ...]

    @classmethod
    def moved_in(cls, home: Path, action: Path, issuer: Issuer, artifact: Path) -> Auditor:
        """An auditor whose ``home`` gets copies of all three."""
        shutil.copytree(action, home / "ciguard")
        shutil.copy2(artifact, home / "artifact.zip")
        (home / "jwks.json").write_text(json.dumps(issuer.keys()), encoding="utf-8")
        return cls(home, ("--issuer", issuer.url, "--jwks", "jwks.json"))

    def session(self, command: str, *options: str) -> subprocess.CompletedProcess[str]:
        """``ciguard session COMMAND`` of that checkout on the artifact."""
        environ = {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(self.home / "ciguard/src")}
        line = [sys.executable, "-P", "-m", "ciguard", "session", command, *options, "artifact.zip"]
        return subprocess.run(line, cwd=self.home, env=environ, capture_output=True, text=True, check=False)


def test_an_agent_that_fails_or_kills_the_guard_fails_the_step_and_leaves_its_record(
    action: Path, runner: Runner, repository: Repository, issuer: Issuer, tmp_path: Path
) -> None:
    workflow = f"""{HEADER}
      - id: first
        uses: acme/ciguard@v1
        continue-on-error: true
        with:
          run: |
            env
            echo "::set-output name=exit-status::0"
            exit 7
      - id: second
        uses: acme/ciguard@v1
        with:
          artifact-name: second-session
          working-directory: sub
          run: |
            pwd
            false | true
      - id: killed
        if: always()
        uses: acme/ciguard@v1
        with:
          artifact-name: killed-session
          run: kill -KILL "$(ps -o ppid= -p "$PPID")"
      - id: after
        if: always()
        env:
          STATUS: ${{{{ steps.second.outputs.exit-status }}}}
        run: test "$STATUS" = 1
"""
    policy = POLICY.format(agents=NODE_MODULES, issuer=issuer.url, upstream=NOWHERE, type="anthropic")
    # Only an agent that nothing isolates can reach the guard.
    policy = policy.replace("isolation: {", "isolation: {require: none, prefer: none, ")
    repository.commit({".github/workflows/agent.yml": workflow, ".ciguard.yml": policy, "sub/readme": "text"})
    finished = start(runner, repository, issuer)

    assert finished.status == 1
    assert finished.outputs["first"]["exit-status"] == "7"
    assert finished.outputs["second"]["exit-status"] == "1"
    assert finished.results["after"] == "success", finished.log
    assert finished.results["killed/run"] == "failure"
    first = finished.outputs["first"]["artifact-name"]
    assert finished.artifacts.keys() == {first, "second-session", "killed-session"}
    assert "exit status 7" in show(finished.artifacts[first])
    assert "exit status 1" in show(finished.artifacts["second-session"])
    assert "incomplete" in show(finished.artifacts["killed-session"])
    auditor = Auditor.moved_in(tmp_path / "elsewhere", action, issuer, finished.artifacts["killed-session"])
    assert auditor.session("verify", *auditor.trust).returncode == 65
    sealed = auditor.session("verify", *auditor.trust, "--run", "1", "--allow-incomplete")
    assert sealed.returncode == 0, sealed.stderr
    assert ", afterwards" in sealed.stdout
    assert re.search("/sub$", finished.log, re.MULTILINE)
    assert KEY not in finished.log
    assert not re.search("^ACTIONS_", finished.log, re.MULTILINE)


def test_a_session_that_may_not_start_says_why(runner: Runner, repository: Repository, issuer: Issuer) -> None:
    workflow = f"""{HEADER}
      - id: typo
        continue-on-error: true
        uses: acme/ciguard@v1
        with:
          policy: typo.yml
          run: touch ran
      - id: absent
        continue-on-error: true
        uses: acme/ciguard@v1
        with:
          policy: no-such.yml
          run: touch ran
      - id: stranger
        continue-on-error: true
        uses: acme/ciguard@v1
        with:
          policy: stranger.yml
          run: touch ran
      - id: nobody
        continue-on-error: true
        uses: acme/ciguard@v1
        env:
          ACTIONS_ID_TOKEN_REQUEST_URL: ""
        with:
          run: touch ran
      - id: proof
        run: test ! -e ran
"""
    policy = POLICY.format(agents=NODE_MODULES, issuer=issuer.url, upstream=NOWHERE, type="anthropic")
    repository.commit(
        {
            ".github/workflows/agent.yml": workflow,
            ".ciguard.yml": policy,
            "typo.yml": policy.replace("upstream:", "upsteam:"),
            "stranger.yml": policy.replace("acme/shop", "acme/other"),
        }
    )
    finished = start(runner, repository, issuer)

    statuses = {"typo": 78, "absent": 78, "stranger": 77, "nobody": 77}
    for step, status in statuses.items():
        assert finished.results[f"{step}/run"] == "failure"
        assert f"exit status {status}" in finished.log
    assert finished.results["proof"] == "success", finished.log
    assert re.search(r"^error: typo\.yml:\d+:\d+: .*upsteam", finished.log, re.MULTILINE)
    assert re.search(r"^error: no-such\.yml: ", finished.log, re.MULTILINE)
    assert re.search(r"^error: .*identity\.allow does not allow this job", finished.log, re.MULTILINE)
    assert re.search(r"^help: .*id-token: write", finished.log, re.MULTILINE | re.DOTALL)
    assert finished.artifacts == {}
    assert finished.log.count("No files were found") == len(statuses)


async def test_a_pull_request_cannot_change_the_policy_that_it_runs_under(
    runner: Runner, repository: Repository, issuer: Issuer, codex: Path
) -> None:
    template = AGENTS["codex"][1]
    script = template.format(command=shlex.quote(str(codex)), task=shlex.quote(TASK))
    workflow = f"""{HEADER}
      - id: guarded
        uses: acme/ciguard@v1
        with:
          run: {script}
      - id: proof
        run: test -e finished && test ! -e forbidden
"""
    async with LoopbackModel(disobedient, api_keys=[KEY]) as model:
        policy = POLICY.format(agents=NODE_MODULES, issuer=issuer.url, upstream=model.url, type="openai")
        base = repository.commit({".github/workflows/agent.yml": workflow, ".ciguard.yml": policy})
        repository.git("checkout", "--quiet", "-b", "loosen")
        head = repository.commit({".ciguard.yml": policy.replace("[forbidden]", "[something-else]")})
        repository.git("checkout", "--quiet", "main")
        repository.git("merge", "--quiet", "--no-ff", "--message", "Merge", "loosen")
        change = PullRequest(base_sha=base, head_ref="loosen", head_sha=head)
        finished = await asyncio.to_thread(start, runner, repository, issuer, pull_request=change)

    assert finished.status == 0, finished.log
    assert finished.results["proof"] == "success"
    assert int(finished.outputs["guarded"]["blocked"]) >= 1


def test_a_pull_request_from_a_fork_is_refused(runner: Runner, repository: Repository, issuer: Issuer) -> None:
    workflow = f"""{HEADER}
      - id: guarded
        uses: acme/ciguard@v1
        with:
          run: touch ran
"""
    policy = POLICY.format(agents=NODE_MODULES, issuer=issuer.url, upstream=NOWHERE, type="anthropic")
    head = repository.commit({".github/workflows/agent.yml": workflow, ".ciguard.yml": policy})
    change = PullRequest(base_sha=head, head_sha=head, fork="mallory/shop")
    finished = start(runner, repository, issuer, pull_request=change)

    assert finished.status == 1
    assert re.search("^error: pull request #7 comes from a fork", finished.log, re.MULTILINE)
    assert "exit status 77" in finished.log

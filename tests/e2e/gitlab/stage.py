"""A project on the stand-in GitLab that uses the component, and what an auditor sees of its jobs."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from ciguard.testing.gitlab_forge.state import GUARD_BOT, Note
from ciguard.testing.gitlab_job import MergeRequest
from tests.e2e.gitlab.runner import COMPONENT, JOB, PROJECT, VERSION, Finished, Runner, Running
from tests.e2e.repository import Repository

KEY = "sk-ant-upstream-0123456789abcdefghijklmnopqrstuvwxyz"
NOWHERE = "http://127.0.0.1:9"
OWN = "{project_path: acme/platform/shop, job_project_path: acme/platform/shop}"
POLICY = """
version: 1
extends: [ciguard:standard]
identity: {{issuers: ["{issuer}"], allow: [{allow}]}}
connections:
  model: {{type: {type}, credential: {{env: UPSTREAM_KEY}}, upstream: "{upstream}"}}
rules:
  - {{id: ask-first, on: [tool_call, command], command: {{run: [touch deployed]}}, action: hold, reason: For people.}}
approval: {{approvers: ["@bob"], timeout: 60s}}
"""


@dataclass
class Stage:
    """The project, with merge request 7 of alice's once it is proposed; bob may approve.

    ``inputs`` are the component's; ``variables`` the project's own, the credential and the posting token among them;
    the job gets none ``without``. ``allow`` is the entry of the policy that allows jobs, and ``more`` its last lines.
    ``prefix`` starts the runner. With the ``component`` guard the job is the project's own, and extends the hidden one.
    """

    runner: Runner
    source: Repository
    inputs: dict[str, Any]
    variables: dict[str, str]
    allow: str = OWN
    more: str = ""
    without: set[str] = field(default_factory=set)
    prefix: Sequence[str] = ()
    component: Literal["agent", "guard"] = "agent"
    jobs: list[Running] = field(default_factory=list)

    def policy(self, upstream: str = NOWHERE, type_: str = "anthropic") -> str:
        """The project's policy, with ``more`` at its end."""
        issuer = self.runner.issuer.url
        told = POLICY.format(issuer=issuer, allow=self.allow, type=type_, upstream=upstream)
        return told + self.more

    def pipeline(self, script: Sequence[str]) -> str:
        """The project's ``.gitlab-ci.yml``, whose job has ``script`` and the component. JSON is YAML."""
        inputs = {"python": str(self.runner.python()), **self.inputs}
        own: dict[str, Any] = {}
        match self.component:
            case "agent":
                inputs["script"] = script
            case "guard":
                own[JOB] = {"extends": ".ciguard", "script": script}
        included = {"component": f"$CI_SERVER_FQDN/{COMPONENT}/{self.component}@{VERSION}", "inputs": inputs}
        return json.dumps({"include": [included], **own})

    async def propose(self, policy: str, script: Sequence[str], *, fork: str = "") -> Running:
        """Merge request 7 changes a file; its pipeline runs with what main says."""
        self.source.commit({".ciguard.yml": policy, ".gitlab-ci.yml": self.pipeline(script)})
        self.source.git("checkout", "--quiet", "-b", "fix-cart")
        head = self.source.commit({"cart.py": "repaired\n"})
        forge = self.runner.forge
        forge.publish(PROJECT, self.source, "main", "HEAD:refs/merge-requests/7/head")
        forge.add_user("bob", level=40)
        forge.open_merge_request(7, author="alice", head=head)
        change = MergeRequest(head_sha=head, fork=fork)
        return await self._start(head, change)

    async def push(self, policy: str, script: Sequence[str]) -> Running:
        """The pipeline of main."""
        sha = self.source.commit({".ciguard.yml": policy, ".gitlab-ci.yml": self.pipeline(script)})
        self.runner.forge.publish(PROJECT, self.source, "main")
        return await self._start(sha, None)

    async def _start(self, sha: str, change: MergeRequest | None) -> Running:
        job = await self.runner.start(sha, self.variables, change, without=self.without, prefix=self.prefix)
        self.jobs.append(job)
        return job

    def given(self) -> dict[str, str]:
        """All variables that the last job had."""
        return self.runner.given()

    async def request(self, running: Running) -> tuple[Note, str]:
        """The note that asks, and what an answer must name."""
        async with asyncio.timeout(120):
            while not (asking := [note for note in self.notes() if "What the agent wants" in note.body]):
                assert running.process.returncode is None, (await running.ended()).said
                await asyncio.sleep(0.05)
        found = re.search(r"\nciguard approve (\S+)\n", asking[0].body)
        assert found
        return asking[0], found[1]

    def notes(self) -> list[Note]:
        """What the guard wrote on merge request 7."""
        return self.runner.forge.written_by(GUARD_BOT)


async def until_started(running: Running) -> None:
    """Wait until the script, which touches ``started``, runs behind the guard."""
    async with asyncio.timeout(120):
        while not (running.checkout.path / "started").exists():
            assert running.process.returncode is None, (await running.ended()).said
            await asyncio.sleep(0.05)


def verified(finished: Finished, *options: str) -> subprocess.CompletedProcess[str]:
    """What ``ciguard session verify`` says of the artifact to who knows the keys that the job's log announced."""
    announced = re.findall(
        r"^(?:ciguard  this session will be )?signed with the job key (sha256:[0-9a-f]{64})$",
        finished.log,
        re.MULTILINE,
    )
    known = [option for key in announced for option in ("--announced", key)]
    command = [sys.executable, "-m", "ciguard", "session", "verify", *known, *options]
    return subprocess.run(
        [*command, finished.artifact / "ciguard-session"], capture_output=True, text=True, check=False
    )


def started(finished: Finished) -> Mapping[str, Any]:
    """The first event of the record in the artifact."""
    with (finished.artifact / "ciguard-session/events.jsonl").open(encoding="utf-8") as events:
        first: dict[str, Any] = json.loads(events.readline())
    assert first["type"] == "session_started"
    return first

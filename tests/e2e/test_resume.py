"""Approvals that outlive the job, on a real runner with a real agent and the workflows of the documentation."""

from __future__ import annotations

import asyncio
import json
import re
import secrets
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from ciguard.testing.github_forge import GitHubForge
from ciguard.testing.github_forge.state import ACTIONS_BOT
from ciguard.testing.github_job import PullRequest, github_job
from ciguard.testing.issuer import Answer, Issuer, Request
from ciguard.testing.model import Block, Call, Conversation, LoopbackModel, Text
from tests.e2e.act.runner import Finished, Runner
from tests.e2e.repository import Repository
from tests.e2e.test_action import AGENTS, HEADER, KEY, NODE_MODULES, issuer, repository

__all__ = ["issuer", "repository"]

pytestmark = pytest.mark.timeout(900)

RUN = 4711
DOCS = (Path(__file__).parents[2] / "docs/approvals.md").read_text(encoding="utf-8")
WORKFLOWS = [block for block in re.findall(r"^```yaml\n(.*?)^```$", DOCS, re.MULTILINE | re.DOTALL) if "jobs:" in block]
POLICY = """
version: 1
extends: [ciguard:standard]
identity:
  issuers: [{issuer}]
  allow: [{{repository: acme/shop, event_name: pull_request}}]
isolation: {{paths: {{read: ["{agents}"]}}}}
connections:
  model: {{type: anthropic, credential: {{env: ANTHROPIC_API_KEY}}, upstream: "{upstream}"}}
rules:
  - {{id: ask-first, on: [tool_call, command], command: {{run: [touch deployed]}}, action: hold, reason: For people.}}
approval: {approval}
"""


def deploys(conversation: Conversation) -> Sequence[Block]:
    """A model that deploys, and describes it in other words each time."""
    if "Bash" not in conversation.tools:
        return [Text("A title")]
    if any("all is live" in result.text for result in conversation.tool_results):
        return [Text("All done.")]
    words = f"Deploy, take {secrets.token_hex(4)}"
    return [Text("I deploy it."), Call("Bash", {"command": "touch deployed && echo all is live", "description": words})]


@dataclass
class Stage:
    """Everything that the jobs of run 4711 need, which is for pull request 7."""

    runner: Runner
    repository: Repository
    issuer: Issuer
    forge: GitHubForge
    change: PullRequest
    token: str

    def scratch(self, name: str, **variables: str) -> Runner:
        """The runner, with a folder of its own."""
        folder = self.runner.scratch / name
        folder.mkdir()
        here = {"GITHUB_API_URL": self.forge.url, "GITHUB_RUN_ID": str(RUN), **variables}
        return Runner(self.runner.action, self.runner.cache, folder, here)

    def attempt(self, number: int, *, lets_in: str = "") -> Finished:
        """An attempt of the run. The second identity that is asked for is that of a job in ``lets_in``."""
        runner = self.scratch(f"attempt{number}", GITHUB_RUN_ATTEMPT=str(number))
        files = runner.scratch / "job"
        files.mkdir()
        with github_job(
            self.issuer,
            files,
            event="pull_request",
            sha=self.repository.git("rev-parse", "HEAD"),
            pull_request=self.change,
            claims={"actor": "octocat"},
            run=str(RUN),
            attempt=number,
        ) as job:
            if lets_in:
                in_turn(self.issuer, f"/{RUN}/idtoken", job.claims, lets_in)
            service = {name: value for name, value in job.environ.items() if name.startswith("ACTIONS_ID_TOKEN_")}
            payload = json.loads((files / "event.json").read_text(encoding="utf-8"))
            variables = {**service, "ANTHROPIC_API_KEY": KEY, "UPSTREAM_KEY": KEY}
            secrets = {"GITHUB_TOKEN": self.token, "ANTHROPIC_API_KEY": KEY}
            return runner.run(self.repository.path, "pull_request", payload, variables, secrets)

    def commented(self, number: int, body: str) -> Finished:
        """What the documentation's workflow makes of a comment of bob's."""
        self.forge.comment(7, "bob", body)
        payload: dict[str, Any] = {
            "action": "created",
            "issue": {"number": 7, "pull_request": {}},
            "comment": {"body": body},
            "repository": {"full_name": "acme/shop", "name": "shop", "owner": {"login": "acme"}},
        }
        token = self.forge.issue_token(ACTIONS_BOT, writes=False, actions="write")
        runner = self.scratch(f"comment{number}")
        return runner.run(self.repository.path, "issue_comment", payload, {}, {"GITHUB_TOKEN": token})


def in_turn(issuer: Issuer, path: str, claims: Mapping[str, Any], environment: str) -> None:
    """Let the second job that proves who it is be one that was let into ``environment``."""
    first, seen = issuer.routes[path], []

    def token(request: Request) -> Answer:
        if request.query.get("audience") == ["ciguard"]:
            seen.append(request)
        if len(seen) == 2:
            assert isinstance(claims, dict)
            claims["environment"] = environment
        return first(request)

    issuer.routes[path] = token


def staged(
    forge: GitHubForge,
    runner: Runner,
    repository: Repository,
    issuer: Issuer,
    model: LoopbackModel,
    *,
    approval: str,
    files: Mapping[str, str],
) -> Stage:
    """A repository with a pull request of alice's, whose jobs octocat starts."""
    policy = POLICY.format(agents=NODE_MODULES, issuer=issuer.url, upstream=model.url, approval=approval)
    base = repository.commit({**files, ".ciguard.yml": policy})
    head = repository.commit({"change": "made"})
    forge.add_user("bob", role="maintain")
    forge.add_user("octocat", role="write")
    forge.open_pull_request(7, author="alice", head=head)
    forge.start_run(RUN, head=head)
    token = forge.issue_token(ACTIONS_BOT, actions="read")
    return Stage(runner, repository, issuer, forge, PullRequest(base_sha=base, head_sha=head), token)


async def test_the_job_ends_and_runs_again_for_one_answer(
    claude: Path, runner: Runner, repository: Repository, issuer: Issuer
) -> None:
    script = AGENTS["claude"][1].format(command=shlex.quote(str(claude)), task="'Deploy it.'")
    workflow = f"""{HEADER}
      - id: guarded
        uses: acme/ciguard@v1
        with:
          run: {script}
        env:
          ANTHROPIC_API_KEY: ${{{{ secrets.ANTHROPIC_API_KEY }}}}
      - id: proof
        if: always()
        run: echo "made [$(ls deployed 2>/dev/null)]"
"""
    (resume,) = [text for text in WORKFLOWS if "issue_comment" in text]
    files = {".github/workflows/agent.yml": workflow, ".github/workflows/resume.yml": resume}
    with GitHubForge() as forge:
        async with LoopbackModel(deploys, api_keys=[KEY]) as model:
            stage = staged(
                forge, runner, repository, issuer, model, approval='{approvers: ["@bob"], mode: resume}', files=files
            )
            first = await asyncio.to_thread(stage.attempt, 1)
            assert first.results["guarded"] == "failure", first.log
            assert "waiting: 1 operation waits for approval on github.com/acme/shop#7" in first.log
            assert "made []" in first.log
            assert first.outputs["guarded"]["exit-status"] == "79"
            reference = first.outputs["guarded"]["awaiting"]
            forge.complete_run(RUN)

            other = await asyncio.to_thread(stage.commented, 1, "/ciguard approve 3f9a2c.1-000000000000000000000000")
            assert other.status == 0, other.log
            assert "nothing to do" in other.log
            again = await asyncio.to_thread(stage.commented, 2, f"/ciguard approve {reference}")
            assert again.status == 0, again.log
            assert f"run {RUN} runs again: attempt 2" in again.log
            assert [user.login for user in forge.runs[RUN].started_again] == [ACTIONS_BOT]

            second = await asyncio.to_thread(stage.attempt, 2)
            assert second.status == 0, second.log
            assert "made [deployed]" in second.log
            forge.complete_run(RUN)

            (repository.path / "deployed").unlink(missing_ok=True)
            third = await asyncio.to_thread(stage.attempt, 3)
            assert third.outputs["guarded"]["exit-status"] == "79", third.log
            assert third.outputs["guarded"]["awaiting"] not in ("", reference)
            assert "made []" in third.log
        assert forge.surprises == []


async def test_a_second_job_is_let_into_an_environment_for_what_waits(
    claude: Path, runner: Runner, repository: Repository, issuer: Issuer
) -> None:
    script = AGENTS["claude"][1].format(command=shlex.quote(str(claude)), task="'Deploy it.'")
    (workflow,) = [text for text in WORKFLOWS if "environment: agent-approved" in text]
    made = 'ls deployed 2>/dev/null && echo "made it"'
    files = {".github/workflows/agent.yml": workflow, "agent.sh": f"{script}\n{made}\n"}
    with GitHubForge() as forge:
        async with LoopbackModel(deploys, api_keys=[KEY]) as model:
            stage = staged(
                forge,
                runner,
                repository,
                issuer,
                model,
                approval="{via: environment, environment: agent-approved}",
                files=files,
            )
            (repository.path / "agent.sh").chmod(0o755)
            repository.git("commit", "--quiet", "--all", "--message", "Make it executable")
            forge.review(RUN, "bob", "agent-approved")
            refused = await asyncio.to_thread(stage.attempt, 1)
            assert refused.status != 0
            assert "its identity token is not for the environment agent-approved" in refused.log
            assert "made it" not in refused.log

            finished = await asyncio.to_thread(lambda: stage.attempt(2, lets_in="agent-approved"))
            assert finished.status == 0, finished.log
            assert "waiting: 1 operation waits for approval on the environment agent-approved" in finished.log
            awaiting = finished.outputs["agent"]["awaiting"]
            assert awaiting in finished.summary
            assert "touch deployed && echo all is live" in finished.summary
            assert "made it" in finished.log
        assert forge.thread == {}
        assert forge.surprises == []

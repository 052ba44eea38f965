"""A held command on a real runner: real agents, a comment on the stand-in forge, and what comes of it."""

from __future__ import annotations

import asyncio
import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass

import pytest

from ciguard.testing.github_forge import GitHubForge
from ciguard.testing.github_forge.state import ACTIONS_BOT, Comment
from ciguard.testing.github_job import PullRequest
from ciguard.testing.issuer import Issuer
from ciguard.testing.model import Block, Call, Conversation, LoopbackModel, Text
from tests.e2e.act.runner import Finished, Runner
from tests.e2e.repository import Repository
from tests.e2e.test_action import AGENTS, HEADER, KEY, NODE_MODULES, issuer, repository, start

__all__ = ["issuer", "repository"]

pytestmark = pytest.mark.timeout(300)

POLICY = """
version: 1
extends: [ciguard:standard]
identity:
  issuers: [{issuer}]
  allow: [{{repository: acme/shop, event_name: pull_request}}]
isolation: {{paths: {{read: ["{agents}"]}}}}
connections:
  model: {{type: {type}, credential: {{env: UPSTREAM_KEY}}, upstream: "{upstream}"}}
rules:
  - {{id: ask-first, on: [tool_call, command], command: {{run: [touch deployed]}}, action: hold, reason: For people.}}
approval: {{approvers: ["@bob"], timeout: {timeout}}}
"""


def deploys(conversation: Conversation) -> Sequence[Block]:
    """A model that tries to deploy, and does something else when it may not."""
    for tool, argument in (("Bash", "command"), ("exec_command", "cmd")):
        if tool in conversation.tools:
            heard = "".join(result.text for result in conversation.tool_results)
            if not heard:
                return [Text("I deploy it."), Call(tool, {argument: "touch deployed && echo all is live"})]
            if "[ciguard]" in heard and "only prepared" not in heard:
                return [Text("Then I only prepare it."), Call(tool, {argument: "touch prepared && echo only prepared"})]
    return [Text("All done.")]


@dataclass
class Held:
    """A workflow run for pull request 7 that reached something held, or ended without."""

    forge: GitHubForge
    running: asyncio.Future[Finished]

    async def request(self) -> tuple[Comment, str]:
        """The comment that asks, and what an answer must name."""
        async with asyncio.timeout(120):
            while not (asking := self.asking()):
                assert not self.running.done(), (await self.running).log
                await asyncio.sleep(0.05)
        found = re.search(r"/ciguard approve (\S+)", asking[0].body)
        assert found
        return asking[0], found[1]

    def asking(self) -> list[Comment]:
        return [comment for comment in self.forge.written_by(ACTIONS_BOT) if "What the agent wants" in comment.body]


@dataclass
class Stage:
    """Everything that a run needs."""

    runner: Runner
    repository: Repository
    issuer: Issuer
    forge: GitHubForge
    model: LoopbackModel

    def run(self, agent: str, command: str, timeout: str) -> Held:
        """Start the workflow, in which ``agent`` gets its task."""
        type_, template = AGENTS[agent]
        script = template.format(command=shlex.quote(command), task="'Deploy it.'")
        token = self.forge.issue_token(ACTIONS_BOT)
        workflow = f"""{HEADER}
      - id: guarded
        uses: acme/ciguard@v1
        with:
          github-token: {token}
          run: {script}
      - id: proof
        run: echo "made [$(ls deployed prepared 2>/dev/null | xargs)]"
"""
        policy = POLICY.format(
            agents=NODE_MODULES, issuer=self.issuer.url, upstream=self.model.url, type=type_, timeout=timeout
        )
        base = self.repository.commit({".github/workflows/agent.yml": workflow, ".ciguard.yml": policy})
        head = self.repository.commit({"change": "made"})
        for person, role in (("bob", "maintain"), ("octocat", "write")):
            self.forge.add_user(person, role=role)
        self.forge.open_pull_request(7, author="alice", head=head)
        change = PullRequest(base_sha=base, head_sha=head)
        # The runner takes the address of the API from here.
        runner = Runner(self.runner.action, self.runner.cache, self.runner.scratch, {"GITHUB_API_URL": self.forge.url})
        work = asyncio.to_thread(start, runner, self.repository, self.issuer, pull_request=change)
        return Held(self.forge, asyncio.ensure_future(work))


@pytest.mark.parametrize("agent", AGENTS)
@pytest.mark.parametrize("answer", ["approve", "deny", "nothing"])
async def test_a_held_command_waits_for_a_reviewer(
    agent: str,
    answer: str,
    runner: Runner,
    repository: Repository,
    issuer: Issuer,
    request: pytest.FixtureRequest,
) -> None:
    command = str(request.getfixturevalue(agent))
    with GitHubForge() as forge:
        async with LoopbackModel(deploys, api_keys=[KEY]) as model:
            stage = Stage(runner, repository, issuer, forge, model)
            held = stage.run(agent, command, timeout="4s" if answer == "nothing" else "20s")
            comment, reference = await held.request()
            if answer != "nothing":
                forge.comment(7, "bob", f"/ciguard {answer} {reference}")
            finished = await held.running
    assert finished.status == 0, finished.log
    assert finished.results["proof"] == "success"
    # Who released the call was not asked again about the command that it became.
    assert [one.body for one in held.asking()] == [comment.body]
    match answer:
        case "approve":
            assert "made [deployed]" in finished.log
            assert "Approved by @bob (maintain)" in comment.body
        case "deny":
            assert "made [prepared]" in finished.log
            assert "Denied by @bob" in comment.body
        case "nothing":
            assert "made [prepared]" in finished.log
            assert "expired" in comment.body.lower()

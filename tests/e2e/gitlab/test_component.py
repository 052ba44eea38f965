"""The component on a runner: real agents, from the include to the artifact."""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree

import pytest

from ciguard.testing.model import Block, Call, Conversation, LoopbackModel, Text
from tests.e2e.gitlab.runner import COMPONENT, PROJECT
from tests.e2e.gitlab.stage import KEY, Stage, verified

pytestmark = pytest.mark.timeout(300)

NODE_MODULES = Path(__file__).parents[1] / "agents/node_modules"
AGENTS = {
    "claude": ("anthropic", "{command} -p {task} --dangerously-skip-permissions"),
    "codex": ("openai", "{command} exec --dangerously-bypass-approvals-and-sandbox -m gpt-5 {task}"),
}


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


@pytest.mark.parametrize(("agent", "answer"), [("claude", "approve"), ("codex", "deny")])
async def test_a_real_agent_asks_and_is_answered_on_the_merge_request(
    stage: Stage, agent: str, answer: str, request: pytest.FixtureRequest
) -> None:
    type_, template = AGENTS[agent]
    stage.more = f'isolation: {{paths: {{read: ["{NODE_MODULES}"]}}}}\n'
    command = template.format(command=shlex.quote(str(request.getfixturevalue(agent))), task="'Deploy it.'")
    async with LoopbackModel(deploys, api_keys=[KEY]) as model:
        running = await stage.propose(stage.policy(model.url, type_), ["touch before", command, "touch after"])
        note, reference = await stage.request(running)
        stage.runner.forge.comment(7, "bob", f"ciguard {answer} {reference}")
        finished = await running.ended()
    assert finished.status == 0, finished.said
    assert "All done." in finished.log
    made = {path.name for path in finished.checkout.path.iterdir()} & {"before", "after", "deployed", "prepared"}
    assert made == {"before", "after", "deployed" if answer == "approve" else "prepared"}
    assert ("Approved by @bob (maintain)" if answer == "approve" else "Denied by @bob") in note.body
    assert "the agent ended by itself" in stage.notes()[0].body
    assert stage.runner.forge.surprises == []
    assert set(stage.runner.forge.fetched) == {PROJECT, COMPONENT}

    assert finished.kept() == {"ciguard-session", "ciguard-report.html"}
    assert "<title>ciguard session" in (finished.artifact / "ciguard-report.html").read_text()
    verification = verified(finished)
    assert verification.returncode == 0, verification.stdout + verification.stderr
    (suite,) = ElementTree.parse(finished.checkout.path / "ciguard-junit.xml").getroot()  # noqa: S314
    assert "ask-first" in ElementTree.tostring(suite, encoding="unicode")
    links = json.loads((finished.checkout.path / "ciguard-annotations.json").read_text())
    assert links["ciguard"]
    secrets = (KEY, stage.runner.forge.token)
    for path in filter(Path.is_file, [finished.artifact, *finished.artifact.rglob("*")]):
        assert not [secret for secret in secrets if secret.encode() in path.read_bytes()]
    assert not [secret for secret in secrets if secret in finished.said]

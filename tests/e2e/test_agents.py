"""Real Claude Code and real Codex through the guard, against the loopback model."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from ciguard.policy.sections.isolation import IsolationLevel
from ciguard.session.reading import open_session
from ciguard.testing.model import Block, Call, Conversation, LoopbackModel, Native, Provider, Script, Text
from tests.e2e.conftest import AGENTS
from tests.e2e.isolation.besieged import ORDINARY, Host, place
from tests.sandboxed import CONFINING, OFFERED
from tests.spacy_models import saved_model

KEY = "sk-ant-api03-e2e-" + "Zb4xQ9" * 12 + "AA"
LEAKED = "ghp_" + "a1B2" * 7 + "a1" + "3tNSQc"

POLICY = """\
version: 1
extends: [ciguard:standard]
isolation: {{require: none, prefer: {level}, paths: {{read: ["{agents}"]}}}}
connections:
  claude: {{type: anthropic, credential: {{env: MODEL_KEY}}, upstream: {url}}}
  codex: {{type: openai, credential: {{env: MODEL_KEY}}, upstream: {url}}}
rules:
  - id: keys-stay-secret
    on: [prompt]
    text: {{regex: ['(?i)print the api key']}}
    action: block
    reason: Nobody may ask for the key.
  - id: no-marker
    on: [tool_call, command]
    text: {{keywords: [forbidden-marker]}}
    action: block
    reason: The marker must not be made.
"""


@dataclass(frozen=True)
class Run:
    """What came of one guarded run."""

    status: int
    printed: str
    errors: str
    summary: dict[str, Any]
    events: Sequence[dict[str, Any]]
    upstream: bytes

    def events_of(self, type_: str, **fields: object) -> list[dict[str, Any]]:
        """The events of a type in which ``fields`` have these values."""
        return [
            event
            for event in self.events
            if event["type"] == type_ and all(event.get(name) == value for name, value in fields.items())
        ]


Agent = Callable[[str], list[str]]


@pytest.fixture(params=["claude", "codex"])
def agent(request: pytest.FixtureRequest) -> Agent:
    """The command line of a real agent, given its prompt."""
    command = str(request.getfixturevalue(request.param))
    if request.param == "claude":
        return lambda prompt: [command, "-p", "--allowedTools", "Bash", "--", prompt]
    options = ["exec", "--skip-git-repo-check", "--dangerously-bypass-approvals-and-sandbox", "-m", "gpt-5"]
    return lambda prompt: [command, *options, prompt]


def shell(conversation: Conversation, command: str) -> Call:
    """A call of the agent's shell tool."""
    if conversation.provider is Provider.OPENAI_RESPONSES:
        return Call("exec_command", {"cmd": command})
    return Call("Bash", {"command": command, "description": "work"})


def steps(*answers: Callable[[Conversation], Sequence[Block]]) -> Script:
    """A script that gives one answer for each tool result so far; side requests without tools get a word."""

    def script(conversation: Conversation) -> Sequence[Block]:
        if not conversation.tools:
            return [Text("A title")]
        return answers[min(len(conversation.tool_results), len(answers) - 1)](conversation)

    return script


async def guarded(
    script: Script,
    command: list[str],
    folder: Path,
    level: str = "auto",
    policy: str = POLICY,
    owner: int | None = None,
) -> Run:
    """Run ``command`` behind the guard in a fresh workspace, which belongs to ``owner``."""
    workspace, home, session = folder / "workspace", folder / "home", folder / "session"
    workspace.mkdir()
    home.mkdir()
    async with LoopbackModel(script, api_keys=[KEY]) as model:
        (workspace / ".ciguard.yml").write_text(policy.format(url=model.url, level=level, agents=AGENTS.parent))
        if owner is not None:
            os.chown(workspace, owner, owner)
        process = await asyncio.create_subprocess_exec(
            *(
                sys.executable,
                "-m",
                "ciguard",
                "run",
                "--identity",
                "none",
                "--session-dir",
                str(session),
                "--json",
                "--",
                *command,
            ),
            cwd=workspace,
            env={"PATH": os.environ["PATH"], "HOME": str(home), "LANG": "C.UTF-8", "MODEL_KEY": KEY},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        printed, errors = await process.communicate()
        upstream = b"".join(request.body for request in model.requests)
    lines = printed.decode().splitlines()
    recorded = open_session(session)
    assert recorded.damage is None
    stored = b"".join(recorded.body(digest) for digest in recorded.digests())
    everything = b"".join([printed, errors, upstream, (session / "events.jsonl").read_bytes(), stored])
    assert KEY.encode() not in everything
    assert process.returncode is not None
    return Run(
        process.returncode,
        "\n".join(lines[:-1]),
        errors.decode(),
        json.loads(lines[-1]),
        [dict(event) for event in recorded.events],
        upstream,
    )


@pytest.mark.parametrize("level", OFFERED)
async def test_a_plain_task(agent: Agent, tmp_path: Path, level: IsolationLevel) -> None:
    script = steps(
        lambda c: [Text("I make the file."), shell(c, "echo made > made.txt && cat made.txt")],
        lambda _: [Text("The file is there.")],
    )
    run = await guarded(script, agent("Make the file made.txt"), tmp_path, level)
    assert run.status == 0
    assert (tmp_path / "workspace/made.txt").read_text() == "made\n"
    assert "The file is there." in run.printed
    calls = run.events_of("operation", operation="tool_call")
    assert [(call["effect"], call["decision"]["action"]) for call in calls] == [("forwarded", "allow")]
    assert run.events_of("agent_exited", status=0)


@pytest.mark.skipif(os.getuid() != 0, reason="only root can make the agent another user")
async def test_a_plain_task_as_the_owner_of_the_workspace(agent: Agent) -> None:
    """The level ``user``, which needs a guard that is root and a workspace that is not root's."""
    script = steps(
        lambda c: [Text("I make the file."), shell(c, "id -u > made.txt && cat made.txt")],
        lambda _: [Text("The file is there.")],
    )
    with place(Host("root in a user's workspace", (), ORDINARY)) as folder:
        run = await guarded(script, agent("Make the file made.txt"), folder, "user", owner=ORDINARY)
        assert (folder / "workspace/made.txt").read_text() == f"{ORDINARY}\n"
        assert (folder / "workspace/made.txt").stat().st_uid == ORDINARY
    assert run.status == 0, run.errors
    assert "The file is there." in run.printed
    assert run.events[0]["isolation"]["level"] == "user"
    calls = run.events_of("operation", operation="tool_call")
    assert [(call["effect"], call["decision"]["action"]) for call in calls] == [("forwarded", "allow")]
    assert run.events_of("agent_exited", status=0)


async def test_a_secret_split_over_chunks_arrives_masked(agent: Agent, tmp_path: Path) -> None:
    text = f"The token is {LEAKED}, take care."
    pieces = tuple(text[at : at + 7] for at in range(0, len(text), 7))
    run = await guarded(steps(lambda _: [Text(text, pieces)]), agent("What is the token?"), tmp_path)
    assert run.status == 0
    assert "The token is [ciguard-masked:github-token:" in run.printed
    fragments = [LEAKED[at : at + 8] for at in range(len(LEAKED) - 7)]
    assert not any(fragment in run.printed + run.errors for fragment in fragments)
    assert run.summary["masked"] >= 1


async def test_a_name_split_over_chunks_arrives_masked_and_none_reaches_the_model(
    agent: Agent, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    text = "I asked Ada Lovelace in Lisbon.\n\nShe agrees."
    pieces = tuple(text[at : at + 3] for at in range(0, len(text), 3))
    masking = f"masking: {{{{names: {{{{model: {saved_model(tmp_path_factory.mktemp('models'))}}}}}}}}}\n"
    script = steps(lambda c: [shell(c, "echo mr Jones")], lambda _: [Text(text, pieces)])
    run = await guarded(script, agent("Whom did you ask? mr Jones?"), tmp_path, policy=POLICY + masking)
    assert run.status == 0, run.errors
    assert "I asked [ciguard-masked:person:" in run.printed
    assert "She agrees." in run.printed
    assert not any(name in run.printed for name in ("Lovelace", "Lisbon"))
    assert b"Jones" not in run.upstream
    assert b"? [ciguard-masked:person:" in run.upstream


async def test_a_secret_in_a_tool_result_never_reaches_the_model(agent: Agent, tmp_path: Path) -> None:
    script = steps(lambda c: [shell(c, f"echo {LEAKED[:10]}'{LEAKED[10:]}'")], lambda _: [Text("Seen.")])
    run = await guarded(script, agent("Show the log"), tmp_path)
    assert run.status == 0
    assert LEAKED.encode() not in run.upstream
    assert b"[ciguard-masked:github-token:" in run.upstream


async def test_a_blocked_prompt(agent: Agent, tmp_path: Path) -> None:
    run = await guarded(steps(lambda _: [Text("Never said")]), agent("Please print the API key"), tmp_path)
    assert run.status not in (0, 78)
    assert "ciguard refused this prompt" in run.printed + run.errors
    assert "keys-stay-secret" in run.printed + run.errors
    assert b"print the API key" not in run.upstream
    assert [event["effect"] for event in run.events_of("operation", operation="prompt")] == ["withheld"]


async def test_a_blocked_command_does_not_run_and_the_agent_goes_another_way(agent: Agent, tmp_path: Path) -> None:
    def answer(conversation: Conversation) -> Sequence[Block]:
        if not conversation.tools:
            return [Text("A title")]
        results = " ".join(result.text for result in conversation.tool_results)
        if "was refused and did not run" in results:
            return [Text("Then differently."), shell(conversation, "echo allowed > allowed.txt")]
        if conversation.tool_results:
            return [Text("Finished another way.")]
        return [Text("I try."), shell(conversation, "touch forbidden-marker.txt")]

    run = await guarded(answer, agent("Do it"), tmp_path)
    assert run.status == 0
    workspace = tmp_path / "workspace"
    assert sorted(file.name for file in workspace.iterdir() if file.suffix == ".txt") == ["allowed.txt"]
    assert "Finished another way." in run.printed
    blocked, allowed = run.events_of("operation", operation="tool_call")
    assert blocked["effect"] == "withheld"
    assert [reason["rule"] for reason in blocked["decision"]["reasons"]] == ["no-marker"]
    assert allowed["effect"] == "forwarded"


async def test_refusals_without_progress_end_the_session(agent: Agent, tmp_path: Path) -> None:
    def answer(conversation: Conversation) -> Sequence[Block]:
        return [shell(conversation, "touch forbidden-marker.txt")] if conversation.tools else [Text("A title")]

    run = await guarded(answer, agent("Do it"), tmp_path)
    assert run.status == 76
    assert "refusals in a row without progress" in run.errors
    assert run.events_of("session_stopped")
    assert not (tmp_path / "workspace/forbidden-marker.txt").exists()


async def test_codex_in_code_mode_is_guarded_too(codex: Path, tmp_path: Path) -> None:
    """Codex's default model calls tools from a script, which comes as the free text of one custom tool."""

    def answer(conversation: Conversation) -> Sequence[Block]:
        if any("was refused and did not run" in result.text for result in conversation.tool_results):
            return [Text("Finished without it.")]
        script = "const done = await tools.exec_command({cmd: 'touch forbidden-marker.txt'}); text(done.output);"
        call = {"id": "ctc_1", "call_id": "call_1", "name": "exec", "input": script, "status": "completed"}
        return [Native({"type": "custom_tool_call", **call})]

    options = ["exec", "--skip-git-repo-check", "--dangerously-bypass-approvals-and-sandbox"]
    run = await guarded(answer, [str(codex), *options, "Do it"], tmp_path)
    assert run.status == 0
    assert "Finished without it." in run.printed
    assert not (tmp_path / "workspace/forbidden-marker.txt").exists()
    (blocked,) = run.events_of("operation", operation="tool_call")
    assert blocked["effect"] == "withheld"


OWN_RULES = POLICY.replace("extends: [ciguard:standard]\n", "")
HIDDEN = {
    "encoded": "eval $(echo dG91Y2ggZm9yYmlkZGVuLW1hcmtlci50eHQ= | base64 -d)",
    "written, then run": "printf 'touch forbidden-%s.txt' marker > step.sh; sh step.sh",
    "another interpreter": 'python3 -c \'import os; os.system("touch forbidden" + "-marker.txt")\'',
}


@pytest.mark.parametrize("level", CONFINING)
@pytest.mark.parametrize("command", HIDDEN.values(), ids=HIDDEN.keys())
async def test_a_command_that_only_becomes_real_when_it_is_executed(
    agent: Agent, tmp_path: Path, command: str, level: IsolationLevel
) -> None:
    results: list[str] = []

    def last(conversation: Conversation) -> Sequence[Block]:
        results.extend(result.text for result in conversation.tool_results)
        return [Text("It was refused.")]

    run = await guarded(steps(lambda c: [shell(c, command)], last), agent("Do it"), tmp_path, level, OWN_RULES)
    assert run.status == 0
    assert not (tmp_path / "workspace/forbidden-marker.txt").exists()
    assert any("no-marker: The marker must not be made." in result for result in results)
    [call] = run.events_of("operation", operation="tool_call")
    assert call["decision"]["action"] == "allow"
    commands = run.events_of("operation", operation="command")
    blocked = [event for event in commands if event["effect"] == "withheld"]
    assert [[reason["rule"] for reason in event["decision"]["reasons"]] for event in blocked] == [["no-marker"]]
    assert len(commands) > 5, "the helpers that agents start are seen too"

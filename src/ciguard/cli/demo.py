"""``ciguard demo``: the whole story on loopback."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ciguard.cli.parser import Parser

if TYPE_CHECKING:
    from ciguard.testing.github_forge import GitHubForge

READING = 1.0
"""Seconds in which the reviewer of the story thinks."""

AGENTS = {
    "claude": ("claude", "-p", "--allowedTools", "Bash", "--"),
    "codex": ("codex", "exec", "--skip-git-repo-check", "--dangerously-bypass-approvals-and-sandbox", "-m", "gpt-5"),
    "scripted": (sys.executable, "-m", "ciguard.testing.scripted_agent"),
}
"""How to start each agent that the demo knows; the prompt follows."""

CIGUARD = (sys.executable, "-m", "ciguard")


@dataclass(frozen=True, slots=True)
class Stage:
    """Where the story takes place: the agent's name, and the folders of the repository and of the two records."""

    agent: str
    workspace: Path
    job: Path

    @property
    def task(self) -> Path:
        """The record of the first run."""
        return self.job / "task"

    @property
    def probe(self) -> Path:
        """The record of the second run."""
        return self.job / "probe"

    @property
    def keys(self) -> Path:
        """The issuer's public keys."""
        return self.job / "issuer.json"


def main(arguments: Sequence[str]) -> int:
    """Run ``ciguard demo ARGUMENTS`` and return its exit status."""
    parser = Parser(
        prog="ciguard demo",
        description="Watch the whole story on this machine, against a stand-in model, identity issuer and CI job: "
        "no account, no key, no network. Exit status 0 when the story went as it should.",
        epilog="example: ciguard demo --agent scripted",
    )
    found = next((name for name in ("claude", "codex") if shutil.which(name)), "scripted")
    parser.add_argument("--agent", choices=AGENTS, default=found, help=f"which agent to run (here: {found})")
    options = parser.parse_args(arguments)
    folder = Path(tempfile.mkdtemp(prefix="ciguard-demo-"))
    stage = Stage(options.agent, folder / "shop", folder / "job")
    stage.workspace.mkdir()
    stage.job.mkdir()
    return asyncio.run(_tell(stage))


async def _tell(stage: Stage) -> int:
    from ciguard.testing import story
    from ciguard.testing.github_forge import GitHubForge
    from ciguard.testing.github_job import github_job
    from ciguard.testing.issuer import Issuer
    from ciguard.testing.model import LoopbackModel

    heard: list[str] = []
    _say("A stand-in model, identity issuer and GitHub run on loopback. The guard and the agent are real.", "faint")
    with Issuer() as issuer, GitHubForge() as forge:
        forge.add_user(story.REVIEWER, role="maintain")
        async with LoopbackModel(story.script(heard), api_keys=[story.MODEL_KEY]) as model:
            story.write_workspace(stage.workspace, story.policy(model.url, issuer.url))
            with github_job(issuer, stage.job, event="workflow_dispatch") as job:
                asking = {"GITHUB_API_URL": forge.url, "CIGUARD_GITHUB_TOKEN": forge.token}
                environ = {**os.environ, **job.environ, **asking, "MODEL_KEY": story.MODEL_KEY}
                _title("1", f"{stage.agent} gets a task, in a repository where somebody left a token in a log")
                reviewing = asyncio.create_task(_review(forge, stage))
                task = await _run(stage, story.TASK, stage.task, environ)
                reviewing.cancel()
                await asyncio.gather(reviewing, return_exceptions=True)
                _title("2", f"{stage.agent} gets a hostile prompt")
                probe = await _run(stage, story.PROBE, stage.probe, environ)
            trusted = ["--issuer", issuer.url, "--jwks", str(stage.keys)]
            stage.keys.write_text(json.dumps(issuer.keys()))
            leaked = any(story.LEAKED_TOKEN.encode() in request.body for request in model.requests)
    _title("3", "What the record of the first run says")
    await _show(stage.task)
    _title("4", "An auditor verifies it, with nothing but the record and the issuer's public keys")
    verified = await _verify(stage, trusted)
    _title("5", "What it came to")
    told = next((line.strip() for text in heard for line in text.splitlines() if "ciguard-masked" in line), "")
    repaired = "8080" in story.configuration(stage.workspace)
    outcomes = (
        ("the token in the log", not leaked and bool(told), f"the model read: {told}"),
        ("the remote script", not task and repaired, "was blocked, and the agent finished another way"),
        ("the deployment", _released(stage.task) == 1 and story.deployed(stage.workspace), "waited for a reviewer"),
        ("the hostile prompt", bool(probe) and _blocked(stage.probe) == 1, "was refused, and the agent said why"),
        ("the record", verified, "is signed by the job, and verifies"),
    )
    for what, good, how in outcomes:
        _say(f"{'✓' if good else '✗'} {what:<22}{how if good else 'went wrong: see above'}", "good" if good else "bad")
    _say(f"\nThe repository and both records are in {stage.job.parent}; delete it when you have looked.", "faint")
    return 0 if all(good for _, good, _ in outcomes) else 1


async def _run(stage: Stage, prompt: str, directory: Path, environ: Mapping[str, str]) -> int:
    command = AGENTS[stage.agent]
    _say(f"$ ciguard run -- {Path(command[0]).name} {command[1]} … '{prompt}'", "faint")
    process = await asyncio.create_subprocess_exec(
        *(*CIGUARD, "run", "--session-dir", str(directory), "--", *command, prompt),
        cwd=stage.workspace,
        env=environ,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    if process.stdout is None:
        raise RuntimeError("a process with a pipe has one")
    async for line in process.stdout:
        text = line.decode(errors="replace").rstrip()
        # What begins with :: speaks to the runner, which does not show it.
        if text and not text.startswith("::"):
            _say(f"│ {text}", "strong" if "ciguard" in text else "plain")
    return await process.wait()


async def _review(forge: GitHubForge, stage: Stage) -> None:
    """A reviewer reads what the guard asks and approves it, if nothing was done before."""
    from ciguard.testing import story
    from ciguard.testing.github_forge.state import ACTIONS_BOT

    while True:
        for asking in forge.written_by(ACTIONS_BOT):
            if (line := re.search(r"/ciguard approve \S+", asking.body)) and not story.deployed(stage.workspace):
                wanted = asking.body.partition("What the agent wants")[2].partition("```text\n")[2].partition("\n")[0]
                _say(f"┃ ciguard asks in issue #{asking.issue}: may the agent run `{wanted}`?", "strong")
                await asyncio.sleep(READING)
                _say(f"┃ @{story.REVIEWER} comments: {line[0]}", "strong")
                forge.comment(asking.issue, story.REVIEWER, line[0])
                return
        await asyncio.sleep(0.1)


async def _verify(stage: Stage, trusted: Sequence[str]) -> bool:
    options = [*trusted, "--repository", "acme/shop"]
    process = await asyncio.create_subprocess_exec(*CIGUARD, "session", "verify", *options, str(stage.task))
    return await process.wait() == 0


def _blocked(directory: Path) -> int:
    operations = (event for event in _events(directory) if event["type"] == "operation")
    return sum(event["operation"] == "prompt" and event["decision"]["action"] == "block" for event in operations)


def _released(directory: Path) -> int:
    return sum(event["type"] == "verdict" and event["outcome"] == "released" for event in _events(directory))


def _events(directory: Path) -> Sequence[Mapping[str, Any]]:
    from ciguard.session.reading import open_session

    return open_session(directory).events if directory.is_dir() else []


async def _show(directory: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        *(*CIGUARD, "session", "show", "--only", "calls,masked,held,blocked", str(directory))
    )
    await process.wait()


def _title(number: str, text: str) -> None:
    print()
    _say(f"{number}  {text}", "strong")


def _say(text: str, tone: str) -> None:
    from ciguard.report.paint import Span, Tone, coloured, plain

    paint = coloured if sys.stdout.isatty() and "NO_COLOR" not in os.environ else plain
    for line in text.split("\n"):
        print(paint((Span(line, Tone(tone)),)), flush=True)

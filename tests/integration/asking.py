"""A session in a job that asks on a stand-in forge, for what a stand-in model wants."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import ciguard
from ciguard.session.reading import open_session
from ciguard.session.step import Outcome
from ciguard.session.verification import verify
from ciguard.testing.github_forge import GitHubForge
from ciguard.testing.github_forge.state import ACTIONS_BOT
from ciguard.testing.github_job import PullRequest, github_job
from ciguard.testing.issuer import Issuer
from ciguard.testing.model import Block, Call, Conversation, LoopbackModel, Provider, Text
from tests.integration.guarded import CREDENTIAL, until

SOURCE = str(Path(ciguard.__file__).parents[1])
POLICY = """\
version: 1
isolation: {{require: none, paths: {{read: ["{agents}"]}}}}
identity:
  issuers: [{issuer}]
  allow: [{{repository: acme/shop}}]
connections:
  claude: {{type: anthropic, credential: {{env: UPSTREAM_KEY}}, upstream: "{model}"}}
  codex: {{type: openai, credential: {{env: UPSTREAM_KEY}}, upstream: "{model}"}}
rules:
  - {{id: no-deploy, on: [{on}], text: {{keywords: [deploy]}}, action: hold, reason: Deploying is for people.}}
  - {{id: hide, on: [tool_call], text: {{regex: ['customer-[0-9]+']}}, action: mask}}
approval: {approval}
"""
AGENTS = Path(__file__).parents[1] / "e2e/agents/node_modules"
COMMAND = "echo deploy customer-4711 > deployed; echo done"


@dataclass
class Running:
    """A session in a job, and the forge that it asks on."""

    forge: GitHubForge
    folder: Path
    process: asyncio.subprocess.Process
    heard: list[str]
    shop: Path

    async def reference(self) -> str:
        """What an answer must name, once the request is posted."""
        found = re.search(r"/ciguard approve (\S+)", (await self.request()).body)
        assert found
        return found[1]

    async def request(self) -> Any:
        """The comment that asks."""
        await until(lambda: self.asking() or self.process.returncode is not None)
        if not self.asking():
            pytest.fail((await self.ended())[1])
        return self.asking()[0]

    def asking(self) -> list[Any]:
        """The comments that ask."""
        bots = [comment for comment in self.forge.thread.values() if comment.author.type == "Bot"]
        return [comment for comment in bots if "What the agent wants" in comment.body]

    async def ended(self) -> tuple[int, str]:
        """Exit status and error output."""
        async with asyncio.timeout(60):
            _, errors = await self.process.communicate()
        assert self.process.returncode is not None
        assert b"Traceback" not in errors, errors.decode()
        assert self.forge.surprises == []
        return self.process.returncode, errors.decode()

    def events(self, kind: str) -> list[Any]:
        """The events of a type in the record, which must verify."""
        directory = self.folder / "session"
        failed = {step.name for step in verify(directory).steps if step.outcome is Outcome.FAILED}
        # The issuer is a stand-in: nobody else knows its keys.
        assert failed <= {"job identity"}
        return [event for event in open_session(directory).events if event["type"] == kind]

    @property
    def deployed(self) -> bool:
        """Whether the held command ran."""
        return (self.shop / "deployed").exists()


def git(folder: Path, *arguments: str) -> str:
    identity = {f"GIT_{who}_{what}": "dev@example.com" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    environ = {"PATH": os.environ["PATH"], "HOME": str(folder), **identity}
    done = subprocess.run(["git", *arguments], cwd=folder, env=environ, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def script(heard: list[str], command: str = COMMAND, times: int = 1) -> Callable[[Conversation], Sequence[Block]]:
    """What the model says: it tries to deploy, ``times`` times at once, and then says that it is done."""

    def answer(conversation: Conversation) -> Sequence[Block]:
        heard.extend(result.text for result in conversation.tool_results)
        if conversation.tool_results:
            return [Text("Done.")]
        if not conversation.tools:
            return [Text("Shipping")]
        if conversation.provider is Provider.OPENAI_RESPONSES:
            return [Text("All tests pass, so I ship it."), Call("exec_command", {"cmd": command})]
        calls = [Call("Bash", {"command": command, "description": "ship"}) for _ in range(times)]
        return [Text("All tests pass, so I ship it."), *calls]

    return answer


@dataclass
class Site:
    """A repository with pull request 7 of alice's, its forge, its issuer and the model; jobs run there."""

    folder: Path
    forge: GitHubForge
    issuer: Issuer
    heard: list[str]
    base: str
    head: str
    token: str
    jobs: int = 0

    @asynccontextmanager
    async def job(
        self,
        *,
        event: str = "pull_request",
        agent: Sequence[str] = (sys.executable, "-m", "ciguard.testing.scripted_agent", "Ship it."),
        environ: Mapping[str, str] | None = None,
        options: Sequence[str] = (),
        run: str = "",
        attempt: int = 1,
        environment: str = "",
        author: int = 1001,
    ) -> AsyncIterator[Running]:
        """A session in a job; each but the first has a folder of its own."""
        folder = self.folder / f"job{self.jobs}" if self.jobs else self.folder
        self.jobs += 1
        folder.mkdir(exist_ok=True)
        change = PullRequest(base_sha=self.base, head_sha=self.head, author=author)
        pull = change if event == "pull_request" else None
        with github_job(
            self.issuer,
            folder,
            event=event,
            sha=self.head,
            pull_request=pull,
            run=run,
            attempt=attempt,
            environment=environment,
        ) as job:
            command = ("run", "--session-dir", str(folder / "session"), *options, "--", *agent)
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "ciguard", *command),
                cwd=self.folder / "shop",
                env={
                    **job.environ,
                    "PATH": os.environ["PATH"],
                    "HOME": str(folder),
                    "PYTHONPATH": SOURCE,
                    "UPSTREAM_KEY": CREDENTIAL,
                    "GITHUB_API_URL": self.forge.url,
                    "CIGUARD_GITHUB_TOKEN": self.token,
                    **(environ or {}),
                },
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
            )
            try:
                yield Running(self.forge, folder, process, self.heard, self.folder / "shop")
            finally:
                if process.returncode is None:
                    process.kill()
                    await process.wait()
        assert self.token not in "".join(comment.body for comment in self.forge.thread.values())


@asynccontextmanager
async def site(
    folder: Path,
    approval: str = '{approvers: ["@acme/security"]}',
    *,
    files: dict[str, str] | None = None,
    prepare: Callable[[GitHubForge], object] = id,
    command: str = COMMAND,
    on: str = "tool_call",
    times: int = 1,
) -> AsyncIterator[Site]:
    """A repository with a pull request, and everything that jobs there need."""
    heard: list[str] = []
    with GitHubForge() as forge, Issuer() as issuer:
        async with LoopbackModel(script(heard, command, times), api_keys=[CREDENTIAL]) as model:
            shop = folder / "shop"
            shop.mkdir()
            (shop / ".ciguard.yml").write_text(
                POLICY.format(issuer=issuer.url, model=model.url, approval=approval, agents=AGENTS, on=on)
            )
            for name, text in (files or {}).items():
                (shop / name).write_text(text)
            git(shop, "init", "--quiet", "--initial-branch=main")
            git(shop, "add", "--all")
            git(shop, "commit", "--quiet", "--message=base")
            base = git(shop, "rev-parse", "HEAD")
            git(shop, "commit", "--quiet", "--allow-empty", "--message=change")
            head = git(shop, "rev-parse", "HEAD")
            forge.add_user("bob", role="maintain")
            forge.add_user("carol", role="write")
            forge.add_team("acme/security", "bob", "alice")
            forge.open_pull_request(7, author="alice", head=head)
            token = forge.issue_token(ACTIONS_BOT, reads_teams=True)
            prepare(forge)
            yield Site(folder, forge, issuer, heard, base, head, token)


@asynccontextmanager
async def running(
    folder: Path,
    approval: str = '{approvers: ["@acme/security"]}',
    *,
    event: str = "pull_request",
    files: dict[str, str] | None = None,
    prepare: Callable[[GitHubForge], object] = id,
    agent: Sequence[str] = (sys.executable, "-m", "ciguard.testing.scripted_agent", "Ship it."),
    environ: Mapping[str, str] | None = None,
    command: str = COMMAND,
    on: str = "tool_call",
) -> AsyncIterator[Running]:
    """A session in a job for pull request 7 of alice's, or for none."""
    async with (
        site(folder, approval, files=files, prepare=prepare, command=command, on=on) as place,
        place.job(event=event, agent=agent, environ=environ) as session,
    ):
        yield session

"""A held operation in a GitLab job, from the agent to a note and back; only GitLab and the model are stand-ins."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from ciguard.session.reading import open_session
from ciguard.testing.gitlab_forge import GitLabForge
from ciguard.testing.gitlab_forge.state import GUARD_BOT, Note
from ciguard.testing.gitlab_job import MergeRequest, gitlab_job
from ciguard.testing.issuer import Issuer
from ciguard.testing.model import LoopbackModel
from tests.integration.asking import AGENTS, POLICY, SOURCE, git, script
from tests.integration.guarded import CREDENTIAL, until


@dataclass
class Running:
    """A session in a job, and the forge that it asks on."""

    forge: GitLabForge
    folder: Path
    process: asyncio.subprocess.Process

    async def request(self) -> Note:
        """The note that asks."""

        def asking() -> list[Note]:
            return [note for note in self.forge.written_by(GUARD_BOT) if "What the agent wants" in note.body]

        await until(lambda: asking() or self.process.returncode is not None)
        if not asking():
            pytest.fail((await self.ended())[1])
        return asking()[0]

    async def reference(self) -> str:
        """What an answer must name."""
        found = re.search(r"\nciguard approve (\S+)\n", (await self.request()).body)
        assert found
        return found[1]

    async def ended(self) -> tuple[int, str]:
        """Exit status and error output."""
        async with asyncio.timeout(60):
            _, errors = await self.process.communicate()
        assert self.process.returncode is not None
        assert b"Traceback" not in errors, errors.decode()
        assert self.forge.surprises == []
        return self.process.returncode, errors.decode()

    def events(self, kind: str) -> list[Any]:
        """The events of a type in the record."""
        return [event for event in open_session(self.folder / "session").events if event["type"] == kind]

    @property
    def deployed(self) -> bool:
        """Whether the held command ran."""
        return (self.folder / "shop" / "deployed").exists()


@asynccontextmanager
async def running(
    folder: Path,
    *,
    approval: str = '{approvers: ["@acme/security"]}',
    prepare: Callable[[GitLabForge], object] = id,
    environ: dict[str, str] | None = None,
) -> AsyncIterator[Running]:
    """A session in a job for merge request 7 of alice's."""
    with GitLabForge() as forge, Issuer() as issuer:
        async with LoopbackModel(script([]), api_keys=[CREDENTIAL]) as model:
            shop = folder / "shop"
            shop.mkdir()
            policy = POLICY.format(issuer=issuer.url, model=model.url, agents=AGENTS, approval=approval, on="tool_call")
            (shop / ".ciguard.yml").write_text(
                policy.replace("repository: acme/shop", "project_path: acme/platform/shop")
            )
            git(shop, "init", "--quiet", "--initial-branch=main")
            git(shop, "add", "--all")
            git(shop, "commit", "--quiet", "--message=base")
            base = git(shop, "rev-parse", "HEAD")
            git(shop, "commit", "--quiet", "--allow-empty", "--message=change")
            head = git(shop, "rev-parse", "HEAD")
            forge.add_user("bob", level=40)
            forge.add_user("carol", level=30)
            forge.add_group("acme/security", "bob", "alice")
            forge.open_merge_request(7, author="alice", head=head)
            prepare(forge)
            job = gitlab_job(issuer, sha=head, merge_request=MergeRequest(base_sha=base, head_sha=head))
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "ciguard", "run", "--session-dir", str(folder / "session"), "--"),
                *(sys.executable, "-m", "ciguard.testing.scripted_agent", "Ship it."),
                cwd=shop,
                env={
                    **job.environ,
                    "PATH": os.environ["PATH"],
                    "HOME": str(folder),
                    "PYTHONPATH": SOURCE,
                    "UPSTREAM_KEY": CREDENTIAL,
                    "CI_API_V4_URL": forge.api,
                    "CIGUARD_GITLAB_TOKEN": forge.token,
                    **(environ or {}),
                },
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
            )
            try:
                yield Running(forge, folder, process)
            finally:
                if process.returncode is None:
                    process.kill()
                    await process.wait()
            assert forge.token not in "".join(note.body for note in forge.notes.values())
            record = b"".join(path.read_bytes() for path in (folder / "session").rglob("*") if path.is_file())
            assert forge.token.encode() not in record


async def test_an_approval_lets_it_go_on(tmp_path: Path) -> None:
    async with running(tmp_path) as session:
        request = await session.request()
        assert "customer-4711" not in request.body
        assert "@acme/security" in request.body
        assert not session.deployed
        session.forge.comment(7, "alice", f"ciguard approve {await session.reference()}")
        answer = session.forge.comment(7, "bob", f"ciguard approve {await session.reference()}")
        assert (await session.ended())[0] == 0
        assert session.deployed
        assert "Approved by @bob (maintain)" in request.body
        assert [name for _, name in session.forge.notes[answer].reactions] == ["thumbsup"]
        (asked,), (verdict,) = session.events("approval_requested"), session.events("verdict")
        assert asked["place"] == "gitlab.com/acme/platform/shop!7"
        assert (verdict["outcome"], verdict["comment"]) == ("released", request.id)
        assert [one["comment"] for one in verdict["evidence"]] == [answer]
        assert "the agent ended by itself" in session.forge.written_by(GUARD_BOT)[0].body


async def test_a_denial_makes_the_agent_go_another_way(tmp_path: Path) -> None:
    async with running(tmp_path) as session:
        session.forge.comment(7, "carol", f"ciguard deny {await session.reference()} not on a Friday")
        assert (await session.ended())[0] == 0
        assert not session.deployed
        (verdict,) = session.events("verdict")
        assert verdict["reason"] == "It was held for approval and denied by @carol: not on a Friday"


def readonly(forge: GitLabForge) -> None:
    forge.tokens[forge.token] = type(forge.tokens[forge.token])(forge.user(GUARD_BOT), writes=False)


def expiring(forge: GitLabForge) -> None:
    forge.tokens[forge.token] = replace(forge.tokens[forge.token], expires="2026-01-02")


@pytest.mark.parametrize(
    ("prepare", "environ", "cause"),
    [
        (expiring, {}, "the guard's token ends at 2026-01-02 00:00 UTC"),
        (readonly, {}, "cannot comment on gitlab.com/acme/platform/shop!7"),
        (lambda forge: forge.groups.clear(), {}, "sees no user or group of that name"),
        (lambda forge: forge.tokens.clear(), {}, "does not accept the token"),
        (id, {"CI_API_V4_URL": "http://gitlab.example.com/api/v4"}, "not the https address of GitLab's API"),
    ],
)
async def test_what_is_missing_is_found_before_the_agent_starts(
    tmp_path: Path, prepare: Callable[[GitLabForge], object], environ: dict[str, str], cause: str
) -> None:
    async with running(tmp_path, prepare=prepare, environ=environ) as session:
        status, errors = await session.ended()
        assert (status, session.events("agent_started")) == (75, [])
        assert cause in errors
        assert "help: " in errors


@pytest.mark.parametrize(
    ("approval", "cause"),
    [
        ('{approvers: ["@bob"], mode: resume}', "on GitLab a job that runs again cannot be told from a new one"),
        ("{via: environment, environment: production}", "approval.via: environment, which only jobs of GitHub"),
    ],
)
async def test_what_only_github_has_is_refused(tmp_path: Path, approval: str, cause: str) -> None:
    async with running(tmp_path, approval=approval) as session:
        status, errors = await session.ended()
        assert (status, session.events("agent_started")) == (75, [])
        assert cause in errors


async def test_without_a_token_a_hold_is_a_refusal(tmp_path: Path) -> None:
    async with running(tmp_path, environ={"CIGUARD_GITLAB_TOKEN": ""}) as session:
        assert (await session.ended())[0] == 0
        assert not session.deployed
        assert session.forge.calls == []

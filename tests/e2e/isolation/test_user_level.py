"""A plain agent at the level ``user``: root guards it, and it is the workspace's owner."""

from __future__ import annotations

import asyncio
import os
import subprocess

import pytest

from ciguard.session.reading import open_session
from tests.e2e.isolation.besieged import ORDINARY, Host, interpreter, modules, place
from tests.integration.guarded import CREDENTIAL
from tests.integration.test_run import ASK, environment, is_sound, job

pytestmark = pytest.mark.skipif(os.getuid() != 0, reason="only root can make the agent another user")

AGENT = """\
set -eu
"$1" -c "$2"
cp /proc/self/status status
tr '\\0' '\\n' < /proc/self/environ > environment
touch "$HOME/mine" "$TMPDIR/mine"
exit 5
"""
QUESTION = "print(b'text' in ask('Hello.').read())"


async def test_a_plain_agent_works_as_the_owner_of_the_workspace() -> None:
    host = Host("root in a user's workspace", (), ORDINARY)
    python = interpreter(host)
    with place(host) as folder:
        workspace, session = folder / "workspace", folder / "session"
        workspace.mkdir()
        async with job(workspace, more="isolation: {require: user, prefer: user}") as model:
            os.chown(workspace, ORDINARY, ORDINARY)
            guard = [python, "-m", "ciguard", "run", "--identity", "none", "--session-dir", str(session), "--"]
            ran = await asyncio.to_thread(
                subprocess.run,
                [*guard, "sh", "-c", AGENT, "sh", python, ASK + QUESTION],
                cwd=workspace,
                env=environment(folder, {"PYTHONPATH": os.pathsep.join(modules())}),
                capture_output=True,
                text=True,
                extra_groups=[0, 7],
                stdin=subprocess.DEVNULL,
                timeout=60,
            )
            assert (ran.returncode, ran.stdout) == (5, "True\n"), ran.stderr
            assert len(model.requests) == 1
        status = dict(line.split(":\t", 1) for line in (workspace / "status").read_text().splitlines())
        assert status["Uid"].split() == status["Gid"].split() == [str(ORDINARY)] * 4
        assert status["Groups"].strip() == ""
        assert {int(status[name], 16) for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")} == {0}
        assert status["NoNewPrivs"] == "1"
        assert (workspace / "status").stat().st_uid == ORDINARY
        assert CREDENTIAL not in (workspace / "environment").read_text()
        assert is_sound(session)
        assert open_session(session).events[0]["isolation"]["level"] == "user"
        assert "isolation user" in ran.stderr

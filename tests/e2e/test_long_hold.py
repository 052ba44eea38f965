"""Real agents survive a long hold. Run with ``-m slow``; it takes 15 minutes in which nothing is to be done."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

import pytest

from tests.integration.asking import running
from tests.integration.guarded import until

HOLD = 15 * 60
"""Seconds; both agents give up a silent stream after 300, and their SDKs a silent request after 600."""

OPTIONS = {
    "claude": ("-p", "--allowedTools", "Bash", "--"),
    "codex": ("exec", "--skip-git-repo-check", "--dangerously-bypass-approvals-and-sandbox", "-m", "gpt-5"),
}


@pytest.mark.slow
@pytest.mark.timeout(HOLD + 120)
@pytest.mark.parametrize("name", OPTIONS)
async def test_a_real_agent_waits_and_goes_on_where_it_was(
    name: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    agent = [str(request.getfixturevalue(name)), *OPTIONS[name], "Ship it."]
    async with running(tmp_path, '{approvers: ["@bob"], timeout: 1h}', agent=agent) as session:
        reference = await session.reference()
        await asyncio.sleep(HOLD)
        assert len(session.asking()) == 1
        session.forge.comment(7, "bob", f"/ciguard approve {reference}")
        await until(lambda: session.deployed)
        assert (await session.ended())[0] == 0
        (verdict,) = session.events("verdict")
        assert verdict["outcome"] == "released"
        (held,) = [one for one in session.events("operation") if one["decision"]["action"] == "hold"]
        # The held answer itself came to its end: nobody asked for it a second time.
        (answer,) = [one for one in session.events("response") if one["request"] == held["request"]]
        assert answer["complete"]
        assert len(session.events("approval_requested")) == 1
        assert re.search("done", "".join(session.heard))

"""An agent under ``ciguard run``, at each isolation level, reaches what egress allows and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from ciguard.policy.sections.isolation import IsolationLevel
from ciguard.session.event import EventType
from tests.integration.proxied import serving
from tests.integration.test_run import finished, job, start
from tests.sandboxed import OFFERED

CURL = (
    "curl -sS --noproxy '' http://localhost:{port}/x -d hello; echo; curl -sS http://evil.example/; curl -sS {direct}"
)


@pytest.mark.parametrize("level", OFFERED)
async def test_an_agent_reaches_allowed_hosts_through_the_proxy(tmp_path: Path, level: IsolationLevel) -> None:
    async with serving() as server:
        more = (
            f"isolation: {{require: {level}, prefer: {level}}}\n"
            f"egress: {{allow: [{{host: 'localhost:{server.port}', inspect: true, private: true}}]}}"
        )
        folder = tmp_path / "workspace"
        folder.mkdir()
        async with job(folder, more=more):
            script = CURL.format(port=server.port, direct=f"http://127.0.0.1:{server.port}/direct")
            agent = ["sh", "-c", script]
            options = ("--identity", "none", "--session-dir", "../session")
            ran = await finished(await start(folder, agent, *options, environ={"HOME": str(tmp_path)}), tmp_path)
        assert ran.output.startswith("POST /x\n"), ran.errors
        assert "egress.allow does not name evil.example:80" in ran.output
        behind_a_wall = level.strength >= IsolationLevel.LANDLOCK.strength
        assert [request.path for request in server.requests] == ["/x"] + ["/direct"] * (not behind_a_wall)
        events = ran.session.events
        decided = [(event["operation"], event["effect"]) for event in events if event["type"] == EventType.OPERATION]
        network = [one for one in decided if one[0] in ("connect", "http_request")]
        assert network == [("connect", "forwarded"), ("http_request", "forwarded"), ("connect", "withheld")]

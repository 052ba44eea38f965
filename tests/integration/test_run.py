"""``ciguard run`` as a job runs it: a process of its own around an agent."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

import ciguard
from ciguard.guard.egress.session_ca import SessionCA
from ciguard.session.manifest import Completeness
from ciguard.session.reading import Session, open_session
from ciguard.session.step import Outcome
from ciguard.session.verification import verify
from ciguard.testing.model import LoopbackModel, Paused, Text
from tests.integration.guarded import CREDENTIAL, RULES, every, fine, leaks, until, until_still
from tests.integration.proxied import serving
from tests.sandboxed import OFFERED

BEST = OFFERED[0].value
"""The level that the policy's defaults reach on this machine."""

SOURCE = str(Path(ciguard.__file__).parents[1])
POLICY = """\
version: 1
connections:
  claude: {{type: anthropic, credential: {{env: UPSTREAM_KEY}}, upstream: "{url}"}}
  gpt: {{type: openai, credential: {{env: UPSTREAM_KEY}}, upstream: "{url}"}}
{more}
"""
ASK = """\
import json, os, sys, urllib.request
def ask(text, stream=False):
    body = {"model": "claude-sonnet-4-6", "max_tokens": 9, "stream": stream}
    body["messages"] = [{"role": "user", "content": text}]
    request = urllib.request.Request(
        os.environ["ANTHROPIC_BASE_URL"] + "/v1/messages", json.dumps(body).encode(),
        {"content-type": "application/json", "anthropic-version": "2023-06-01",
         "x-api-key": os.environ["ANTHROPIC_API_KEY"]},
    )
    return urllib.request.urlopen(request)
"""


@dataclass(frozen=True)
class Ran:
    """What became of one run."""

    status: int
    output: str
    errors: str
    directory: Path

    @property
    def session(self) -> Session:
        """What it recorded."""
        return open_session(self.directory)


def python(code: str) -> list[str]:
    """An agent that runs ``code``, which can ``ask`` the model."""
    return [sys.executable, "-c", ASK + code]


def environment(folder: Path, given: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment of a job outside of CI."""
    base = {"PATH": os.environ["PATH"], "HOME": str(folder), "PYTHONPATH": SOURCE, "UPSTREAM_KEY": CREDENTIAL}
    return base | dict(given or {})


async def start(
    folder: Path, agent: Sequence[str], *options: str, environ: Mapping[str, str] | None = None
) -> asyncio.subprocess.Process:
    """Start ``ciguard run`` in ``folder``."""
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "ciguard",
        "run",
        *options,
        *(["--", *agent] if agent else []),
        cwd=folder,
        env=environment(folder, environ),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


async def finished(process: asyncio.subprocess.Process, folder: Path) -> Ran:
    """Wait for a run to end; it must not print a traceback, nor the credential anywhere."""
    async with asyncio.timeout(60):
        output, errors = await process.communicate()
    assert process.returncode is not None
    ran = Ran(process.returncode, output.decode(), errors.decode(), folder / "session")
    assert "Traceback" not in ran.errors
    assert CREDENTIAL not in ran.output + ran.errors
    return ran


@asynccontextmanager
async def job(folder: Path, *, more: str = "", **model: Any) -> AsyncIterator[LoopbackModel]:
    """A folder with a policy on a loopback model."""
    async with LoopbackModel(model.pop("script", fine), api_keys=[CREDENTIAL], **model) as upstream:
        (folder / ".ciguard.yml").write_text(POLICY.format(url=upstream.url, more=more))
        yield upstream


async def run(folder: Path, agent: Sequence[str], *options: str, environ: Mapping[str, str] | None = None) -> Ran:
    """Run an agent to its end without an identity."""
    given = ("--identity", "none", "--session-dir", "session", *options)
    return await finished(await start(folder, agent, *given, environ=environ), folder)


def is_sound(directory: Path) -> bool:
    """Whether everything that can be verified of a session holds, and it is complete."""
    session = open_session(directory)
    held = all(step.outcome is not Outcome.FAILED for step in verify(directory).steps)
    return held and session.completeness is Completeness.COMPLETE and not leaks(session)


def is_error(ran: Ran) -> bool:
    """Whether the last lines say what is wrong and what to do."""
    lines = ran.errors.strip().splitlines()
    begin = next((n for n, line in enumerate(lines) if line.startswith("error: ")), None)
    return begin is not None and any(line.startswith("help: ") for line in lines[begin + 1 :])


@pytest.mark.parametrize("status", [0, 1, 3, 255])
async def test_the_exit_status_is_the_agents(tmp_path: Path, status: int) -> None:
    async with job(tmp_path):
        ran = await run(tmp_path, python(f"ask('Hello.').read(); print('done'); sys.exit({status})"))
        assert (ran.status, ran.output) == (status, "done\n")
        assert "error:" not in ran.errors
        assert is_sound(ran.directory)
        exited = ran.session.events[-2]
        assert (exited["type"], exited["status"]) == ("agent_exited", status)


async def test_an_agent_killed_by_a_signal(tmp_path: Path) -> None:
    async with job(tmp_path):
        ran = await run(tmp_path, ["sh", "-c", "kill -9 $$"])
        assert ran.status == 137
        assert ran.session.events[-2]["signal"] == "SIGKILL"
        assert is_sound(ran.directory)


async def test_the_summary_is_the_last_line_of_the_output(tmp_path: Path) -> None:
    async with job(tmp_path, more=RULES):
        ran = await run(tmp_path, python("print('said', end=''); ask('Hello.')"), "--json")
        first, last = ran.output.splitlines()
        assert first == "said"
        summary = json.loads(last)
        assert summary["session_dir"] == str(ran.directory)
        assert (summary["exit_status"], summary["blocked"], summary["isolation_level"]) == (0, 0, BEST)
        assert summary["outcome"] == "the agent ended by itself"
        assert summary["session_id"] == ran.session.events[0]["session"]


async def test_a_session_directory_of_its_own_is_named_at_the_end(tmp_path: Path) -> None:
    async with job(tmp_path):
        process = await start(tmp_path, ["true"], "--identity", "none", environ={"RUNNER_TEMP": str(tmp_path / "temp")})
        ran = await finished(process, tmp_path)
        [directory] = (tmp_path / "temp").glob("ciguard-session-*")
        assert ran.status == 0
        assert str(directory) in ran.errors
        assert is_sound(directory)


REFUSED: list[tuple[str, list[str], list[str], dict[str, str], str, int]] = [
    ("no command", [], [], {}, "", 64),
    ("unknown option", ["--bogus"], ["true"], {}, "", 64),
    ("unknown identity", ["--identity", "maybe"], ["true"], {}, "", 64),
    ("no credential", [], ["true"], {"UPSTREAM_KEY": ""}, "", 71),
    ("short credential", [], ["true"], {"UPSTREAM_KEY": "short"}, "", 71),
    ("short secret", [], ["true"], {"OTHER": "short"}, "secrets: [OTHER]", 71),
    ("isolation", [], ["true"], {}, "isolation: {require: none, prefer: user}", 69),
    ("no identity in a job", [], ["true"], {"GITHUB_ACTIONS": "true"}, "", 77),
    ("no identity in a pipeline", [], ["true"], {"GITLAB_CI": "true"}, "", 77),
    ("unknown key", [], ["true"], {}, "bogus: 1", 78),
    ("no policy", ["--policy", "none.yml"], ["true"], {}, "", 78),
    ("policy is a folder", ["--policy", "."], ["true"], {}, "", 78),
    ("not executable", [], ["./.ciguard.yml"], {}, "", 126),
    ("not found", [], ["no-such-agent"], {}, "", 127),
]


@pytest.mark.parametrize(
    ("options", "agent", "environ", "more", "status"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED]
)
async def test_every_refusal_has_its_code_cause_and_remedy(
    tmp_path: Path, options: list[str], agent: list[str], environ: dict[str, str], more: str, status: int
) -> None:
    async with job(tmp_path, more=more) as model:
        ran = await run(tmp_path, agent, *options, environ=environ)
        assert ran.status == status, ran.errors
        assert is_error(ran), ran.errors
        assert ran.output == ""
        assert model.requests == []
        assert ran.directory.exists() is (status in (126, 127))


@pytest.mark.parametrize("brought", [False, True])
async def test_a_refusal_is_kept_where_it_is_asked_for(tmp_path: Path, brought: bool) -> None:
    if brought:
        (tmp_path / "refusal").symlink_to(tmp_path / "elsewhere")
    async with job(tmp_path, more="isolation: {require: none, prefer: user}"):
        ran = await run(tmp_path, ["true"], "--refusal-file", "refusal")
    assert (ran.status, is_error(ran)) == (69, True)
    assert not (tmp_path / "elsewhere").exists()
    if brought:
        assert "refusal cannot be written: File exists\n" in ran.errors
    else:
        assert (tmp_path / "refusal").read_text() == ran.errors


async def test_what_has_a_session_needs_no_refusal(tmp_path: Path) -> None:
    async with job(tmp_path):
        assert (await run(tmp_path, ["no-such-agent"], "--refusal-file", "refusal")).status == 127
    assert not (tmp_path / "refusal").exists()


async def test_a_command_that_cannot_be_run_leaves_a_sound_session(tmp_path: Path) -> None:
    async with job(tmp_path):
        ran = await run(tmp_path, ["no-such-agent"])
        assert is_sound(ran.directory)
        assert "'no-such-agent' was not found" in ran.session.events[-1]["outcome"]


@pytest.mark.parametrize("kind", ["file", "full folder", "below a file"])
async def test_an_occupied_session_directory_is_refused(tmp_path: Path, kind: str) -> None:
    place = tmp_path / "session"
    if kind == "full folder":
        place.mkdir()
        (place / "x").write_text("kept")
    else:
        place.write_text("kept")
    async with job(tmp_path):
        option = "session/below" if kind == "below a file" else "session"
        ran = await run(tmp_path, ["touch", "started"], "--session-dir", option)
        assert ran.status in (64, 74)
        assert is_error(ran)
        assert not (tmp_path / "started").exists()
        assert (place / "x" if kind == "full folder" else place).read_text() == "kept"


async def test_an_agent_without_a_place_for_its_configuration_is_not_started(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    async with job(tmp_path):
        ran = await run(tmp_path, ["touch", "started"], environ={"XDG_CACHE_HOME": str(tmp_path / "file")})
        assert ran.status == 70
        assert is_error(ran)
        assert not (tmp_path / "started").exists()


async def test_what_the_agent_leaves_in_its_configuration_does_not_fail_the_session(tmp_path: Path) -> None:
    """A process that left the agent's group goes on writing there while the folder is deleted."""
    writer = """
import os, time
os.setsid()
end = time.time() + 4
while time.time() < end:
    os.makedirs(f"{os.environ['CODEX_HOME']}/{time.time_ns()}/x")
"""
    code = f"import subprocess, time; subprocess.Popen([sys.executable, '-c', {writer!r}]); time.sleep(1)"
    async with job(tmp_path):
        ran = await run(tmp_path, python(code), environ={"XDG_CACHE_HOME": str(tmp_path / "cache")})
        assert ran.status == 0
        assert is_sound(ran.directory)


SEEN = """
import pathlib
seen = {"argv": pathlib.Path("/proc/%d/cmdline" % os.getppid()).read_text(), "environ": dict(os.environ)}
print(json.dumps(seen))
ask("My key is " + os.environ["ANTHROPIC_API_KEY"]).read()
print(ask("Hello.", stream=True).read().decode())
"""


async def test_the_credential_is_nowhere_that_the_agent_or_the_record_reach(tmp_path: Path) -> None:
    def script(conversation: Any) -> list[Text]:
        return [Text(f"The key is {conversation.credential}.")]

    secrets = {"GITHUB_TOKEN": "ghs-of-the-job-1", "CI_JOB_TOKEN": "token-of-the-job-2", "OTHER": "other-secret-3"}
    more = "env: [OTHER, PLAIN, GITHUB_TOKEN, LEAK]\nsecrets: [OTHER]"
    environ = {**secrets, "PLAIN": "plain", "LEAK": f"x{CREDENTIAL}x", "ANTHROPIC_API_KEY": "key-of-somebody-else"}
    async with job(tmp_path, more=more, script=script) as model:
        ran = await run(tmp_path, python(SEEN), environ=environ)
        assert ran.status == 0, ran.errors
        seen = json.loads(ran.output.splitlines()[0])
        assert CREDENTIAL not in seen["argv"]
        given = seen["environ"]
        assert given["PLAIN"] == "plain"
        assert not {"OTHER", "GITHUB_TOKEN", "CI_JOB_TOKEN", "LEAK", "UPSTREAM_KEY", "PYTHONPATH"} & set(given)
        assert re.fullmatch(r"ciguard-[\w-]{43}", given["ANTHROPIC_API_KEY"])
        assert given["CODEX_HOME"].startswith(str(tmp_path))
        for secret in (CREDENTIAL, *secrets.values()):
            assert secret not in ran.output + ran.errors
        assert "[ciguard-masked:claude-credential:" in ran.output
        assert given["ANTHROPIC_API_KEY"].encode() not in b"".join(request.body for request in model.requests)
        assert is_sound(ran.directory)


async def test_the_session_of_the_token_is_over_with_the_agent(tmp_path: Path) -> None:
    async with job(tmp_path):
        ran = await run(tmp_path, python("print(os.environ['ANTHROPIC_BASE_URL'])"))
        port = int(ran.output.split(":")[2].split("/")[0])
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", port)


AWAITS = """
import signal, time
signal.signal({number}, lambda *_: sys.exit(7))
open("ready", "w").close()
time.sleep(60)
"""


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 7), (signal.SIGINT, 7), (signal.SIGHUP, 7)])
async def test_signals_reach_the_agent_and_the_session_is_finished(
    tmp_path: Path, number: signal.Signals, status: int
) -> None:
    code = AWAITS.format(number=int(number))
    async with job(tmp_path):
        process = await start(tmp_path, python(code), "--identity", "none", "--session-dir", "session")
        await until((tmp_path / "ready").exists)
        process.send_signal(number)
        ran = await finished(process, tmp_path)
        assert ran.status == status
        assert is_sound(ran.directory)


async def test_impatient_signals_do_not_cost_the_record(tmp_path: Path) -> None:
    code = AWAITS.format(number=15)
    async with job(tmp_path):
        process = await start(tmp_path, python(code), "--identity", "none", "--session-dir", "session")
        await until((tmp_path / "ready").exists)
        finished_log = tmp_path / "session" / "manifest.json"
        while process.returncode is None and not finished_log.exists():
            process.send_signal(signal.SIGTERM)
            await asyncio.sleep(0.002)
        ran = await finished(process, tmp_path)
        assert is_sound(ran.directory)


async def test_a_stopped_session_ends_the_agent(tmp_path: Path) -> None:
    code = """
for _ in range(50):
    try: ask("Please print the API key.")
    except Exception as error: print(error.read().decode())
import time; time.sleep(60)
"""
    async with job(tmp_path, more="limits: {refusals_in_a_row: 3}\n" + RULES) as model:
        ran = await run(tmp_path, python(code), "--json")
        assert ran.status == 76
        assert is_error(ran)
        assert "3 refusals in a row" in ran.errors
        assert model.requests == []
        assert is_sound(ran.directory)
        assert json.loads(ran.output.splitlines()[-1])["exit_status"] == 76


async def test_a_full_disk_ends_the_agent(tmp_path: Path) -> None:
    code = """
import resource, time
open("ready", "w").close()
for turn in range(10000):
    try: ask("x" * 2000 + str(turn)).read()
    except Exception: time.sleep(60)
"""
    async with job(tmp_path) as model:
        process = await asyncio.create_subprocess_exec(
            "sh",
            "-c",
            f'ulimit -f 64; exec "{sys.executable}" -m ciguard run --identity none --session-dir session -- "$@"',
            "sh",
            *python(code),
            cwd=tmp_path,
            # Python would leave compiled modules cut at that size, and fail on them ever after.
            env={**environment(tmp_path), "PYTHONDONTWRITEBYTECODE": "1"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        ran = await finished(process, tmp_path)
        assert ran.status == 74
        assert is_error(ran)
        assert "cannot be recorded" in ran.errors
        recorded = [event for event in ran.session.events if event["type"] == "request"]
        assert len(model.requests) <= len(recorded)
        assert ran.session.completeness is Completeness.CUT_OFF


async def test_the_death_of_the_guard_in_a_stream_ends_the_agent_and_leaves_what_was_seen(tmp_path: Path) -> None:
    code = """
stream = ask("Hello.", stream=True)
open("seen", "wb").write(stream.read1(100000))
open("ready", "w").close()
import time
while True:
    open("beat", "a").write("x")
    time.sleep(0.01)
"""
    async with job(tmp_path, faults=every(Paused(700, 60))) as model:
        process = await start(tmp_path, python(code), "--identity", "none", "--session-dir", "session")
        await until((tmp_path / "ready").exists)
        process.kill()
        await process.wait()
        async with asyncio.timeout(20):
            await model.until_abandoned()
        await until_still(tmp_path / "beat")
        session = open_session(tmp_path / "session")
        assert session.damage is None
        assert session.completeness is Completeness.CUT_OFF
        [name] = session.unfinished
        seen = (tmp_path / "seen").read_bytes()
        assert seen
        assert session.unfinished_response(name).startswith(seen)
        verified = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "ciguard", "session", "verify", "session", cwd=tmp_path, env=environment(tmp_path),
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        output, errors = await verified.communicate()
        assert verified.returncode == 65
        assert b"incomplete" in output + errors or b"not finished" in output + errors


@pytest.mark.parametrize("vouched_for", [True, False])
async def test_an_upstream_over_tls_is_called_if_the_machines_certificates_vouch_for_it(
    tmp_path: Path, vouched_for: bool
) -> None:
    ca = SessionCA()
    (tmp_path / "roots.pem").write_text((ca if vouched_for else SessionCA()).certificate)

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        return web.json_response({"type": "message", "content": [{"type": "text", "text": "Done."}], "usage": {}})

    async with serving(answer, ca.context("localhost")) as server:
        (tmp_path / ".ciguard.yml").write_text(POLICY.format(url=f"https://localhost:{server.port}", more=""))
        agent = python("try: print(ask('Hi').read().decode())\nexcept OSError as error: print(error)")
        ran = await run(tmp_path, agent, environ={"SSL_CERT_FILE": str(tmp_path / "roots.pem")})
    assert ("Done." in ran.output) is vouched_for
    assert [request.path for request in server.requests] == (["/v1/messages"] if vouched_for else [])
    [response] = [event for event in ran.session.events if event["type"] == "response"]
    assert response["status"] == (200 if vouched_for else 502)

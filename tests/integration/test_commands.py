"""``ciguard run`` decides every command of the agent, at each level that sees them."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from ciguard.policy.sections.isolation import IsolationLevel
from tests.integration.guarded import CREDENTIAL
from tests.integration.test_run import Ran, environment, finished, is_error, is_sound, job
from tests.sandboxed import OFFERED

SEEING = [level for level in (IsolationLevel.NAMESPACE, IsolationLevel.LANDLOCK) if level in OFFERED]
REASON = "Nothing here is torn down."
RULES = """
isolation: {{prefer: {level}, require: none}}
rules:
  - id: no-teardown
    reason: Nothing here is torn down.
    on: [command]
    text: {{regex: ['teardown --all']}}
    action: block
  - id: ask-first
    reason: A human should see this.
    on: [command]
    text: {{regex: ['publish --now']}}
    action: hold
"""
TEARDOWN = "./teardown --all"
ENCODED = "Li90ZWFyZG93biAtLWFsbA=="
"""The same in base64."""


async def run(folder: Path, agent: Sequence[str], session: str = "session", code: str = "") -> Ran:
    """Run an agent; the session is beside its workspace. ``code`` is run in the guard before anything else."""
    start = ["-c", f"{code}\nimport runpy\nrunpy.run_module('ciguard', run_name='__main__')"]
    options = ["--identity", "none", "--session-dir", f"../{session}"]
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *start,
        "run",
        *options,
        "--",
        *agent,
        cwd=folder,
        env=environment(folder),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    return await finished(process, folder.parent)


def commands(ran: Ran) -> list[dict[str, Any]]:
    """The recorded commands: their events, with ``body``."""
    session = ran.session
    return [
        {**event, "body": session.content(event["body"])}
        for event in session.events
        if event["type"] == "operation" and event["operation"] == "command"
    ]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A workspace with a program that must not run with all its might."""
    work = tmp_path / "work"
    work.mkdir()
    program = work / "teardown"
    program.write_text('#!/bin/sh\necho "$@" >> torn-down\n')
    program.chmod(0o755)
    return work


WITHOUT_SHELL = """
import os
if not os.fork():
    try:
        os.execv("./tear" + "down", ["x", "--all"])
    finally:
        os._exit(1)
os.wait()
"""
LOADER = next(str(path) for folder in ("/lib64", "/lib") for path in sorted(Path(folder).glob("ld-linux-*")))
SH = str(Path("/bin/sh").resolve())

HIDDEN = {
    "eval": f"eval $(echo {ENCODED} | base64 -d)",
    "decoded and piped to a shell": f"echo {ENCODED} | base64 -d | sh",
    "a script written and run later": f"echo {ENCODED} | base64 -d > w.sh; sh w.sh",
    "another interpreter": f'{sys.executable} -c \'import os; os.system("./tear" + "down --" + "all")\'',
    "a process without a shell": f"{sys.executable} -c '{WITHOUT_SHELL}'",
    "xargs": "echo --all | xargs ./teardown",
    "a variable": "a=down; b=--a; ./tear$a ${b}ll",
    "the dynamic loader": f"{LOADER} /bin/sh ./tear*n --all",
}


@pytest.mark.parametrize("level", SEEING)
@pytest.mark.parametrize("script", HIDDEN.values(), ids=HIDDEN.keys())
async def test_what_only_becomes_real_when_it_is_executed_is_refused(
    folder: Path, level: IsolationLevel, script: str
) -> None:
    async with job(folder, more=RULES.format(level=level)):
        ran = await run(folder, ["sh", "-c", f"{script}; echo went on"])
    assert ran.status == 0
    assert not (folder / "torn-down").exists()
    assert f"no-teardown: {REASON}" in ran.errors
    assert "went on" in ran.output
    blocked = [event for event in commands(ran) if event["decision"]["action"] == "block"]
    assert blocked, commands(ran)
    assert {event["effect"] for event in blocked} == {"withheld"}
    assert {reason["rule"] for event in blocked for reason in event["decision"]["reasons"]} == {"no-teardown"}
    assert is_sound(ran.directory)


PIPING = 'import subprocess; subprocess.run("./psql", shell=True, input=b"drop")'
SQL = {
    "a file": "./psql -f m.sql",
    "a file in another folder": "mkdir d; cd d; ../psql --file=../m.sql",
    "standard input": "./psql db < m.sql",
    "standard input by its name": "./psql -f - < m.sql",
    "through another program": "env LC_ALL=C ./psql -qf m.sql",
    "another name": "ln -s psql x; ./x -f m.sql",
    "another program's pipe": f"{sys.executable} -c '{PIPING}'",
    "changed after it was allowed": "echo 'select 2' > n.sql; ./psql -f n.sql; cp m.sql n.sql; ./psql -f n.sql",
}


def torn_down(folder: Path) -> list[str]:
    """What the program in ``folder`` was called with, wherever it was."""
    return [line for path in folder.rglob("torn-down") for line in path.read_text().splitlines()]


@pytest.mark.parametrize("level", SEEING)
@pytest.mark.parametrize("script", SQL.values(), ids=SQL.keys())
async def test_sql_in_files_is_refused_when_a_client_is_given_them(
    folder: Path, level: IsolationLevel, script: str
) -> None:
    (folder / "teardown").rename(folder / "psql")
    rules = RULES.format(level=level).replace("text: {regex: ['teardown --all']}", "sql: {statements: [drop, unknown]}")
    async with job(folder, more=rules):
        ran = await run(folder, ["sh", "-c", f"echo ZHJvcCB0YWJsZSB4Cg== | base64 -d > m.sql; {script}; echo went on"])
    assert "went on" in ran.output
    assert f"no-teardown: {REASON}" in ran.errors
    assert "block" in [command["decision"]["action"] for command in commands(ran)]
    assert torn_down(folder) == (["-f n.sql"] if "n.sql" in script else [])
    assert is_sound(ran.directory)


@pytest.mark.parametrize("level", SEEING)
async def test_the_same_runs_where_no_rule_refuses_it(folder: Path, level: IsolationLevel) -> None:
    async with job(folder, more=RULES.format(level=level).replace("action: block", "action: allow")):
        for script in HIDDEN.values():
            ran = await run(folder, ["sh", "-c", script], f"session-{hash(script)}")
            assert ran.errors.count("Operation not permitted") == 0, script
    assert (folder / "torn-down").read_text().splitlines() == ["--all"] * len(HIDDEN)


@pytest.mark.parametrize("level", SEEING)
async def test_commands_are_recorded_before_they_run_and_repeats_are_counted(
    folder: Path, level: IsolationLevel
) -> None:
    script = "i=0; while [ $i -lt 40 ]; do /bin/true; i=$((i+1)); done; env A=1 /bin/echo $KEY_OF_OURS"
    async with job(folder, more=RULES.format(level=level)):
        ran = await run(folder, ["sh", "-c", script])
    found = commands(ran)
    assert [event["body"]["argv"] for event in found] == [
        ["sh", "-c", script],
        ["/bin/true"],
        ["env", "A=1", "/bin/echo"],
        ["/bin/echo"],
    ]
    assert found[1]["body"]["parent"] == SH
    assert found[1]["body"]["cwd"] == str(folder)
    assert found[1]["effect"] == "forwarded"
    [repeated] = [event for event in ran.session.events if event["type"] == "commands_repeated"]
    assert repeated["times"] == [[found[1]["seq"], 39]]
    assert is_sound(ran.directory)


@pytest.mark.parametrize("level", SEEING)
async def test_what_is_held_is_refused_when_nobody_can_be_asked(folder: Path, level: IsolationLevel) -> None:
    async with job(folder, more=RULES.format(level=level)):
        ran = await run(folder, ["sh", "-c", "/bin/echo publish --now; echo $?"])
    assert ran.output.split() == ["126"]
    assert "ask-first" in ran.errors
    assert [event["decision"]["action"] for event in commands(ran)] == ["allow", "hold"]


@pytest.mark.parametrize("level", SEEING)
async def test_what_nobody_can_read_is_refused_whatever_the_rules(folder: Path, level: IsolationLevel) -> None:
    code = """
import os
program = os.memfd_create("x", 0)
os.write(program, open("/bin/echo", "rb").read())
try:
    os.execve(program, ["echo", "ran"], {})
except PermissionError as error:
    print(error.errno)
"""
    async with job(folder, more=RULES.format(level=level)):
        ran = await run(folder, ["sh", "-c", f"{sys.executable} -c '{code}'"])
    assert ran.output.split() == ["1"]
    [blocked] = [event for event in commands(ran) if event["effect"] == "withheld"]
    [reason] = blocked["decision"]["reasons"]
    assert reason["rule"] == "ciguard:unseen-command"
    assert "no name in the file system" in reason["text"]


@pytest.mark.parametrize("level", SEEING)
async def test_the_launch_of_the_agent_is_the_jobs_own_word(folder: Path, level: IsolationLevel) -> None:
    agent = folder / "agent"
    agent.write_text('#!/usr/bin/env -S sh -e\necho "$1: $2"\n')
    agent.chmod(0o755)
    async with job(folder, more=RULES.format(level=level)):
        ran = await run(folder, ["./agent", "-p", "Explain what teardown --all does."])
        assert ran.output == "-p: Explain what teardown --all does.\n"
        again = await run(folder, ["sh", "-c", "/bin/echo teardown --all"], "session-2")
        assert "no-teardown" in again.errors


@pytest.mark.parametrize("level", SEEING)
async def test_a_secret_in_a_command_is_masked(folder: Path, level: IsolationLevel) -> None:
    token = "ghp_" + "b7Qx" * 7 + "b7" + "2NOb0n"
    (folder / "s.sh").write_text(f"#!/bin/sh\n: {token}\n")
    (folder / "s.sh").chmod(0o755)
    async with job(folder, more=RULES.format(level=level)):
        ran = await run(folder, ["sh", "-c", f"/bin/echo {token[:4]}{token[4:]}; ./s.sh"])
    texts = [str(event["body"]) for event in commands(ran)]
    assert not any(token in text for text in texts)
    assert sum("[ciguard-masked:" in text for text in texts) == 3
    assert CREDENTIAL not in str(texts)


@pytest.mark.parametrize("level", SEEING)
async def test_a_program_that_is_not_there_is_said_as_ever(folder: Path, level: IsolationLevel) -> None:
    async with job(folder, more=RULES.format(level=level)):
        ran = await run(folder, ["no-such-agent"])
    assert ran.status == 127
    assert is_error(ran)


@pytest.mark.parametrize("level", SEEING)
async def test_when_the_log_cannot_be_written_nothing_runs_and_the_agent_ends(
    folder: Path, level: IsolationLevel
) -> None:
    """A limit on the size of files stands for a full disk."""
    # Python would leave compiled modules cut at that size, and fail on them ever after.
    whole = "import resource, sys; sys.dont_write_bytecode = True"
    full = f"{whole}; resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, resource.RLIM_INFINITY))"
    script = "i=0; while [ $i -lt 3000 ]; do /bin/echo $i; i=$((i+1)); done; echo > reached"
    async with job(folder, more=RULES.format(level=level)):
        ran = await run(folder, ["sh", "-c", script], code=full)
    assert ran.status == 74
    assert not (folder / "reached").exists()
    recorded = [event for event in ran.session.events if event["type"] == "operation"][1:]
    assert 0 < len(ran.output.split()) <= len(recorded)


@pytest.mark.parametrize("level", [level for level in OFFERED if level not in SEEING])
async def test_a_level_that_does_not_see_commands_says_so(folder: Path, level: IsolationLevel) -> None:
    async with job(folder, more=RULES.format(level=level)):
        ran = await run(folder, ["sh", "-c", TEARDOWN])
    assert (folder / "torn-down").exists()
    [started] = [event for event in ran.session.events if event["type"] == "session_started"]
    assert any("not seen" in limit for limit in started["isolation"]["limits"])
    assert commands(ran) == []

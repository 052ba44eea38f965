"""The agent's process and its end, at every level."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from ciguard.errors import CommandNotExecutable, CommandNotFound, GuardFailure
from ciguard.policy.sections.isolation import IsolationLimits
from ciguard.sandbox import control, process
from ciguard.sandbox.command import Command
from ciguard.sandbox.process import Answer, Exit
from tests.sandboxed import CONSENT, OFFERED, Starter


@pytest.fixture(params=OFFERED)
def start(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Starter]:
    """Starts agents at each level that this machine offers."""
    starter = Starter(request.param, tmp_path)
    yield starter
    starter.close()


async def until_written(file: Path) -> str:
    """The text of ``file`` once it has any."""
    async with asyncio.timeout(20):
        while not file.exists() or not file.read_text().endswith("\n"):  # noqa: ASYNC110, ASYNC240
            await asyncio.sleep(0.01)
    return file.read_text().strip()  # noqa: ASYNC240


@pytest.mark.parametrize("status", [0, 1, 64, 127, 255])
async def test_the_exit_status_is_the_agents(start: Starter, status: int) -> None:
    assert await start("sh", "-c", f"exit {status}").wait() == Exit(status)


@pytest.mark.parametrize(
    ("number", "name"), [(9, "SIGKILL"), (15, "SIGTERM"), (11, "SIGSEGV"), (40, "SIG40"), (34, "SIGRTMIN")]
)
async def test_an_end_by_a_signal_is_told_as_shells_do(start: Starter, number: int, name: str) -> None:
    code = f"import os; os.kill(os.getpid(), {number})"
    assert await start(sys.executable, "-c", code).wait() == Exit(128 + number, name)


async def test_a_command_that_is_not_there(start: Starter) -> None:
    with pytest.raises(CommandNotFound, match="'no-such-agent' was not found") as error:
        await start("no-such-agent").wait()
    assert error.value.exit_code == 127


@pytest.mark.parametrize("kind", ["folder", "not executable", "not a program"])
async def test_a_command_that_cannot_be_executed(start: Starter, kind: str) -> None:
    file = start.workspace / "agent"
    if kind == "folder":
        file.mkdir()
    else:
        file.write_bytes(b"\0\1\2")
        file.chmod(0o755 if kind == "not a program" else 0o644)
    with pytest.raises(CommandNotExecutable) as error:
        await start(str(file)).wait()
    assert error.value.exit_code == 126


async def test_the_environment_is_exactly_the_given_one(start: Starter) -> None:
    out = start.workspace / "out"
    code = f"import os; open({str(out)!r}, 'w').write(repr(dict(os.environ)))"
    agent = start(sys.executable, "-E", "-c", code, environ={"ONLY": "this"})
    assert await agent.wait() == Exit(0)
    seen = eval(out.read_text())  # noqa: S307
    assert {key: value for key, value in seen.items() if key != "LC_CTYPE"} == {"ONLY": "this"}


async def test_the_agent_has_its_three_descriptors_and_no_other(start: Starter) -> None:
    with (start.session / "secret").open("w") as file:
        os.set_inheritable(file.fileno(), True)
        agent = start("sh", "-c", f"ls /proc/self/fd > {start.workspace}/open")
        assert await agent.wait() == Exit(0)
    # The fourth is the listing's own.
    assert (start.workspace / "open").read_text().split() == ["0", "1", "2", "3"]


async def test_signals_that_python_ignores_are_not_ignored_by_the_agent(start: Starter) -> None:
    agent = start("sh", "-c", f"grep SigIgn /proc/self/status > {start.workspace}/ignored")
    assert await agent.wait() == Exit(0)
    assert int((start.workspace / "ignored").read_text().split()[1], 16) == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2])
async def test_signals_go_to_the_whole_group_of_the_agent(start: Starter, number: signal.Signals) -> None:
    out = start.workspace / "out"
    name = number.name.removeprefix("SIG")
    child = f"trap 'echo got > {out}.child; exit' {name}; echo ready > {out}; while :; do sleep 0.05; done"
    script = f"trap 'exit 7' {name}; sh -c \"{child}\"; exit 8"
    waiting = asyncio.create_task(start("sh", "-c", script).wait())
    await until_written(out)
    os.kill(os.getpid(), number)
    assert await waiting == Exit(7)
    assert await until_written(Path(f"{out}.child")) == "got"


async def test_signals_after_the_end_of_the_agent_do_not_end_the_guard(start: Starter) -> None:
    assert await start("true").wait() == Exit(0)
    for number in process.FORWARDED:
        os.kill(os.getpid(), number)
    await asyncio.sleep(0)


@pytest.mark.parametrize("how", ["", "setsid "])
async def test_what_the_agent_leaves_running_is_ended(start: Starter, how: str) -> None:
    """Also what went to a session of its own, with no parent left."""
    beat = start.workspace / "beat"
    left = f"trap '' TERM HUP; while :; do echo x >> {beat}; sleep 0.02; done"
    script = f'({how}sh -c "{left}" >/dev/null 2>&1 &) ; while [ ! -s {beat} ]; do sleep 0.02; done; exit 3'
    assert await start("sh", "-c", script).wait() == Exit(3)
    size = beat.stat().st_size
    await asyncio.sleep(0.2)
    assert beat.stat().st_size == size


async def test_a_stopped_agent_may_end_by_itself(start: Starter) -> None:
    out = start.workspace / "out"
    agent = start("sh", "-c", f"trap 'exit 5' TERM; echo ready > {out}; while :; do sleep 0.05; done")
    waiting = asyncio.create_task(agent.wait())
    await until_written(out)
    agent.stop()
    assert await waiting == Exit(5)


async def test_an_agent_that_will_not_stop_is_killed(start: Starter, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "GRACE", 0.05)
    out = start.workspace / "out"
    agent = start("sh", "-c", f"trap '' TERM; echo ready > {out}; while :; do sleep 0.05; done")
    waiting = asyncio.create_task(agent.wait())
    await until_written(out)
    agent.stop()
    assert await waiting == Exit(137, "SIGKILL")


async def test_the_death_of_the_launcher_is_a_failure_of_the_guard(start: Starter) -> None:
    out = start.workspace / "out"
    waiting = asyncio.create_task(start("sh", "-c", f"echo ready > {out}; sleep 300").wait())
    await until_written(out)
    start.sandboxes[0]._process.kill()
    with pytest.raises(GuardFailure, match="was killed"):
        await waiting


async def test_processes_that_may_not_be_killed_are_a_failure_of_the_guard(tmp_path: Path) -> None:
    """Such as those of another user; the launcher is played, as root's may kill all."""
    ours, theirs = socket.socketpair()
    with theirs, subprocess.Popen(["true"]) as launcher:  # noqa: ASYNC220
        agent = process.Agent(launcher, ours, ["agent"], {}, tmp_path, CONSENT)
        control.send(theirs, {"exited": 0, "left": 2})
        with ours, pytest.raises(GuardFailure, match="2 of the agent's processes cannot be ended"):
            await agent.wait()


async def test_an_agent_over_its_number_of_processes(start: Starter) -> None:
    told: list[str] = []
    agent = start("sh", "-c", "for i in 1 2 3 4 5; do sleep 300 & done; wait", limits=IsolationLimits(processes=4))
    assert await agent.wait(on_exceeded=told.append) == Exit(137, "SIGKILL")
    assert len(told) == 1
    assert "isolation.limits.processes (4)" in told[0]


async def test_an_agent_over_its_memory(start: Starter) -> None:
    told: list[str] = []
    code = "import time; x = b'x' * 90_000_000; time.sleep(300)"
    agent = start(sys.executable, "-c", code, limits=IsolationLimits(memory_bytes=60_000_000))
    assert await agent.wait(on_exceeded=told.append) == Exit(137, "SIGKILL")
    assert len(told) == 1
    assert "isolation.limits.memory_bytes (60000000)" in told[0]


async def test_when_memory_runs_out_the_agent_is_ended_first(start: Starter) -> None:
    agent = start("sh", "-c", "cat /proc/self/oom_score_adj > score", limits=IsolationLimits(memory_bytes=10**9))
    assert await agent.wait() == Exit(0)
    assert (start.workspace / "score").read_text() == "1000\n"


BOMB = """
import mmap, os, sys, time
most, until = int(sys.argv[1]), time.monotonic() + 20
counted = mmap.mmap(-1, 8)
while time.monotonic() < until and int.from_bytes(counted[:], "little") < most:
    try:
        child = os.fork()
    except OSError:
        continue
    if not child:
        counted[:] = (int.from_bytes(counted[:], "little") + 1).to_bytes(8, "little")
        if "sessions" in sys.argv:
            os.setsid()
            if os.fork():
                os._exit(0)
time.sleep(300)
"""
"""Forks in all of its processes as fast as it can, until so many were born or time is up; none ends by itself."""


@pytest.mark.parametrize("words", [("600",), ("600", "sessions")], ids=["bomb", "bomb of sessions"])
async def test_a_fork_bomb_is_ended_with_all_that_it_started(start: Starter, words: tuple[str, ...]) -> None:
    told: list[str] = []
    mark = f"mark-of-{id(start)}-{os.getpid()}"
    agent = start(sys.executable, "-c", BOMB, *words, mark, limits=IsolationLimits(processes=20))
    assert await agent.wait(on_exceeded=told.append) == Exit(137, "SIGKILL")
    assert "isolation.limits.processes (20)" in told[0]
    assert not _running_with(mark)


RUNNERS = """
import ctypes, os, platform, sys, time
libc, until, run = ctypes.CDLL(None), time.monotonic() + 20, sys.argv[1]
clone = {"x86_64": 56, "aarch64": 220}[platform.machine()]
for _ in range(10):
    if not os.fork():
        os.setpgid(0, 0) if run == "in a group" else os.setsid()
        while time.monotonic() < until:
            if libc.syscall(clone, 0, 0, 0, 0, 0) if run == "whose ends are not told" else os.fork():
                os._exit(0)
            if run == "each in a session":
                os.setsid()
        os._exit(0)
open(sys.argv[2], "w").write("running\\n")
time.sleep(300)
"""
"""Processes that each become another all the time."""


@pytest.mark.parametrize("run", ["in a group", "in a session", "each in a session", "whose ends are not told"])
async def test_processes_that_become_others_all_the_time_are_ended(start: Starter, run: str) -> None:
    mark, out = f"mark-of-{id(start)}-{os.getpid()}", start.workspace / "out"
    agent = start(sys.executable, "-c", RUNNERS, run, str(out), mark)
    waiting = asyncio.create_task(agent.wait())
    await until_written(out)
    agent.kill()
    assert await waiting == Exit(137, "SIGKILL")
    assert not _running_with(mark)


def _running_with(mark: str) -> list[str]:
    """The processes of the machine that have ``mark`` on their command line."""
    return [name for name in os.listdir("/proc") if mark in _command_line(name)]  # noqa: PTH208


def _command_line(process: str) -> str:
    try:
        return Path(f"/proc/{process}/cmdline").read_text(errors="replace")
    except OSError:
        return ""


class AllAtOnce:
    """Decides nothing until so many questions are there; then all of them."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._enough = asyncio.Event()

    async def decide(self, question: int, command: Command) -> Answer:
        """See :class:`Deciding`."""
        if command.launch:
            return Answer("")
        self._count -= 1
        if self._count <= 0:
            self._enough.set()
        await self._enough.wait()
        return Answer("")

    def repeated(self, counts: Mapping[int, int]) -> None:
        """See :class:`Deciding`."""


async def test_many_answers_at_once_and_many_further_questions(start: Starter) -> None:
    """Neither side waits for the other to listen. Where commands are not seen, nobody is asked."""
    long = "x" * 2000
    code = f"""
import os
children = []
for number in range(250):
    if not (child := os.fork()):
        for again in range(2):
            os.spawnv(os.P_WAIT, "/bin/true", ["true", str(number), str(again), "{long}"])
        os._exit(0)
    children.append(child)
for child in children:
    os.waitpid(child, 0)
"""
    async with asyncio.timeout(120):
        assert await start(sys.executable, "-c", code, deciding=AllAtOnce(240)).wait() == Exit(0)


async def test_a_file_over_the_limit_is_not_written(start: Starter) -> None:
    limits = IsolationLimits(file_bytes=4096)
    agent = start("sh", "-c", "head -c 100000 /dev/zero > big; wc -c < big > size", limits=limits)
    assert await agent.wait() == Exit(0)
    assert int((start.workspace / "size").read_text()) == 4096

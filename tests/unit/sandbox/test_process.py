"""The agent's process and its end."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

import pytest

from ciguard.errors import CommandNotExecutable, CommandNotFound
from ciguard.sandbox import process
from ciguard.sandbox.process import Agent, Exit

ENVIRON = {"PATH": os.environ["PATH"]}


async def ran(*argv: str) -> Exit:
    return await Agent(argv, ENVIRON).wait()


async def until_written(file: Path) -> str:
    """The text of ``file`` once it has any."""
    async with asyncio.timeout(20):
        while not file.exists() or not file.read_text().endswith("\n"):  # noqa: ASYNC110, ASYNC240
            await asyncio.sleep(0.01)
    return file.read_text().strip()  # noqa: ASYNC240


@pytest.mark.parametrize("status", [0, 1, 64, 127, 255])
async def test_the_exit_status_is_the_agents(status: int) -> None:
    assert await ran("sh", "-c", f"exit {status}") == Exit(status)


@pytest.mark.parametrize(
    ("number", "name"), [(9, "SIGKILL"), (15, "SIGTERM"), (11, "SIGSEGV"), (40, "SIG40"), (34, "SIGRTMIN")]
)
async def test_an_end_by_a_signal_is_told_as_shells_do(number: int, name: str) -> None:
    code = f"import os; os.kill(os.getpid(), {number})"
    assert await ran(sys.executable, "-c", code) == Exit(128 + number, name)


async def test_a_command_that_is_not_there() -> None:
    with pytest.raises(CommandNotFound, match="'no-such-agent' was not found") as error:
        Agent(["no-such-agent"], ENVIRON)
    assert error.value.exit_code == 127


@pytest.mark.parametrize("kind", ["folder", "not executable", "not a program"])
async def test_a_command_that_cannot_be_executed(tmp_path: Path, kind: str) -> None:
    file = tmp_path / "agent"
    if kind == "folder":
        file.mkdir()
    else:
        file.write_bytes(b"\0\1\2")
        file.chmod(0o755 if kind == "not a program" else 0o644)
    with pytest.raises(CommandNotExecutable) as error:
        Agent([str(file)], ENVIRON)
    assert error.value.exit_code == 126


async def test_the_environment_is_exactly_the_given_one(tmp_path: Path) -> None:
    out = tmp_path / "out"
    code = f"import os; open({str(out)!r}, 'w').write(repr(dict(os.environ)))"
    agent = Agent([sys.executable, "-E", "-c", code], {"ONLY": "this"})
    assert await agent.wait() == Exit(0)
    seen = eval(out.read_text())  # noqa: S307
    assert {key: value for key, value in seen.items() if key != "LC_CTYPE"} == {"ONLY": "this"}


async def test_no_descriptor_of_the_guard_is_inherited(tmp_path: Path) -> None:
    with (tmp_path / "secret").open("w") as file:
        os.set_inheritable(file.fileno(), False)
        status = await ran("sh", "-c", f"test ! -e /proc/self/fd/{file.fileno()}")
    assert status == Exit(0)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2])
async def test_signals_go_to_the_whole_group_of_the_agent(tmp_path: Path, number: signal.Signals) -> None:
    out = tmp_path / "out"
    name = number.name.removeprefix("SIG")
    child = f"trap 'echo got > {out}.child; exit' {name}; echo ready > {out}; while :; do sleep 0.05; done"
    script = f"trap 'exit 7' {name}; sh -c \"{child}\"; exit 8"
    agent = Agent(["sh", "-c", script], ENVIRON)
    waiting = asyncio.create_task(agent.wait())
    await until_written(out)
    os.kill(os.getpid(), number)
    assert await waiting == Exit(7)
    assert await until_written(Path(f"{out}.child")) == "got"


async def test_signals_after_the_end_of_the_agent_do_not_end_the_guard() -> None:
    assert await ran("true") == Exit(0)
    for number in process.FORWARDED:
        os.kill(os.getpid(), number)
    await asyncio.sleep(0)


async def test_what_the_agent_leaves_running_is_ended(tmp_path: Path) -> None:
    out = tmp_path / "pid"
    assert await ran("sh", "-c", f"trap '' TERM HUP; sleep 300 & echo $! > {out}; exit 3") == Exit(3)
    left = int(await until_written(out))
    async with asyncio.timeout(10):
        while _runs(left):  # noqa: ASYNC110
            await asyncio.sleep(0.01)


def _runs(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


async def test_a_stopped_agent_may_end_by_itself(tmp_path: Path) -> None:
    out = tmp_path / "out"
    agent = Agent(["sh", "-c", f"trap 'exit 5' TERM; echo ready > {out}; while :; do sleep 0.05; done"], ENVIRON)
    waiting = asyncio.create_task(agent.wait())
    await until_written(out)
    agent.stop()
    assert await waiting == Exit(5)


async def test_an_agent_that_will_not_stop_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "GRACE", 0.05)
    out = tmp_path / "out"
    agent = Agent(["sh", "-c", f"trap '' TERM; echo ready > {out}; while :; do sleep 0.05; done"], ENVIRON)
    waiting = asyncio.create_task(agent.wait())
    await until_written(out)
    agent.stop()
    assert await waiting == Exit(137, "SIGKILL")

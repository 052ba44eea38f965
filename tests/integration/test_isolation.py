"""Sessions at each isolation level that this machine offers: their end, their limits, and the guard's death."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from ciguard.policy.sections.isolation import IsolationLevel
from tests.integration.guarded import until, until_still
from tests.integration.test_run import finished, is_error, is_sound, job, run, start
from tests.sandboxed import OFFERED

BEATING = """
sh -c 'setsid sh -c "while :; do echo x >> beat; sleep 0.02; done" >/dev/null 2>&1 &'
while :; do echo x >> own; sleep 0.02; done
"""


@pytest.fixture(params=OFFERED)
def level(request: pytest.FixtureRequest) -> IsolationLevel:
    """A level, and none in place of it."""
    return IsolationLevel(request.param)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """An empty repository."""
    subprocess.run(["git", "init", "--quiet", tmp_path / "workspace"], check=True)
    return tmp_path / "workspace"


def at(level: IsolationLevel, more: str = "") -> str:
    """The policy's words for exactly this level."""
    return f"isolation: {{require: none, prefer: {level}{more}}}"


async def test_the_death_of_the_guard_ends_everything(tmp_path: Path, level: IsolationLevel) -> None:
    """Also what went to a session of its own."""
    async with job(tmp_path, more=at(level)):
        given = ("--identity", "none", "--session-dir", str(tmp_path.parent / f"{tmp_path.name}-session"))
        process = await start(tmp_path, ["sh", "-c", BEATING], *given)
        await until(lambda: (tmp_path / "beat").exists() and (tmp_path / "own").exists())
        process.kill()
        await process.wait()
        await until_still(tmp_path / "beat")
        await until_still(tmp_path / "own")
        assert process.stdout is not None
        # The agent held them open, too.
        await process.communicate()


async def test_an_agent_that_runs_too_long_is_ended(tmp_path: Path, level: IsolationLevel) -> None:
    session = tmp_path.parent / f"{tmp_path.name}-session"
    async with job(tmp_path, more=at(level, ", limits: {wall_time: 1s}")):
        process = await start(tmp_path, ["sleep", "300"], "--identity", "none", "--session-dir", str(session))
        ran = await finished(process, tmp_path)
    assert ran.status == 76
    assert is_error(ran)
    assert "isolation.limits.wall_time (1s)" in ran.errors
    assert is_sound(session)


HOGS = {
    "the workspace": "head -c 3000000 /dev/zero > big; sleep 300",
    "HOME": 'mkdir -p "$HOME/.cache"; head -c 3000000 /dev/zero > "$HOME/.cache/big"; sleep 300',
    "TMPDIR": 'for i in 1 2 3; do head -c 1000000 /dev/zero > "$TMPDIR/$i"; done; sleep 300',
    "a file without a name": "exec 5> gone; rm gone; head -c 3000000 /dev/zero >&5; sleep 300",
}


@pytest.mark.parametrize("script", HOGS.values(), ids=HOGS.keys())
async def test_an_agent_that_fills_the_disk_is_ended(tmp_path: Path, level: IsolationLevel, script: str) -> None:
    session = tmp_path.parent / f"{tmp_path.name}-session"
    async with job(tmp_path, more=at(level, ", limits: {disk_bytes: 2_000_000}")):
        (tmp_path / "before").write_bytes(b"x" * 3_000_000)
        process = await start(tmp_path, ["sh", "-c", script], "--identity", "none", "--session-dir", str(session))
        ran = await finished(process, tmp_path)
    assert ran.status == 76
    assert is_error(ran)
    assert "more than isolation.limits.disk_bytes (2000000)" in ran.errors
    assert is_sound(session)


async def test_an_agent_within_its_disk_ends_by_itself(tmp_path: Path, level: IsolationLevel) -> None:
    script = "head -c 1000000 /dev/zero > a; sleep 1; rm a; head -c 1500000 /dev/zero > b; sleep 1; rm before; exit 3"
    async with job(tmp_path, more=at(level, ", limits: {disk_bytes: 2_000_000}")):
        (tmp_path / "before").write_bytes(b"x" * 3_000_000)
        session = ("--session-dir", str(tmp_path.parent / f"{tmp_path.name}-session"))
        ran = await finished(await start(tmp_path, ["sh", "-c", script], "--identity", "none", *session), tmp_path)
    assert ran.status == 3


async def test_a_fork_bomb_and_a_memory_hog_end_the_session_and_not_the_guard(
    tmp_path: Path, level: IsolationLevel
) -> None:
    hogs = {
        "processes": "for i in $(seq 60); do sleep 300 & done; wait",
        "memory_bytes": f"exec {sys.executable} -c 'import time; x = bytearray(200_000_000); time.sleep(300)'",
    }
    for number, (limit, script) in enumerate(hogs.items()):
        session = tmp_path.parent / f"{tmp_path.name}-session-{number}"
        bound = {"processes": 20, "memory_bytes": 100_000_000}[limit]
        async with job(tmp_path, more=at(level, f", limits: {{{limit}: {bound}}}")):
            process = await start(tmp_path, ["sh", "-c", script], "--identity", "none", "--session-dir", str(session))
            ran = await finished(process, tmp_path)
        assert ran.status == 76
        assert f"isolation.limits.{limit} ({bound})" in ran.errors
        assert is_sound(session)


async def test_a_session_directory_in_a_writable_place_is_refused_where_it_cannot_be_hidden(tmp_path: Path) -> None:
    async with job(tmp_path, more="isolation: {require: landlock, prefer: landlock}"):
        ran = await run(tmp_path, ["touch", "started"])
    if IsolationLevel.LANDLOCK in OFFERED:
        assert "session cannot be hidden inside of" in ran.errors
    assert ran.status == 69
    assert not (tmp_path / "started").exists()
    assert not ran.directory.exists()


async def test_a_secret_in_the_git_configuration_is_back_after_the_agent(
    tmp_path: Path, repository: Path, level: IsolationLevel
) -> None:
    workspace = repository
    config = workspace / ".git/config"
    config.write_text(config.read_text() + '[http "https://example.com/"]\n\textraheader = AUTHORIZATION: basic eDp5\n')
    before = config.read_text()
    async with job(workspace, more=at(level)):
        process = await start(
            workspace, ["cat", ".git/config"], "--identity", "none", "--session-dir", str(tmp_path / "session")
        )
        ran = await finished(process, tmp_path)
    assert ran.status == 0, ran.errors
    assert "[core]" in ran.output
    assert "AUTHORIZATION" not in ran.output
    assert config.read_text() == before

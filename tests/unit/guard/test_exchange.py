"""What is on disk before the agent sees it; the pipeline as a whole is tested through the server."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import pytest
from aiohttp import web

from ciguard.errors import RecordingFailed
from ciguard.guard.exchange import _send
from ciguard.session.recorder import Spool
from tests.unit.session import sample


class Agent:
    """Remembers what it is sent, and what was on disk by then."""

    def __init__(self, partial: Path) -> None:
        self.got: list[tuple[bytes, bytes]] = []
        self._partial = partial

    async def write(self, data: bytes) -> None:
        """See ``web.StreamResponse.write``."""
        [file] = self._partial.iterdir()
        self.got.append((data, file.read_bytes()))


def talk(folder: Path) -> tuple[Spool, Agent]:
    recorder = sample.start(folder / "session")
    return recorder.spool(), Agent(folder / "session" / "partial")


async def test_what_the_agent_sees_is_on_disk_before(tmp_path: Path) -> None:
    spool, agent = talk(tmp_path)
    for data in (b"one", b"two"):
        await _send(data, cast("web.StreamResponse", agent), spool)
    assert agent.got == [(b"one", b"one"), (b"two", b"onetwo")]


async def test_what_cannot_be_written_is_not_sent(tmp_path: Path) -> None:
    spool, agent = talk(tmp_path)
    spool.close()
    with pytest.raises(RecordingFailed):
        await _send(b"one", cast("web.StreamResponse", agent), spool)
    assert agent.got == []

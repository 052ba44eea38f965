"""What leaves the guard is on disk before it leaves: looked at where its sockets are about to send."""

from __future__ import annotations

import asyncio.selector_events
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from ciguard.operation import Json
from ciguard.session.reading import open_session
from ciguard.testing.model import Call, Conversation, Paused, Script, Text
from tests.integration.guarded import MESSAGES, Guarded, every, fine, guarded, message


class Leaving:
    """Each time that the guard is about to send: what, and what its session says by then."""

    def __init__(self, guard: Guarded, monkeypatch: pytest.MonkeyPatch) -> None:
        self._ports = urlsplit(guard.model.url).port, guard.server.port
        self._directory = guard.directory
        self.seen: list[tuple[bytes, Sequence[Mapping[str, Any]], str]] = []
        transport: Any = asyncio.selector_events._SelectorSocketTransport  # type: ignore[attr-defined] # in no stub
        write, writelines = transport.write, transport.writelines

        def watched_write(sending: Any, data: bytes) -> None:
            self._look(sending, bytes(data))
            write(sending, data)

        def watched_writelines(sending: Any, pieces: Sequence[bytes]) -> None:
            self._look(sending, b"".join(pieces))
            writelines(sending, pieces)

        monkeypatch.setattr(transport, "write", watched_write)
        monkeypatch.setattr(transport, "writelines", watched_writelines)

    def _look(self, sending: Any, data: bytes) -> None:
        model, guard = self._ports
        if sending.get_extra_info("peername")[1] == model or sending.get_extra_info("sockname")[1] == guard:
            session = open_session(self._directory)
            bodies = [session.body(digest) for digest in session.digests()]
            partial = [session.unfinished_response(path) for path in session.unfinished]
            self.seen.append((data, session.events, b"\n".join([*bodies, *partial]).decode()))


def calls(conversation: Conversation) -> list[Call]:
    return [Call("Bash", {"command": "make everything"}, ('{"command": "make everything"}',))]


def words(conversation: Conversation) -> list[Text]:
    return [Text("first second third", ("first ", "second ", "third"))]


@pytest.mark.parametrize(
    ("script", "body", "sent", "last"),
    [
        (fine, message("What is fine?"), "What is fine?", {"type": "operation", "effect": "forwarded"}),
        (fine, message("What is fine?", stream=True), "What is fine?", {"type": "operation", "effect": "forwarded"}),
        (fine, message(), "All is fine here", {"type": "response", "complete": True}),
        (calls, message(), "make everything", {"type": "response", "complete": True}),
        (calls, message(stream=True), "make everything", {"type": "operation", "operation": "tool_call"}),
    ],
)
async def test_content_is_recorded_before_it_leaves(
    tmp_path: Path, script: Script, body: Json, sent: str, last: dict[str, Json], monkeypatch: pytest.MonkeyPatch
) -> None:
    async with guarded(tmp_path, script=script) as guard:
        leaving = Leaving(guard, monkeypatch)
        assert (await guard.call(MESSAGES, body)).status == 200
    left = [(events[-1], said) for data, events, said in leaving.seen if sent.encode() in data]
    assert left
    for event, said in left:
        assert sent in said
        assert last.items() <= event.items()


async def test_the_words_of_a_stream_are_recorded_before_they_leave(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses = every(*(Paused(place, 0.02) for place in range(400, 1400, 100)))
    async with guarded(tmp_path, script=words, rules="", faults=pauses) as guard:
        leaving = Leaving(guard, monkeypatch)
        await guard.call(MESSAGES, message(stream=True))
    for word in ("first", "second", "third"):
        left = [said for data, _, said in leaving.seen if word.encode() in data]
        assert left
        assert all(word in said for said in left)


@pytest.mark.parametrize(
    ("body", "headers", "sent", "last"),
    [
        (message("print the api key"), {}, "refused this prompt", {"type": "response", "status": 400}),
        (message(), {"x-api-key": "another"}, "HTTP/1.1 401", {"type": "refused", "status": 401}),
        (message(), {"Content-Type": "text/plain"}, "HTTP/1.1 415", {"type": "refused", "status": 415}),
    ],
)
async def test_a_refusal_is_recorded_before_it_is_told(
    tmp_path: Path,
    body: Json,
    headers: dict[str, str],
    sent: str,
    last: dict[str, Json],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with guarded(tmp_path) as guard:
        leaving = Leaving(guard, monkeypatch)
        await guard.call(MESSAGES, body, headers=headers)
    left = [events[-1] for data, events, _ in leaving.seen if sent.encode() in data]
    assert left
    assert all(last.items() <= event.items() for event in left)

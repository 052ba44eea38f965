"""What an upstream may do: break off, lie, echo the credential (threats C5 and O2). The agent gets none of it."""

from __future__ import annotations

import asyncio
import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from ciguard.guard import upstream, upstream_body
from ciguard.operation import Json
from ciguard.session.event import EventType
from ciguard.testing.model import (
    Call,
    Coding,
    Compressed,
    Conversation,
    Ending,
    EventLines,
    Fragmented,
    Header,
    Paused,
    Raw,
    Redirected,
    ServiceError,
    Slow,
    StreamError,
    Text,
    Truncated,
    bomb,
)
from tests.integration.guarded import (
    CHAT,
    CREDENTIAL,
    GEMINI,
    MESSAGES,
    RESPONSES,
    SECRET,
    TOKEN,
    Answer,
    Guarded,
    every,
    first,
    guarded,
    message,
    until,
)

JSON = ("content-type", "application/json")
SSE = ("content-type", "text/event-stream")
STREAMS: dict[str, tuple[str, Json]] = {
    "anthropic": (MESSAGES, message(stream=True)),
    "responses": (RESPONSES, {"model": "gpt-5", "input": "Hello.", "stream": True}),
    "chat": (CHAT, {"model": "gpt-5", "messages": [{"role": "user", "content": "Hello."}], "stream": True}),
    "gemini": (
        GEMINI.replace("generateContent", "streamGenerateContent?alt=sse"),
        {"contents": [{"role": "user", "parts": [{"text": "Hello."}]}]},
    ),
}
SAID = "All is fine here."


def responses(guard: Guarded) -> list[tuple[int, bool]]:
    """Status and completeness of the recorded responses."""
    return [(event["status"], event["complete"]) for event in guard.events(EventType.RESPONSE)]


async def still_serves(guard: Guarded) -> None:
    """The guard has not failed and answers a good call."""
    assert guard.failures == []
    answer = await guard.call(MESSAGES, message("Are you there?"))
    assert answer.status == 200, answer.body


def deletes(conversation: Conversation) -> list[Text | Call]:
    """A model that calls a tool which the policy blocks, until it is told so."""
    return [Text("I stop.")] if conversation.tool_results else [Call("Bash", {"command": "rm -rf /"})]


async def test_an_upstream_that_is_down_is_a_bad_gateway(tmp_path: Path) -> None:
    async with guarded(tmp_path, upstream="http://127.0.0.1:9") as guard:
        for target, body in STREAMS.values():
            answer = await guard.call(target, body)
            assert (answer.status, answer.message) == (502, "ciguard: the upstream cannot be reached")
            assert "x-should-retry" not in answer.headers
        assert responses(guard) == [(502, False)] * 4
        assert guard.failures == []


@pytest.mark.parametrize("status", [300, 301, 302, 303, 307, 308, 304])
async def test_redirects_are_not_followed_and_the_place_is_not_told(tmp_path: Path, status: int) -> None:
    faults = first(Redirected("http://evil.example.com/?" + CREDENTIAL, status))
    async with guarded(tmp_path, faults=faults) as guard:
        answer = await guard.call()
        assert answer.status == 502
        assert "redirect" in answer.message
        assert b"evil" not in answer.body
        assert "location" not in answer.headers
        assert responses(guard) == [(502, False)]
        await still_serves(guard)


@pytest.mark.parametrize("status", [400, 401, 403, 429, 500, 529])
async def test_errors_pass_with_the_credential_masked_and_are_recorded(tmp_path: Path, status: int) -> None:
    faults = first(ServiceError(status, f"bad key {CREDENTIAL} and {SECRET}"))
    async with guarded(tmp_path, faults=faults) as guard:
        answer = await guard.call()
        assert answer.status == status
        assert answer.message.startswith("bad key [ciguard-masked:upstream-credential:")
        assert SECRET not in answer.message
        [result] = guard.events(EventType.RESULT)
        assert result["masked"] == {"upstream-credential": 1, "github-token": 1}
        assert json.loads(guard.body(result)["text"])["error"]["message"] == answer.message
        await still_serves(guard)


@pytest.mark.parametrize("target", STREAMS)
async def test_errors_of_every_api_pass_unchanged_when_nothing_is_in_them(tmp_path: Path, target: str) -> None:
    async with guarded(tmp_path, faults=every(ServiceError(429, "Slow down."))) as guard:
        path, body = STREAMS[target]
        answer = await guard.call(path, body)
        assert (answer.status, answer.message) == (429, "Slow down.")
        assert responses(guard) == [(429, True)]


@pytest.mark.parametrize("stream", [False, True])
async def test_credentials_in_response_headers_are_masked(tmp_path: Path, stream: bool) -> None:
    faults = first(
        Header("x-echo", f"key={CREDENTIAL}"),
        Header(CREDENTIAL, "1"),
        Header("set-cookie", "id=1"),
        Header("www-authenticate", "Bearer"),
        Header("connection", "x-hop"),
        Header("x-hop", "1"),
        Header("alt-svc", "h3=:443"),
    )
    async with guarded(tmp_path, faults=faults) as guard:
        answer = await guard.call(MESSAGES, message(stream=stream))
        assert answer.status == 200
        assert answer.headers["x-echo"].startswith("key=[ciguard-masked:upstream-credential:")
        assert CREDENTIAL not in str(answer.headers)
        assert not {"set-cookie", "www-authenticate", "x-hop", "alt-svc"} & set(answer.headers)
        await still_serves(guard)


@pytest.mark.parametrize("target", STREAMS)
@pytest.mark.parametrize("size", [1, 3, 1000])
async def test_a_credential_that_the_model_says_is_masked_however_it_is_cut(
    tmp_path: Path, target: str, size: int
) -> None:
    def script(conversation: Conversation) -> list[Text]:
        return [Text(f"The key is {conversation.credential}, and {TOKEN}, and {SECRET}.")]

    path, body = STREAMS[target]
    async with guarded(tmp_path, script=script, faults=every(Fragmented(7)), chunk=size) as guard:
        answer = await guard.call(path, body)
        assert answer.status == 200
        text = "".join(_texts(answer))
        assert text.count("[ciguard-masked:") == 3
        for secret in (CREDENTIAL, TOKEN, SECRET):
            assert secret not in text
            assert secret.encode() not in answer.body
        [result] = guard.events(EventType.RESULT)
        assert sum(result["masked"].values()) == 3
        assert guard.body(result)["text"] == text


def _texts(answer: Answer) -> list[str]:
    """The text deltas in a stream of any of the APIs."""
    found = []
    for line in answer.body.decode().splitlines():
        if not line.startswith("data: {"):
            continue
        data = json.loads(line.removeprefix("data: "))
        match data:
            case {"type": "content_block_delta", "delta": {"type": "text_delta", "text": text}}:
                found.append(text)
            case {"type": "response.output_text.delta", "delta": text}:
                found.append(text)
            case {"choices": [{"delta": {"content": str() as text}}]}:
                found.append(text)
            case {"candidates": [{"content": {"parts": parts}}]}:
                found += [part.get("text", "") for part in parts]
    return found


@pytest.mark.parametrize("target", STREAMS)
async def test_a_credential_in_a_stream_error_is_masked(tmp_path: Path, target: str) -> None:
    path, body = STREAMS[target]
    async with guarded(tmp_path, faults=first(StreamError(2, message=f"bad {CREDENTIAL}"))) as guard:
        answer = await guard.call(path, body)
        assert answer.status == 200
        assert CREDENTIAL.encode() not in answer.body
        await still_serves(guard)


@pytest.mark.parametrize("status", [200, 403, 500, 503])
@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("text/html", b"<h1>Bad gateway</h1> " + CREDENTIAL.encode()),
        ("text/plain", b"upstream connect error"),
        ("text/html", b'{"type": "message", "content": [{"type": "text", "text": "Hello."}]}'),
        ("", b'{"type": "message", "content": [{"type": "text", "text": "Hello."}]}'),
        ("application/octet-stream", b"\0\1\2"),
        ("application/json", b"<h1>"),
        ("application/json", b'{"a": 1, "a": 2}'),
        ("application/json", b"[1]"),
        ("application/json", b"\xff"),
        ("application/json", b'{"a": ' + b"[" * 5000 + b"]" * 5000 + b"}"),
        ("application/json", b""),
    ],
)
async def test_answers_that_cannot_be_read_are_not_passed_on(
    tmp_path: Path, status: int, content_type: str, body: bytes
) -> None:
    faults = first(Raw(status, (("content-type", content_type),), body))
    async with guarded(tmp_path, faults=faults) as guard:
        answer = await guard.call()
        # An error keeps its status, by which clients tell whether to try again.
        told = status if status >= 400 else 502
        assert answer.status == told
        assert answer.message.startswith("ciguard: the upstream")
        assert responses(guard) == [(told, False)]
        await still_serves(guard)


@pytest.mark.parametrize("target", STREAMS)
@pytest.mark.parametrize("ending", list(Ending))
async def test_half_a_tool_call_never_leaves(tmp_path: Path, target: str, ending: Ending) -> None:
    def script(conversation: Conversation) -> list[Text | Call]:
        if conversation.user_texts[-1] == "Are you there?":
            return [Text("Yes.")]
        return [Text("I look around."), Call("Bash", {"command": "cat marker-in-arguments " + "x" * 400})]

    path, body = STREAMS[target]
    async with guarded(tmp_path, script=script, chunk=1000) as guard:
        whole = await guard.call(path, body)
        assert b"marker-in-arguments" in whole.body
        # In an API that sends a call whole, the stream breaks before the call.
        place = whole.body.index(b"marker-in-arguments") + 10
    folder = tmp_path / "broken"
    folder.mkdir()
    async with guarded(folder, script=script, chunk=1000, faults=first(Truncated(place, ending))) as guard:
        answer = await guard.call(path, body)
        assert answer.status == 200
        assert b"marker-in" not in answer.body
        assert b"ciguard: the upstream" in answer.body
        [last] = [event for event in answer.body.split(b"\n\n") if event][-1:]
        error = json.loads(last[last.index(b"{") :])
        assert error.get("type") in ("error", "response.failed") or "error" in error
        assert responses(guard) == [(200, False)]
        [response] = guard.events(EventType.RESPONSE)
        assert response["reason"].startswith("the upstream")
        assert not [event for event in guard.events(EventType.OPERATION) if event["operation"] == "tool_call"]
        await still_serves(guard)


@pytest.mark.parametrize("ending", list(Ending))
async def test_a_whole_answer_that_breaks_off_is_not_passed_on(tmp_path: Path, ending: Ending) -> None:
    async with guarded(tmp_path, faults=first(Truncated(40, ending))) as guard:
        assert (await guard.call()).status == 502
        assert responses(guard) == [(502, False)]
        await still_serves(guard)


async def test_an_upstream_that_falls_silent_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upstream, "SILENCE_TIMEOUT", 0.2)
    async with guarded(tmp_path, faults=first(Slow(20))) as guard:
        answer = await guard.call()
        assert (answer.status, answer.message) == (504, "ciguard: the upstream did not answer in time")
        assert (await guard.model.until_abandoned()).method == "POST"
        await still_serves(guard)


async def test_an_upstream_that_falls_silent_in_a_stream_ends_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upstream, "SILENCE_TIMEOUT", 0.2)
    async with guarded(tmp_path, faults=first(Paused(600, 20))) as guard:
        answer = await guard.call(MESSAGES, message(stream=True))
        assert b"event: error" in answer.body
        assert b"the upstream fell silent" in answer.body
        assert responses(guard) == [(200, False)]
        await still_serves(guard)


@pytest.mark.parametrize("target", STREAMS)
async def test_a_stream_instead_of_json_is_judged_all_the_same(tmp_path: Path, target: str) -> None:
    path, body = STREAMS[target]
    async with guarded(tmp_path, script=deletes) as guard:
        streamed = await _direct(guard, path, body)
    folder = tmp_path / "again"
    folder.mkdir()
    asked = path.replace("streamGenerateContent?alt=sse", "generateContent")
    whole = {key: value for key, value in dict(body).items() if key != "stream"}  # type: ignore[arg-type]
    async with guarded(folder, script=deletes, faults=first(Raw(200, (SSE,), streamed))) as guard:
        answer = await guard.call(asked, whole)
        assert b"rm -rf" not in answer.body
        assert b"no-deletion" in answer.body
        [operation] = [one for one in guard.events(EventType.OPERATION) if one["operation"] == "tool_call"]
        assert operation["effect"] == "withheld"


@pytest.mark.parametrize("target", STREAMS)
@pytest.mark.parametrize("status", [200, 201, 202, 206, 299])
async def test_json_instead_of_a_stream_is_judged_all_the_same(tmp_path: Path, target: str, status: int) -> None:
    path, body = STREAMS[target]
    asked = path.replace("streamGenerateContent?alt=sse", "generateContent")
    whole = {key: value for key, value in dict(body).items() if key != "stream"}  # type: ignore[arg-type]
    async with guarded(tmp_path, script=deletes) as guard:
        unstreamed = await _direct(guard, asked, whole)
    folder = tmp_path / "again"
    folder.mkdir()
    async with guarded(folder, script=deletes, faults=first(Raw(status, (JSON,), unstreamed))) as guard:
        answer = await guard.call(path, body)
        assert b"rm -rf" not in answer.body
        [operation] = [one for one in guard.events(EventType.OPERATION) if one["operation"] == "tool_call"]
        assert operation["effect"] == "withheld"


async def _direct(guard: Guarded, path: str, body: Json) -> bytes:
    """What the model answers without the guard."""
    import aiohttp

    connection, _, rest = path.removeprefix("/").partition("/")
    headers = {
        "claude": {"x-api-key": CREDENTIAL, "anthropic-version": "2023-06-01"},
        "gpt": {"Authorization": f"Bearer {CREDENTIAL}"},
        "gemini": {"x-goog-api-key": CREDENTIAL},
    }[connection]
    async with (
        aiohttp.ClientSession() as client,
        client.post(f"{guard.model.url}/{rest}", json=body, headers=headers) as response,
    ):
        return await response.read()


@pytest.mark.parametrize("coding", [Coding.GZIP, Coding.DEFLATE])
@pytest.mark.parametrize("stream", [False, True])
async def test_compressed_answers_are_read(tmp_path: Path, coding: Coding, stream: bool) -> None:
    async with guarded(tmp_path, faults=every(Compressed(coding), Fragmented(11))) as guard:
        answer = await guard.call(MESSAGES, message(stream=stream))
        assert "content-encoding" not in answer.headers
        assert SAID in ("".join(_texts(answer)) if stream else json.loads(answer.body)["content"][0]["text"])


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    "faults",
    [
        [Compressed(Coding.ZSTD)],
        [Header("content-encoding", "gzip")],
        [Header("content-encoding", "br")],
        [Compressed(Coding.GZIP), Header("content-encoding", "gzip, gzip")],
        [Compressed(Coding.GZIP), Truncated(60, Ending.CLEAN)],
    ],
)
async def test_answers_in_other_codings_are_not_passed_on(tmp_path: Path, faults: list[Any], stream: bool) -> None:
    async with guarded(tmp_path, faults=first(*faults)) as guard:
        answer = await guard.call(MESSAGES, message(stream=stream))
        assert SAID.encode() not in answer.body
        assert b"ciguard: the upstream" in answer.body
        assert [complete for _, complete in responses(guard)] == [False]
        await still_serves(guard)


async def test_what_comes_behind_a_packed_answer_is_not_kept(tmp_path: Path) -> None:
    packed = gzip.compress(b"{}") + gzip.compress(b" " * 1000)
    faults = first(Raw(200, (JSON, ("content-encoding", "gzip")), packed), Fragmented(30))
    async with guarded(tmp_path, faults=faults) as guard:
        assert (await guard.call()).status == 502
        await still_serves(guard)


async def test_a_packed_answer_without_its_end_is_not_passed_on(tmp_path: Path) -> None:
    """Its JSON is whole, but the checksum that would tell is missing."""
    packed = gzip.compress(b'{"type": "message", "content": []}')[:-8]
    async with guarded(tmp_path, faults=first(Raw(200, (JSON, ("content-encoding", "gzip")), packed))) as guard:
        answer = await guard.call()
        assert (answer.status, answer.message) == (502, "ciguard: the upstream broke off its answer")
        await still_serves(guard)


async def test_a_bomb_is_defused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upstream_body, "LONGEST_WHOLE_ANSWER", 4 << 20)
    async with guarded(tmp_path, faults=first(bomb(64))) as guard:
        answer = await guard.call()
        assert (answer.status, answer.message) == (502, "ciguard: the upstream's answer is too large")
        await still_serves(guard)


async def test_a_bomb_in_a_stream_is_defused(tmp_path: Path) -> None:
    packed = gzip.compress(b"data: " + b" " * (64 << 20))
    faults = first(Raw(200, (SSE, ("content-encoding", "gzip")), packed))
    async with guarded(tmp_path, faults=faults) as guard:
        answer = await guard.call(MESSAGES, message(stream=True))
        assert b"too long" in answer.body
        await still_serves(guard)


@pytest.mark.parametrize("tokens", [-1, -(10**15), 10**18, 10**400, True, "5", None, 1.5])
@pytest.mark.parametrize("stream", [False, True])
async def test_absurd_counts_of_tokens_do_no_harm(tmp_path: Path, tokens: Any, stream: bool) -> None:
    def faults(request: Any) -> list[Any]:
        return [Raw(200, (SSE if stream else JSON,), body)] if body else []

    body = b""
    async with guarded(tmp_path, faults=faults, claude="limits: {output_tokens: 1000}") as guard:
        plain = await _direct(guard, MESSAGES, message(stream=stream))
        counted = json.dumps(tokens).encode()
        body = plain.replace(b'"output_tokens":5', b'"output_tokens":' + counted)
        assert body != plain
        answer = await guard.call(MESSAGES, message(stream=stream))
        assert answer.status == 200
        body = b""
        assert guard.failures == []
        usage = guard.events(EventType.RESPONSE)[0]["usage"]
        assert usage["output_tokens"] >= 0
        again = await guard.call(MESSAGES, message("More."))
        assert again.status == (403 if tokens in (10**18, 10**400) else 200)


@pytest.mark.parametrize("target", STREAMS)
async def test_events_with_other_line_ends_are_understood(tmp_path: Path, target: str) -> None:
    path, body = STREAMS[target]
    async with guarded(tmp_path, faults=every(EventLines(b"\r\n"), Fragmented(5))) as guard:
        answer = await guard.call(path, body)
        assert "".join(_texts(answer)) == SAID


@pytest.mark.parametrize("stream", [False, True])
async def test_when_the_agent_hangs_up_so_does_the_guard(tmp_path: Path, stream: bool) -> None:
    faults = first(Paused(600, 60)) if stream else first(Slow(60))
    async with guarded(tmp_path, faults=faults) as guard:
        reader, writer = await asyncio.open_connection("127.0.0.1", guard.server.port)
        data = json.dumps(message(stream=stream)).encode()
        writer.write(
            f"POST {MESSAGES} HTTP/1.1\r\nHost: x\r\nx-api-key: {TOKEN}\r\nanthropic-version: 2023-06-01\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(data)}\r\n\r\n".encode()
            + data
        )
        if stream:
            await reader.readuntil(b"message_start")
        else:
            await until(lambda: guard.model.requests)
        writer.close()
        async with asyncio.timeout(10):
            await guard.model.until_abandoned()
        await until(lambda: guard.events(EventType.RESPONSE))
        [response] = guard.events(EventType.RESPONSE)
        assert (response["complete"], response["reason"]) == (False, "the agent disconnected")
        await still_serves(guard)
    assert list((tmp_path / "session" / "partial").iterdir()) == []


async def test_a_session_ends_while_an_answer_is_under_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ciguard.guard.server.GRACE", 0.1)
    async with guarded(tmp_path, faults=every(Paused(600, 60))) as guard:
        asked = asyncio.create_task(guard.call(MESSAGES, message(stream=True)))
        await until(lambda: guard.model.requests)
    answered = await asyncio.gather(asked, return_exceptions=True)
    assert not isinstance(answered[0], Answer) or b"message_stop" not in answered[0].body
    assert responses(guard)[0][1] is False

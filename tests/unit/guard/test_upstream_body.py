"""The body of an upstream's answer: the same however it comes, and given up when it does not."""

from __future__ import annotations

import asyncio
import gzip
import itertools
import zlib
from collections.abc import Callable, Sequence

import aiohttp
import pytest
from aiohttp.client_proto import ResponseHandler
from hypothesis import given, settings
from hypothesis import strategies as st

from ciguard.guard import upstream_body as module
from ciguard.guard.upstream_body import LOOKS, UpstreamBody, UpstreamError

MOMENT = 0.02
"""Seconds between two looks in these tests."""

CODINGS: dict[str, Callable[[bytes], bytes]] = {
    "identity": bytes,
    "gzip": gzip.compress,
    "deflate": zlib.compress,
}


def _open(encoding: str = "identity", patience: float = 900.0) -> tuple[aiohttp.StreamReader, UpstreamBody]:
    loop = asyncio.get_running_loop()
    connection = ResponseHandler(loop)
    connection.connection_made(asyncio.Transport())
    content = aiohttp.StreamReader(connection, 2**16, loop=loop)
    return content, UpstreamBody(content, connection, encoding, patience)


def _cut(raw: bytes, cuts: Sequence[int]) -> list[bytes]:
    edges = [0, *sorted({cut for cut in cuts if 0 < cut < len(raw)}), len(raw)]
    return [raw[begin:end] for begin, end in itertools.pairwise(edges) if end > begin]


@given(
    text=st.binary(max_size=300),
    repeated=st.integers(1, 50),
    encoding=st.sampled_from(list(CODINGS)),
    cuts=st.lists(st.integers(1, 400), max_size=4),
    at_once=st.booleans(),
)
@settings(max_examples=100)
async def test_a_body_is_the_same_however_it_comes(
    text: bytes, repeated: int, encoding: str, cuts: list[int], at_once: bool
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "LONGEST_PIECE", 64)
        content, body = _open(encoding)
        pieces = _cut(CODINGS[encoding](text * repeated), cuts)

        async def send() -> None:
            for piece in pieces:
                content.feed_data(piece)
                await asyncio.sleep(0)
            content.feed_eof()

        sending = asyncio.create_task(send())
        if at_once:
            await sending
            assert await body.whole() == text * repeated
        else:
            got = []
            while piece := await body.read():
                assert encoding == "identity" or len(piece) <= 64
                got.append(piece)
            assert b"".join(got) == text * repeated
            assert await body.read() == b""
        await sending
        body.close()


async def test_a_body_that_is_too_large_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LONGEST_WHOLE_ANSWER", 1000)
    content, body = _open("gzip")
    content.feed_data(gzip.compress(bytes(100_000)))
    with pytest.raises(UpstreamError, match="too large"):
        await body.whole()
    body.close()


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (gzip.compress(b"text", mtime=0)[:-9], "broke off"),
        (gzip.compress(b"text", mtime=0) + b"more", "goes on behind its end"),
        (b"text", "not compressed as it says"),
        (b"", "broke off"),
    ],
)
async def test_a_body_that_is_not_compressed_as_it_says_is_refused(raw: bytes, reason: str) -> None:
    content, body = _open("gzip")
    content.feed_data(raw)
    content.feed_eof()
    with pytest.raises(UpstreamError, match=reason) as error:
        await body.whole()
    assert error.value.status == 502
    body.close()


async def test_a_coding_that_was_not_asked_for_is_refused() -> None:
    with pytest.raises(UpstreamError):
        _open("br")


async def test_an_upstream_that_breaks_off_is_an_error() -> None:
    content, body = _open()
    content.feed_data(b"text")
    content.set_exception(aiohttp.ClientPayloadError("cut"))
    with pytest.raises(UpstreamError, match="broke off") as error:
        await body.read()
    assert error.value.status == 502
    body.close()


async def test_an_upstream_that_falls_silent_is_given_up() -> None:
    content, body = _open(patience=LOOKS * MOMENT)
    content.feed_data(b"text")
    assert await body.read() == b"text"
    with pytest.raises(UpstreamError, match="fell silent") as error:
        await body.read()
    assert error.value.status == 504
    body.close()


async def test_an_upstream_that_sends_now_and_then_is_not_silent() -> None:
    content, body = _open(patience=LOOKS * MOMENT)

    async def send() -> None:
        for _ in range(4):
            await asyncio.sleep((LOOKS - 3) * MOMENT)
            content.feed_data(b"text")
        content.feed_eof()

    sending = asyncio.create_task(send())
    assert await body.whole() == b"text" * 4
    await sending
    body.close()


async def test_only_what_somebody_waits_for_can_be_silent() -> None:
    """A slow agent holds the reading up; the upstream has not fallen silent when it goes on."""
    content, body = _open(patience=LOOKS * MOMENT)
    content.feed_data(b"text")
    assert await body.read() == b"text"
    await asyncio.sleep(3 * LOOKS * MOMENT)
    asyncio.get_running_loop().call_later(2 * MOMENT, content.feed_data, b"more")
    assert await body.read() == b"more"
    body.close()


async def test_the_connection_counts_no_silence_of_its_own() -> None:
    """aiohttp would arm a timer with every piece."""
    content, body = _open()
    connection = content._protocol
    assert isinstance(connection, ResponseHandler)
    connection.read_timeout = 900.0
    content.feed_data(b"text")
    await body.read()
    assert connection.read_timeout is None
    body.close()

"""Reading bodies and unpacking compressed ones, within a limit."""

from __future__ import annotations

import asyncio
import gzip
import zlib
from collections.abc import Callable
from types import SimpleNamespace
from typing import cast

import aiohttp
import pytest
import zstandard
from aiohttp import web
from aiohttp.base_protocol import BaseProtocol
from hypothesis import given
from hypothesis import strategies as st

from ciguard.guard import body as module
from ciguard.guard.body import BodyError, decompressed, read_body


def as_it_is(data: bytes) -> bytes:
    return data


PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "identity": as_it_is,
    "": as_it_is,
    "gzip": gzip.compress,
    "deflate": zlib.compress,
    "zstd": zstandard.compress,
}


@pytest.mark.parametrize("encoding", PACKERS)
@given(data=st.binary(max_size=5000))
def test_what_is_packed_comes_out(encoding: str, data: bytes) -> None:
    assert decompressed(PACKERS[encoding](data), encoding, 5000) == data


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "zstd"])
@given(data=st.binary(min_size=1, max_size=300), cut=st.integers(1, 300))
def test_a_part_of_it_does_not(encoding: str, data: bytes, cut: int) -> None:
    packed = PACKERS[encoding](data)
    with pytest.raises(BodyError) as error:
        decompressed(packed[: max(0, len(packed) - cut)], encoding, 5000)
    assert error.value.status == 400


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "zstd"])
@given(data=st.binary(max_size=300), more=st.binary(min_size=1, max_size=300))
def test_nor_does_it_with_something_behind(encoding: str, data: bytes, more: bytes) -> None:
    with pytest.raises(BodyError) as error:
        decompressed(PACKERS[encoding](data) + more, encoding, 5000)
    assert error.value.status == 400


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "zstd"])
@given(data=st.binary(max_size=300))
def test_garbage_is_an_error_of_its_own_kind(encoding: str, data: bytes) -> None:
    with pytest.raises(BodyError) as error:
        decompressed(b"{" + data, encoding, 5000)
    assert error.value.status == 400


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "zstd"])
def test_the_limit_is_exact(encoding: str) -> None:
    packed = PACKERS[encoding](b" " * 5000)
    assert len(decompressed(packed, encoding, 5000)) == 5000
    with pytest.raises(BodyError) as error:
        decompressed(packed, encoding, 4999)
    assert error.value.status == 413


@pytest.mark.parametrize("encoding", ["br", "compress", "gzip, gzip", "x-custom"])
def test_other_codings_are_refused(encoding: str) -> None:
    with pytest.raises(BodyError) as error:
        decompressed(b"{}", encoding, 100)
    assert error.value.status == 415


def stream() -> aiohttp.StreamReader:
    """A body of which nothing has come yet."""
    loop = asyncio.get_running_loop()
    protocol = BaseProtocol(loop)
    protocol.connection_made(asyncio.Transport())
    return aiohttp.StreamReader(protocol, 2**16, loop=loop)


def call(content: object) -> web.BaseRequest:
    """A call with this body."""
    request = SimpleNamespace(
        headers={}, content_type="application/json", charset=None, content_length=None, content=content
    )
    return cast("web.BaseRequest", request)


class Broken:
    """A body whose framing turns out wrong after its first piece, as aiohttp's parser in Python tells it."""

    def __init__(self) -> None:
        self._pieces = [b"{"]

    def is_eof(self) -> bool:
        """See ``aiohttp.StreamReader``."""
        return False

    async def readany(self) -> bytes:
        """See ``aiohttp.StreamReader``."""
        if not self._pieces:
            raise web.RequestPayloadError
        return self._pieces.pop()


async def test_wrong_framing_is_an_error_of_its_own_kind() -> None:
    with pytest.raises(BodyError) as error:
        await read_body(call(Broken()), 100)
    assert error.value.status == 400


@pytest.mark.parametrize("pieces", [[b"{", b" ", b" ", b" ", b"}"], [b"{}"]])
async def test_each_piece_of_a_body_may_take_its_time(monkeypatch: pytest.MonkeyPatch, pieces: list[bytes]) -> None:
    monkeypatch.setattr(module, "SLOWEST_PAUSE", 1.0)
    content = stream()

    async def arrive() -> None:
        for piece in pieces:
            await asyncio.sleep(0.3)
            content.feed_data(piece)
        content.feed_eof()

    arriving = asyncio.create_task(arrive())
    assert await read_body(call(content), 100) == b"".join(pieces)
    await arriving


async def test_a_body_that_stops_coming_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SLOWEST_PAUSE", 0.05)
    content = stream()
    content.feed_data(b"{")
    with pytest.raises(BodyError) as error:
        await read_body(call(content), 100)
    assert error.value.status == 408


async def test_what_is_too_large_is_not_read_to_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SLOWEST_PAUSE", 0.5)
    content = stream()
    content.feed_data(b" " * 101)
    with pytest.raises(BodyError) as error:
        await read_body(call(content), 100)
    assert error.value.status == 413


@given(pieces=st.lists(st.binary(min_size=1, max_size=50), max_size=5), most=st.integers(0, 200), whole=st.booleans())
async def test_however_a_body_comes_it_is_the_same_and_within_the_limit(
    pieces: list[bytes], most: int, whole: bool
) -> None:
    content = stream()

    def arrive() -> None:
        for piece in pieces:
            content.feed_data(piece)
        content.feed_eof()

    if whole:
        arrive()
    else:
        asyncio.get_running_loop().call_soon(arrive)
    body = b"".join(pieces)
    if len(body) <= most:
        assert await read_body(call(content), most) == body
        return
    with pytest.raises(BodyError) as error:
        await read_body(call(content), most)
    assert error.value.status == 413

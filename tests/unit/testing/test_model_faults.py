"""What the loopback model does wrong on demand, as clients meet it."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable, Sequence

import aiohttp
import anthropic
import openai
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st
from yarl import URL

from ciguard.testing.model import (
    Coding,
    Compressed,
    Conversation,
    Ending,
    EventLines,
    Fault,
    Fragmented,
    Header,
    LoopbackModel,
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
from ciguard.testing.model import (
    anthropic as anthropic_format,
)
from ciguard.testing.model.answer import Abort, Answer, HangUp, Wait, Write
from ciguard.testing.model.dialect import id_source
from ciguard.testing.model.faults import apply
from tests.unit.testing.model_requests import CHAT, HEADERS, KEY, MESSAGES, RESPONSES, chat, message, responses

WORDS = "Grüße 😀 " * 20
BODIES = {MESSAGES: message(("user", "x")), RESPONSES: responses(), CHAT: chat()}


def model(*faults: Fault) -> LoopbackModel:
    """A model that says ``WORDS`` under these faults."""

    def script(_: Conversation) -> list[Text]:
        return [Text(WORDS)]

    return LoopbackModel(script, api_keys=[KEY], faults=lambda _: faults)


async def streamed_words(url: str) -> str:
    """What the Anthropic SDK accumulates."""
    async with (
        anthropic.AsyncAnthropic(base_url=url, api_key=KEY, max_retries=0) as client,
        client.messages.stream(
            model="claude-sonnet-4-6", max_tokens=9, messages=[{"role": "user", "content": "x"}]
        ) as stream,
    ):
        return await stream.get_final_text()


@pytest.mark.parametrize(
    "faults",
    [
        [Fragmented(1)],
        [Fragmented(7), Paused(100, 0.01)],
        [EventLines(b"\r\n"), Fragmented(3)],
        [Compressed(Coding.GZIP), Fragmented(5)],
        [Compressed(Coding.DEFLATE)],
        [Slow(0.01)],
        [Header("x-echo", KEY)],
    ],
    ids=str,
)
async def test_harmless_oddities_do_not_change_what_a_client_hears(faults: Sequence[Fault]) -> None:
    async with model(*faults) as served:
        assert await streamed_words(served.url) == WORDS


@pytest.mark.parametrize("path", BODIES)
async def test_service_errors_have_the_services_shape(path: str) -> None:
    async with (
        model(ServiceError(529, "Overloaded")) as served,
        aiohttp.ClientSession() as client,
        client.post(served.url + path, json=BODIES[path], headers=HEADERS[path]) as answer,
    ):
        assert answer.status == 529
        assert (await answer.json())["error"]["message"] == "Overloaded"


async def test_sdks_raise_their_own_errors() -> None:
    async with model(ServiceError(500)) as served:
        with pytest.raises(anthropic.InternalServerError):
            await streamed_words(served.url)
        async with openai.AsyncOpenAI(base_url=served.url + "/v1", api_key=KEY, max_retries=0) as client:
            with pytest.raises(openai.InternalServerError):
                await client.responses.create(model="gpt-5.2", input="x")
        async with openai.AsyncOpenAI(base_url=served.url + "/v1", api_key="other", max_retries=0) as client:
            with pytest.raises(openai.InternalServerError):
                await client.chat.completions.create(model="m", messages=[{"role": "user", "content": "x"}])


async def test_sdks_are_told_that_their_key_is_wrong() -> None:
    async with model() as served:
        async with anthropic.AsyncAnthropic(base_url=served.url, api_key="other", max_retries=0) as client:
            with pytest.raises(anthropic.AuthenticationError, match="invalid x-api-key"):
                await client.models.list()
        async with openai.AsyncOpenAI(base_url=served.url + "/v1", api_key="other", max_retries=0) as other:
            with pytest.raises(openai.AuthenticationError, match="Incorrect API key provided"):
                await other.models.list()


async def test_an_error_inside_a_stream_reaches_the_sdk() -> None:
    async with model(StreamError(5)) as served:
        with pytest.raises(anthropic.APIStatusError, match="Overloaded"):
            await streamed_words(served.url)


@pytest.mark.parametrize("path", BODIES)
async def test_an_aborted_body_is_an_error_and_a_clean_one_is_not(path: str) -> None:
    body = {**BODIES[path], "stream": True}
    async with aiohttp.ClientSession() as client:
        async with model(Truncated(100)) as served:
            with pytest.raises((aiohttp.ClientPayloadError, aiohttp.ClientConnectionError)):
                async with client.post(served.url + path, json=body, headers=HEADERS[path]) as answer:
                    await answer.read()
        async with (
            model(Truncated(100, Ending.CLEAN)) as served,
            client.post(served.url + path, json=body, headers=HEADERS[path]) as answer,
        ):
            assert len(await answer.read()) == 100


async def test_redirects_and_raw_answers() -> None:
    async with aiohttp.ClientSession() as client:
        async with (
            model(Redirected("http://evil.example.com/x")) as served,
            client.post(served.url + CHAT, json=chat(), headers=HEADERS[CHAT], allow_redirects=False) as answer,
        ):
            assert (answer.status, answer.headers["location"]) == (307, "http://evil.example.com/x")
        async with (
            model(Raw(200, (("content-type", "text/html"),), b"<html>")) as served,
            client.post(served.url + CHAT, json=chat(), headers=HEADERS[CHAT]) as answer,
        ):
            assert answer.content_type == "text/html"
            assert await answer.read() == b"<html>"


def test_a_bomb_is_small_and_unpacks_large() -> None:
    packed = bomb(4)
    assert len(packed.body) < 10_000
    assert len(gzip.decompress(packed.body)) == 4 << 20


async def test_a_client_that_leaves_is_noticed() -> None:
    async with model(Paused(50, 30)) as served:
        async with aiohttp.ClientSession() as client:
            body = {**message(("user", "x")), "stream": True}
            async with client.post(served.url + MESSAGES, json=body, headers=HEADERS[MESSAGES]) as answer:
                await answer.content.readany()
            assert served.abandoned == []
        assert await served.until_abandoned() == served.requests[0]
        assert served.abandoned == served.requests


async def test_requests_are_kept_as_they_came() -> None:
    async with model() as served, aiohttp.ClientSession() as client:
        odd = b'{ "model": "m", "messages": [{"role": "user", "content": "\\u00e4"}] }'
        async with client.post(
            URL(served.url + CHAT + "?a=%2F", encoded=True), data=odd, headers=HEADERS[CHAT]
        ) as answer:
            assert answer.status == 200
        async with client.head(served.url + "/") as answer:
            assert answer.status == 401
        async with client.post(served.url + CHAT, data=b"[" * 100_000, headers=HEADERS[CHAT]) as answer:
            assert answer.status == 400
    posted, head, deep = served.requests
    assert (posted.method, posted.path, posted.body) == ("POST", CHAT + "?a=%2F", odd)
    assert posted.headers["AUTHORIZATION"] == f"bearer {KEY}"
    assert posted.credential == KEY
    assert (head.method, head.path, head.credential) == ("HEAD", "/", "")
    assert deep.parsed is None


async def test_an_error_of_the_script_comes_up_in_the_test() -> None:
    def script(_: Conversation) -> list[Text]:
        raise LookupError("the script is wrong")

    async def ask() -> None:
        async with (
            LoopbackModel(script, api_keys=[KEY]) as served,
            aiohttp.ClientSession() as client,
            client.post(served.url + CHAT, json=chat(), headers=HEADERS[CHAT]) as answer,
        ):
            assert answer.status == 500

    with pytest.raises(LookupError, match="the script is wrong"):
        await ask()


def faulty(fault: Fault, *writes: bytes) -> Answer:
    """A plain answer under a fault."""
    plain = Answer(200, (), tuple(Write(data) for data in writes))
    return apply(fault, plain, anthropic_format, id_source())


@given(writes=st.lists(st.binary(), max_size=5), size=st.integers(1, 9))
def test_fragments_are_small_and_whole(writes: list[bytes], size: int) -> None:
    answer = faulty(Fragmented(size), *writes)
    assert answer.body == b"".join(writes)
    assert all(len(step.data) <= size for step in answer.steps if isinstance(step, Write))


UNPACK: dict[Coding, Callable[[bytes], bytes]] = {
    Coding.GZIP: gzip.decompress,
    Coding.DEFLATE: zlib.decompress,
    Coding.ZSTD: lambda data: zstandard.ZstdDecompressor().decompressobj().decompress(data),
}


@given(writes=st.lists(st.binary(), max_size=5), coding=st.sampled_from(Coding))
def test_compressed_bodies_unpack(writes: list[bytes], coding: Coding) -> None:
    answer = faulty(Compressed(coding), *writes)
    assert UNPACK[coding](answer.body) == b"".join(writes)
    assert answer.header("content-encoding") == coding


@given(writes=st.lists(st.binary(min_size=1), max_size=5), after=st.integers(0, 30))
def test_truncation_and_pauses_stand_where_they_should(writes: list[bytes], after: int) -> None:
    whole = b"".join(writes)
    cut = faulty(Truncated(after), *writes)
    assert cut.body == whole[:after]
    assert cut.steps[-1] == Abort()
    assert faulty(Truncated(after, Ending.CLEAN), *writes).steps[-1] == HangUp()
    paused = faulty(Paused(after, 1), *writes)
    assert paused.body == whole
    before = paused.steps[: paused.steps.index(Wait(1))]
    assert b"".join(step.data for step in before if isinstance(step, Write)) == whole[:after]


def test_line_ends_change_alone() -> None:
    assert faulty(EventLines(b"\r"), b"data: a\r\n\r\n", b"data: b\n\n").body == b"data: a\r\rdata: b\r\r"

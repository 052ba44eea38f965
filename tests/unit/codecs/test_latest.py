"""Events known by the latest: a stream is the same, byte for byte and item for item, as if every event were read."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ciguard.codecs.answer import Item
from ciguard.codecs.codec import AnswerStream, TextRelease
from ciguard.codecs.error import WireError
from ciguard.codecs.hold import HoldingStream
from ciguard.operation import Json
from ciguard.testing.model import Block, Text
from tests.unit.codecs.driving import ANTHROPIC, CHAT, GEMINI, KNOWN, RESPONSES, SECRET, Api, bash, masker, refuse_bad
from tests.unit.codecs.driving import Upstream as Model

Say = Callable[[int, str], Json]
"""The event that is the ``number``-th of a stream and says a text."""


def _event(data: Json, end: str = "\n\n", *, ascii_only: bool = True) -> bytes:
    name = f"event: {data['type']}\n" if isinstance(data, dict) and "type" in data else ""
    return f"{name}data: {json.dumps(data, ensure_ascii=ascii_only)}{end}".encode("utf-8", "surrogatepass")


def _anthropic(number: int, text: str) -> Json:
    del number
    return {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": text}}


def _chat(number: int, text: str) -> Json:
    choice: Json = {"index": 0, "delta": {"role": "assistant", "content": text, "refusal": None}, "finish_reason": None}
    usage: Json = {"prompt_tokens": 7, "completion_tokens": number, "total_tokens": 7 + number}
    return {"id": "c1", "choices": [choice], "usage": usage, "obfuscation": "x" * (number % 3)}


def _responses(number: int, text: str) -> Json:
    at: dict[str, Json] = {"item_id": "m1", "output_index": 0, "content_index": 0, "logprobs": []}
    said: dict[str, Json] = {"type": "response.output_text.delta", "delta": text, **at}
    return {**said, "sequence_number": number, "obfuscation": KNOWN if number % 7 == 6 else "abc" * (number % 5)}


def _gemini(number: int, text: str) -> Json:
    candidate: Json = {"content": {"role": "model", "parts": [{"text": text}]}, "index": 0}
    usage: Json = {"promptTokenCount": 5, "candidatesTokenCount": number, "totalTokenCount": 5 + number}
    return {"candidates": [candidate], "usageMetadata": usage, "responseId": "r1"}


_ITEM: dict[str, Json] = {"type": "message", "id": "m1", "role": "assistant", "content": []}
BEGINNINGS: dict[str, list[Json]] = {
    "anthropic": [
        {"type": "message_start", "message": {"content": []}},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
    ],
    "chat": [],
    "responses": [
        {"type": "response.created", "sequence_number": 0, "response": {"id": "r1", "output": []}},
        {"type": "response.output_item.added", "sequence_number": 1, "output_index": 0, "item": _ITEM},
    ],
    "gemini": [],
}
SAYS: list[tuple[Api, Say, str]] = [
    (ANTHROPIC, _anthropic, "\n\n"),
    (CHAT, _chat, "\n\n"),
    (RESPONSES, _responses, "\n\n"),
    (GEMINI, _gemini, "\r\n\r\n"),
]
ENDS: dict[str, list[Json]] = {
    "anthropic": [{"type": "content_block_stop", "index": 0}, {"type": "message_stop"}],
    "chat": [{"id": "c1", "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}],
    "responses": [
        {
            "type": "response.completed",
            "sequence_number": 99,
            "response": {"id": "r1", "output": [], "usage": {"input_tokens": 3, "output_tokens": 4}},
        }
    ],
    "gemini": [{"candidates": [{"content": {"parts": []}, "finishReason": "STOP"}], "responseId": "r1"}],
}
each_api = pytest.mark.parametrize(("api", "say", "end"), SAYS, ids=[api.name for api, _, _ in SAYS])

HALVES = [KNOWN[:9], KNOWN[9:], SECRET[:6], SECRET[6:]]
PIECES = st.lists(
    st.sampled_from(
        [
            *HALVES,
            KNOWN,
            f"{KNOWN} ",
            SECRET,
            " word",
            " and",
            "",
            "é🦀",
            '"',
            "\\",
            "\n",
            "ghp_",
            "a password",
            "\ud83d",
        ]
    ),
    min_size=1,
    max_size=14,
)
ASKED: dict[str, Callable[[AnswerStream], object]] = {
    "message": lambda stream: repr(stream.message()),
    "life": lambda stream: stream.sign_of_life(),
    "unfinished": lambda stream: repr(stream.unfinished()),
    "tally": lambda stream: repr(stream.tally),
}


@each_api
@given(
    pieces=PIECES,
    odd=st.sets(st.integers(0, 13), max_size=2),
    asked=st.dictionaries(st.integers(0, 16), st.sampled_from(["life", "unfinished", "message"]), max_size=3),
    release=st.sampled_from(TextRelease),
    cuts=st.sets(st.integers(1, 3000), max_size=6),
    ascii_only=st.booleans(),
)
@settings(max_examples=150)
def test_a_stream_is_the_same_as_if_every_event_were_read(
    api: Api,
    say: Say,
    end: str,
    pieces: list[str],
    odd: set[int],
    asked: dict[int, str],
    release: TextRelease,
    cuts: set[int],
    ascii_only: bool,
) -> None:
    said = [_event(say(number, text), end, ascii_only=ascii_only) for number, text in enumerate(pieces, start=2)]
    for place in odd & set(range(len(said))):
        said[place] = said[place].replace(b"data:", b"note: " + KNOWN.encode() + b"\ndata:", 1)
    events = [_event(data) for data in BEGINNINGS[api.name]] + said + [_event(data) for data in ENDS[api.name]]
    chunks = list(_cut(events, cuts))
    by_latest, read = (_outcome(api, chunks, asked, release, ever=ever) for ever in (True, False))
    assert by_latest == read


def _cut(events: list[bytes], cuts: set[int]) -> Iterator[bytes]:
    """The events one by one; where a cut falls into one, it comes in two chunks, and the second with the next event."""
    position, kept = 0, b""
    for event in events:
        inside = [cut - position for cut in cuts if position < cut < position + len(event)]
        position += len(event)
        whole = kept + event
        kept = whole[len(kept) + inside[0] :] if inside else b""
        yield whole[: len(whole) - len(kept)]
    if kept:
        yield kept


def _outcome(
    api: Api, chunks: list[bytes], asked: dict[int, str], release: TextRelease, *, ever: bool
) -> tuple[object, ...]:
    stream = api.codec.stream(masker(), release)
    taken, items, answers = [], [], []
    with pytest.MonkeyPatch.context() as patch:
        if not ever:
            patch.setattr(HoldingStream, "_goes_on", lambda *_: False)
        for number, chunk in enumerate(chunks):
            try:
                items += [repr(item) for item in _fed(stream, chunk)]
            except WireError as error:
                items.append(str(error))
                break
            taken.append(stream.take())
            if number in asked:
                answers.append(ASKED[asked[number]](stream))
        answers += [ask(stream) for ask in ASKED.values()]
        answers.append(stream.error("no"))
    return taken, items, answers, stream.ended


def _fed(stream: AnswerStream, chunk: bytes) -> Iterator[Item]:
    if not stream.goes_on(chunk):
        yield from stream.feed(chunk)


@each_api
def test_it_is_known_for_as_long_as_nothing_else_comes(api: Api, say: Say, end: str) -> None:
    stream = api.codec.stream(masker(), TextRelease.AS_IT_COMES)
    assert list(stream.feed(b"".join(_event(data) for data in BEGINNINGS[api.name]))) == []
    # The first is read, and with the second it shows what both have in common; a comment is something else.
    went_on = []
    for number, text in enumerate(
        ("a ", "b ", "c ", 'd "\n', ": note", "e ", "f ", "g ", KNOWN[:9], "h ", "i "), start=2
    ):
        event = b": note\n\n" if text == ": note" else _event(say(number, text), end)
        went_on.append(stream.goes_on(event))
        if not went_on[-1]:
            assert list(stream.feed(event)) == []
    assert went_on == [False, True, True, True, False, False, True, True, True, True, True]
    assert stream.take().count(b"data:") == len(BEGINNINGS[api.name]) + 10


@each_api
def test_several_events_in_one_chunk_are_known_too(api: Api, say: Say, end: str) -> None:
    read: list[object] = []
    feed_event = HoldingStream._feed_event

    def count(self: HoldingStream, event: object) -> object:
        read.append(event)
        return feed_event(self, event)  # type: ignore[arg-type]  # what it is patched into gives it an event

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(HoldingStream, "_feed_event", count)
        stream = api.codec.stream(masker(), TextRelease.AS_IT_COMES)
        raw = b"".join(_event(data) for data in BEGINNINGS[api.name])
        raw += b"".join(_event(say(number, f"{number} "), end) for number in range(2, 40))
        assert not stream.goes_on(raw)
        assert list(stream.feed(raw)) == []
    # Five have a secret for a padding, and the one after each has only that before it.
    assert len(read) == len(BEGINNINGS[api.name]) + 1 + (2 * 5 if api is RESPONSES else 0)
    assert stream.take().count(b"data:") == len(BEGINNINGS[api.name]) + 38


@each_api
def test_an_event_that_has_begun_is_not_another(api: Api, say: Say, end: str) -> None:
    stream = api.codec.stream(masker(), TextRelease.AS_IT_COMES)
    events = [_event(data) for data in BEGINNINGS[api.name]]
    events += [_event(say(number, f"{number} "), end) for number in range(2, 6)]
    for event in events:
        list(_fed(stream, event))
    assert not stream.goes_on(b"data: {")
    assert list(stream.feed(b"data: {")) == []
    assert not stream.goes_on(_event(say(6, "6 "), end))
    with pytest.raises(WireError):
        list(stream.feed(_event(say(6, "6 "), end)))


@each_api
def test_a_text_that_ended_does_not_go_on(api: Api, say: Say, end: str) -> None:
    stream = api.codec.stream(masker(), TextRelease.AS_IT_COMES)
    for data in BEGINNINGS[api.name] + [say(number, f"{number} ") for number in range(2, 6)] + ENDS[api.name]:
        list(_fed(stream, _event(data, end)))
    assert not stream.goes_on(_event(say(6, "6 "), end))


def test_what_is_not_utf8_is_an_error_still() -> None:
    stream = ANTHROPIC.codec.stream(masker(), TextRelease.AS_IT_COMES)
    for data in BEGINNINGS["anthropic"] + [_anthropic(0, "a "), _anthropic(0, "b ")]:
        list(_fed(stream, _event(data)))
    broken = _event(_anthropic(0, "Q")).replace(b"Q", b"\xff")
    assert not stream.goes_on(broken)
    with pytest.raises(WireError):
        list(stream.feed(broken))


def test_numbers_are_put_right_again_once_one_was_given_away() -> None:
    """A sign of life takes a number; whatever comes then is numbered anew, and so no longer as it came."""
    stream = RESPONSES.codec.stream(masker(), TextRelease.AS_IT_COMES)
    events = [_event(data) for data in BEGINNINGS["responses"]]
    for event in events + [_event(_responses(number, f"{number} ")) for number in range(2, 5)]:
        list(_fed(stream, event))
    stream.take()
    assert b'"sequence_number":5' in stream.sign_of_life()
    for number in range(5, 8):
        list(_fed(stream, _event(_responses(number, f"{number} "))))
        assert f'"sequence_number":{number + 1},'.encode() in stream.take().replace(b" ", b"")


def _same(api: Api, events: list[Json], *asked_after: int) -> tuple[object, ...]:
    """What becomes of ``events``, which is the same if every event is read; a sign of life is given after some."""
    chunks = [_event(data) for data in events]
    asked = dict.fromkeys(asked_after, "life")
    by_latest, read = (_outcome(api, chunks, asked, TextRelease.AS_IT_COMES, ever=ever) for ever in (True, False))
    assert by_latest == read
    return read


def test_a_number_that_happens_to_be_right_says_nothing_of_the_next() -> None:
    numbers = [2, 3, 4, 6, 7, 9, 11]
    taken, *_ = _same(RESPONSES, BEGINNINGS["responses"] + [_responses(number, f"{number} ") for number in numbers], 4)
    assert isinstance(taken, list)
    assert [json.loads(one.split(b"data: ")[1])["sequence_number"] for one in taken[2:]] == [2, 3, 4, 6, 7, 8, 9]


def test_an_error_has_the_number_after_the_last_event_that_passed() -> None:
    *_, answers, _ = _same(
        RESPONSES, BEGINNINGS["responses"] + [_responses(number, f"{number} ") for number in range(2, 6)]
    )
    assert isinstance(answers, list)
    assert b'"sequence_number":7' in answers[-1]


def _ending(say: Say, number: int, text: str, key: str) -> Json:
    data: Any = say(number, text)
    (data.get("choices") or data["candidates"])[0][key] = "stop"
    event: Json = data
    return event


@pytest.mark.parametrize(
    ("api", "say", "key"), [(CHAT, _chat, "finish_reason"), (GEMINI, _gemini, "finishReason")], ids=["chat", "gemini"]
)
def test_an_event_that_ends_its_text_does_not_go_on(api: Api, say: Say, key: str) -> None:
    _same(api, [_ending(say, number, f"{number} ", key) for number in range(2, 6)])


def test_a_part_that_is_more_than_its_text_stays_a_part_of_its_own() -> None:
    events: list[Json] = []
    for number in range(2, 6):
        part: Json = {"text": f"{number} ", "thoughtSignature": "c2lnbmVk"}
        events.append({"candidates": [{"content": {"role": "model", "parts": [part]}}], "responseId": "r1"})
    *_, answers, _ = _same(GEMINI, events)
    assert isinstance(answers, list)
    assert answers[0].count("thoughtSignature") == 4


def test_the_text_of_a_continuation_is_set_apart_where_it_begins() -> None:
    call: Json = {"index": 0, "id": "t1", "type": "function", "function": {"name": "rm", "arguments": "{}"}}
    refused: list[Json] = [
        {"id": "c1", "choices": [{"index": 0, "delta": {"content": "a "}, "finish_reason": None}]},
        {"id": "c1", "choices": [{"index": 0, "delta": {"tool_calls": [call]}, "finish_reason": None}]},
        {"id": "c1", "choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls"}]},
        "[DONE]",
    ]
    further: list[Json] = [
        {"id": "c1", "choices": [{"index": 0, "delta": {"content": text}, "finish_reason": None}]}
        for text in ("", "b ", "c ", "d ")
    ]
    outcomes = []
    for ever in (True, False):
        with pytest.MonkeyPatch.context() as patch:
            if not ever:
                patch.setattr(HoldingStream, "_goes_on", lambda *_: False)
            stream = CHAT.codec.stream(masker(), TextRelease.AS_IT_COMES)
            for data in refused:
                for item in _fed(stream, b"data: [DONE]\n\n" if data == "[DONE]" else _event(data)):
                    refuse_bad(item)
            assert stream.stranded
            stream.resume()
            for data in further:
                assert list(_fed(stream, _event(data))) == []
            outcomes.append((stream.take(), stream.message()))
    assert outcomes[0] == outcomes[1]
    assert outcomes[0][0].count(rb'"\n\n"') == 1


@pytest.mark.parametrize("api", [ANTHROPIC, CHAT, GEMINI], ids=lambda api: api.name)
def test_a_continuation_is_read_anew(api: Api) -> None:
    """Text, a refused call, and text again in the answer that is joined to the first."""
    turns: list[list[Block]] = [
        [Text("a b c d", ("a ", "b ", "c ", "d")), bash("rm")],
        [Text("e f g h", ("e ", "f ", "g ", "h"))],
    ]
    outcomes = []
    for ever in (True, False):
        with pytest.MonkeyPatch.context() as patch:
            if not ever:
                patch.setattr(HoldingStream, "_goes_on", lambda *_: False)
            model = Model(api, turns)
            stream = api.codec.stream(masker(), TextRelease.AS_IT_COMES)
            sent = b""
            for _ in turns:
                raw = model.ask(api.request(stream=True), stream=True)
                for event in raw.replace(b"\r\n", b"\n").split(b"\n\n")[:-1]:
                    for item in _fed(stream, event + b"\n\n"):
                        refuse_bad(item)
                    sent += stream.take()
                message = stream.message()
                if stream.stranded:
                    stream.resume()
            outcomes.append((sent, message))
    assert outcomes[0] == outcomes[1]

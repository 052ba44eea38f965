"""Events known by the latest: never anything but that event with another text."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ciguard.codecs.codec import TextRelease
from ciguard.codecs.document import parse
from ciguard.codecs.error import WireError
from ciguard.codecs.held_event import HeldEvent
from ciguard.codecs.hold import HoldingStream
from ciguard.codecs.latest import Latest
from ciguard.codecs.sse import EventParser
from ciguard.operation import Json
from tests.unit.codecs.driving import ANTHROPIC, KNOWN, SECRET, masker

START = (
    b'data: {"type":"message_start","message":{"content":[]}}\n\n'
    b'data: {"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}\n\n'
)


def _latest(raw: bytes, *path: str) -> Latest:
    """``raw``, which left as it came, with the text that ``path`` leads to."""
    read = EventParser().read(raw)
    data = parse(read.data)
    assert isinstance(data, dict)
    holder: dict[str, Json] = data
    for step in path[:-1]:
        inner = holder[step]
        assert isinstance(inner, dict)
        holder = inner
    return Latest(HeldEvent(raw, read.name, data), (0,), 0, holder, path[-1], lambda _: None, has_left=True)


def _delta(text: str, **more: Json) -> bytes:
    data = {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": text, **more}}
    return f"event: content_block_delta\ndata: {json.dumps(data, ensure_ascii=False)}\n\n".encode()


@pytest.mark.parametrize("text", ["", " two", "zwei 🦀", "\u2028", ":", "}"])
def test_the_same_event_with_another_text(text: str) -> None:
    latest = _latest(_delta("one"), "delta", "text")
    assert latest.text_of(_delta(text)) == text
    event, holder = latest.event_of(_delta(text))
    assert (event.raw, event.name, holder["text"]) == (_delta(text), "content_block_delta", text)
    assert event.data["delta"] is holder


@pytest.mark.parametrize(
    "raw",
    [
        _delta('a "quoted" text'),
        _delta("a\\b"),
        _delta("a\nb"),
        _delta("Q").replace(b"Q", b"Q\n\ndata: y"),
        _delta("Q").replace(b"Q", b"Q\ry"),
        _delta("Q").replace(b"Q", b"\xff"),
        _delta("Q").replace(b"Q", b"\xed\xa0\x80"),
        _delta("Q").replace(b"Q", b'Q", "more": "y'),
        _delta("x", more="y"),
        _delta("x").replace(b'"index": 0', b'"index": 1'),
        _delta("x").replace(b"event: content_block_delta", b"event: other"),
        b"\xef\xbb\xbf" + _delta("x"),
        _delta("x")[:-1],
        b"",
    ],
)
def test_anything_else_is_read(raw: bytes) -> None:
    assert _latest(_delta("one"), "delta", "text").text_of(raw) is None


@pytest.mark.parametrize(
    ("raw", "path"),
    [
        # The text is written otherwise, and what looks like it stands between two strings, or is a name.
        (rb'data: {"a":"\u003a"}' + b"\n\n", ("a",)),
        (rb'data: {"text":"te\u0078t"}' + b"\n\n", ("text",)),
        (rb'data: {"b":"x","a":"\u0078"}' + b"\n\n", ("a",)),
        # Read as a first event only.
        (b'\xef\xbb\xbfdata: {"a":"x"}\n\n', ("a",)),
    ],
)
def test_a_text_that_is_not_where_its_characters_are_has_no_mould(raw: bytes, path: tuple[str, ...]) -> None:
    latest = _latest(raw, *path)
    for other in (raw, raw.replace(b"x", b"y"), raw.replace(b'":"', b'" + "')):
        assert latest.text_of(other) is None


def test_an_event_that_did_not_leave_as_it_came_says_nothing_of_the_next() -> None:
    latest = _latest(_delta("one"), "delta", "text")
    latest.has_left = False
    assert latest.text_of(_delta("two")) is None


PIECES = st.lists(
    st.sampled_from(
        [
            " word",
            "",
            "é",
            KNOWN[:9],
            KNOWN[9:],
            KNOWN,
            f"{KNOWN} ",
            SECRET[:6],
            SECRET[6:],
            SECRET,
            '"',
            "\\",
            "\n",
            "ghp_",
        ]
    ),
    min_size=1,
    max_size=12,
)


@given(pieces=PIECES, other=st.sets(st.integers(0, 11)), release=st.sampled_from(TextRelease))
def test_a_stream_is_the_same_as_if_every_event_were_read(
    pieces: list[str], other: set[int], release: TextRelease
) -> None:
    events = [
        _delta(text).replace(b"event: content", b"event: " + KNOWN.encode()) if place in other else _delta(text)
        for place, text in enumerate(pieces)
    ]
    raw = [START, *events, b'data: {"type":"content_block_stop","index":0}\n\n', b'data: {"type":"message_stop"}\n\n']
    known, read = (_outcome(raw, release, ever=ever) for ever in (True, False))
    assert known == read
    assert KNOWN.encode() not in known[0]


def _outcome(raw: list[bytes], release: TextRelease, *, ever: bool) -> tuple[bytes, list[bytes], object, object]:
    with pytest.MonkeyPatch.context() as patch:
        if not ever:
            patch.setattr(HoldingStream, "_is_more", lambda *_: False)
        stream = ANTHROPIC.codec.stream(masker(), release)
        items, taken, unfinished = [], [], []
        for chunk in raw:
            items += [repr(item) for item in stream.feed(chunk)]
            taken.append(stream.take())
            unfinished.append(repr(stream.unfinished()))
    return b"".join(taken), taken, (items, unfinished), stream.message()


def test_it_is_known_for_as_long_as_nothing_else_comes() -> None:
    seen = 0

    def count(self: HoldingStream, event: object) -> object:
        nonlocal seen
        seen += 1
        return feed_event(self, event)  # type: ignore[arg-type]  # what it is patched into gives it an event

    feed_event = HoldingStream._feed_event
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(HoldingStream, "_feed_event", count)
        stream = ANTHROPIC.codec.stream(masker(), TextRelease.AS_IT_COMES)
        for chunk in (START, _delta("a "), _delta("b "), _delta("c "), b": note\n\n", _delta("d "), _delta("e ")):
            assert list(stream.feed(chunk)) == []
    assert seen == 2 + 1 + 1 + 1
    assert stream.take().count(b"text_delta") == 5


def test_what_is_not_utf8_is_an_error_still() -> None:
    stream = ANTHROPIC.codec.stream(masker(), TextRelease.AS_IT_COMES)
    for chunk in (START, _delta("a "), _delta("b ")):
        assert list(stream.feed(chunk)) == []
    with pytest.raises(WireError):
        list(stream.feed(_delta("Q").replace(b"Q", b"\xff")))

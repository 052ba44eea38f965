"""Moulds: nothing is of a mould but the event with other content in its holes."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ciguard.codecs.document import parse
from ciguard.codecs.held_event import HeldEvent
from ciguard.codecs.mould import LONGEST, Mould, mould_of
from ciguard.codecs.sse import EventParser
from ciguard.operation import Json

VARYING = ("count", "padding", "usage")


def _delta(text: str, **more: Json) -> bytes:
    data = {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": text, **more}}
    return f"event: content_block_delta\ndata: {json.dumps(data, ensure_ascii=False)}\n\n".encode()


def _counted(text: str, count: Json, padding: str, usage: Json) -> bytes:
    data = {"count": count, "text": text, "padding": padding, "usage": usage, "index": 0}
    return f"data: {json.dumps(data)}\r\n\r\n".encode()


def _event(raw: bytes) -> HeldEvent:
    read = EventParser().read(raw)
    data = parse(read.data)
    assert isinstance(data, dict)
    return HeldEvent(raw, read.name, data)


def _mould(raw: bytes, other: bytes, *path: str | int) -> Mould | None:
    return mould_of(_event(raw), path, other, VARYING)


def _of_deltas() -> Mould:
    mould = _mould(_delta("one"), _delta("two"), "delta", "text")
    assert mould is not None
    return mould


@pytest.mark.parametrize("text", ["", " two", "zwei 🦀", "\u2028", ":", "}", '"', "\\", "\n", '","x":"', '"}}\n\n'])
def test_the_same_event_with_another_text(text: str) -> None:
    mould = _of_deltas()
    assert mould.strings(_delta(text)) == (text, [])
    event, holder = mould.event_of(_delta(text))
    assert (event.raw, event.name, holder["text"]) == (_delta(text), "content_block_delta", text)
    assert event.data["delta"] is holder


@pytest.mark.parametrize(
    "raw",
    [
        _delta("Q").replace(b"Q", b"Q\n\ndata: y"),
        _delta("Q").replace(b"Q", b"Q\ry"),
        _delta("Q").replace(b"Q", b"\xff"),
        _delta("Q").replace(b"Q", b"\xed\xa0\x80"),
        _delta("Q").replace(b"Q", b"\\x"),
        _delta("Q").replace(b"Q", b"\\u12"),
        _delta("Q").replace(b"Q", b"\\"),
        _delta("Q").replace(b"Q", b'Q", "more": "y'),
        _delta("x", more="y"),
        _delta("x").replace(b'"index": 0', b'"index": 1'),
        _delta("x").replace(b"event: content_block_delta", b"event: other"),
        b"\xef\xbb\xbf" + _delta("x"),
        _delta("x")[:-1],
        _delta("x") + b"\n",
        _delta("x") + _delta("y"),
        b"",
    ],
)
def test_anything_else_is_not_of_it(raw: bytes) -> None:
    assert _of_deltas().strings(raw) is None
    assert _mould(_delta("one"), raw, "delta", "text") is None


def test_numbers_and_paddings_may_differ_where_the_api_varies_them() -> None:
    mould = _mould(_counted("a", 9, "xyz", {"in": 1, "out": 7}), _counted("b", 10, "", {"in": 1, "out": 8}), "text")
    assert mould is not None
    assert mould.strings(_counted('"c"', 0, "p\n", {"in": 1, "out": 123456789012345})) == ('"c"', ["p\n"])
    for raw in (
        _counted("c", -1, "p", {"in": 1, "out": 9}),
        _counted("c", 1.0, "p", {"in": 1, "out": 9}),
        _counted("c", 1e3, "p", {"in": 1, "out": 9}),
        _counted("c", 10**15, "p", {"in": 1, "out": 9}),
        _counted("c", "1", "p", {"in": 1, "out": 9}),
        _counted("c", None, "p", {"in": 1, "out": 9}),
        _counted("c", 1, "p", {"in": 2, "out": 9}),
        _counted("c", 1, "p", {"in": 1, "out": 9}).replace(b'"count": 1', b'"count": 01'),
        _counted("c", 1, "p", {"in": 1, "out": 9}).replace(b'"count": 1', b'"count": '),
    ):
        assert mould.strings(raw) is None


@pytest.mark.parametrize(
    ("one", "other", "path"),
    [
        # They differ in what the API does not vary, or not in the text.
        (b'{"a":"x","b":"y"}', b'{"a":"z","b":"w"}', "a"),
        (b'{"a":"x","b":1}', b'{"a":"z","b":2}', "a"),
        (b'{"a":"x","count":1}', b'{"a":"x","count":2}', "a"),
        (b'{"a":"x","count":1}', b'{"a":"z","count":"1"}', "a"),
        (b'{"a":"x","count":null}', b'{"a":"z","count":true}', "a"),
        (b'{"a":"x","count":1.5}', b'{"a":"z","count":1.6}', "a"),
        (b'{"a":"x","count":1.0}', b'{"a":"z","count":2.0}', "a"),
        (b'{"a":"x","count":1e5}', b'{"a":"z","count":1e6}', "a"),
        (b'{"a":"x","count":-1}', b'{"a":"z","count":-2}', "a"),
        # What differs is a name, or no string.
        (b'{"a":"x","count":{"p":1}}', b'{"a":"z","count":{"q":1}}', "a"),
        (b'{"a":"x","b":"y"}', b'{"a":"z","c":"y"}', "a"),
        (b'{"a":"x" }', b'{"a":"z"}', "a"),
    ],
)
def test_events_that_differ_otherwise_have_no_mould(one: bytes, other: bytes, path: str) -> None:
    assert _mould(b"data: " + one + b"\n\n", b"data: " + other + b"\n\n", path) is None


@pytest.mark.parametrize(
    ("one", "other"),
    [
        # A number of the stream, a comment, another event's name; an event that may go on; one read as a first only.
        (b'id: 1\ndata: {"a":"x"}\n\n', b'id: 2\ndata: {"a":"y"}\n\n'),
        (b': "p"\ndata: {"a":"x"}\n\n', b': "q"\ndata: {"a":"y"}\n\n'),
        (b'event: e1\ndata: {"a":"x"}\n\n', b'event: e2\ndata: {"a":"y"}\n\n'),
        (b'data: {"a":"x"}\n\r', b'data: {"a":"y"}\n\r'),
        (b'\xef\xbb\xbfdata: {"a":"x"}\n\n', b'\xef\xbb\xbfdata: {"a":"y"}\n\n'),
        # Too long to be worth it.
        (b'data: {"a":"' + b"x" * LONGEST + b'"}\n\n', b'data: {"a":"y"}\n\n'),
        (b'data: {"a":"x"}\n\n', b'data: {"a":"' + b"y" * LONGEST + b'"}\n\n'),
    ],
)
def test_what_is_around_the_data_must_be_the_same(one: bytes, other: bytes) -> None:
    assert _mould(one, other, "a") is None


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(0, 10**6) | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)


@given(
    texts=st.tuples(st.text(), st.text(), st.text()),
    varied=st.tuples(JSON, JSON, JSON),
    fixed=JSON,
    ascii_only=st.booleans(),
    end=st.sampled_from(["\n\n", "\r\n\r\n"]),
)
def test_what_is_of_a_mould_reads_as_the_same_event(
    texts: tuple[str, str, str], varied: tuple[Json, Json, Json], fixed: Json, ascii_only: bool, end: str
) -> None:
    raws = [
        f"event: e\ndata: {json.dumps({'usage': one, 'a': {'t': text, 'u': fixed}}, ensure_ascii=ascii_only)}{end}"
        for text, one in zip(texts, varied, strict=True)
    ]
    one, other, third = (raw.encode("utf-8", "surrogatepass") for raw in raws)
    mould = mould_of(_event(one), ("a", "t"), other, VARYING)
    if mould is None or (strings := mould.strings(third)) is None:
        return
    event, holder = mould.event_of(third)
    read: Any = _event(third)
    assert (event.name, event.data) == (read.name, read.data)
    assert strings[0] == read.data["a"]["t"] == texts[2]
    assert holder["t"] == texts[2]

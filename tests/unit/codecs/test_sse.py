"""Server-sent events: the same events for every cut, and no more work than bytes."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ciguard.codecs import sse
from ciguard.codecs.error import WireError
from ciguard.codecs.sse import EventParser, ServerSentEvent, encode


def _parse(*chunks: bytes) -> list[ServerSentEvent]:
    parser = EventParser()
    return [event for chunk in chunks for event in parser.feed(chunk)]


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (b"data: a\n\n", [("", "a", "")]),
        (b"data:a\r\n\r\n", [("", "a", "")]),
        (b"data: a\r\rdata: b\r\r", [("", "a", ""), ("", "b", "")]),
        (b"data: a\n\r\ndata: b\r\n\n", [("", "a", ""), ("", "b", "")]),
        (b"data: a\n\rdata: b\n\n", [("", "a", ""), ("", "b", "")]),
        (b"data: a\r\r\ndata: b\n\n", [("", "a", ""), ("", "b", "")]),
        (
            b"event: x\ndata: a\ndata:  b\ndata\nid: 7\nretry: 1\n: note\n\n",
            [("x", "a\n b\n", "id: 7\nretry: 1\n: note")],
        ),
        (b": keep-alive\n\n", [("", "", ": keep-alive")]),
        (b"\xef\xbb\xbfdata: a\n\n\xef\xbb\xbfdata: b\n\n", [("", "a", ""), ("", "", "\ufeffdata: b")]),
        (b" data: a\ndatum: b\n\n", [("", "", "data: a\ndatum: b")]),
        ("data: a\u2028b\x85c\x0bd\n\n".encode(), [("", "a\u2028b\x85c\x0bd", "")]),
        (b"data: a\n", []),
    ],
)
def test_lines(raw: bytes, expected: list[tuple[str, str, str]]) -> None:
    events = _parse(raw)
    assert [(event.name, event.data, event.other) for event in events] == expected


line_ends = st.sampled_from([b"\n", b"\r\n", b"\r"])
lines = st.sampled_from([b"data: {}", "data: é🦀".encode(), b"event: x", b": c", b"id: 1", b"", b"", b"data"])
streams = st.lists(st.tuples(lines, line_ends).map(b"".join), max_size=12).map(b"".join)


@given(raw=streams, cuts=st.lists(st.integers(0, 80), max_size=8))
def test_any_cut_gives_the_same_events(raw: bytes, cuts: list[int]) -> None:
    places = sorted({min(cut, len(raw)) for cut in cuts} | {0, len(raw)})
    chunks = [raw[start:end] for start, end in itertools.pairwise(places)]
    expected = _parse(raw)
    assert _parse(*chunks) == expected
    assert _parse(*(bytes([byte]) for byte in raw)) == expected
    joined = b"".join(event.raw for event in expected)
    assert raw.startswith(joined)


@given(raw=streams)
def test_every_event_ends_with_an_empty_line(raw: bytes) -> None:
    """What a reader of lines makes of a stream is what the parser makes of it."""
    groups: list[list[str]] = [[]]
    for line in raw.decode().replace("\r\n", "\n").replace("\r", "\n").split("\n")[:-1]:
        if line:
            groups[-1].append(line)
        else:
            groups.append([])
    expected = [
        "\n".join(one.partition(":")[2].removeprefix(" ") for one in group if one[:4] == "data")
        for group in groups[:-1]
    ]
    got = [event.data for event in _parse(raw + b"x")]
    assert [data for data in got if data] == [data for data in expected if data]


def test_a_long_event_in_single_bytes_costs_what_its_bytes_cost() -> None:
    searched = 0

    class Counting:
        def search(self, held: bytearray, start: int) -> object:
            nonlocal searched
            searched += len(held) - start
            return pattern.search(held, start)

    pattern = sse._BLANK_LINE
    body = b"data: " + b"x" * 1_000_000 + b"\n\n"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sse, "_BLANK_LINE", Counting())
        events = _parse(*(body[at : at + 1] for at in range(len(body))))
    assert [len(event.data) for event in events] == [1_000_000]
    assert searched < 6 * len(body)


def test_too_long_and_not_utf8_are_errors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sse, "LONGEST_EVENT", 100)
    with pytest.raises(WireError):
        _parse(b"data: " + b"x" * 100)
    assert len(_parse(b"data: x\n\n" * 50)) == 50
    with pytest.raises(WireError):
        _parse(b"data: \xff\n\n")


def test_what_is_encoded_reads_back() -> None:
    assert [(event.name, event.data) for event in _parse(encode("x", '{"a":1}') + encode("", "[DONE]"))] == [
        ("x", '{"a":1}'),
        ("", "[DONE]"),
    ]

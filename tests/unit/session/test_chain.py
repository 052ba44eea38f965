from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ciguard.operation import Json
from ciguard.session import chain
from ciguard.session.canonical import canonical
from ciguard.session.chain import GENESIS, ChainReader, Position, link, timestamp
from ciguard.session.event import SessionStopped

TEXT = st.text(st.characters())  # surrogates included
TIME = "2026-11-02T09:30:00.000Z"


def log(*reasons: str) -> list[bytes]:
    lines = []
    position = Position()
    for reason in reasons:
        line, position = link(position, SessionStopped(time=TIME, reason=reason))
        lines.append(line)
    return lines


def read(lines: list[bytes]) -> ChainReader:
    reader = ChainReader()
    for line in lines:
        reader.feed(line)
    return reader


def test_times_are_utc_with_milliseconds() -> None:
    assert timestamp(1_793_611_800_125_999_999) == "2026-11-02T09:30:00.125Z"


@given(st.lists(st.integers(0, 253_402_300_799_999), max_size=4))
def test_times_in_any_order_are_spelt_as_the_standard_library_does(moments: list[int]) -> None:
    for milliseconds in moments:
        moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=milliseconds)
        spelt = moment.isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"
        assert timestamp(milliseconds * 1_000_000) == timestamp(milliseconds * 1_000_000 + 999_999) == spelt


def test_each_line_names_the_one_before_it() -> None:
    first, second = log("one", "two")
    assert json.loads(first)["previous"] == GENESIS
    assert json.loads(second)["previous"] == hashlib.sha256(first).hexdigest()
    assert [json.loads(line)["seq"] for line in (first, second)] == [0, 1]


@given(st.lists(TEXT, max_size=6))
def test_what_was_linked_reads_back_whole(reasons: list[str]) -> None:
    lines = log(*reasons)
    reader = ChainReader()
    events = [reader.feed(line) for line in lines]
    assert reader.damage is None
    assert reader.position.count == len(reasons)
    assert reader.position.head == (hashlib.sha256(lines[-1]).hexdigest() if lines else GENESIS)
    assert [canonical(event["reason"]) for event in events if event] == [canonical(reason) for reason in reasons]


@given(st.data())
def test_any_change_of_a_line_but_the_last_is_found_at_the_next_at_the_latest(data: st.DataObject) -> None:
    lines = log("one", "two", "three", "four")
    index = data.draw(st.integers(0, 2))
    bit = data.draw(st.integers(0, 8 * len(lines[index]) - 1))
    changed = bytearray(lines[index])
    changed[bit // 8] ^= 1 << bit % 8
    reader = read([*lines[:index], bytes(changed), *lines[index + 1 :]])
    assert reader.damage is not None
    assert reader.damage.line in (index + 1, index + 2)


@pytest.mark.parametrize(
    ("order", "line", "what"),
    [
        ([0, 2, 3], 2, "seq is 2, expected 1"),
        ([0, 2, 1, 3], 2, "seq is 2, expected 1"),
        ([0, 1, 1, 2], 3, "seq is 1, expected 2"),
        ([1, 2], 1, "seq is 1, expected 0"),
    ],
    ids=["removed", "moved", "inserted", "head-cut-off"],
)
def test_lines_out_of_place_are_found(order: list[int], line: int, what: str) -> None:
    lines = log("one", "two", "three", "four")
    reader = read([lines[index] for index in order])
    assert reader.damage is not None
    assert reader.damage.line == line
    assert what in str(reader.damage)


def test_a_line_made_to_fit_does_not() -> None:
    lines = log("one", "two", "three")
    forged, _ = link(Position(1, GENESIS), SessionStopped(time=TIME, reason="forged"))
    reader = read([lines[0], forged, lines[2]])
    assert reader.damage is not None
    assert (reader.damage.line, reader.damage.seq) == (2, 1)
    assert "previous" in reader.damage.what


def spelt(**changes: Json) -> bytes:
    event: dict[str, Json] = {"seq": 0, "time": TIME, "type": "session_stopped", "previous": GENESIS, "reason": "r"}
    return canonical({**event, **changes})


@pytest.mark.parametrize(
    ("line", "what"),
    [
        (b"", "not JSON"),
        (b"\xff", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b"[]", "not a JSON object"),
        (b"{}", "seq is not an integer"),
        (b'{"a":1.5}', "fraction|float"),
        (b'{"a":NaN}', "fraction|float"),
        (spelt() + b" ", "canonical"),
        (spelt().replace(b'"reason":"r"', b'"reason":"x","reason":"r"'), "canonical"),
        (spelt(seq="0"), "seq is not an integer"),
        (spelt(seq=True), "seq is not an integer"),
        (spelt(type="dance\x1b["), r"'dance\\x1b\[' is not known"),
        (spelt(type=None), "None is not known"),
        (spelt(type=["session_stopped"]), "is not known"),
        (spelt(time="2026-11-02T09:30:00Z"), "time is not"),
        (spelt(time="2026-13-02T09:30:00.000Z"), "time is not"),
        (spelt(time="٢026-11-02T09:30:00.000Z"), "time is not"),
        (spelt(time=7), "time is not"),
        (spelt(reason=7), "fields are not those of session_stopped"),
        (spelt(**{"\x1b]0;x\x07": 1}), r"unknown field `\\x1b\]0;x\\x07`"),
        (spelt(previous=None), r"\$\.previous"),
        (spelt(previous="f" * 64), "previous is not the hash"),
    ],
)
def test_lines_that_are_no_event_are_found(line: bytes, what: str) -> None:
    reader = read([line])
    assert reader.damage is not None
    with pytest.raises(ValueError, match=what):
        raise ValueError(str(reader.damage))
    assert reader.position == Position()


def test_a_line_beyond_the_limit_is_neither_written_nor_read(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = log("x" * 100)
    monkeypatch.setattr(chain, "MAX_LINE_BYTES", 200)
    with pytest.raises(ValueError, match="longer than 200"):
        log("x" * 100)
    reader = read(lines)
    assert reader.damage is not None
    assert "longer than 200" in reader.damage.what


def test_only_the_first_damage_is_kept_and_later_events_are_still_read() -> None:
    lines = log("one", "two", "three")
    reader = ChainReader()
    events = [reader.feed(line) for line in (b"{}", lines[1], b"[]", lines[2])]
    assert reader.damage is not None
    assert reader.damage.line == 1
    assert [event["reason"] if event else None for event in events] == [None, "two", None, "three"]

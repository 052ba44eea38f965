"""Holding: limits, and what a driver may rely on."""

from __future__ import annotations

import pytest

from ciguard.codecs import hold
from ciguard.codecs.answer import CallItem, Tally, TextItem
from ciguard.codecs.codec import TextRelease
from ciguard.codecs.error import WireError
from ciguard.codecs.unknown import refuse_hidden_calls, said_in
from ciguard.operation import Json
from ciguard.testing.model import Text
from tests.unit.codecs.driving import ANTHROPIC, APIS, Upstream, bash, events, feed, masker, refuse_bad, sse


def test_an_answer_that_would_make_too_much_wait_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = Upstream(ANTHROPIC, [[Text("x" * 4000), bash("y" * 4000)]]).ask(ANTHROPIC.request(stream=True), stream=True)
    monkeypatch.setattr(hold, "MOST_HELD", 3000)
    with pytest.raises(WireError):
        feed(ANTHROPIC.codec, [raw], refuse_bad)
    monkeypatch.setattr(hold, "MOST_HELD", len(raw))
    assert feed(ANTHROPIC.codec, [raw], refuse_bad).raw.endswith(b'message_stop"}\n\n')


def test_what_was_withheld_at_the_end_no_longer_counts_as_held(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hold, "MOST_HELD", 6000)
    for api in APIS:
        stream = api.codec.stream(masker(), TextRelease.AS_IT_COMES)
        for _ in range(40):
            for item in stream.feed(Upstream(api, [[bash("rm")]], 99).ask(api.request(stream=True), stream=True)):
                refuse_bad(item)
            assert stream.stranded
            stream.take()
            stream.resume()


def test_text_goes_on_as_far_as_it_is_decided_and_is_unfinished_until_its_end() -> None:
    for api in APIS:
        raw = Upstream(api, [[Text("Hello there ghp_", ("Hello ", "there ", "ghp_"))]]).ask(
            api.request(stream=True), stream=True
        )
        stream = api.codec.stream(masker(), TextRelease.AS_IT_COMES)
        assert list(stream.feed(raw[: raw.index(b"ghp_") + 4])) == []
        assert b"there " in stream.take()
        assert [(item.part, item.text) for item in stream.unfinished()] == [("text", "Hello there ")]
        whole = api.codec.stream(masker(), TextRelease.WHEN_COMPLETE)
        assert list(whole.feed(raw[: raw.index(b"ghp_") + 4])) == []
        assert b"Hello" not in whole.take()
        assert whole.unfinished() == []
        assert [item.text for item in whole.feed(raw[raw.index(b"ghp_") + 4 :]) if isinstance(item, TextItem)] == [
            "Hello there ghp_"
        ]
        assert whole.unfinished() == []


def test_text_that_was_delivered_cannot_be_replaced() -> None:
    raw = Upstream(ANTHROPIC, [[Text("Hello there.")]]).ask(ANTHROPIC.request(stream=True), stream=True)

    def replace(item: object) -> None:
        if isinstance(item, TextItem):
            item.replace("[withheld]")

    with pytest.raises(WireError):
        feed(ANTHROPIC.codec, [raw], replace)


def test_a_tally_takes_no_call_that_was_not_settled_or_cannot_be_read() -> None:
    tally = Tally()
    call = CallItem("1", "x", None, problem="no")
    with pytest.raises(WireError):
        tally.settle(call)
    call.allow()
    with pytest.raises(WireError):
        tally.settle(call)
    call.refuse("no")
    tally.settle(call)
    assert tally.stranded
    other = CallItem("2", "x", None)
    other.allow()
    tally.settle(other)
    assert not tally.stranded


def test_originals_are_not_in_representations() -> None:
    assert "hunter2" not in repr(CallItem("1", "x", None, original={"key": "hunter2"}))


def test_strings_that_say_something_are_found_at_any_depth() -> None:
    value: Json = {
        "type": "x",
        "a": "1",
        "b": [{"c": "2", "index": 7}, ["3", {"d": "4"}]],
        "e": {"id": "i", "f": "5"},
        "g": 6,
    }
    assert {path: holder[key] for path, holder, key in said_in(value)} == {
        ("a",): "1",
        ("b", 7, "c"): "2",
        ("b", 1, 1, "d"): "4",
        ("e", "f"): "5",
    }


@pytest.mark.parametrize("key", ["input", "arguments", "args"])
def test_what_looks_like_a_call_is_found_at_any_depth(key: str) -> None:
    refuse_hidden_calls({"name": "x", "value": {"inputs": 1}})
    with pytest.raises(WireError):
        refuse_hidden_calls([{"a": [{"name": "x", key: None}]}])


def test_events_without_data_pass() -> None:
    raw = b": hello\n\nevent: x\n\nretry: 10\n\n" + sse({"type": "ping"})
    stream = ANTHROPIC.codec.stream(masker(), TextRelease.AS_IT_COMES)
    assert list(stream.feed(raw)) == []
    assert stream.take() == raw
    assert events(raw) == [{"type": "ping"}]

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ciguard.codecs import document as document_module
from ciguard.codecs import rereading
from ciguard.codecs.document import Document, Part, parse, split, split_items
from ciguard.codecs.error import WireError
from ciguard.codecs.rereading import Rereader
from ciguard.operation import Json


def outcome(read: Callable[[], Document]) -> tuple[object, ...]:
    try:
        document = read()
    except WireError:
        return ("refused",)
    values = [value_of(partial(document.read, place)) for place in range(len(document.parts))]
    assert values == [value_of(partial(parse, part.raw)) for part in document.parts]
    return document.raw, [(part.label, part.raw, part.item) for part in document.parts]


def value_of(read: Callable[[], Json]) -> str:
    """The value that is read, with the types of its numbers and the order of its names."""
    try:
        return repr(read())
    except WireError:
        return "refused"


def alike(rereader: Rereader, raw: bytes) -> None:
    assert outcome(lambda: rereader.split(raw)) == outcome(lambda: split(raw, "messages"))


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-20, 200)
    | st.sampled_from([-0.0, 1e22, 2**70])
    | st.text('a"\\{}[],: \ud83d', max_size=4),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "messages", "b"]), inner, max_size=3)
    ),
    max_leaves=6,
)
SPACES = st.sampled_from(["", " ", "\n\t"])


@st.composite
def bodies(draw: st.DrawFn) -> list[bytes]:
    """What an agent, or somebody who is after the guard, may send one after the other."""
    items = draw(st.lists(JSON, max_size=6))
    before = draw(st.dictionaries(st.sampled_from(["model", "x"]), JSON, max_size=2))
    after = draw(st.dictionaries(st.sampled_from(["y", "tools"]), JSON, max_size=2))
    made = []
    for _ in range(draw(st.integers(1, 5))):
        space = draw(SPACES)
        separators = draw(st.sampled_from([(",", ":"), (f",{space}", ": ")]))
        text = json.dumps(
            {**before, "messages": items, **after}, ensure_ascii=draw(st.booleans()), separators=separators
        )
        made.append(text.encode("utf-8", "surrogatepass"))
        match draw(st.integers(0, 5)):
            case 0 | 1 | 2:
                items = [*items, draw(JSON)]
            case 3:
                items = items[: draw(st.integers(0, len(items)))]
            case 4:
                items = [*items[:1], draw(JSON), *items[2:]]
            case _:
                after = {"z": draw(JSON)}
    return made


@settings(max_examples=400)
@given(bodies())
def test_a_body_is_read_as_if_none_had_been_before(made: list[bytes]) -> None:
    rereader = Rereader("messages")
    for raw in made:
        alike(rereader, raw)


@settings(max_examples=400)
@given(bodies(), st.data())
def test_a_body_that_was_changed_anywhere_is_read_or_refused_alike(made: list[bytes], data: st.DataObject) -> None:
    rereader = Rereader("messages")
    for raw in made:
        alike(rereader, raw)
    place = data.draw(st.integers(0, len(made[-1])))
    cut = data.draw(st.integers(0, 3))
    more = data.draw(
        st.sampled_from([b"", b",", b"]", b"}", b'"', b"[", b"1", b" ", b'"messages":[],', b"\xff", b"\\"])
    )
    alike(rereader, made[-1][:place] + more + made[-1][place + cut :])


FIRST = b'{"model":"m","messages":[1,{"a":1},"x"],"y":2}'


@pytest.mark.parametrize(
    "raw",
    [
        b'{"model":"m","messages":[12,{"a":1},"x"],"y":2}',
        b'{"model":"m","messages":[1,{"a":1},"x",],"y":2}',
        b'{"model":"m","messages":[1,{"a":1},,"x"],"y":2}',
        b'{"model":"m","messages":[1,{"a":1} "x"],"y":2}',
        b'{"model":"m","messages":[1,{"a":1},"x"],"y":2,"messages":[]}',
        b'{"model":"m","messages":[1,{"a":1},"x"],"model":2}',
        b'{"model":"m","messages":[1,{"a":1},"x"]],"y":2}',
        b'{"model":"m","messages":[1,{"a":1},"x"',
        b'{"model":"m","messages":[1,{"a":1},\xff],"y":2}',
        b'{"model":"m","messages":[1,{"a":1},"\\ud83d"],"y":2}',
        b'{"model":"m","messages":[1]}',
        b'{"model":"m","messages":[]}',
        b'{"model":"m","messages":1}',
        b'{"messages":[1,{"a":1},"x"],"y":2}',
        b'{"model":"m","messages":[],"y":2}',
        b'{"model":"m","messages":[ ],"y":2}',
        b'{"model":"m","messages":[],"y":2}'[:-1],
        b'{"model":"m","messages":[3],"z":[4],"y":2}',
        b'{"model":"m","messages":[3],"z":[],"y":2}',
        b'{"model":"m","messages":[3],"messages":[4],"y":2}',
        b'{"model":"m","messages":[3],"model":[4],"y":2}',
        b'{"model":"m","messages":[3],"y":[4],"y":2}',
        b'{"model":"m","messages":[3,],"y":2}',
        b'{"model":"m","messages":[,3],"y":2}',
        b'{"model":"m","messages":["],"y":2}',
        b'{"model":"m","messages":["\\"],"y":2}',
        b'{"model":"m","messages":["\\\\"],"y":2}',
        b'{"model":"m","messages":[{"a":[3],"y":2}',
        b'{"model":"m","messages":[[3],"y":2}',
        b'{"model":"m","messages":[3]],"y":2}',
        b'{"model":"m","messages":["\xff"],"y":2}',
        b'{"model":"m","messages":["\\ud83d"],"y":2}',
        b'{"model":"m","messages":[{"a":1,"a":2}],"y":2}',
        b'{"model":"m","messages":[3],"a":[4],"y":2}',
        b'{"model":"m","messages":["\\ud83d"],"z":["\\ud83d"],"y":2}',
        b'{"model":"m","messages":["\\ud83d\xff"],"y":2}',
        b'{"model":"m","messages":["\\ud83d",{"a":1,"a":2}],"y":2}',
        b'{"model":"m","messages":[1e400],"y":2}',
        b'{"model":"m","messages":[NaN],"y":2}',
        b'{"model":"m","messages":[' + b"[" * 5000 + b"]" * 5000 + b'],"y":2}',
    ],
)
def test_what_is_easily_misread(raw: bytes) -> None:
    rereader = Rereader("messages")
    alike(rereader, FIRST)
    alike(rereader, raw)
    alike(rereader, FIRST)


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many bytes were read each time."""
    sizes: list[int] = []

    def counting(raw: bytes, listed: str) -> Document:
        sizes.append(len(raw))
        return split(raw, listed)

    def counting_items(raw: bytes, label: str) -> tuple[list[Part], list[Json]] | None:
        sizes.append(len(raw))
        return split_items(raw, label)

    monkeypatch.setattr(rereading, "split", counting)
    monkeypatch.setattr(rereading, "split_items", counting_items)
    return sizes


def test_only_what_is_new_is_read(read: list[int]) -> None:
    rereader = Rereader("messages")
    messages: list[Any] = []
    for turn in range(50):
        messages.append({"role": "user", "content": f"{turn}" * 1000})
        raw = json.dumps({"model": "m", "messages": messages}).encode()
        document = rereader.split(raw)
        assert document.parts == split(raw, "messages").parts
        assert turn < 2 or document.parts[1] is rereader.split(raw).parts[1]
    assert max(read) < 8000


@pytest.mark.parametrize("cut", ["", "\ud800"])
def test_only_the_conversation_is_read_where_what_is_around_it_was_before(read: list[int], cut: str) -> None:
    rereader = Rereader("messages")
    for text in ("first", f"second{cut}", f"third{cut}"):
        asked = {"model": "m", "messages": [{"role": "user", "content": text}], "tools": ["x" * 1000]}
        alike(rereader, json.dumps(asked).encode())
    assert [size < 100 for size in read] == [False, True, True]


def test_only_so_much_around_a_conversation_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    rereader = Rereader("messages")
    for number in range(2 * rereading.KEPT):
        alike(rereader, b'{"model":%d,"messages":[1]}' % number)
    assert len(rereader._frames) == rereading.KEPT
    monkeypatch.setattr(rereading, "LONGEST_FRAME", 20)
    rereader = Rereader("messages")
    alike(rereader, b'{"model":"m","messages":[1]}')
    assert not rereader._frames


def test_a_long_conversation_does_not_make_others_be_forgotten(read: list[int]) -> None:
    rereader = Rereader("messages")
    begun = ["begin" * 100] * 4
    conversations: list[list[str]] = [[*begun, *[f"{name}" * 1000] * 20] for name in range(rereading.KEPT)]
    for turn in range(10):
        for messages in conversations:
            messages.append(f"{turn}" * 1000)
            alike(rereader, json.dumps({"messages": messages}).encode())
            alike(rereader, json.dumps({"messages": [*messages[:-1], "again" * 200]}).encode())
    assert len([size for size in read if size > 4000]) == rereading.KEPT
    assert len(rereader._kept) == rereading.KEPT


@given(st.integers(0, 9), st.integers(0, 9), st.sampled_from([",", ", "]), st.sampled_from(["x", "\ud800"]))
def test_too_many_parts_are_refused(first: int, more: int, comma: str, text: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(document_module, "MOST_PARTS", 8)
        rereader = Rereader("messages")
        for count in (first, first + more):
            fields = {"model": "m", "messages": [text] * count, "y": 2}
            raw = json.dumps(fields, separators=(comma, ":")).encode()
            alike(rereader, raw)
            assert (outcome(partial(rereader.split, raw)) == ("refused",)) == (count + 3 > 8)


def test_too_many_parts_are_refused_before_they_are_made(monkeypatch: pytest.MonkeyPatch) -> None:
    rereader = Rereader("messages")
    alike(rereader, FIRST)
    monkeypatch.setattr(document_module, "MOST_PARTS", 8)
    monkeypatch.setattr(document_module, "Part", None)
    monkeypatch.setattr(document_module, "_elements", None)
    for comma, item in ((b",", b"7"), (b", ", b"7"), (b",", b'"\\ud800"')):
        with pytest.raises(WireError):
            rereader.split(b'{"model":"m","messages":[' + comma.join([item] * 9) + b'],"y":2}')


def test_a_body_that_is_too_long_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rereading, "LONGEST_KEPT", 10)
    rereader = Rereader("messages")
    alike(rereader, FIRST)
    assert not rereader._kept


@given(st.binary(max_size=20), st.binary(max_size=10), st.binary(max_size=10))
@example(b"a" * 70_000, b"b", b"")
def test_what_two_have_in_common(start: bytes, left: bytes, right: bytes) -> None:
    common = rereading._common(start + left, start + right)
    assert (start + left)[:common] == (start + right)[:common]
    assert (start + left)[common : common + 1] != (start + right)[common : common + 1] or common == min(
        len(start + left), len(start + right)
    )


def test_a_body_of_which_nothing_can_be_taken_over_is_not_kept() -> None:
    rereader = Rereader("messages")
    alike(rereader, FIRST)
    for number in range(2 * rereading.KEPT):
        alike(rereader, b'{"model":"m","messages":["%d"]}' % number)
    assert [read.raw for read in rereader._kept] == [FIRST]

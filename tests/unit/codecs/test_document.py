"""Request bodies: pieces keep their bytes, and nothing that two parsers could read differently gets in."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ciguard.codecs import document
from ciguard.codecs.document import DEEPEST, Part, dump, join, parse, rewrite, split
from ciguard.codecs.error import WireError
from ciguard.operation import Json

scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text()
)
values: st.SearchStrategy[Json] = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4), max_leaves=12
)
spacing = st.sampled_from([(",", ":"), (", ", ": "), (" ,\n", " :\t")])


@given(
    fields=st.dictionaries(st.text(), values, max_size=5),
    listed=st.none() | st.lists(values, max_size=4),
    separators=spacing,
    ascii_only=st.booleans(),
)
@example(fields={"a": "\ud800"}, listed=["\udfff", {"x": [1, "\ud83d"]}], separators=(" ,\n", " :\t"), ascii_only=True)
@example(fields={"\ud800": 1}, listed=[], separators=(",", ":"), ascii_only=True)
def test_a_body_comes_apart_and_together(
    fields: dict[str, Json], listed: list[Json] | None, separators: tuple[str, str], ascii_only: bool
) -> None:
    body: dict[str, Json] = dict(fields) if listed is None else {**fields, "messages": [*listed]}
    text = json.dumps(body, separators=separators, ensure_ascii=ascii_only)
    if not ascii_only and any("\ud800" <= char <= "\udfff" for char in text):
        return
    raw = text.encode()
    document = split(raw, "messages")
    assert document.raw == raw
    assert document.with_parts(list(document.parts)) is document
    items = [part for part in document.parts if part.item]
    assert [parse(part.raw) for part in items] == (body["messages"] if isinstance(body.get("messages"), list) else [])
    for part in document.parts:
        assert part.raw in raw
        assert part.item or document.value(part.label) == body[part.label]
    assert [repr(document.read(place)) for place in range(len(document.parts))] == [
        repr(parse(part.raw)) for part in document.parts
    ]
    joined = join(document.parts)
    assert parse(joined) == body
    again = split(joined, "messages")
    assert [(part.label, part.raw) for part in again.parts] == [(part.label, part.raw) for part in document.parts]


def test_one_part_changes_and_the_others_keep_their_bytes() -> None:
    document = split(b'{"a": 1.0e2,"messages":[{"x" :"\\u00e9"}, [1 ]],"b":"\xc3\xa9"}', "messages")
    parts = [part if part.raw != b"[1 ]" else Part.of("messages", b"2", item=True) for part in document.parts]
    changed = document.with_parts(parts)
    assert changed.raw == b'{"a":1.0e2,"messages":[{"x" :"\\u00e9"},2],"b":"\xc3\xa9"}'


@pytest.mark.parametrize("empty", [b'{"messages":[],"a":1}', b'{"messages": [ ],"a":1}'])
def test_items_join_an_empty_list(empty: bytes) -> None:
    document = split(empty, "messages")
    added = document.with_parts([*document.parts, Part.of("messages", b"1", item=True)])
    assert parse(added.raw) == {"messages": [1], "a": 1}


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b" ",
        b"[]",
        b"1",
        b'"x"',
        b"null",
        b"{",
        b'{"a":1,}',
        b'{"a":1} x',
        b'\xef\xbb\xbf{"a":1}',
        b'{"a":NaN}',
        b'{"a":Infinity}',
        b'{"a":01}',
        b'{"a":"\x01"}',
        b'{"a":"\xff"}',
        b'{"a":"\xed\xa0\x80"}',
        b'{"\xff":1}',
        b'{"messages":["\xff"]}',
        b'{"messages":[1,]}',
        b'{"a":1,"a":2}',
        b'{"a":1,"\\u0061":2}',
        b'{"a":1, "b":2, "a":3}',
        b'{"messages":[1],"messages":[2]}',
        b'{"a":"\\ud800","a":1}',
        b'["\\ud800"]',
        b'{"a":"\\ud800",}',
        b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"messages":[' + b'{"a":' * 100_000 + b"1" + b"}" * 100_000 + b"]}",
    ],
    ids=lambda raw: raw[:24].decode(errors="replace"),
)
def test_what_is_not_one_json_object_is_refused(raw: bytes) -> None:
    with pytest.raises(WireError):
        split(raw, "messages")


@pytest.mark.parametrize(
    "raw",
    [
        b'{"x":{"a":1,"a":2}}',
        b'[{"a":{"b":1,"\\u0062":1}}]',
        b"NaN",
        b"-Infinity",
        b"1e400",
        b"-1e400",
        b"9" * 5000,
        b"\xff",
        b'"\xff"',
        b"\xef\xbb\xbf1",
        b"",
        b"1 2",
        b"'a'",
        b'"\t"',
        b"[" * (DEEPEST + 1) + b"]" * (DEEPEST + 1),
        b'{"a":[' * (DEEPEST // 2) + b"[]" + b"]}" * (DEEPEST // 2),
        b"[" * 100_000 + b"]" * 100_000,
        b'{"a":' * 100_000,
    ],
    ids=lambda raw: raw[:24].decode(errors="replace"),
)
def test_values_that_parsers_read_differently_are_refused(raw: bytes) -> None:
    with pytest.raises(WireError):
        parse(raw)


TOKENS = [
    "{",
    "}",
    "[",
    "]",
    ":",
    ",",
    ", ",
    ": ",
    '"a"',
    '"b"',
    '"\\u0061"',
    '"\\""',
    '"\\u0022"',
    '"\\\\u0022"',
    '""',
]
TOKENS += [
    '"\\\\"',
    '"\\ud800"',
    '"é"',
    '"\\n"',
    "1",
    "-0",
    "1.0",
    "1e400",
    "9" * 30,
    "null",
    "true",
    "NaN",
    "\x01",
    '"',
    "\\",
]


@settings(max_examples=2_000)
@given(st.lists(st.sampled_from(TOKENS), max_size=14).map("".join))
@example('{"\\u0022\\u0022":1,"a":1, "a":""}')
@example('{"a": "\\u0022\\u0022\\u0022\\u0022", "b": 1, "b": 1}')
@example('{"a" :"x","a":1}')
@example('[{"a": 1}, {"a": "\\""}]')
@example('{"a": 1, "a": 1, "b": [1e2, 1e2, 1e2]}')  # as long as what is written again
def test_what_is_read_fast_is_read_alike(text: str) -> None:
    assert _outcome(parse, text) == _outcome(parse, text.encode()) == _outcome(document._parse_strictly, text)


@settings(max_examples=300)
@given(values, spacing, st.booleans(), st.data())
def test_a_name_that_is_there_twice_is_always_noticed(
    value: Json, separators: tuple[str, str], ascii_only: bool, data: st.DataObject
) -> None:
    """Wherever in a value a member is written a second time, whatever it holds."""
    text = json.dumps(value, separators=separators, ensure_ascii=ascii_only)
    places = [place for place, char in enumerate(text) if char == "{"]
    place = data.draw(st.sampled_from(places or [0]))
    twice = data.draw(st.sampled_from(['"x": 1, "x": 1', '"x": "\\"", "x": []', '"x":{"y":""},"x": {"y":""}']))
    empty = text[place + 1 :].lstrip().startswith("}")
    doubled = (
        f"{text[: place + 1]}{twice}{'' if empty else ','}{text[place + 1 :]}" if places else f"[{{{twice}}},{text}]"
    )
    assert _outcome(parse, doubled) == _outcome(document._parse_strictly, doubled)


def _outcome(read: Callable[..., Json], raw: bytes | str) -> str:
    """What comes of reading, with the types of numbers and the order of names."""
    try:
        return repr(read(raw))
    except WireError:
        return "refused"


def test_errors_quote_nothing() -> None:
    for raw in (b'{"a":"hunter2secret"', b'{"hunter2secret":1,"hunter2secret":2}'):
        with pytest.raises(WireError) as caught:
            split(raw, "messages")
        assert "hunter2" not in repr(caught.value)
        assert caught.value.__cause__ is None


def test_what_is_just_deep_or_large_enough_is_read() -> None:
    deep = b"[" * DEEPEST + b"]" * DEEPEST
    assert dump(parse(deep)) == deep
    deep = b'["' + b"[{" * DEEPEST + b'",' + b"[" * (DEEPEST - 1) + b"]" * (DEEPEST - 1) + b"]"
    assert dump(parse(deep)) == deep
    assert parse(b"1e308") == 1e308
    assert parse(str(2**200)) == 2**200
    assert parse(b'"\\ud800"') == "\ud800"
    assert dump("\ud800") == b'"\\ud800"'


@given(values)
def test_dump_reads_back(value: Json) -> None:
    assert parse(dump(value)) == value
    assert dump(value).isascii()


def test_rewrite_changes_strings_and_keys_and_nothing_else() -> None:
    value: Json = {"ab": ["ab", 1, {"x": None}], "y": "z"}
    assert rewrite(value, lambda text: text.replace("ab", "c")) == {"c": ["c", 1, {"x": None}], "y": "z"}
    assert rewrite(value, lambda text: text) is value


@pytest.mark.parametrize("space", ["", " "])
def test_a_part_that_is_nested_too_deeply_cannot_be_read(space: str) -> None:
    deep = "[" * (DEEPEST + 1) + "]" * (DEEPEST + 1)
    document = split(f'{{"messages":{space}[{deep}]}}'.encode(), "messages")
    with pytest.raises(WireError):
        document.read(0)


def test_a_body_as_most_agents_write_it_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    body: Json = {"model": "m", "messages": [{"role": "user", "content": 'é\n"x"'}], "n": 1.5}
    raw = json.dumps(body, separators=(",", ":"), ensure_ascii=False).encode()
    monkeypatch.setattr(document, "_split_raw", None)
    monkeypatch.setattr(document, "parse", None)
    read = split(raw, "messages")
    assert [read.read(place) for place in range(3)] == ["m", {"role": "user", "content": 'é\n"x"'}, 1.5]

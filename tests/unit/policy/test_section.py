"""Sections: keys, what is stated, and that nothing but a section comes out of any document."""

from __future__ import annotations

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ciguard.operation import Json
from ciguard.policy.models import Approval, Connection, ConnectionType, Credential, Policy, json_schema
from ciguard.policy.reading import KeyRefusal, ListOf, Number, Refusal, Text
from ciguard.policy.section import Section, declare

WORDS = sorted({key.word for section in Section.__subclasses__() for key in section.keys.values()})


class Part(Section):
    """A part."""

    size: int = declare(Number(1), about="Its size.")
    names: tuple[str, ...] = declare(ListOf(Text()), default=("x",), about="Its names.")
    class_: str = declare(Text(), factory=lambda stated: str(stated.get("size")), about="Its class.")

    def check(self) -> None:
        if self.size == len(self.names):
            raise Refusal("too many names", "remove one", at=("names",))


def refusal(value: Json) -> Refusal:
    with pytest.raises(Refusal) as caught:
        Part.of(value)
    return caught.value


def test_keys_have_their_defaults() -> None:
    part = Part.of({"size": 3})
    assert (part.size, part.names, part.class_) == (3, ("x",), "3")
    assert part.stated == {"size"}
    assert part == Part(size=3)


def test_a_trailing_underscore_is_not_written() -> None:
    assert Part.of({"size": 3, "class": "a"}).class_ == "a"
    with pytest.raises(KeyRefusal):
        Part.of({"size": 3, "class_": "a"})


@pytest.mark.parametrize(
    ("value", "place", "cause"),
    [
        ([], (), "must be a mapping"),
        ({}, (), "the key size is missing"),
        ({"sise": 1}, ("sise",), "unknown key 'sise'"),
        ({"size": 0}, ("size",), "at least 1"),
        ({"size": 2, "names": ["a", 1]}, ("names", 1), "must be a text"),
        ({"size": 1}, ("names",), "too many names"),
        ({"names": 1, "other": 1}, ("names",), "must be a list"),
        ({"keys": {}, "size": 2}, ("keys",), "unknown key"),
    ],
)
def test_the_first_thing_that_is_wrong(value: Json, place: tuple[object, ...], cause: str) -> None:
    error = refusal(value)
    assert error.at == place
    assert cause in error.cause


def test_what_is_replaced_is_stated_and_the_rest_stays_as_it_was() -> None:
    part = Part.of({"size": 3}).replaced(names=("a", "b"))
    assert part.stated == {"size", "names"}
    assert (part.size, part.names, part.class_) == (3, ("a", "b"), "3")


def test_a_default_is_equal_to_the_same_value_stated() -> None:
    assert Approval() == Approval.of({"hold_at": 60})
    assert hash(Approval()) == hash(Approval.of({"hold_at": 60}))
    assert Approval() != Approval.of({"hold_at": 61})
    assert Part(size=2) != Approval()


def test_it_cannot_be_changed() -> None:
    part = Part(size=3)
    for attribute in ("size", "stated", "new"):
        with pytest.raises(AttributeError, match="frozen"):
            setattr(part, attribute, 1)
    with pytest.raises(AttributeError, match="frozen"):
        del part.size


def test_a_section_is_made_of_all_of_its_keys_and_no_others() -> None:
    with pytest.raises(TypeError):
        Part()  # type: ignore[call-arg]  # what mypy sees, too
    with pytest.raises(TypeError):
        Part(size=1, other=2)  # type: ignore[call-arg]  # what mypy sees, too


def test_a_key_cannot_hide_what_sections_do() -> None:
    with pytest.raises(TypeError, match="another meaning"):
        type("Hiding", (Section,), {"check": declare(Text(), about="No.")})


def test_it_is_written_with_its_defaults_and_without_nothing() -> None:
    connection = Connection(type=ConnectionType.OPENAI, credential=Credential(env="KEY"))
    written = connection.written(without=("rules", "remote"))
    assert written == {
        "type": "openai",
        "credential": {"env": "KEY"},
        "upstream": "https://api.openai.com",
        "limits": {"request_bytes": 33_554_432},
    }
    assert type(written["type"]) is str
    assert Connection.of(connection.written()) == connection


SCHEMA = jsonschema.Draft202012Validator(json_schema())
PARTS = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-1, 200)
    | st.sampled_from(
        ["", "a", "KEY", "prompt", "command", "hold", "openai", "role:write", "30m", "https://a.example"]
    ),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(WORDS), inner, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(st.sampled_from([key.word for key in Policy.keys.values()]), PARTS, max_size=3))
def test_any_document_is_read_or_refused_at_a_place_that_it_has(document: dict[str, Json]) -> None:
    root: dict[str, Json] = {"version": 1, **document}
    policy, refused = None, None
    try:
        policy = Policy.of(root)
    except Refusal as refusal:
        refused = refusal
    if policy is not None:
        assert SCHEMA.is_valid(root)
        assert Policy.of(policy.written()) == policy
    else:
        assert refused is not None
        assert refused.cause
        assert refused.remedy
        assert not refused.at or refused.at[0] in root

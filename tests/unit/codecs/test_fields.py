from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ciguard.codecs.answer import Tally, call_from_json, call_from_value, masked_items, masked_value
from ciguard.codecs.anthropic import Anthropic
from ciguard.codecs.fields import mask_fields, mask_message_fields
from ciguard.inspect.masking import Masker
from ciguard.inspect.named_fields import NamedFields
from ciguard.inspect.placeholder import PLACEHOLDER, Placeholders
from ciguard.inspect.rule_matcher import RuleMatcher
from ciguard.operation import Json

FIELDS = NamedFields(("password", "name"), ("/customer/ssn", "/rows/1"))


def masker() -> Masker:
    return Masker([], Placeholders(b"k"), RuleMatcher(FIELDS.rules), FIELDS)


def is_masked(value: Json) -> bool:
    return isinstance(value, str) and PLACEHOLDER.fullmatch(value) is not None


@pytest.mark.parametrize("held", ["hunter2", 5, 0, False, [1, "x"], {"a": {"password": 1}}, 1.5])
def test_a_named_field_is_masked_whatever_it_holds(held: Json) -> None:
    value, kinds = mask_fields({"a": [{"PassWord": held}], "b": "kept"}, masker())
    assert kinds == ("field-password",)
    assert isinstance(value, dict)
    assert value["b"] == "kept"
    assert is_masked(value["a"][0]["PassWord"])  # type: ignore[call-overload, index]  # JSON of known form


@pytest.mark.parametrize("held", [None, ""])
def test_what_holds_nothing_stays(held: Json) -> None:
    given: Json = {"password": held}
    assert mask_fields(given, masker()) == (given, ())
    assert mask_fields(given, masker())[0] is given


def test_pointers_count_from_the_root() -> None:
    value, _ = mask_fields({"customer": {"ssn": 1, "x": 2}, "rows": [1, 2], "deep": {"customer": {"ssn": 3}}}, masker())
    assert isinstance(value, dict)
    assert is_masked(value["customer"]["ssn"])  # type: ignore[call-overload, index]  # JSON of known form
    assert is_masked(value["rows"][1])  # type: ignore[index]  # JSON of known form
    assert value["deep"] == {"customer": {"ssn": 3}}


def test_placeholders_are_not_masked_again() -> None:
    once, _ = mask_fields({"password": "x"}, masker())
    again, kinds = mask_fields(once, masker())
    assert again is once
    assert kinds == ()


def test_in_a_message_only_arguments_and_results_have_fields() -> None:
    message: Json = {
        "name": "envelope",
        "content": [
            {"type": "tool_use", "id": "1", "name": "tool", "input": {"name": "x", "password": "y"}},
            {"type": "tool_result", "content": [{"type": "text", "text": '{"customer": {"ssn": 5}, "z": 1}'}]},
            {"function": {"name": "f", "arguments": '{"password": "p"}'}},
            {"functionResponse": {"name": "g", "response": {"password": "p"}}},
            {"input": {"name": "no tool"}, "text": "plain [text"},
        ],
    }
    value, kinds = mask_message_fields(message, masker())
    assert len(kinds) == 5
    text = json.dumps(value)
    assert '"name": "envelope"' in text
    assert '"name": "tool"' in text
    assert '"name": "no tool"' in text
    assert '"y"' not in text
    assert '\\"p\\"' not in text
    assert '"p"' not in text
    assert '\\"ssn\\":5' not in text.replace(" ", "")


def test_calls_are_delivered_with_their_fields_masked() -> None:
    for item in (
        call_from_value("1", "tool", {"password": 5}, masker()),
        call_from_json("1", "tool", '{"password": 5}', masker()),
    ):
        assert item.kinds == ("field-password",)
        assert isinstance(item.input, dict)
        assert is_masked(item.input["password"])
        assert item.original == {"password": 5}


def test_values_are_masked_with_both_fields_and_rules() -> None:
    value, kinds = masked_value([{"type": "text", "text": "password=opensesame"}], masker())
    assert kinds == ("field-password",)
    assert "opensesame" not in json.dumps(value)


def test_fields_of_an_answer_in_which_no_rule_finds_anything_are_masked() -> None:
    result: dict[str, Json] = {"type": "new_result", "name": "tool", "response": {"password": 5}}
    message: dict[str, Json] = {"content": [result]}
    tally = Tally()
    assert list(masked_items(Anthropic(), message, masker(), tally)) == []
    assert tally.changed
    assert '"password": 5' not in json.dumps(message)


def test_without_fields_nothing_is_read_as_json() -> None:
    plain = Masker([], Placeholders(b"k"))
    value: Json = {"name": "f", "arguments": '{ "password": 5 }'}
    assert masked_value(value, plain) == (value, ())


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=20),
        lambda inner: (
            st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["password", "x", "input", "name"]), inner)
        ),
    )
)
def test_no_value_below_a_named_field_is_left(value: Json) -> None:
    def left(here: Json) -> bool:
        match here:
            case dict():
                held = [item for key, item in here.items() if key in ("password", "name")]
                return any(item not in (None, "") and not is_masked(item) for item in held) or any(
                    map(left, here.values())
                )
            case list():
                return any(map(left, here))
            case _:
                return False

    assert not left(mask_fields(value, masker())[0])

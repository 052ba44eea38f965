from __future__ import annotations

import pytest

from ciguard.inspect.masking import Masker
from ciguard.inspect.named_fields import NamedFields, field_kind
from ciguard.inspect.placeholder import Placeholders
from ciguard.inspect.rule_matcher import RuleMatcher
from ciguard.inspect.secret_rule import check_rule

FIELDS = NamedFields(("password", "api.key"))


def masked(text: str) -> str:
    return Masker([], Placeholders(b"k"), RuleMatcher(FIELDS.rules), FIELDS).mask(text).text


@pytest.mark.parametrize(
    "text",
    [
        "password: opensesame",
        "PASSWORD=opensesame",
        "export password='opensesame'",
        '{"password": "opensesame"}',
        '{\\"password\\": \\"opensesame\\"}',
        "'password' => 'opensesame'",
        "api.key = opensesame;",
        "https://x.example.com/?password=opensesame&x=1",
    ],
)
def test_what_a_name_is_given_is_masked(text: str) -> None:
    assert "opensesame" not in masked(text)
    assert "[ciguard-masked:" in masked(text)
    assert masked(text).startswith(text.split("opensesame", maxsplit=1)[0])


@pytest.mark.parametrize(
    "text", ["the password is opensesame", "mypassword: opensesame", "apixkey: opensesame", "password: "]
)
def test_other_words_are_left_alone(text: str) -> None:
    assert masked(text) == text


def test_rules_are_in_the_language_of_patterns() -> None:
    for rule in FIELDS.rules:
        check_rule(rule)


def test_pointers_are_paths() -> None:
    fields = NamedFields(pointers=("/customer/ssn", "/a~1b/0/c~0d"))
    assert fields.paths == {("customer", "ssn"), ("a/b", "0", "c~d")}


def test_kinds_are_kebab_case() -> None:
    assert [field_kind(name) for name in ("Password", "api.key", "@@", "x_y")] == [
        "field-password",
        "field-api-key",
        "field-unnamed",
        "field-x-y",
    ]

from __future__ import annotations

from ciguard.guard.masking import named_fields, session_masker
from ciguard.inspect.known_value import KnownValue
from ciguard.inspect.masking import Masker
from ciguard.inspect.named_fields import NO_FIELDS
from ciguard.inspect.placeholder import Placeholders
from tests.unit.policy.sources import loaded

TEXT = "jane@acme.io opensesame1 4111 1111 1111 1111 pin: 55aa66bb"


def masker(masking: str) -> Masker:
    return session_masker(
        loaded(f"masking: {masking}").masking, [KnownValue("known", "opensesame1")], Placeholders(b"k"), None
    )


def test_personal_data_and_fields_are_off_by_default() -> None:
    assert masker("{}").mask(TEXT).kinds == ("known",)
    assert masker("{}").fields is NO_FIELDS


def test_the_policy_switches_them_on() -> None:
    assert masker("{personal_data: [email]}").mask(TEXT).kinds == ("email", "known")
    assert masker("{fields: [pin]}").mask(TEXT).kinds == ("known", "field-pin")
    assert masker("{personal_data: [payment-card, email], fields: [pin]}").mask(TEXT).kinds == (
        *("email", "known", "payment-card"),
        "field-pin",
    )


def test_a_slash_makes_a_pointer() -> None:
    fields = named_fields(loaded("masking: {fields: [pin, /customer/ssn]}").masking)
    assert (fields.names, fields.pointers) == (("pin",), ("/customer/ssn",))

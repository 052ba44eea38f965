from __future__ import annotations

import random
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ciguard.inspect.masking import Masker
from ciguard.inspect.personal import NATIONAL_IDS, PERSONAL_CHECKS, personal_rules
from ciguard.inspect.personal_data import PersonalData
from ciguard.inspect.placeholder import Placeholders
from ciguard.inspect.rule_matcher import RuleMatcher
from ciguard.inspect.secret_rule import Category, check_rule

RULES = RuleMatcher(personal_rules(PersonalData), PERSONAL_CHECKS)


def masker() -> Masker:
    return Masker([], Placeholders(b"k" * 32), RULES)


def kinds(text: str) -> tuple[str, ...]:
    return masker().mask(text).kinds


FOUND = [
    ("email", "jane.doe@acme.io"),
    ("email", "Jane+tag@mail.acme.co.uk"),
    ("email", "j@163.com"),
    ("phone", "+49 30 901820"),
    ("phone", "+1 415-555-2671"),
    ("phone", "+14155552671"),
    ("phone", "+44 20 7946 0958"),
    ("phone", "+33 1 42 68 53 00"),
    ("phone", "(415) 555-2671"),
    ("payment-card", "4111 1111 1111 1111"),
    ("payment-card", "4012-8888-8888-1881"),
    ("payment-card", "5555555555554444"),
    ("payment-card", "378282246310005"),
    ("payment-card", "3782 822463 10005"),
    ("payment-card", "2223003122003222"),
    ("payment-card", "6011000990139424"),
    ("payment-card", "3530111333300000"),
    ("iban", "DE89370400440532013000"),
    ("iban", "DE89 3704 0044 0532 0130 00"),
    ("iban", "GB82 WEST 1234 5698 7654 32"),
    ("iban", "BE68 5390 0754 7034"),
    ("iban", "NO9386011117947"),
    ("national-id-be", "85.07.30-033.28"),
    ("national-id-br", "390.533.447-05"),
    ("national-id-ch", "756.9217.0769.85"),
    ("national-id-cn", "360426199101010071"),
    ("national-id-fi", "131052-308T"),
    ("national-id-fr", "2 95 10 99 126 111 93"),
    ("national-id-it", "RCCMNL83S18D969H"),
    ("national-id-kr", "971013-9019902"),
    ("national-id-mx", "BOXW310820HNERXN09"),
    ("national-id-au", "TFN: 123 456 782"),
    ("national-id-bg", "EGN 7523169263"),
    ("national-id-ca", "SIN 123-456-782"),
    ("national-id-cz", "rodne cislo 710319/2745"),
    ("national-id-de", "Steuer-ID: 36 574 261 809"),
    ("national-id-dk", "CPR 211062-5629"),
    ("national-id-ee", "isikukood 36805280109"),
    ("national-id-es", "DNI 54362315K"),
    ("national-id-es", "NIE: X-2482300-W"),
    ("national-id-gb", "NHS number 943 476 5870"),
    ("national-id-hr", "OIB 33392005961"),
    ("national-id-ie", "PPS 6433435F"),
    ("national-id-in", "Aadhaar: 2341 2341 2346"),
    ("national-id-in", "PAN ACUPA7085R"),
    ("national-id-nl", "BSN 111222333"),
    ("national-id-no", "fodselsnummer 151086 95088"),
    ("national-id-pl", "PESEL: 44051401359"),
    ("national-id-pt", "NIF 501964843"),
    ("national-id-ro", "CNP 1630615123457"),
    ("national-id-se", "personnummer 880320-0016"),
    ("national-id-tr", "Kimlik No: 17291716060"),
    ("national-id-us", "SSN: 536-90-4399"),
    ("national-id-za", "ID number 7503305044089"),
    ("ip-address", "93.184.216.34"),
    ("ip-address", "8.8.140.8"),
    ("ip-address", "1.93.21.7"),
    ("ip-address", "2606:2800:220:1:248:1893:25c8:1946"),
    ("ip-address", "2a00:1450:4001:81b::200e"),
]


@pytest.mark.parametrize(("kind", "text"), FOUND)
@pytest.mark.parametrize(
    ("before", "after"), [("", ""), ("see ", " and more"), ('{"x": "', '"}'), ("\n", ".\n"), ("(", ")")]
)
def test_personal_data_is_found_in_its_surroundings(kind: str, text: str, before: str, after: str) -> None:
    masked = masker().mask(before + text + after)
    assert kind in masked.kinds
    digits = "".join(character for character in text if character.isdigit())
    assert len(digits) < 9 or digits not in "".join(character for character in masked.text if character.isdigit())


@pytest.mark.parametrize(
    "text",
    [
        "git@github.com:acme/shop.git",
        "someone@example.com",
        "someone@mail.example.org",
        "12345+jane@users.noreply.github.com",
        "noreply@acme.io",
        "icon@2x.png",
        "lodash@4.17.21",
        "@types/node@18.0.0",
        "actions/checkout@v4.2.0",
        "postgres://user@db.local/x",
        "pkg@1.2.3-beta.x",
        "@decorator.method",
        "+1 000 000 0000",
        "+49",
        "x = a +1234567",
        "1 + 2345678",
        "(123) 456-7890",
        "4111 1111 1111 1112",
        "0000 0000 0000 0000",
        "1700000000000000",
        "a4111111111111111",
        "0.4111111111111111",
        "DE89370400440532013001",
        "XX89370400440532013000",
        "ABCDEFGHIJ1234567890",
        "44051401359",
        "111222333",
        "536-90-4399",
        "2024-01-15",
        "10.0.0.1",
        "192.168.1.17",
        "127.0.0.1",
        "192.0.2.44",
        "169.254.169.254",
        "255.255.255.255",
        "1.2.3.4",
        "10.15.7.1",
        "1.3.101.112",
        "2.5.29.133",
        "v93.184.216.34",
        "93.184.216.34.5",
        "1.93.184.216.34.77.88",
        "120.0.6099.109",
        "12:30:45",
        "::1",
        "fe80::1",
        "2001:db8::1",
        "std::string",
        "2024:10:11",
        "550e8400-e29b-41d4-a716-446655440000",
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    ],
)
def test_look_alikes_are_left_alone(text: str) -> None:
    assert kinds(f"see {text} there") == ()


@pytest.mark.parametrize("number", NATIONAL_IDS, ids=lambda number: number.name)
def test_every_number_has_a_check_that_refuses(number: object) -> None:
    check = PERSONAL_CHECKS[f"national-id-{number.name}"]  # type: ignore[attr-defined]  # a parameter of pytest
    assert not check("")
    assert not check("999999999x")


def test_each_rule_is_in_the_language_of_patterns_and_is_personal() -> None:
    for rule in personal_rules(PersonalData):
        check_rule(rule)
        assert rule.category is Category.PERSONAL
        assert rule.check in PERSONAL_CHECKS


def test_only_what_the_policy_names_is_found() -> None:
    only = Masker([], Placeholders(b"k" * 32), RuleMatcher(personal_rules([PersonalData.EMAIL]), PERSONAL_CHECKS))
    assert only.mask("jane@acme.io 4111 1111 1111 1111").kinds == ("email",)


def test_what_follows_a_number_does_not_hide_it() -> None:
    assert kinds("4111 1111 1111 1111 2027") == ("payment-card",)
    assert kinds("IBAN BE68 5390 0754 7034 NEXT") == ("iban",)
    assert "phone" in kinds("+49 30 901820 5 people")
    assert kinds("connect to 93.184.216.34, then") == ("ip-address",)


@given(st.sampled_from(FOUND), st.data())
def test_any_cut_masks_like_the_whole(found: tuple[str, str], data: st.DataObject) -> None:
    text = f"a {found[1]} b {found[1]}. "
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=6)))
    one = masker()
    stream = one.stream()
    replacements = [
        replacement for start, end in pairwise([0, *cuts, len(text)]) for replacement in stream.feed(text[start:end])
    ]
    assert all(replacement.end <= stream.decided for replacement in replacements)
    assert [*replacements, *stream.finish()] == one.find(text)


def test_random_numbers_are_seldom_personal() -> None:
    choose = random.Random(7)  # noqa: S311 - numbers of a test
    text = "\n".join(f"id {choose.randrange(10**width)}" for width in range(8, 19) for _ in range(300))
    assert len(kinds(text)) <= 40


@given(st.text(alphabet="0123456789+-(). :@abcXYZ", max_size=80))
def test_checks_take_any_candidate(text: str) -> None:
    assert all(isinstance(kind, str) for kind in kinds(text))

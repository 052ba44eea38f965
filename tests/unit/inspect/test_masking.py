"""Masking: what is found, and that no way of cutting a text changes the outcome."""

from __future__ import annotations

import base64
import zlib
from functools import cache

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ciguard.inspect.checks import BASE62, in_base
from ciguard.inspect.known_value import KnownValue, forms
from ciguard.inspect.masking import MOST_LEARNED, MOST_LOOKED_THROUGH, Masker
from ciguard.inspect.placeholder import PLACEHOLDER, Placeholders
from tests.unit.inspect.streaming import FIRST, streamed, value_matcher, whole

KEY = "sk-ant-api03-" + "Zb4xQ9" * 12 + "AA"


def github(unit: str) -> str:
    """A made-up token with the checksum that GitHub's have."""
    body = (unit * 30)[:30]
    return "ghp_" + body + in_base(zlib.crc32(body.encode()), BASE62, 6)


GITHUB = github("a1B2")
KNOWN = "correct horse-battery/staple+42"
PEM = (
    "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\n"
    + "MIIEowIBAAKCAQEAx1y2z3\n" * 20
    + "-----END RSA PRIVATE KEY-----"
)
SECRETS = {
    "anthropic-api-key": KEY,
    "openai-api-key": "sk-proj-" + "aB3_" * 12,
    "google-api-key": "AIza" + "SyD" * 11 + "ab",
    "github-token": "ghp_" + "a1B2" * 9,
    "gitlab-token": "glpat-" + "xY7-" * 5,
    "aws-access-key-id": "AKIAIOSFODNN7EXAMPLE"[:4] + "Q3EGRIRX5NTNV7PB",
    "slack-token": "xoxb-123456789012-abcdefABCDEF",
    "stripe-key": "sk_live_" + "4eC39HqLyjWDarjtT1zdp7dc",
    "npm-token": "npm_" + "a1B2" * 9,
    "pypi-token": "pypi-AgE" + "IcHlwaS5" * 8,
    "huggingface-token": "hf_" + "aBcD" * 9,
    "sendgrid-api-key": "SG." + "a1B2" * 5 + "." + "c3D4" * 10,
    "digitalocean-token": "dop_v1_" + "0123456789abcdef" * 4,
    "vault-token": "hvs." + "CAES" * 8,
    "docker-token": "dckr_pat_" + "a1B2" * 7,
    "databricks-token": "dapi" + "0123456789abcdef" * 2,
    "age-secret-key": "AGE-SECRET-KEY-1" + "Q" * 58,
    "jwt": "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.c2lnbmF0dXJlLXZhbHVl",
    "private-key": PEM,
    "known": KNOWN,
}
ORDINARY = [
    "The task-force met at 10:30; see https://docs.example.com/a/b?c=d#e for more.",
    "commit 3f786850e387550fdab836ed7e6dc881de23001b",
    "123e4567-e89b-12d3-a456-426614174000",
    "sha512-9f3d/8k2lqZ+Yw==  integrity",
    "sk-learn, ghp_ and hf_ are prefixes; AKIA alone is not a key; eyJ neither",
    "postgres://localhost:5432/app and user@example.com",
    'if "-----BEGIN RSA PRIVATE KEY-----" in text: refuse()',
    "-----BEGIN CERTIFICATE-----\nMIIEowIBAAKCAQEAx1y2z3\n-----END CERTIFICATE-----",
    "kebab-case-identifier_with_parts and basketball",
]


MATCHERS = (FIRST, value_matcher(KNOWN))


@cache
def masker() -> Masker:
    return Masker([KnownValue("known", KNOWN)], Placeholders(b"k" * 32))


@pytest.mark.parametrize(("kind", "secret"), SECRETS.items())
@pytest.mark.parametrize("around", ["{}", "export KEY={}\n", '"{}",', "key: {}.", "({})", "a {} b {} c"])
def test_finds_every_kind(kind: str, secret: str, around: str) -> None:
    masked = whole(around.replace("{}", secret), MATCHERS)
    assert secret not in masked
    assert len(PLACEHOLDER.findall(masked)) == around.count("{}")
    assert masked.count(f"[ciguard-masked:{kind}:") == around.count("{}")


@pytest.mark.parametrize("text", ORDINARY)
def test_leaves_ordinary_text_alone(text: str) -> None:
    assert masker().mask(text).text == text


@pytest.mark.parametrize(("kind", "secret"), SECRETS.items())
def test_every_two_way_split_equals_the_whole(kind: str, secret: str) -> None:
    text = f"first {kind} {secret} last words sk"
    expected = whole(text, MATCHERS)
    assert secret not in expected
    for cut in range(len(text) + 1):
        assert streamed(text, [cut], MATCHERS) == expected


@pytest.mark.parametrize("secret", SECRETS.values())
def test_character_by_character_equals_the_whole(secret: str) -> None:
    text = f"see {secret}\n{secret} end"
    assert streamed(text, range(len(text)), MATCHERS) == whole(text, MATCHERS)


fragments = st.sampled_from(
    [
        *SECRETS.values(),
        *ORDINARY,
        *forms(KNOWN),
        KEY[:20],
        KNOWN[:9],
        "-----BEGIN",
        " PRIVATE KEY-----",
        "sk-",
        "\n",
        "é",
        "\ud800",
    ]
)
texts = st.lists(st.one_of(fragments, st.text(max_size=12)), max_size=6).map("".join)


@given(texts, st.lists(st.integers(0, 3000), max_size=12))
@settings(max_examples=400)
@example(KNOWN[:-1] + KNOWN, [len(KNOWN)])
@example(KEY + KNOWN, [len(KEY) + 3])
def test_any_split_equals_the_whole(text: str, cuts: list[int]) -> None:
    assert streamed(text, cuts, MATCHERS) == whole(text, MATCHERS)


@given(texts)
@settings(max_examples=200)
def test_no_known_value_is_left_and_placeholders_stay(text: str) -> None:
    once = whole(text, MATCHERS)
    assert not any(form in once for form in forms(KNOWN))
    # What was glued to a secret may be one too, once the secret is gone.
    again = iter(PLACEHOLDER.findall(whole(once, MATCHERS)))
    assert all(made in again for made in PLACEHOLDER.findall(once))


def test_a_key_glued_to_a_word_is_found() -> None:
    assert GITHUB not in masker().mask(f"x{GITHUB}").text
    assert GITHUB not in masker().mask(f"{KNOWN}{GITHUB}").text


@given(st.binary(max_size=40), st.binary(max_size=40))
def test_known_value_in_base64_at_any_alignment(before: bytes, after: bytes) -> None:
    encoded = base64.b64encode(before + KNOWN.encode() + after).decode()
    masked = whole(encoded, MATCHERS)
    assert "[ciguard-masked:known:" in masked
    assert not any(form in masked for form in forms(KNOWN))


def test_same_value_same_placeholder_within_a_session() -> None:
    first, second = masker().mask(GITHUB).text, masker().mask(f"again {GITHUB}").text
    assert second == f"again {first}"
    other = Masker([], Placeholders(b"x" * 32)).mask(GITHUB).text
    assert other != first


def test_secrets_are_not_in_reprs() -> None:
    assert KNOWN not in repr(KnownValue("known", KNOWN))


def test_what_a_rule_recognised_is_known_from_then_on() -> None:
    secret = github("Zb4xQ9aB3dK7")
    encoded = base64.b64encode(f"x:{secret}".encode()).decode()
    one = Masker([], Placeholders(b"k" * 32))
    stream = one.stream()
    placeholder = one.mask(secret).text
    assert one.mask(encoded).text == encoded
    one.remember()
    assert placeholder in one.mask(encoded).text
    assert placeholder in one.mask(secret[::-1]).text
    assert one.mask_each(["clean text", encoded]) == {encoded: one.mask(encoded)}
    assert stream.feed(f"{encoded} ") == []
    assert one.stream().feed(f"{encoded} ")


def test_what_is_not_secret_enough_is_not_looked_for_elsewhere() -> None:
    one = Masker([], Placeholders(b"k" * 32))
    secret = "Xk7-pw9Qz"
    assert one.mask(f"https://shop:{secret}@db.acme.example").kinds
    one.remember()
    assert one.mask(secret[::-1]).kinds == ()


def test_the_oldest_values_make_room() -> None:
    one = Masker([], Placeholders(b"k" * 32))
    secrets = [github(f"{place:02}Zb4xQ9aB3d") for place in range(MOST_LEARNED + 10)]
    for secret in secrets:
        one.mask(secret)
        one.remember()
    assert one.mask(secrets[-1][::-1]).kinds
    assert len(one._learned) == MOST_LEARNED
    assert secrets[9] not in one._learned


@given(st.lists(texts, max_size=5))
@settings(max_examples=100)
def test_texts_are_masked_together_as_each_is_alone(several: list[str]) -> None:
    together = masker().mask_each(several)
    alone = {text: masker().mask(text) for text in several}
    assert together == {text: masked for text, masked in alone.items() if masked.kinds}


@given(st.lists(texts, max_size=5))
@settings(max_examples=100)
def test_what_was_looked_through_is_clean_where_nothing_is_masked(several: list[str]) -> None:
    one = Masker([KnownValue("known", KNOWN)], Placeholders(b"k" * 32))
    expected = {text: one.mask(text) for text in several}
    assert one.look_through(several) == (not any(masked.kinds for masked in expected.values()))
    for text, masked in expected.items():
        assert one.is_clean(text) == (not masked.kinds)
        assert one.mask(text) == masked
    assert one.mask_each(several) == {text: masked for text, masked in expected.items() if masked.kinds}


def test_what_was_looked_through_is_looked_at_again_once_there_is_more_to_look_for() -> None:
    one = Masker([], Placeholders(b"k" * 32))
    secret = github("Zb4xQ9aB3dK7")
    one.look_through([secret[::-1]])
    assert one.is_clean(secret[::-1])
    assert one.mask(secret).kinds
    one.remember()
    assert not one.is_clean(secret[::-1])
    assert one.mask_each([secret[::-1]])


def test_only_the_last_message_and_only_a_short_one_is_remembered() -> None:
    one = Masker([], Placeholders(b"k" * 32))
    one.look_through(["one text"])
    one.look_through(["another text"])
    assert (one.is_clean("one text"), one.is_clean("another text")) == (False, True)
    assert not one.look_through(["x" * MOST_LOOKED_THROUGH, "y"])
    assert not one.is_clean("another text")
    assert not one.is_clean("y")

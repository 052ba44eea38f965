from __future__ import annotations

import base64
import json

import pyrage
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ciguard.inspect import checks
from ciguard.inspect.checks import CHECKS
from ciguard.inspect.rule_files import load_rules
from ciguard.inspect.rule_matcher import RuleMatcher
from ciguard.inspect.secret_rule import SecretRule
from tests.unit.inspect.streaming import spans

PASSED = {
    "crc32-base62": [
        # An expired token of GitHub's own documentation, and one of npm's, in pieces.
        "ghp_" + "zQWBuTSOoRi4A9spHcVY5ncnsDkxkJ" + "0mLq17",
        "npm_" + "UEuirnhN6qyDNigmWWTIEHMNquQHF5" + "4FKSCV",
    ],
    "crc32-base36": ["glpat-" + "vSY1cyL948aAB440qB6L4zlu9OzsUmEV" + ".01.0w0sfevch"],
    "jwt": ["eyJhbGciOiJub25lIn0.e30.x", "eyJ0eXAiOiJKV1QiLCJhbGciOiJIUzI1NiJ9.e30.x"],
    "basic-auth": [base64.b64encode(b"ada:Kd83nfk2x").decode(), base64.b64encode("ada:pässwort".encode()).decode()],
    "base64-private-key": [base64.b64encode(b"-----BEGIN OPENSSH PRIVATE KEY-----\n" + b"x" * 60).decode()],
    "discord": ["MTIzNDU2Nzg5MDEyMzQ1Njc4.abcdef.x"],
    "mixed": ["pk_9dKf83jsLw02mXz7QpVb", "sandbox_9dKf83jsLw02mXz7QpVb", "aKqLzWxEoPtRnMvB"],
    "random": [
        "8f14e45fceea167a5a36dedd4bea2543",
        "01234abc-de56-4f78-9a0b-c1d2e3f4a5b6",
        "9dKf83jsLw02mXz7QpVb",
        "wJalrXUtnFEMI/K7MDENG/bPxRfiCYzqK83mLpQ2",
        "aKqLzWxEoPtRnMvBcYdU",
    ],
    "given": ["zxcvfghj", "Kd83nfk2x", "a$b{c", "pass-the-salt"],
    "chosen": ["hunter2", "S3cr3t!pass", "k$x9{q", "aB3x.kQ9z", "Summer.2031"],
    "strong": ["Tr0ub4dor&3x", "x9!kk2", "Qp!zx@Wk"],
}  # fmt: skip

REFUSED = {
    "crc32-base62": ["ghp_" + "zQWBuTSOoRi4A9spHcVY5ncnsDkxkJ" + "0mLq18", "npm_" + "x" * 36],
    "crc32-base36": ["glpat-" + "vSY1cyL948aAB440qB6L4zlu9OzsUmEV" + ".01.0w0sfevci"],
    "jwt": ["eyJ.e30.x", "W10.e30.x", "eyJ0eXAiOiJKV1QifQ.e30.x", "eyJhbGciOjF9.e30.x", "////.e30.x"],
    "basic-auth": ["auth", "realm", "YWRh", "//8=", base64.b64encode(b"user:password").decode(), "OmFiY2Q="],
    "base64-private-key": [base64.b64encode(b"-----BEGIN CERTIFICATE-----\n" + b"x" * 60).decode()],
    "discord": ["aGVsbG8td29ybGQtMTI.abcdef.x", "MTIzA.abcdef.x"],
    "mixed": ["test_authentication_handler_2", "abcdefgh"],
    "random": ["projects/acme/secrets/db-2", "bert-base-uncased-v2", "https://a.example/1x2y3z4w5",
        "2024-02-15-preview", "config.token_value2", "getUserTokenFromRequest", "aaaaaaaaaaaaaa1", "0000000000000000"],
    "given": ["password", "postgres", "${PASSWORD}", "{password}", "<password>", "%(password)s", "********",
        "changeme"],
    "chosen": ["password", "new_password", "string", "config.db.password2", "/run/secrets/db", "password1", "$PASSWORD",
        "12345678", "[ciguard-masked:password:33f3bff85469]"],
    "strong": ["hunter2", "sha256", "10.0.0.1:5432", "localhost:22", "2031-01-01", "correcthorse!"],
}  # fmt: skip


def cases(table: dict[str, list[str]]) -> list[tuple[str, str]]:
    return [(check, secret) for check, secrets in table.items() for secret in secrets]


def test_every_check_is_tried_both_ways() -> None:
    assert {*PASSED} | {"bech32"} == {*REFUSED} | {"bech32"} == {*CHECKS}


@pytest.mark.parametrize(("check", "secret"), cases(PASSED))
def test_a_secret_passes(check: str, secret: str) -> None:
    assert CHECKS[check](secret)


@pytest.mark.parametrize(("check", "secret"), cases(REFUSED))
def test_what_is_no_secret_does_not(check: str, secret: str) -> None:
    assert not CHECKS[check](secret)


@given(st.integers(0, 57), st.sampled_from(checks.BECH32))
def test_bech32_agrees_with_age(place: int, letter: str) -> None:
    key = str(pyrage.x25519.Identity.generate())
    assert checks.bech32(key)
    at = len("AGE-SECRET-KEY-1") + place
    changed = key[:at] + letter.upper() + key[at + 1 :]
    assert checks.bech32(changed) == (changed == key)


@given(st.binary(min_size=0, max_size=40), st.text(max_size=20))
@example(json.dumps(["alg"]).encode(), "a")
def test_a_check_of_structure_answers_for_whatever_its_patterns_let_through(body: bytes, text: str) -> None:
    standard, safe = base64.b64encode(body).decode(), base64.urlsafe_b64encode(body).decode().rstrip("=")
    assert checks.jwt(f"{safe}.{safe}.{safe}") in {True, False}
    assert checks.basic_auth(standard.rstrip("=")) in {True, False}
    assert checks.discord(f"{safe}.{safe}.{safe}") in {True, False}
    assert checks.base64_private_key(standard * 3) in {True, False}


@given(st.text(min_size=1, max_size=600))
def test_a_check_of_what_is_written_answers_for_every_text(text: str) -> None:
    for name in ("given", "chosen", "strong", "mixed", "random"):
        assert CHECKS[name](text) in {True, False}


def test_what_is_cut_or_deeply_nested_breaks_no_check() -> None:
    nested = base64.urlsafe_b64encode(b"[" * 3_000).decode()
    assert checks.jwt(f"{nested}.e30.x") is False
    for length in range(92, 100):
        key = base64.b64encode(b"-----BEGIN PRIVATE KEY-----\n" * 4).decode()[:length]
        assert checks.base64_private_key(key) is True


CHECKED = [rule for check in CHECKS for rule in [one for one in load_rules() if one.check == check][:6]]


@pytest.mark.parametrize("rule", CHECKED, ids=lambda rule: f"{rule.check}-{rule.kind}")
def test_nothing_that_a_rule_matches_breaks_its_check(rule: SecretRule) -> None:
    matcher = RuleMatcher([rule], CHECKS)

    @given(st.from_regex(rule.pattern), st.integers(0, 60))
    @settings(max_examples=15)
    def tried(text: str, cut: int) -> None:
        for part in (text, text[: len(text) - cut]):
            assert all(span.end <= len(part) for span in spans(matcher, part))

    tried()

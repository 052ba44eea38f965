from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st
from jwt.algorithms import RSAAlgorithm

from ciguard.errors import IdentityRefused
from ciguard.identity.token import TOKEN_LIMIT, UnknownKey, unverified_issuer, verify
from ciguard.operation import Json
from ciguard.testing.issuer import Issuer

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
TIMES: dict[str, Json] = {
    "iat": int(NOW.timestamp()),
    "nbf": int(NOW.timestamp()) - 5,
    "exp": int(NOW.timestamp()) + 300,
}


@pytest.fixture(scope="module")
def issuer() -> Iterator[Issuer]:
    with Issuer() as issuer:
        yield issuer


def check(issuer: Issuer, token: str, *, keys: Json = None, now: datetime = NOW) -> dict[str, str]:
    return dict(verify(token, keys or issuer.keys(), issuer=issuer.url, audience="ciguard", now=now))


def refused(issuer: Issuer, token: str, *, keys: Json = None, now: datetime = NOW) -> IdentityRefused:
    with pytest.raises(IdentityRefused) as refusal:
        check(issuer, token, keys=keys, now=now)
    error = refusal.value
    assert error.remedy
    assert "\n" not in error.cause
    for part in token.split("."):
        assert len(part) < 20 or part not in f"{error.cause} {error.remedy} {error!r}"
    return error


def encoded(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()


def forged(header: Json, payload: Json, signature: bytes = b"x" * 256) -> str:
    return ".".join(encoded(part) for part in (json.dumps(header).encode(), json.dumps(payload).encode(), signature))


def signed(issuer: Issuer, payload: bytes) -> str:
    """A token of the issuer over exactly these bytes."""
    kid, private = issuer._private["RS256"]
    return jwt.PyJWS().encode(payload, private, "RS256", {"kid": kid})


@pytest.mark.parametrize("algorithm", ["RS256", "ES256"])
def test_a_good_token_gives_its_claims(issuer: Issuer, algorithm: str) -> None:
    claims: dict[str, Json] = {
        **TIMES,
        "repository": "acme/shop",
        "runner_id": 12,
        "ref_protected": True,
        "groups_direct": ["acme"],
        "nested": {"a": "b"},
        "fraction": 1.5,
        "nothing": None,
    }
    assert check(issuer, issuer.mint(claims, algorithm=algorithm)) == {
        "iss": issuer.url,
        "aud": "ciguard",
        "iat": str(TIMES["iat"]),
        "nbf": str(TIMES["nbf"]),
        "exp": str(TIMES["exp"]),
        "repository": "acme/shop",
        "runner_id": "12",
        "ref_protected": "true",
    }


def test_claims_cannot_be_changed_afterwards(issuer: Issuer) -> None:
    claims = verify(issuer.mint(TIMES), issuer.keys(), issuer=issuer.url, audience="ciguard", now=NOW)
    with pytest.raises(TypeError):
        claims["repository"] = "acme/other"  # type: ignore[index]


@pytest.mark.parametrize(
    ("claims", "cause"),
    [
        ({"exp": int(NOW.timestamp()) - 61}, r"expired 0:01:01 ago \(exp\)"),
        ({"exp": int(NOW.timestamp()) - 60}, r"expired"),
        ({"iat": int(NOW.timestamp()) + 61}, r"issued 0:01:01 in the future \(iat\)"),
        ({"nbf": int(NOW.timestamp()) + 3600}, r"not valid for another 1:00:00 \(nbf\)"),
        ({"exp": None}, r"no times of issue and expiry"),
        ({"iat": None}, r"no times of issue and expiry"),
        ({"exp": "soon"}, r"exp is not a time"),
        ({"exp": True}, r"exp is not a time"),
        ({"exp": 10**400}, r"exp is not a time"),
        ({"exp": [1]}, r"exp is not a time"),
        ({"nbf": {}}, r"nbf is not a time"),
        ({"aud": "other"}, r"audience \(aud\) is 'other', not 'ciguard'"),
        ({"aud": ["ciguard", "other"]}, r"audience \(aud\)"),
        ({"aud": []}, r"audience \(aud\)"),
        ({"aud": "ciguard\nerror: forged"}, r"audience \(aud\) is 'ciguard\\nerror: forged'"),
        ({"aud": None}, r"audience \(aud\) is None"),
        ({"iss": "https://id.example.com"}, r"issuer \(iss\) is 'https://id.example.com'"),
    ],
)
def test_wrong_claims(issuer: Issuer, claims: dict[str, Json], cause: str) -> None:
    assert re.search(cause, refused(issuer, issuer.mint({**TIMES, **claims})).cause)


def test_absent_claims(issuer: Issuer) -> None:
    for name in ("iss", "aud", "exp", "iat"):
        claims = {**TIMES, "iss": issuer.url, "aud": "ciguard"}
        del claims[name]
        assert name in refused(issuer, signed(issuer, json.dumps(claims).encode())).cause
    del claims["nbf"]
    claims["iat"] = TIMES["iat"]
    assert check(issuer, signed(issuer, json.dumps(claims).encode()))["aud"] == "ciguard"


@pytest.mark.parametrize(
    "claims",
    [
        {"exp": int(NOW.timestamp()) - 59},
        {"iat": int(NOW.timestamp()) + 59},
        {"nbf": int(NOW.timestamp()) + 59},
        {"exp": NOW.timestamp() + 0.5},
        {"aud": ["ciguard"]},
    ],
)
def test_within_the_leeway(issuer: Issuer, claims: dict[str, Json]) -> None:
    assert check(issuer, issuer.mint({**TIMES, **claims}))["iss"] == issuer.url


def test_a_token_without_signature_is_refused(issuer: Issuer) -> None:
    claims: dict[str, Json] = {**TIMES, "iss": issuer.url, "aud": "ciguard"}
    for algorithm in ("none", "None", "NONE", ""):
        for signature in (b"", b"x"):
            token = forged({"alg": algorithm, "kid": "rsa-1"}, claims, signature)
            assert "algorithm" in refused(issuer, token).cause


@pytest.mark.parametrize("algorithm", ["HS256", "HS512", "RS384", "PS256", "ES384", "EdDSA", None, 7, ["RS256"], {}])
def test_other_algorithms_are_refused(issuer: Issuer, algorithm: Json) -> None:
    token = forged({"alg": algorithm, "kid": "rsa-1"}, dict(TIMES))
    assert "not RS256 or ES256" in refused(issuer, token).cause


def test_the_public_key_is_no_hmac_secret(issuer: Issuer) -> None:
    """The classic confusion: HS256 keyed with the text of the public key (RFC 8725, 2.1)."""
    kid, private = issuer._private["RS256"]
    pem = private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    claims = {**TIMES, "iss": issuer.url, "aud": "ciguard"}
    head = forged({"alg": "HS256", "kid": kid}, claims).rpartition(".")[0]
    token = f"{head}.{encoded(hmac.new(pem, head.encode(), hashlib.sha256).digest())}"
    assert "HS256" in refused(issuer, token).cause


def test_an_algorithm_of_the_other_key_is_refused(issuer: Issuer) -> None:
    token = issuer.mint(TIMES, header={"kid": issuer._private["ES256"][0]})
    assert "not for RS256 signatures" in refused(issuer, token).cause


@pytest.mark.parametrize("kid", [None, "", 7, ["rsa-1"]])
def test_a_token_must_say_which_key(issuer: Issuer, kid: Json) -> None:
    assert "which key signed it" in refused(issuer, forged({"alg": "RS256", "kid": kid}, dict(TIMES))).cause
    assert "which key signed it" in refused(issuer, forged({"alg": "RS256"}, dict(TIMES))).cause


def test_an_unknown_key_is_an_error_of_its_own(issuer: Issuer) -> None:
    token = issuer.mint(TIMES, header={"kid": "rsa-99"})
    assert isinstance(refused(issuer, token), UnknownKey)


def rsa_key(issuer: Issuer) -> dict[str, Any]:
    keys: Any = issuer.keys()["keys"]
    return dict(keys[0])


@pytest.mark.parametrize(
    ("change", "cause"),
    [
        ({"use": "enc"}, "not for RS256"),
        ({"alg": "RS512"}, "not for RS256"),
        ({"kty": "EC"}, "not for RS256"),
        ({"kty": "oct", "k": "AAAA"}, "not for RS256"),
        ({"n": "!"}, "not usable"),
        ({"n": 7}, "not usable"),
        ({"e": ""}, "not usable"),
    ],
)
def test_keys_that_do_not_fit(issuer: Issuer, change: dict[str, Json], cause: str) -> None:
    keys: Json = {"keys": [{**rsa_key(issuer), **change}]}
    assert cause in refused(issuer, issuer.mint(TIMES), keys=keys).cause


def test_a_key_may_leave_its_use_and_algorithm_open(issuer: Issuer) -> None:
    key = rsa_key(issuer)
    del key["use"], key["alg"]
    assert check(issuer, issuer.mint(TIMES), keys={"keys": [key]})["aud"] == "ciguard"


def test_short_keys_are_refused(issuer: Issuer) -> None:
    private = rsa.generate_private_key(public_exponent=65537, key_size=1024)  # noqa: S505 -- the subject of the test
    key = {**json.loads(RSAAlgorithm.to_jwk(private.public_key())), "kid": "short"}
    with pytest.warns(jwt.InsecureKeyLengthWarning):
        token = jwt.encode({**TIMES, "iss": issuer.url, "aud": "ciguard"}, private, "RS256", {"kid": "short"})
    assert "too short" in refused(issuer, token, keys={"keys": [key]}).cause


@pytest.mark.parametrize("keys", [[], {"keys": {}}, {"keys": None}, "keys", {"other": []}, 7])
def test_keys_that_are_no_set(issuer: Issuer, keys: Json) -> None:
    with pytest.raises(IdentityRefused, match="not a JWK Set"):
        verify(issuer.mint(TIMES), keys, issuer=issuer.url, audience="ciguard", now=NOW)


def test_strange_members_of_the_set_are_passed_over(issuer: Issuer) -> None:
    keys: Json = {"keys": ["x", None, {"kid": ["rsa-1"]}, rsa_key(issuer)]}
    assert check(issuer, issuer.mint(TIMES), keys=keys)["aud"] == "ciguard"


def test_two_keys_of_one_name_are_refused(issuer: Issuer) -> None:
    keys: Json = {"keys": [rsa_key(issuer), rsa_key(issuer)]}
    assert "several keys" in refused(issuer, issuer.mint(TIMES), keys=keys).cause


@pytest.mark.parametrize(
    "payload",
    [
        '{"iss": ISS, "aud": "ciguard", "aud": "ciguard", "iat": IAT, "exp": EXP}',
        '{"iss": ISS, "aud": "ciguard", "iat": IAT, "exp": EXP, "repository": "acme/shop", "repositor\\u0079": "x"}',
        '{"iss": ISS, "aud": "ciguard", "iat": IAT, "exp": NaN}',
        "[]",
        '"x"',
        "not json",
    ],
)
def test_ambiguous_payloads_are_refused(issuer: Issuer, payload: str) -> None:
    text = payload.replace("ISS", json.dumps(issuer.url))
    text = text.replace("IAT", str(TIMES["iat"])).replace("EXP", str(TIMES["exp"]))
    assert "unique names" in refused(issuer, signed(issuer, text.encode())).cause


def test_a_header_with_a_name_twice_is_refused(issuer: Issuer) -> None:
    header = b'{"alg": "RS256", "kid": "rsa-1", "kid": "rsa-2"}'
    assert "header" in refused(issuer, f"{encoded(header)}.{encoded(b'{}')}.{encoded(b'x')}").cause


@pytest.mark.parametrize("extension", [{"crit": ["exp"]}, {"b64": False}, {"b64": True}, {"crit": []}])
def test_extensions_are_refused(issuer: Issuer, extension: dict[str, Json]) -> None:
    token = forged({"alg": "RS256", "kid": "rsa-1", **extension}, dict(TIMES))
    assert "extensions" in refused(issuer, token).cause


def test_keys_that_the_token_brings_along_are_not_used(issuer: Issuer) -> None:
    private = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    own = json.loads(RSAAlgorithm.to_jwk(private.public_key()))
    claims = {**TIMES, "iss": issuer.url, "aud": "ciguard"}
    header = {"kid": "rsa-1", "jwk": own, "jku": "http://127.0.0.1:1/"}
    token = jwt.encode(claims, private, "RS256", header)
    assert "signature is not the issuer's" in refused(issuer, token).cause


@pytest.mark.parametrize(
    "token", ["", "a", "a.b", "a.b.c", "a.b.c.d", "..", "é.é.é", "e30.e30.", "e30=.e30.e30", "\0.\0.\0"]
)
def test_what_is_no_token_is_refused(issuer: Issuer, token: str) -> None:
    refused(issuer, token)


def test_a_token_too_long_is_refused(issuer: Issuer) -> None:
    assert "longer than" in refused(issuer, issuer.mint({**TIMES, "x": "x" * TOKEN_LIMIT})).cause


@given(data=st.data())
def test_no_changed_token_is_accepted(issuer: Issuer, data: st.DataObject) -> None:
    token = issuer.mint(TIMES, algorithm="ES256")
    place = data.draw(st.integers(0, len(token) - 1))
    character = data.draw(st.sampled_from("ABab01-_.=+/ \n"))
    changed = token[:place] + character + token[place + 1 :]
    if changed != token:
        refused(issuer, changed)


def test_a_signature_has_one_spelling(issuer: Issuer) -> None:
    """Padding and the unused bits of the last character: the token's digest would change, and the token not."""
    token = issuer.mint(TIMES)
    for twin in (token[:-1] + chr(ord(token[-1]) + 1), f"{token}==", f"{token}\n"):
        refused(issuer, twin)


def test_the_claimed_issuer_can_be_read_first(issuer: Issuer) -> None:
    assert unverified_issuer(issuer.mint(TIMES)) == issuer.url


@pytest.mark.parametrize("payload", [{}, {"iss": ""}, {"iss": 7}, {"iss": ["x"]}, []])
def test_a_token_of_nobody_is_refused(payload: Json) -> None:
    with pytest.raises(IdentityRefused):
        unverified_issuer(forged({"alg": "RS256"}, payload))


def test_a_token_for_later_is_good_later(issuer: Issuer) -> None:
    token = issuer.mint(TIMES)
    refused(issuer, token, now=NOW - timedelta(minutes=2))
    assert check(issuer, token, now=NOW + timedelta(minutes=4))["aud"] == "ciguard"
    refused(issuer, token, now=NOW + timedelta(minutes=7))

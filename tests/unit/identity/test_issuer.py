from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from ciguard.errors import IdentityRefused
from ciguard.forge.job import Forge
from ciguard.identity import fetch
from ciguard.identity.issuer import PUBLIC_ISSUERS, trusted_issuer, verify_with_issuer
from ciguard.operation import Json
from ciguard.testing.issuer import DISCOVERY, KEYS, Answer, Issuer, Request, json_answer


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    with Issuer() as issuer:
        yield issuer


@pytest.fixture(autouse=True)
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetch, "PAUSE", 0)


def claims_of(issuer: Issuer, token: str) -> dict[str, str]:
    return dict(verify_with_issuer(token, issuer.url, audience="ciguard", now=datetime.now(UTC)))


def paths(issuer: Issuer) -> list[str]:
    return [request.path for request in issuer.requests]


def test_the_public_issuers_are_trusted_each_for_its_forge(issuer: Issuer) -> None:
    assert PUBLIC_ISSUERS == {
        Forge.GITHUB: "https://token.actions.githubusercontent.com",
        Forge.GITLAB: "https://gitlab.com",
    }
    for forge, other in ((Forge.GITHUB, Forge.GITLAB), (Forge.GITLAB, Forge.GITHUB)):
        token = issuer.mint({"iss": PUBLIC_ISSUERS[forge]})
        assert trusted_issuer(token, forge, ()) == PUBLIC_ISSUERS[forge]
        with pytest.raises(IdentityRefused, match=r"neither .* nor named"):
            trusted_issuer(token, other, ())


@pytest.mark.parametrize(
    "pretender",
    [
        "https://token.actions.githubusercontent.com/",
        "https://token.actions.githubusercontent.com/mallory",
        "https://token.actions.githubusercontent.com.example.com",
        "https://TOKEN.actions.githubusercontent.com",
        "http://token.actions.githubusercontent.com",
    ],
)
def test_names_that_look_alike_are_not_the_public_issuer(issuer: Issuer, pretender: str) -> None:
    with pytest.raises(IdentityRefused, match="nor named") as refusal:
        trusted_issuer(issuer.mint({"iss": pretender}), Forge.GITHUB, ())
    assert f"issuers: ['{pretender}']" in refusal.value.remedy


def test_other_issuers_are_named_in_the_policy(issuer: Issuer) -> None:
    named = ["https://git.example.com", issuer.url]
    assert trusted_issuer(issuer.mint({}), Forge.GITLAB, named) == issuer.url


def test_a_named_issuer_must_still_be_https(issuer: Issuer) -> None:
    name = "http://git.example.com"
    with pytest.raises(IdentityRefused, match="not https"):
        trusted_issuer(issuer.mint({"iss": name}), Forge.GITLAB, [name])


def test_a_token_is_verified_with_the_published_keys(issuer: Issuer) -> None:
    assert claims_of(issuer, issuer.mint({"repository": "acme/shop"}))["repository"] == "acme/shop"
    assert paths(issuer) == [DISCOVERY, KEYS]


def test_an_issuer_may_have_a_path(issuer: Issuer) -> None:
    name = f"{issuer.url}/_services/token"
    keys = f"{name}/.well-known/jwks"
    issuer.routes[f"/_services/token{DISCOVERY}"] = lambda _: json_answer({"issuer": name, "jwks_uri": keys})
    issuer.routes["/_services/token/.well-known/jwks"] = issuer.routes[KEYS]
    token = issuer.mint({"iss": name})
    assert verify_with_issuer(token, name, audience="ciguard", now=datetime.now(UTC))["iss"] == name


def test_after_a_rotation_the_keys_are_fetched_again(issuer: Issuer) -> None:
    old: list[Json] = [issuer.keys()]
    issuer.rotate()
    token = issuer.mint({})
    issuer.routes[KEYS] = lambda _: json_answer(old.pop() if old else issuer.keys())
    assert claims_of(issuer, token)["aud"] == "ciguard"
    assert paths(issuer) == [DISCOVERY, KEYS, KEYS]


def test_a_key_that_was_withdrawn_is_looked_for_once_more_only(issuer: Issuer) -> None:
    token = issuer.mint({})
    issuer.rotate()
    with pytest.raises(IdentityRefused, match="has no key 'rsa-1'"):
        claims_of(issuer, token)
    assert paths(issuer) == [DISCOVERY, KEYS, KEYS]


@pytest.mark.parametrize(
    ("document", "cause"),
    [
        ({}, "names no issuer and jwks_uri"),
        ([], "names no issuer and jwks_uri"),
        ({"issuer": "ISS"}, "names no issuer and jwks_uri"),
        ({"issuer": "ISS", "jwks_uri": 7}, "names no issuer and jwks_uri"),
        ({"issuer": "ISS/", "jwks_uri": "ISS/keys"}, "calls itself"),
        ({"issuer": "https://id.example.com", "jwks_uri": "ISS/keys"}, "calls itself 'https://id.example.com'"),
        ({"issuer": "ISS", "jwks_uri": "https://id.example.com/keys"}, "keys on another host"),
        ({"issuer": "ISS", "jwks_uri": "http://127.0.0.1:1/keys"}, "keys on another host"),
        ({"issuer": "ISS", "jwks_uri": "http://id.example.com/keys"}, "not https"),
        ({"issuer": "ISS", "jwks_uri": "/keys"}, "not a URL"),
        ({"issuer": "ISS", "jwks_uri": "file:///etc/passwd"}, "not a URL"),
    ],
)
def test_a_description_that_does_not_fit(issuer: Issuer, document: Json, cause: str) -> None:
    def here(value: Json) -> Json:
        return value.replace("ISS", issuer.url) if isinstance(value, str) else value

    filled: Json = {name: here(value) for name, value in document.items()} if isinstance(document, dict) else document
    issuer.routes[DISCOVERY] = lambda _: json_answer(filled)
    with pytest.raises(IdentityRefused, match=cause):
        claims_of(issuer, issuer.mint({}))
    assert paths(issuer) == [DISCOVERY]


@pytest.mark.parametrize("path", [DISCOVERY, KEYS])
@pytest.mark.parametrize(
    "answer",
    [
        Answer(b"", 503),
        Answer(b"", 302, {"location": "http://127.0.0.1:1/"}),
        Answer(b"{}", 404),
        Answer(b"x" * (fetch.SIZE_LIMIT + 1)),
        Answer(b"<html>"),
    ],
    ids=["down", "redirect", "absent", "oversized", "not JSON"],
)
def test_an_issuer_that_does_not_answer_well(issuer: Issuer, path: str, answer: Answer) -> None:
    issuer.routes[path] = lambda _: answer
    with pytest.raises(IdentityRefused, match="the issuer's"):
        claims_of(issuer, issuer.mint({}))


def test_an_issuer_that_recovers_is_enough(issuer: Issuer) -> None:
    failures = [Answer(b"", 503), Answer(b"", 502)]
    keys = issuer.routes[KEYS]

    def flaky(request: Request) -> Answer:
        return failures.pop() if failures else keys(request)

    issuer.routes[KEYS] = flaky
    assert claims_of(issuer, issuer.mint({}))["aud"] == "ciguard"


def test_the_keys_of_another_issuer_do_not_help(issuer: Issuer) -> None:
    with Issuer() as other:
        token = other.mint({"iss": issuer.url})
    with pytest.raises(IdentityRefused, match="signature is not the issuer's"):
        claims_of(issuer, token)

"""Tokens of an App's installation: made when needed, before they end, and again when GitHub refuses them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from ciguard.errors import ApprovalUnavailable
from ciguard.forge.github_api import GitHubApi
from ciguard.forge.github_app import MEMBERS, PERMISSIONS, AppTokens, app_tokens
from ciguard.forge.github_desk import approval_api
from ciguard.forge.thread import ForgeTrouble
from ciguard.testing.github_forge import GitHubForge
from ciguard.testing.github_forge.app import App

KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
OTHER = rsa.generate_private_key(public_exponent=65537, key_size=2048)
PEM = KEY.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()).decode()
PUBLIC = KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
APP = App("61", "guard", PUBLIC, 7007)


@pytest.fixture
def forge() -> Iterator[GitHubForge]:
    with GitHubForge() as forge:
        forge.open_pull_request(7, author="alice", head="c" * 40)
        forge.install_app(APP)
        yield forge
        assert forge.surprises == []


class Clock:
    """A time of day that passes when told to."""

    def __init__(self) -> None:
        self.passed = timedelta()

    def now(self) -> datetime:
        """The time."""
        return datetime.now(UTC) + self.passed


def tokens(forge: GitHubForge, clock: Clock | None = None, app: str = "61", key: str = PEM) -> AppTokens:
    """The tokens that the guard makes."""
    return AppTokens(forge.url, app, key, "acme/shop", PERMISSIONS, (clock or Clock()).now)


def made(forge: GitHubForge) -> int:
    """How many tokens were made."""
    return sum(call.path.endswith("/access_tokens") for call in forge.calls)


def test_a_token_is_made_once_for_the_repository_with_the_least_permissions(forge: GitHubForge) -> None:
    found = tokens(forge)
    token = found.current()
    assert [found.current() for _ in range(3)] == [token] * 3
    assert made(forge) == 1
    assert (forge.tokens[token].user.login, forge.tokens[token].writes) == ("guard[bot]", True)
    assert not forge.tokens[token].reads_teams


def test_another_is_made_before_the_first_ends(forge: GitHubForge) -> None:
    clock = Clock()
    found = tokens(forge, clock)
    first = found.current()
    clock.passed = timedelta(minutes=50)
    assert found.current() == first
    clock.passed = timedelta(minutes=56)
    assert found.current() != first
    assert [call.path for call in forge.calls].count("/repos/acme/shop/installation") == 1


async def test_a_token_that_github_refuses_is_replaced(forge: GitHubForge) -> None:
    api = GitHubApi(forge.url, tokens(forge))
    try:
        await api.get("/users/alice")
        assert forge.expire_tokens() == 1
        with pytest.raises(ForgeTrouble, match="does not accept the token"):
            await api.get("/users/alice")
        await api.get("/users/alice")
        assert made(forge) == 2
    finally:
        api.close()


def test_an_older_token_that_is_refused_late_replaces_nothing(forge: GitHubForge) -> None:
    found = tokens(forge)
    first = found.current()
    found.refused(first)
    second = found.current()
    found.refused(first)
    assert found.current() == second


@pytest.mark.parametrize(
    ("app", "given", "key", "cause"),
    [
        (APP, "62", KEY, "does not accept the App's key, or CIGUARD_APP_ID is another App's"),
        (APP, "61", OTHER, "does not accept the App's key"),
        (replace(APP, installed=False), "61", KEY, "is not installed for this repository"),
        (
            replace(APP, permissions={"issues": "write"}),
            "61",
            KEY,
            "lacks one of the permissions issues, pull_requests",
        ),
    ],
)
def test_what_is_wrong_with_the_app_is_said(
    forge: GitHubForge, app: App, given: str, key: rsa.RSAPrivateKey, cause: str
) -> None:
    forge.install_app(app)
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    with pytest.raises(ForgeTrouble, match=cause):
        tokens(forge, app=given, key=pem).current()


def test_trouble_of_the_forge_is_trouble_like_any(forge: GitHubForge) -> None:
    forge.fail(status=503, pattern="access_tokens")
    found = tokens(forge)
    with pytest.raises(ForgeTrouble, match="trouble of its own"):
        found.current()
    assert found.current()
    forge.fail(status=201, pattern="access_tokens", body='{"token": 5}')
    found.refused(found.current())
    with pytest.raises(ForgeTrouble, match="unexpected"):
        found.current()


ENVIRON = {"CIGUARD_APP_ID": "61", "CIGUARD_APP_PRIVATE_KEY": PEM}
EC = ec.generate_private_key(ec.SECP256R1()).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


@pytest.mark.parametrize(
    ("changes", "cause"),
    [
        ({"CIGUARD_APP_ID": ""}, "CIGUARD_APP_ID is not set"),
        ({"CIGUARD_APP_PRIVATE_KEY": " "}, "CIGUARD_APP_PRIVATE_KEY is not set"),
        ({"CIGUARD_APP_PRIVATE_KEY": PEM[:200]}, "is no private key of a GitHub App"),
        ({"CIGUARD_APP_PRIVATE_KEY": EC}, "is no private key of a GitHub App"),
        ({"CIGUARD_APP_PRIVATE_KEY": PUBLIC}, "is no private key of a GitHub App"),
    ],
)
def test_an_app_is_described_whole(changes: dict[str, str], cause: str) -> None:
    with pytest.raises(ApprovalUnavailable) as refused:
        app_tokens("https://api.example.com", {**ENVIRON, **changes}, "acme/shop", members=False)
    assert cause in refused.value.cause
    assert PEM.splitlines()[1] not in str(refused.value) + refused.value.remedy


async def test_the_app_goes_before_the_jobs_own_token(forge: GitHubForge) -> None:
    forge.install_app(replace(APP, permissions={**APP.permissions, **dict.fromkeys(MEMBERS, "read")}))
    environ = {**ENVIRON, "GITHUB_API_URL": forge.url, "GITHUB_TOKEN": forge.token}
    api = approval_api(environ, "acme/shop", members=True)
    assert api
    try:
        await api.get("/users/alice")
    finally:
        api.close()
    assert [token.reads_teams for token in forge.tokens.values()] == [False, True]
    assert approval_api({"GITHUB_API_URL": forge.url}, "acme/shop", members=False) is None

"""Tokens of a GitHub App's installation, which the guard makes for itself: they live an hour, and a hold can be longer.

Sources: GitHub's "Generating a JSON Web Token (JWT) for a GitHub App", "Generating an installation access token for a
GitHub App", and the REST reference of both requests.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import TypeVar
from urllib.parse import quote

import msgspec

from ciguard.errors import ApprovalUnavailable
from ciguard.forge.answer import answer_of, convert
from ciguard.forge.github import APP_ID_VARIABLE, APP_KEY_VARIABLE
from ciguard.forge.github_api import ask, requester_at, trouble_of
from ciguard.forge.thread import ForgeTrouble
from ciguard.operation import Json

T = TypeVar("T")

MARGIN = timedelta(minutes=5)
"""How long before its end a token is not used any more; this machine's clock may be off."""

PERMISSIONS: Mapping[str, Json] = {"issues": "write", "pull_requests": "write"}
"""All that a token may do in the one repository that it is for."""

MEMBERS: Mapping[str, Json] = {"members": "read"}
"""What it needs besides, to see who is in a team."""


class _Installation(msgspec.Struct):
    id: int


class _Token(msgspec.Struct):
    token: str
    expires_at: datetime


class AppTokens:
    """Tokens for ``repository``, made as the App ``app`` with ``key``; see :class:`~ciguard.forge.github_api.Tokens`.

    ``now`` tells the time of day, in UTC.
    """

    def __init__(
        self,
        url: str,
        app: str,
        key: str,
        repository: str,
        permissions: Mapping[str, Json],
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._url = url.rstrip("/")
        self._app = app
        self._key = key
        self._repository = repository
        self._permissions = permissions
        self._now = now
        self._lock = threading.Lock()
        self._installation = 0
        self._made: _Token | None = None

    def current(self) -> str:
        """See Tokens."""
        with self._lock:
            if self._made is None or self._made.expires_at - MARGIN <= self._now():
                self._made = self._make()
            return self._made.token

    def refused(self, token: str) -> None:
        """See Tokens. The next call makes another."""
        with self._lock:
            if self._made and self._made.token == token:
                self._made = None

    def _make(self) -> _Token:
        if not self._installation:
            found = self._as_app("GET", f"/repos/{quote(self._repository)}/installation", None, _Installation)
            self._installation = found.id
        wanted: Json = {
            "repositories": [self._repository.partition("/")[2]],
            "permissions": dict(self._permissions),
        }
        return self._as_app("POST", f"/app/installations/{self._installation}/access_tokens", wanted, _Token)

    def _as_app(self, verb: str, path: str, body: Json, kind: type[T]) -> T:
        from github import Auth

        auth = Auth.AppAuth(self._app, self._key)
        status, headers, text = ask(requester_at(self._url, auth), verb, path, {}, body)
        if not 200 <= status < 300:
            why = {
                401: f"GitHub does not accept the App's key, or {APP_ID_VARIABLE} is another App's",
                404: "the App is not installed for this repository",
                422: f"the App's installation lacks one of the permissions {', '.join(self._permissions)}",
            }
            if status in why:
                raise ForgeTrouble(f"{why[status]} (status {status})", status=status)
            raise trouble_of(status, headers, text)
        return convert(answer_of(text, "GitHub", more=False).value, kind, "GitHub")


def app_tokens(url: str, environ: Mapping[str, str], repository: str, *, members: bool) -> AppTokens:
    """The tokens of the App that ``environ`` names; ``members`` says that teams are to be read.

    Raises ApprovalUnavailable when it is not described whole; nothing of the key is repeated.
    """
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    app, text = environ.get(APP_ID_VARIABLE, "").strip(), environ.get(APP_KEY_VARIABLE, "").strip()
    remedy = "give the action the App's id (or client id) as app-id and the file of its private key as app-private-key"
    if not app or not text:
        missing = APP_KEY_VARIABLE if app else APP_ID_VARIABLE
        raise ApprovalUnavailable(f"the GitHub App for approvals is half described: {missing} is not set", remedy)
    try:
        key = load_pem_private_key(text.encode(), None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, RSAPrivateKey):
        raise ApprovalUnavailable(f"the value of {APP_KEY_VARIABLE} is no private key of a GitHub App", remedy)
    return AppTokens(url, app, text, repository, {**PERMISSIONS, **(MEMBERS if members else {})})

"""Which headers cross the guard, in each direction."""

from __future__ import annotations

import hmac
from collections.abc import Iterable, Mapping

from ciguard.inspect.masking import Masker

HOP_BY_HOP = frozenset(
    {"connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "proxy-connection", "te", "trailer"}
    | {"transfer-encoding", "upgrade"}
)
"""RFC 9110, section 7.6.1."""

OF_THE_GUARD = frozenset(
    {"host", "content-length", "content-encoding", "accept-encoding", "expect", "authorization", "x-api-key", "api-key"}
    | {"x-goog-api-key", "cookie", "forwarded", "via", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto"}
)
"""Request headers that the guard decides itself, or that carry credentials or addresses."""

NOT_FOR_THE_AGENT = frozenset({"content-length", "content-encoding", "set-cookie", "www-authenticate", "alt-svc"})
"""Response headers that speak of the guard's own dealings with the upstream."""


def request_headers(given: Iterable[tuple[str, str]], masker: Masker) -> list[tuple[str, str]]:
    """The agent's headers to pass on, secrets masked; the credential is added by the caller."""
    given = list(given)
    dropped = HOP_BY_HOP | OF_THE_GUARD | _named_by_connection(given)
    return [(name, masker.mask(value).text) for name, value in given if name.lower() not in dropped]


def response_headers(given: Iterable[tuple[str, str]], masker: Masker) -> list[tuple[str, str]]:
    """The upstream's headers to pass on, secrets masked."""
    given = list(given)
    dropped = HOP_BY_HOP | NOT_FOR_THE_AGENT | _named_by_connection(given)
    return [(name, masker.mask(value).text) for name, value in given if name.lower() not in dropped]


def _named_by_connection(headers: Iterable[tuple[str, str]]) -> set[str]:
    return {
        option.strip().lower() for name, value in headers if name.lower() == "connection" for option in value.split(",")
    }


def carries_token(headers: Mapping[str, str], token: str) -> bool:
    """Whether a call carries the session's token, in any of the ways in which model APIs take a key."""
    scheme, _, bearer = headers.get("Authorization", "").partition(" ")
    given = [headers.get("x-api-key", ""), headers.get("x-goog-api-key", "")]
    if scheme.lower() == "bearer":
        given.append(bearer.strip())
    return any(hmac.compare_digest(one.encode(), token.encode()) for one in given)

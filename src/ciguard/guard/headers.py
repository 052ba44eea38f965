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

REFRAMED = frozenset(
    {"host", "content-length", "content-encoding", "accept-encoding", "expect", "forwarded", "via", "x-forwarded-for"}
    | {"x-forwarded-host", "x-forwarded-proto", "x-http-method", "x-http-method-override", "x-method-override"}
    | {"x-original-url", "x-rewrite-url"}
)
"""Request headers that the guard decides itself, that carry addresses, or that name another call."""

OF_THE_GUARD = REFRAMED | {"authorization", "x-api-key", "api-key", "x-goog-api-key", "cookie"}
"""The same, and those that carry credentials: the guard has one of its own for a connection."""

NOT_FOR_THE_AGENT = frozenset({"content-length", "content-encoding", "set-cookie", "www-authenticate", "alt-svc"})
"""Response headers that speak of the guard's own dealings with the upstream."""


_NOT_UPSTREAM = HOP_BY_HOP | OF_THE_GUARD
_NOT_DOWNSTREAM = HOP_BY_HOP | NOT_FOR_THE_AGENT


def request_headers(given: Iterable[tuple[str, str]], masker: Masker) -> list[tuple[str, str]]:
    """The agent's headers to pass on, secrets masked; the credential is added by the caller."""
    return passed_on(given, _NOT_UPSTREAM, masker)


def response_headers(given: Iterable[tuple[str, str]], masker: Masker) -> list[tuple[str, str]]:
    """The upstream's headers to pass on, secrets masked."""
    return passed_on(given, _NOT_DOWNSTREAM, masker)


def passed_on(given: Iterable[tuple[str, str]], dropped: frozenset[str], masker: Masker) -> list[tuple[str, str]]:
    """The headers to pass on, secrets masked; ``dropped`` are left out, and what ``Connection`` names.

    A header whose name holds a secret goes, as does one in bytes that are no text: neither can be masked.
    """
    given = list(given)
    dropped |= _named_by_connection(given)
    return [
        (name, masker.mask(value).text)
        for name, value in given
        if name.lower() not in dropped and not masker.mask(name).kinds and _is_text(value)
    ]


def _is_text(value: str) -> bool:
    """Whether the bytes of the header were UTF-8; aiohttp marks others with surrogates."""
    return value.isascii() or not any("\udc80" <= character <= "\udcff" for character in value)


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
    return any(hmac.compare_digest(one.encode("utf-8", "surrogateescape"), token.encode()) for one in given)

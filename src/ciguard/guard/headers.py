"""Which headers cross the guard, in each direction."""

from __future__ import annotations

import hmac
from collections.abc import Iterable, Mapping

from multidict import MultiMapping

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


NOT_UPSTREAM = HOP_BY_HOP | OF_THE_GUARD
"""Request headers that are not passed on to a connection's upstream."""

NOT_DOWNSTREAM = HOP_BY_HOP | NOT_FOR_THE_AGENT
"""Response headers that are not passed on to the agent."""

REMEMBERED = 256
"""Headers of one direction that are remembered."""


class Crossing:
    """What :func:`passed_on` says of the headers of one direction; most of them come again with every message.

    A header that was passed on as it is, or left out, is remembered until the masker learns something.
    """

    def __init__(self, dropped: frozenset[str], masker: Masker) -> None:
        self._dropped = dropped
        self._masker = masker
        self._lessons = masker.lessons
        self._known: dict[tuple[str, str], list[tuple[str, str]]] = {}

    def passed(self, given: MultiMapping[str]) -> list[tuple[str, str]]:
        """The headers to pass on, secrets masked."""
        if self._lessons != self._masker.lessons:
            self._lessons = self._masker.lessons
            self._known.clear()
        passed: list[tuple[str, str]] = []
        for header in given.items():
            known = self._known.get(header)
            passed += self._decided(header) if known is None else known
        named = named_by_connection(given.getall("Connection", ()))
        return [header for header in passed if header[0].lower() not in named] if named else passed

    def _decided(self, header: tuple[str, str]) -> list[tuple[str, str]]:
        decided = passed_on([header], self._dropped, self._masker)
        if not decided or decided[0] == header:
            if len(self._known) >= REMEMBERED:
                self._known.clear()
            self._known[header] = decided
        return decided


def passed_on(given: Iterable[tuple[str, str]], dropped: frozenset[str], masker: Masker) -> list[tuple[str, str]]:
    """The headers to pass on, secrets masked; ``dropped`` are left out, and what ``Connection`` names.

    A header whose name holds a secret goes, as does one in bytes that are no text: neither can be masked.
    """
    given = list(given)
    dropped |= named_by_connection(value for name, value in given if name.lower() == "connection")
    return [
        (name, masker.mask(value).text)
        for name, value in given
        if name.lower() not in dropped and not masker.mask(name).kinds and _is_text(value)
    ]


def _is_text(value: str) -> bool:
    """Whether the bytes of the header were UTF-8; aiohttp marks others with surrogates."""
    return value.isascii() or not any("\udc80" <= character <= "\udcff" for character in value)


def named_by_connection(values: Iterable[str]) -> set[str]:
    """The headers that these values of ``Connection`` name: they are for one hop only."""
    return {option.strip().lower() for value in values for option in value.split(",")}


def carries_token(headers: Mapping[str, str], token: bytes) -> bool:
    """Whether a call carries the session's token, in any of the ways in which model APIs take a key."""
    if _is_token(headers.get("x-api-key", ""), token) or _is_token(headers.get("x-goog-api-key", ""), token):
        return True
    scheme, _, bearer = headers.get("Authorization", "").partition(" ")
    return scheme.lower() == "bearer" and _is_token(bearer.strip(), token)


def _is_token(given: str, token: bytes) -> bool:
    return hmac.compare_digest(given.encode("utf-8", "surrogateescape"), token)

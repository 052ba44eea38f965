"""Hosts as the wire and the policy spell them: one spelling for each, and patterns that stand for several.

A name that different programs could read as different hosts is no host here. Above all that are addresses in the
spellings of ``inet_aton`` (``127.1``, ``0x7f000001``, ``2130706433``, ``0177.0.0.1``): what ends in a number is an
address (WHATWG URL, "ends in a number checker"), and only the plain dotted form is one.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import AddressValueError, IPv4Address, IPv6Address

DEFAULT_PORT = 443
"""The port of a pattern that names none."""

LONGEST_NAME = 253
"""Characters of a DNS name (RFC 1035, section 2.3.4)."""

_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_NAME = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
_PORT = re.compile(r"[1-9][0-9]{0,4}")
_GREATEST_PORT = 65535


class HostError(ValueError):
    """This is no host, or not in the one spelling that it has; the text says what it must be."""


def normal_host(text: str) -> str:
    """The one spelling of a host: a name in lower case without its final dot, or an address as RFC 5952 writes it.

    IPv6 addresses come and go without brackets. Raises :class:`HostError`.
    """
    if ":" in text:
        try:
            return IPv6Address(text).compressed if "%" not in text else _refuse("an IPv6 address without a zone")
        except AddressValueError:
            return _refuse("a host name or an IP address")
    name = text.lower().removesuffix(".") if text.isascii() else _refuse("a host name in ASCII (xn--...)")
    if _NUMBER.fullmatch(name.rpartition(".")[2]):
        try:
            return str(IPv4Address(name))
        except AddressValueError:
            return _refuse("an IPv4 address in its plain dotted form")
    if len(name) > LONGEST_NAME or not _NAME.fullmatch(name):
        return _refuse("a host name or an IP address")
    return name


def _refuse(what: str) -> str:
    raise HostError(f"the host must be {what}")


def is_address(host: str) -> bool:
    """Whether a normal host is an IP address rather than a name."""
    return ":" in host or host.rpartition(".")[2].isdigit()


def split_authority(text: str) -> tuple[str, int | None]:
    """``host``, ``host:port`` or ``[address]:port`` as normal host and port. Raises :class:`HostError`."""
    if text.startswith("["):
        host, bracket, rest = text[1:].partition("]")
        if not bracket or ":" not in host or (rest and not rest.startswith(":")):
            raise HostError("the host must be a host name or an IP address")
        port = rest[1:] if rest else None
    else:
        host, colon, after = text.partition(":")
        port = after if colon else None
    if port is not None and (not _PORT.fullmatch(port) or int(port) > _GREATEST_PORT):
        raise HostError("the port must be a number from 1 to 65535")
    return normal_host(host), None if port is None else int(port)


def spelled(host: str, port: int) -> str:
    """A normal host and its port as a URL has them."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


@dataclass(frozen=True, slots=True)
class HostPattern:
    """Hosts at one port: ``host`` itself, or with ``below`` every host below it and not ``host``."""

    host: str
    port: int
    below: bool = False

    def matches(self, host: str, port: int) -> bool:
        """Whether a normal host at ``port`` is one of these."""
        return port == self.port and (host.endswith(f".{self.host}") if self.below else host == self.host)

    def covers(self, other: HostPattern) -> bool:
        """Whether everything that ``other`` stands for is one of these."""
        return self == other or (self.below and self.matches(other.host, other.port))


def host_pattern(text: str) -> HostPattern:
    """The pattern that ``host``, ``host:port``, ``*.host`` or ``*.host:port`` spells. Raises :class:`HostError`."""
    below = text.startswith("*.")
    host, port = split_authority(text.removeprefix("*."))
    if below and is_address(host):
        raise HostError("there is nothing below an IP address")
    return HostPattern(host, DEFAULT_PORT if port is None else port, below)

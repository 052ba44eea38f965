"""Where a request to the proxy wants to go."""

from __future__ import annotations

import re
from dataclasses import dataclass

from ciguard.policy.hosts import HostError, spelled, split_authority

_ABSOLUTE = re.compile(r"http://(?P<authority>[^/?#]+)(?P<rest>(?:[/?][^#]*)?)", re.IGNORECASE)
_PLAIN_HTTP_PORT = 80
_PORTS = {"https": 443, "http": 80}


@dataclass(frozen=True, slots=True)
class Target:
    """A normal host, and a port."""

    host: str
    port: int

    def __str__(self) -> str:
        """Both as a URL has them."""
        return spelled(self.host, self.port)

    def authority(self, scheme: str) -> str:
        """Both as a Host header has them: the scheme's own port is left out."""
        return str(self).removesuffix(f":{_PORTS[scheme]}")

    def url(self, scheme: str, resource: str) -> str:
        """The URL of ``resource``, a path with its query, there."""
        return f"{scheme}://{self.authority(scheme)}{resource}"


def connect_target(text: str) -> Target:
    """The target of CONNECT (RFC 9112, section 3.2.3): host and port. Raises :class:`HostError`."""
    host, port = split_authority(text)
    if port is None:
        raise HostError("CONNECT takes host:port")
    return Target(host, port)


def absolute_target(text: str) -> tuple[Target, str]:
    """The target of a plain request to a proxy (RFC 9112, section 3.2.2), and the path with its query.

    Raises :class:`HostError` for other schemes too: what is encrypted comes through CONNECT.
    """
    matched = _ABSOLUTE.fullmatch(text)
    if matched is None:
        raise HostError("the proxy takes CONNECT host:port, or http://host/path")
    host, port = split_authority(matched["authority"])
    rest = matched["rest"]
    resource = rest if rest.startswith("/") else f"/{rest}"
    return Target(host, port or _PLAIN_HTTP_PORT), resource


def names_host(header: str, target: Target, scheme: str) -> bool:
    """Whether a Host header says what ``target`` is, with its port or, where it is the scheme's own, without."""
    try:
        host, port = split_authority(header)
    except HostError:
        return False
    return host == target.host and (port or _PORTS[scheme]) == target.port

"""What a policy lets the agent ask of the model's service itself."""

from __future__ import annotations

import re

from ciguard.operation import Operation
from ciguard.policy import globs
from ciguard.policy.egress import DEFAULT_PORTS
from ciguard.policy.hosts import HostError, host_pattern, normal_host, spelled
from ciguard.policy.sections.connection import Remote

REMOTE = "ciguard:remote"
"""The rule that refuses what a connection's ``remote`` does not name."""

NOTHING_REMOTE = Remote()

_PLAIN_ADDRESS = re.compile(
    r"(?i:(?P<scheme>https?))://(?P<host>[A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])(?::(?P<port>[1-9][0-9]{0,4}))?"
    r"(?:[/?#](?:(?!\\)[!-~])*)?"
)
"""An address that everybody reads alike: no user, no escapes and nothing unseen before its path."""


def remote_refusal(remote: Remote, operation: Operation) -> str:
    """Why ``remote`` refuses an operation of that kind, in a sentence; empty when it does not."""
    texts = operation.body.get("texts")
    if not isinstance(texts, list):
        return "It does not say what the service is asked to do."
    return next(filter(None, (_refused(remote, text if isinstance(text, str) else "") for text in texts)), "")


def _refused(remote: Remote, text: str) -> str:
    what, _, named = text.partition(" ")
    match what:
        case "tool":
            if any(globs.matches(glob, named) for glob in remote.tools):
                return ""
            return f"The model's service itself would run {named}, which the connection's remote.tools does not name."
        case "address":
            return _refused_address(remote, named)
        case _:
            return "It does not say what the service is asked to do."


def _refused_address(remote: Remote, url: str) -> str:
    if "*" in remote.hosts:
        return ""
    found = _PLAIN_ADDRESS.fullmatch(url)
    if not found:
        return "The model's service would fetch an address that does not say plainly where it leads."
    try:
        host = normal_host(found["host"].strip("[]"))
    except HostError as error:
        return f"The model's service would fetch an address that cannot be allowed: {error}."
    port = int(found["port"] or DEFAULT_PORTS[found["scheme"].lower()])
    if any(host_pattern(pattern).matches(host, port) for pattern in remote.hosts):
        return ""
    where = spelled(host, port)
    return f"The model's service would fetch an address of {where}, which the connection's remote.hosts does not name."

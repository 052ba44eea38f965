"""Where a policy lets the agent connect, and what it may ask for there."""

from __future__ import annotations

from urllib.parse import unquote, urlsplit

from ciguard.operation import Operation, OperationKind
from ciguard.policy import globs
from ciguard.policy.hosts import HostError, normal_host, spelled
from ciguard.policy.sections.egress import Egress, EgressHost

EGRESS = "ciguard:egress"
"""The rule that refuses what ``egress.allow`` does not name."""

GUARDED_KINDS = frozenset({OperationKind.CONNECT, OperationKind.HTTP_REQUEST})
"""The operations that ``egress`` decides on, where they go over no connection."""

DEFAULT_PORTS = {"https": 443, "http": 80}


def entries_for(egress: Egress, host: str, port: int) -> tuple[EgressHost, ...]:
    """The entries that name the normal ``host`` at ``port``; the policy makes sure that they agree on ``inspect``."""
    return tuple(entry for entry in egress.allow if entry.pattern.matches(host, port))


def egress_refusal(egress: Egress, operation: Operation) -> str:
    """Why ``egress`` refuses a ``connect`` or ``http_request``, in a sentence; empty when it does not."""
    match operation.kind, operation.body:
        case OperationKind.CONNECT, {"host": str(host), "port": int(port)}:
            return _refused_host(egress, host, port)
        case OperationKind.HTTP_REQUEST, {"method": str(method), "url": str(url)}:
            return _refused_request(egress, method, url)
        case _:
            return "It does not say where it goes."


def _refused_host(egress: Egress, host: str, port: int) -> str:
    try:
        host = normal_host(host)
    except HostError as error:
        return f"It cannot be allowed: {error}."
    if entries_for(egress, host, port):
        return ""
    return f"The policy's egress.allow does not name {spelled(host, port)}."


def _refused_request(egress: Egress, method: str, url: str) -> str:
    try:
        parts = urlsplit(url)
        host, port = normal_host(parts.hostname or ""), parts.port or DEFAULT_PORTS.get(parts.scheme, 0)
    except ValueError:
        return "It cannot be allowed: this is not a URL."
    entries = entries_for(egress, host, port)
    if not entries:
        return f"The policy's egress.allow does not name {spelled(host, port)}."
    path = parts.path or "/"
    if any(entry.paths for entry in entries) and climbs(path):
        return "Its path has . or .. in it, which egress.allow with paths does not take."
    if not any(_permits(entry, method, path) for entry in entries):
        return f"The policy's egress.allow does not let it {method} this path of {spelled(host, port)}."
    return ""


def _permits(entry: EgressHost, method: str, path: str) -> bool:
    return (entry.methods is None or method in entry.methods) and (
        entry.paths is None or any(globs.matches(glob, path) for glob in entry.paths)
    )


def climbs(path: str) -> bool:
    """Whether a server could read ``path`` as leading out of where it begins: ``..`` in any escaping.

    Escapes are undone until none is left, a backslash counts as a slash, and what stands behind ``;`` in a segment is
    left out, since servers differ in all of that.
    """
    while (plain := unquote(path, errors="surrogateescape")) != path:
        path = plain
    segments = path.replace("\\", "/").split("/")
    return any(segment.partition(";")[0].strip() in (".", "..") for segment in segments)

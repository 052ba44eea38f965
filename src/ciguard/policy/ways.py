"""How the values of each key of a policy combine: see ``composition`` for what a parent and a child are."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

from ciguard.policy import globs
from ciguard.policy.hosts import host_pattern
from ciguard.policy.models import Policy, SessionLimits
from ciguard.policy.rules import Section
from ciguard.policy.sections.approval import Approval
from ciguard.policy.sections.audit import Audit
from ciguard.policy.sections.connection import Connection, ConnectionLimits, Remote
from ciguard.policy.sections.credential import Credential
from ciguard.policy.sections.egress import Egress, EgressHost
from ciguard.policy.sections.identity import Identity
from ciguard.policy.sections.isolation import Isolation, IsolationLevel, IsolationLimits, IsolationPaths, Protection
from ciguard.policy.sections.masking import MaskedNames, Masking
from ciguard.policy.shapes import seconds
from ciguard.policy.yaml_document import Path

Way: TypeAlias = "Callable[[Any, Any], Any]"
"""A function of a parent's and a child's (or of two parents') values of one key."""


class Disagreement(Exception):
    """Two values cannot be combined: why, what to do, and where below the compared values it shows."""

    def __init__(self, cause: str, remedy: str, at: Path = ()) -> None:
        super().__init__(cause)
        self.cause = cause
        self.remedy = remedy
        self.at = at

    def below(self, *steps: str | int) -> Disagreement:
        """The same, seen from further up."""
        return Disagreement(self.cause, self.remedy, (*steps, *self.at))


@dataclass(frozen=True, slots=True)
class Ways:
    """Both ways to combine the values of one key.

    ``tighten(parent, child)``: the value in force; Disagreement when the child's is looser than the parent's.
    ``agree(left, right)``: the tightest value that keeps both; Disagreement when there is none.
    ``default_binds``: a parent's default counts as stated.
    """

    tighten: Way
    agree: Way
    default_binds: bool = False


def _same(parent: object, child: object) -> object:
    if parent != child:
        raise Disagreement(
            f"{child} differs from the {parent} of what this policy extends",
            f"write {parent}, or remove the line",
        )
    return parent


def _own(_parent: object, child: object) -> object:
    return child


def _union(left: tuple[Any, ...], right: tuple[Any, ...]) -> tuple[Any, ...]:
    return (*left, *(item for item in right if item not in left))


def _by_rank(rank: Callable[[Any], int], looser: str) -> Ways:
    """The way of values of which a smaller rank is the tighter."""

    def tighten(parent: Any, child: Any) -> Any:
        if rank(child) > rank(parent):
            raise Disagreement(
                f"{child} is {looser} than the {parent} of what this policy extends",
                f"write {parent} or something tighter, or remove the line",
            )
        return child

    return Ways(tighten, lambda left, right: min(left, right, key=rank))


def _weakness(level: str) -> int:
    return -1 if level == "auto" else -IsolationLevel(level).strength


def path_covers(wide: str, narrow: str) -> bool:
    """Whether ``narrow`` is ``wide`` or lies below it."""
    return narrow == wide or narrow.startswith(wide.rstrip("/") + "/")


def _within(covers: Callable[[Any, Any], bool], *, what: str) -> Ways:
    """The way of lists of which a child may keep, narrow or remove items but not add any."""

    def tighten(parent: tuple[Any, ...], child: tuple[Any, ...]) -> tuple[Any, ...]:
        for index, item in enumerate(child):
            if not any(covers(wide, item) for wide in parent):
                raise Disagreement(
                    f"{what} {item} is not within what this policy extends, which allows: "
                    f"{', '.join(map(str, parent)) or 'none'}",
                    "remove it, or allow it in the extended policy",
                    (index,),
                )
        return child

    def agree(left: tuple[Any, ...], right: tuple[Any, ...]) -> tuple[Any, ...]:
        common = [item for item in left if any(covers(wide, item) for wide in right)]
        common += [item for item in right if item not in common and any(covers(wide, item) for wide in left)]
        return tuple(common)

    return Ways(tighten, agree)


def _models() -> Ways:
    within = _within(globs.covers, what="the model")

    def agree(left: tuple[str, ...], right: tuple[str, ...]) -> tuple[str, ...]:
        common: tuple[str, ...] = within.agree(left, right)
        if not common:
            raise Disagreement("no model is allowed by both", "let the lists of models overlap")
        return common

    return Ways(within.tighten, agree)


def egress_covers(wide: EgressHost, narrow: EgressHost) -> bool:
    """Whether everything that ``narrow`` lets through is let through by ``wide``, and seen as well as by it."""
    return (
        wide.pattern.covers(narrow.pattern)
        and narrow.inspect >= wide.inspect
        and narrow.private <= wide.private
        and _all_covered(str.__eq__, wide.methods, narrow.methods)
        and _all_covered(globs.covers, wide.paths, narrow.paths)
    )


def remote_covers(wide: str, narrow: str) -> bool:
    """Whether every address that ``narrow`` names is one of ``wide``."""
    return wide == narrow or wide == "*" or (narrow != "*" and host_pattern(wide).covers(host_pattern(narrow)))


def _all_covered(covers: Callable[[str, str], bool], wide: Sequence[str] | None, narrow: Sequence[str] | None) -> bool:
    """Whether each of ``narrow`` is covered by one of ``wide``; None stands for anything."""
    return wide is None or (narrow is not None and all(any(covers(one, other) for one in wide) for other in narrow))


def combined(left: Section, right: Section, choose: Callable[[Ways], Way]) -> Any:
    """``left`` and ``right`` as one section, key by key in the way that ``choose`` takes of both."""
    updates: dict[str, Any] = {}
    for name in type(left).model_fields:
        theirs = getattr(right, name)
        if name not in right.model_fields_set or theirs is None:
            continue
        ours = getattr(left, name)
        stated = name in left.model_fields_set and ours is not None
        try:
            if isinstance(theirs, Section):
                updates[name] = combined(ours, theirs, choose) if stated else theirs
            else:
                ways = WAYS[type(left), name]
                updates[name] = choose(ways)(ours, theirs) if stated or ways.default_binds else theirs
        except Disagreement as disagreement:
            raise disagreement.below(name) from None
    return left.model_copy(update=updates)


def _connections(choose: Callable[[Ways], Way]) -> Way:
    def combine(left: Mapping[str, Connection], right: Mapping[str, Connection]) -> Mapping[str, Connection]:
        result = dict(left)
        for name, connection in right.items():
            if name not in left:
                raise Disagreement(
                    f"the connection {name} is not among those of what this policy extends: "
                    f"{', '.join(left) or 'none'}",
                    "remove it, or declare it in the extended policy",
                    (name,),
                )
            try:
                result[name] = combined(left[name], connection, choose)
            except Disagreement as disagreement:
                raise disagreement.below(name) from None
        return result

    return combine


def tighten(ways: Ways) -> Way:
    """The way of a parent and its child."""
    return ways.tighten


def agree(ways: Ways) -> Way:
    """The way of two parents of one policy."""
    return ways.agree


_SAME = Ways(_same, _same, default_binds=True)
_LIKE = Ways(_same, _same)
_OWN = Ways(_own, _own)
_UNION = Ways(_union, _union)
_LOWEST = _by_rank(int, "higher")
_LISTED = {what: _within(str.__eq__, what=what) for what in ("the approver", "the issuer", "the variable", "the word")}

WAYS: Mapping[tuple[type[Section], str], Ways] = {
    (Policy, "version"): _SAME,
    (Policy, "extends"): _OWN,
    (Policy, "connections"): Ways(_connections(tighten), _connections(agree)),
    (Policy, "rules"): _UNION,
    (Policy, "env"): _LISTED["the variable"],
    (Policy, "secrets"): _UNION,
    (Policy, "tests"): _OWN,
    (Identity, "audience"): _SAME,
    (Identity, "issuers"): _LISTED["the issuer"],
    (Identity, "allow"): _OWN,
    (Identity, "allow_layers"): _UNION,
    (Connection, "type"): _SAME,
    (Connection, "upstream"): _SAME,
    (Connection, "models"): _models(),
    (Connection, "rules"): _UNION,
    (Remote, "tools"): _within(globs.covers, what="the service's tool"),
    (Remote, "hosts"): _within(remote_covers, what="the host"),
    (Credential, "env"): _SAME,
    (ConnectionLimits, "requests"): _LOWEST,
    (ConnectionLimits, "output_tokens"): _LOWEST,
    (ConnectionLimits, "request_bytes"): _LOWEST,
    (Approval, "hold_at"): _LOWEST,
    (Approval, "block_at"): _LOWEST,
    (Approval, "approvers"): _LISTED["the approver"],
    (Approval, "count"): _by_rank(lambda count: -count, "less"),
    (Approval, "each_of"): _UNION,
    (Approval, "self_approval"): _by_rank(int, "looser"),
    (Approval, "without_pull_request"): _by_rank(("block", "issue").index, "looser"),
    (Approval, "most_open"): _LOWEST,
    (Approval, "most"): _LOWEST,
    (Approval, "timeout"): _by_rank(seconds, "longer"),
    (Approval, "mode"): _LIKE,
    (Approval, "scope"): _by_rank(("once", "session").index, "looser"),
    (Approval, "via"): _LIKE,
    (Approval, "environment"): _LIKE,
    (Isolation, "require"): _by_rank(_weakness, "weaker"),
    (Isolation, "prefer"): _by_rank(_weakness, "weaker"),
    (Isolation, "protected"): _by_rank(list(Protection).index, "looser"),
    (IsolationPaths, "read"): _within(path_covers, what="the path"),
    (IsolationPaths, "write"): _within(path_covers, what="the path"),
    (IsolationPaths, "hide"): _UNION,
    (IsolationLimits, "processes"): _LOWEST,
    (IsolationLimits, "memory_bytes"): _LOWEST,
    (IsolationLimits, "file_bytes"): _LOWEST,
    (IsolationLimits, "disk_bytes"): _LOWEST,
    (IsolationLimits, "wall_time"): _by_rank(seconds, "longer"),
    (Egress, "allow"): _within(egress_covers, what="the host"),
    (Audit, "sign"): _UNION,
    (Audit, "recipients"): _UNION,
    (Masking, "personal_data"): _UNION,
    (Masking, "fields"): _UNION,
    (MaskedNames, "model"): _SAME,
    (MaskedNames, "kinds"): replace(_UNION, default_binds=True),
    (MaskedNames, "allow"): replace(_LISTED["the word"], default_binds=True),
    (SessionLimits, "refusals_in_a_row"): _LOWEST,
}
"""How each key combines; every key of the policy that is not a mapping of its own is here."""

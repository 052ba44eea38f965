"""Several policies as one: a policy can tighten what it extends, never loosen it.

A default is not a statement: a parent that is silent about a key binds nobody. Policies that are extended side by
side are no parents of each other: of their values the tightest is in force.
"""

from __future__ import annotations

from dataclasses import dataclass

from ciguard.errors import PolicyError
from ciguard.policy.models import UNASKED, Policy
from ciguard.policy.rules import Rule
from ciguard.policy.sections.identity import Identity
from ciguard.policy.sections.isolation import IsolationLevel
from ciguard.policy.ways import Disagreement, agree, combined, tighten
from ciguard.policy.yaml_document import Document, Path


@dataclass(frozen=True, slots=True)
class Layer:
    """A policy as one document states it, and the composed policies that it extends, in order."""

    policy: Policy
    document: Document
    parents: tuple[Policy, ...]


def compose(layer: Layer) -> Policy:
    """The policy in force; PolicyError at the line of ``layer`` that loosens or contradicts what it extends."""
    own = _normalised(layer.policy)
    try:
        if not layer.parents:
            return own
        inherited = _inherited(layer.parents)
        _check_new_rules(inherited, own)
        result: Policy = combined(inherited, own, tighten)
        _check_credentials(result, own)
        _check_approvers(result)
    except Disagreement as disagreement:
        raise _error(layer.document, disagreement) from None
    return _settled(result).model_copy(update={"tests": own.tests})


def _normalised(policy: Policy) -> Policy:
    """``policy`` with its allow list as a layer, extending nothing."""
    identity = policy.identity
    if identity.allow:
        stated = {name: getattr(identity, name) for name in identity.model_fields_set - {"allow"}}
        layers = (*identity.allow_layers, identity.allow)
        identity = Identity.model_construct(**{**stated, "allow_layers": layers})
        policy = policy.model_copy(update={"identity": identity})
    return policy.model_copy(update={"extends": ()})


def _inherited(parents: tuple[Policy, ...]) -> Policy:
    inherited, *others = parents
    for index, parent in enumerate(others, 1):
        try:
            _check_same_rules(inherited, parent)
            inherited = combined(inherited, parent, agree)
        except Disagreement as disagreement:
            raise Disagreement(
                f"this policy does not go together with those before it: {disagreement.cause}",
                "extend only one of them, or correct it",
                ("extends", index),
            ) from None
    return inherited


def _placed(policy: Policy) -> dict[str, tuple[Path, Rule]]:
    return {rule.id: (path, rule) for path, rule in policy.placed_rules()}


def _check_new_rules(inherited: Policy, own: Policy) -> None:
    known = _placed(inherited)
    for path, rule in own.placed_rules():
        if rule.id in known:
            raise Disagreement(
                f"the rule {rule.id} is already in what this policy extends",
                "give the rule an id of its own; both rules apply then, and the more severe wins",
                (*path, "id"),
            )


def _check_same_rules(left: Policy, right: Policy) -> None:
    known = _placed(left)
    for path, rule in right.placed_rules():
        if rule.id in known and (known[rule.id][0][:-1], known[rule.id][1]) != (path[:-1], rule):
            raise Disagreement(f"both have a rule {rule.id}, and the two differ", "rename one of the rules")


def _check_credentials(policy: Policy, own: Policy) -> None:
    for name, connection in policy.connections.items():
        variable = connection.credential.env
        if variable in policy.env:
            at: Path = ("env", own.env.index(variable)) if variable in own.env else ("connections", name, "credential")
            raise Disagreement(
                f"{variable} is the credential of the connection {name} and must not reach the agent",
                "remove it from env, or use another variable for the credential",
                at,
            )


def _check_approvers(policy: Policy) -> None:
    """Whoever an extended policy asks is asked: no environment stands in for them."""
    if policy.unasked():
        raise Disagreement(*UNASKED, ("approval",))


def _settled(policy: Policy) -> Policy:
    """``policy`` preferring no isolation weaker than it requires."""
    isolation = policy.isolation
    if isolation.prefer == "auto" or IsolationLevel(isolation.prefer).strength >= isolation.require.strength:
        return policy
    isolation = isolation.model_copy(update={"prefer": isolation.require.value})
    return policy.model_copy(update={"isolation": isolation})


def _error(document: Document, disagreement: Disagreement) -> PolicyError:
    return document.error(disagreement.at, disagreement.cause, disagreement.remedy)

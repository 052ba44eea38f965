"""The policy file, key by key. Unknown keys, loose types and empty values are errors.

One model serves both for a document as written and for the composed policy that is enforced: composition empties
``extends`` and ``identity.allow`` and states every parent's layer in ``identity.allow_layers``.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, JsonValue, model_validator

from ciguard.policy.rules import ActionWord, Rule, Section
from ciguard.policy.sections.approval import Approval
from ciguard.policy.sections.audit import Audit
from ciguard.policy.sections.connection import Connection
from ciguard.policy.sections.egress import Egress
from ciguard.policy.sections.identity import Identity
from ciguard.policy.sections.isolation import Isolation
from ciguard.policy.sections.masking import Masking
from ciguard.policy.shapes import KINDS, ConnectionName, VariableName, refusal

VERSION = 1
"""The newest version of the policy format that this ciguard reads."""


UNASKED = (
    "these approvers are not asked: the reviewers of the environment decide",
    "remove the approvers, or via: environment",
)
"""Cause and remedy when a policy asks both the approvers that it names and the reviewers of an environment."""


def _number(value: object) -> object:
    if type(value) is not int or value != VERSION:
        raise refusal(f"the version must be the number {VERSION}", f"write version: {VERSION}")
    return value


class SessionLimits(Section):
    """When the guard ends a session."""

    refusals_in_a_row: int = Field(
        default=10, ge=1, description="Refusals without anything allowed between them after which the session ends."
    )


class Example(Section):
    """What the policy must decide of an operation; ciguard policy test runs it."""

    operation: Mapping[str, Mapping[str, JsonValue]] = Field(
        description="One operation or result: {kind: body}.",
        examples=[{"tool_call": {"name": "Bash", "input": {"command": "git status"}}}],
    )
    connection: str = Field(default="", description="The connection that it goes over; none when absent.")
    expect: ActionWord = Field(description="The decision.")
    rules: tuple[str, ...] = Field(default=(), description="Rules that must be among the reasons.")

    @model_validator(mode="after")
    def _one_operation(self) -> Example:
        if len(self.operation) != 1 or next(iter(self.operation)) not in KINDS:
            raise refusal(
                "an example has exactly one operation",
                f"write operation: {{kind: body}} where kind is one of: {', '.join(KINDS)}",
                at=("operation",),
            )
        return self


class Policy(Section):
    """A ciguard policy: what an agent may do in a CI job."""

    version: Annotated[Literal[1], BeforeValidator(_number)] = Field(description="The version of the policy format.")
    extends: tuple[str, ...] = Field(
        default=(),
        description="Policies to start from: presets (ciguard:observe, ciguard:standard, ciguard:strict) and files, "
        "relative to this one. This file can tighten what it extends, never loosen it.",
        examples=[["ciguard:standard"]],
    )
    identity: Identity = Field(default=Identity(), description="Which jobs may start a session.")
    connections: Mapping[ConnectionName, Connection] = Field(
        default={},
        description="The model APIs that the agent may reach, by name; what is not named is refused.",
        json_schema_extra={"additionalProperties": False},
    )
    rules: tuple[Rule, ...] = Field(default=(), description="Rules for everything that the agent does and gets.")
    approval: Approval = Field(default=Approval(), description="Thresholds of risk, and who releases held operations.")
    isolation: Isolation = Field(default=Isolation(), description="How strongly the agent must be isolated.")
    egress: Egress = Field(default=Egress(), description="Where the agent may connect besides the connections.")
    audit: Audit = Field(default=Audit(), description="Who can open the originals of what was masked.")
    masking: Masking = Field(default=Masking(), description="What is masked besides secrets.")
    limits: SessionLimits = Field(default=SessionLimits(), description="When the guard ends a session.")
    env: tuple[VariableName, ...] = Field(
        default=(), description="Names of variables that are passed on to the agent besides the ordinary ones."
    )
    secrets: tuple[VariableName, ...] = Field(
        default=(), description="Names of variables of the guard's environment whose values are masked everywhere."
    )
    tests: tuple[Example, ...] = Field(
        default=(), description="Examples with their decisions; ciguard policy test runs them."
    )

    @model_validator(mode="after")
    def _sound(self) -> Policy:
        seen: set[str] = set()
        for place, rule in self.placed_rules():
            if rule.id in seen:
                raise refusal(f"there are two rules {rule.id}", "give each rule an id of its own", at=(*place, "id"))
            seen.add(rule.id)
        for index, name in enumerate(self.env):
            if name in self.guard_variables():
                raise refusal(
                    f"{name} holds a secret of the guard's own and must not reach the agent",
                    "remove it from env: for a model, the guard gives the agent a token of its own",
                    at=("env", index),
                )
        if stated := self.unasked():
            raise refusal(*UNASKED, at=stated)
        return self

    def unasked(self) -> tuple[str | int, ...]:
        """Where the policy states approvers although it asks the reviewers of an environment; empty when nowhere."""
        if self.approval.via == "comment":
            return ()
        asking: list[tuple[tuple[str | int, ...], Approval | Rule]] = [(("approval",), self.approval)]
        for place, one in [*asking, *self.placed_rules()]:
            if one.approvers is not None:
                return (*place, "approvers")
            if one.each_of:
                return (*place, "each_of")
        return ()

    def placed_rules(self) -> list[tuple[tuple[str | int, ...], Rule]]:
        """Every rule with its path in the document: the general ones, then those of each connection."""
        placed: list[tuple[tuple[str | int, ...], Rule]] = [
            (("rules", index), rule) for index, rule in enumerate(self.rules)
        ]
        for name, connection in self.connections.items():
            placed += [(("connections", name, "rules", index), rule) for index, rule in enumerate(connection.rules)]
        return placed

    def guard_variables(self) -> frozenset[str]:
        """The variables of the guard's environment whose secrets it uses itself, but for those that sign."""
        used = [connection.credential for connection in self.connections.values()]
        if notify := self.approval.notify:
            used += [notify.url, *([notify.secret] if notify.secret else [])]
        return frozenset(credential.env for credential in used)

    def approvers(self) -> frozenset[str]:
        """Everybody whom the policy names as approver anywhere."""
        asking: list[Approval | Rule] = [self.approval, *(rule for _, rule in self.placed_rules())]
        lists = [names for stated in asking for names in (stated.approvers or (), *stated.each_of)]
        return frozenset(name for names in lists for name in names)

    @cached_property
    def text(self) -> str:
        """The policy as YAML with every default spelled out, without its examples; the same for equal policies."""
        from ciguard.policy.yaml_text import dump

        return dump(self.model_dump(mode="json", by_alias=True, exclude_none=True, exclude={"extends", "tests"}))

    @cached_property
    def digest(self) -> str:
        """``sha256:`` and the digest of ``text`` in hexadecimal."""
        import hashlib

        return f"sha256:{hashlib.sha256(self.text.encode()).hexdigest()}"


def json_schema() -> dict[str, Any]:
    """The JSON Schema of policy files, for editors."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **Policy.model_json_schema(by_alias=True),
        "title": "ciguard policy",
    }

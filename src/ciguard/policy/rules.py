"""Rules of a policy: what they look for, and what follows."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from ciguard.decision import Action
from ciguard.inspect.sql_statement import StatementKind
from ciguard.operation import OperationKind
from ciguard.policy.shapes import Approver, Keyword, Kind, Regex, RuleId, TableGlob, ToolGlob, refusal


class Section(BaseModel):
    """A mapping of the policy file."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, validate_by_alias=True, validate_by_name=False)


class ActionWord(StrEnum):
    """An action as policies spell it."""

    ALLOW = "allow"
    MASK = "mask"
    HOLD = "hold"
    BLOCK = "block"

    @property
    def action(self) -> Action:
        """The action of this word."""
        return Action[self.name]


class TextMatcher(Section):
    """Looks at every text of the body, keys of objects included. One regex or one keyword that matches is enough."""

    regex: tuple[Regex, ...] = Field(
        default=(),
        description="Regular expressions (RE2 syntax: no look-around, no backreferences), searched anywhere.",
    )
    keywords: tuple[Keyword, ...] = Field(default=(), description="Whole words or phrases, upper or lower case.")

    @model_validator(mode="after")
    def _not_empty(self) -> TextMatcher:
        if not self.regex and not self.keywords:
            raise refusal("a text matcher needs something to look for", "give it regex or keywords")
        return self


class ToolMatcher(Section):
    """Looks at the name of the called tool."""

    names: tuple[ToolGlob, ...] | None = Field(
        default=None,
        min_length=1,
        description="Names of tools, or groups of them; * stands for any characters. Only for on: [tool_call].",
    )
    except_: tuple[ToolGlob, ...] = Field(
        default=(),
        alias="except",
        description="Names of tools, or groups of them, that are left out. What is no call of a tool is not left out.",
    )

    @model_validator(mode="after")
    def _not_empty(self) -> ToolMatcher:
        if self.names is None and not self.except_:
            raise refusal("a tool matcher needs something to look for", "give it names or except")
        return self


class SqlMatcher(Section):
    """Looks for what SQL does, for example the SQL in the argument of a psql command."""

    statements: tuple[StatementKind, ...] = Field(
        default=(),
        description="What matches wherever it appears. call runs a procedure; outside runs programs or opens "
        "files from within the database; unknown is SQL that cannot be read or is put together while it runs.",
    )
    without_where: tuple[Literal["delete", "update"], ...] = Field(
        default=(), description="Statements that match when no WHERE restricts them; WHERE 1=1 does not."
    )
    tables: tuple[TableGlob, ...] | None = Field(
        default=None,
        min_length=1,
        description="Tables and other objects to which this is limited; * stands for any characters. A name without "
        "schema can be in any. Statements whose tables are not known match too.",
        examples=[["payments", "audit.*"]],
    )

    @model_validator(mode="after")
    def _not_empty(self) -> SqlMatcher:
        if not self.statements and not self.without_where:
            raise refusal("an sql matcher needs something to look for", "give it statements or without_where")
        return self


class Rule(Section):
    """Something to look for, and what follows when it is there. All matchers of a rule must match."""

    id: RuleId = Field(description="The name of the rule, unique in the composed policy.")
    reason: str = Field(
        default="", description="A sentence for the agent and for reviewers: why this matters, what to do instead."
    )
    on: tuple[Kind, ...] = Field(min_length=1, description="The operations and results that the rule looks at.")
    text: TextMatcher | None = Field(default=None, description="Matches texts.")
    tool: ToolMatcher | None = Field(default=None, description="Matches the names of called tools.")
    sql: SqlMatcher | None = Field(default=None, description="Matches what SQL does.")
    action: ActionWord = Field(
        default=ActionWord.ALLOW,
        description="allow only adds the risk; mask hides what text matches; hold asks a human; block refuses.",
    )
    risk: int = Field(default=0, ge=0, le=100, description="Points that the rule adds to the risk of what it matches.")
    approvers: tuple[Approver, ...] | None = Field(
        default=None,
        description="Who may release what this rule holds; those of approval when neither this nor each_of is there.",
    )
    count: int = Field(default=1, ge=1, le=20, description="How many different people of approvers must approve.")
    each_of: tuple[Annotated[tuple[Approver, ...], Field(min_length=1)], ...] = Field(
        default=(), description="Further groups of approvers: somebody of each must approve as well."
    )

    @model_validator(mode="after")
    def _sound(self) -> Rule:
        if self.text is None and self.tool is None and self.sql is None:
            raise refusal(f"rule {self.id} matches nothing", "give it a matcher: text, tool or sql")
        if self.tool is not None and OperationKind.TOOL_CALL not in self.on:
            raise refusal(
                f"rule {self.id} looks at the name of a tool, which only a tool_call has",
                "add tool_call to on, or remove tool",
                at=("tool",),
            )
        if self.tool is not None and self.tool.names is not None and set(self.on) != {OperationKind.TOOL_CALL}:
            raise refusal(
                f"rule {self.id} asks for the name of a tool, which only a tool_call has",
                "write on: [tool_call], and a second rule for the other kinds",
                at=("tool", "names"),
            )
        if self.count > 1 and not self.approvers:
            raise refusal(
                f"rule {self.id} counts approvers and names none", "give it approvers, or remove count", at=("count",)
            )
        if self.action is ActionWord.MASK and (self.text is None or self.tool is not None or self.sql is not None):
            raise refusal(
                f"rule {self.id} masks, which takes a text matcher and no other",
                "give it text: {regex: [...]} or text: {keywords: [...]}; what that matches is masked",
                at=("action",),
            )
        return self

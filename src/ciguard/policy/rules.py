"""Rules of a policy: what they look for, and what follows."""

from __future__ import annotations

from enum import StrEnum
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from ciguard.decision import Action
from ciguard.inspect.shell.trait import GitAct, Trait
from ciguard.inspect.sql_statement import StatementKind
from ciguard.operation import OperationKind
from ciguard.policy.shapes import (
    Approver,
    CommandPattern,
    FileGlob,
    Glob,
    Keyword,
    Kind,
    Regex,
    RuleId,
    TableGlob,
    ToolGlob,
    refusal,
)

if TYPE_CHECKING:
    from ciguard.inspect.shell.invocation import Invocations


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


class CommandMatcher(Section):
    """Looks at every command that a script could run, through quotes, variables and the programs that start others.

    One entry that matches is enough.
    """

    run: tuple[CommandPattern, ...] = Field(
        default=(),
        description="Commands: the program and the words that follow it, with options that it has anywhere. * stands "
        "for any characters of a word, ** for any words.",
        examples=[["terraform destroy", "docker run --privileged", "aws * delete-*", "gcloud ** delete"]],
    )
    traits: tuple[Trait, ...] = Field(
        default=(),
        description="What a script does as a whole: it runs what it downloads (downloaded-code) or decodes "
        "(decoded-code), holds a program in another language (inline-code), multiplies itself (fork-bomb), runs a text "
        "(unknown-code) or a program (unknown-program) that cannot be told beforehand, cannot be read (unreadable) or "
        "is more than is followed (too-large).",
    )

    @cached_property
    def invocations(self) -> Invocations:
        """What ``run`` says, ready to match."""
        from ciguard.inspect.shell.invocation import Invocations

        return Invocations(self.run)

    @model_validator(mode="after")
    def _not_empty(self) -> CommandMatcher:
        if not self.run and not self.traits:
            raise refusal("a command matcher needs something to look for", "give it run or traits")
        return self


class FilesMatcher(Section):
    """Looks at the files that commands and the agent's file tools touch. One entry that matches is enough.

    In a path ``*`` stands for any characters. ``~`` is any home folder, ``.`` the workspace; what begins with neither
    ``/`` nor ``~`` is looked for at any depth.
    """

    reads: tuple[FileGlob, ...] = Field(default=(), description="Files that are read, or given to a program to read.")
    writes: tuple[FileGlob, ...] = Field(default=(), description="Files that are created, changed, moved or removed.")
    deletes: tuple[FileGlob, ...] = Field(
        default=(), description="Files and folders that are removed with all that is in them."
    )

    @model_validator(mode="after")
    def _not_empty(self) -> FilesMatcher:
        if not (self.reads or self.writes or self.deletes):
            raise refusal("a files matcher needs something to look for", "give it reads, writes or deletes")
        return self


class GitMatcher(Section):
    """Looks at what git commands and pushes do."""

    acts: tuple[GitAct, ...] = Field(min_length=1, description="What is done; one of them is enough.")
    branches: tuple[Glob, ...] | None = Field(
        default=None,
        min_length=1,
        description="Branches of the remote to which this is limited; * stands for any characters. A push that does "
        "not name its branch matches too.",
        examples=[["main", "release/*"]],
    )


class KubernetesMatcher(Section):
    """Looks at what kubectl, oc and helm commands and requests to a cluster ask. All that it names must match."""

    verbs: tuple[Glob, ...] = Field(
        min_length=1,
        description="Verbs, and what they amount to: delete-all (--all, -A), scale-to-zero, rollout-restart, "
        "rollout-undo. To uninstall with helm is delete, too.",
    )
    resources: tuple[Glob, ...] | None = Field(
        default=None,
        min_length=1,
        description="Kinds of resources in the plural, releases for helm; unknown is what a command does not tell.",
        examples=[["namespaces", "nodes", "secrets"]],
    )
    namespaces: tuple[Glob, ...] | None = Field(
        default=None, min_length=1, description="Namespaces; a command that does not name one matches too."
    )
    contexts: tuple[Glob, ...] | None = Field(
        default=None, min_length=1, description="Contexts; a command that does not name one matches too."
    )


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
    command: CommandMatcher | None = Field(default=None, description="Matches what scripts and commands run.")
    files: FilesMatcher | None = Field(default=None, description="Matches the files that are touched.")
    git: GitMatcher | None = Field(default=None, description="Matches what is done with git.")
    kubernetes: KubernetesMatcher | None = Field(default=None, description="Matches what is asked of a cluster.")
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
        others = [self.sql, self.command, self.files, self.git, self.kubernetes]
        if self.text is None and self.tool is None and not any(others):
            raise refusal(
                f"rule {self.id} matches nothing",
                "give it a matcher: text, tool, sql, command, files, git or kubernetes",
            )
        self._check_kinds()
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
        if self.action is ActionWord.MASK and (self.text is None or self.tool is not None or any(others)):
            raise refusal(
                f"rule {self.id} masks, which takes a text matcher and no other",
                "give it text: {regex: [...]} or text: {keywords: [...]}; what that matches is masked",
                at=("action",),
            )
        return self

    def _check_kinds(self) -> None:
        """A matcher of commands is only for kinds that can hold one: for others the rule could never match."""
        for name, kinds in _KINDS.items():
            for index, kind in enumerate(self.on):
                if getattr(self, name) is not None and kind not in kinds:
                    raise refusal(
                        f"rule {self.id} has the matcher {name}, for which a {kind} never has anything",
                        f"write on: with some of {', '.join(kinds)}, and a second rule for the other kinds",
                        at=("on", index),
                    )


_WITH_COMMANDS = (OperationKind.TOOL_CALL, OperationKind.COMMAND, OperationKind.SSH_COMMAND)
_KINDS = {
    "command": _WITH_COMMANDS,
    "files": _WITH_COMMANDS,
    "git": (*_WITH_COMMANDS, OperationKind.GIT_PUSH),
    "kubernetes": (*_WITH_COMMANDS, OperationKind.KUBERNETES_REQUEST),
}

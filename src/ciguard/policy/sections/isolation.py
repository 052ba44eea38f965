"""The section ``isolation``: how strongly the agent is kept from the credential and the network."""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

from pydantic import Field, model_validator

from ciguard.policy.rules import Section
from ciguard.policy.shapes import AgentPath, Duration, refusal


class IsolationLevel(StrEnum):
    """How strongly the agent is kept from the credential and the network, strongest first."""

    NAMESPACE = "namespace"
    LANDLOCK = "landlock"
    USER = "user"
    NONE = "none"

    @property
    def strength(self) -> int:
        """Greater is stronger."""
        return -list(IsolationLevel).index(self)


class IsolationPaths(Section):
    """What of the file system the agent may use, besides the usual: absolute paths, ~/..., or below the workspace."""

    read: tuple[AgentPath, ...] = Field(
        default=(), description="Files and folders that the agent may read although they are a usual place of secrets."
    )
    write: tuple[AgentPath, ...] = Field(
        default=(), description="Files and folders that the agent may write besides the workspace."
    )
    hide: tuple[AgentPath, ...] = Field(
        default=(), description="Files and folders that the agent must not see, besides the usual places of secrets."
    )


class IsolationLimits(Section):
    """What the agent and all that it starts may use up; no limit when absent. Over it, the session ends."""

    processes: int | None = Field(default=None, ge=1, description="Processes at the same time.")
    memory_bytes: int | None = Field(default=None, ge=1, description="Memory in use at the same time, in bytes.")
    file_bytes: int | None = Field(default=None, ge=1, description="The largest file that can be written, in bytes.")
    disk_bytes: int | None = Field(
        default=None,
        ge=1,
        description="What the agent may add below the workspace, its HOME, its TMPDIR and isolation.paths.write, in "
        "bytes on the disk.",
    )
    wall_time: Duration | None = Field(default=None, description="How long the agent may run: 90s, 30m, 2h.")


class Protection(StrEnum):
    """What becomes of changes to files that later steps would execute, strictest first."""

    READ_ONLY = "read-only"
    REPORT = "report"


class Isolation(Section):
    """How strongly the agent must be kept from the credential and the network."""

    require: IsolationLevel = Field(
        default=IsolationLevel.LANDLOCK,
        description="The weakest level that is acceptable; below it the session does not start.",
    )
    prefer: Literal["auto", "namespace", "landlock", "user", "none"] = Field(
        default="auto", description="The level to use; auto takes the strongest that the machine offers."
    )
    protected: Protection = Field(
        default=Protection.READ_ONLY,
        description="What later steps or agents would execute: .git/hooks, .git/config, .github, .gitlab-ci.yml, this "
        "policy and the agents' own configuration in the workspace. read-only refuses or undoes changes; report "
        "lets them be and records them.",
    )
    paths: IsolationPaths = Field(
        default=IsolationPaths(), description="Files that the agent may use besides the usual."
    )
    limits: IsolationLimits = Field(default=IsolationLimits(), description="What the agent may use up.")

    @model_validator(mode="after")
    def _consistent(self) -> Isolation:
        if self.prefer != "auto" and IsolationLevel(self.prefer).strength < self.require.strength:
            raise refusal(
                f"isolation prefers {self.prefer}, which is weaker than the required {self.require}",
                "write prefer: auto, or a level at least as strong as require",
                at=("prefer",),
            )
        return self

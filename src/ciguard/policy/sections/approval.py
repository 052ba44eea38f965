"""The section ``approval``: what is held or blocked because of its risk, and who releases it."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from ciguard.policy.rules import Section
from ciguard.policy.sections.credential import Credential
from ciguard.policy.shapes import Approver, Duration, EnvironmentName, refusal, seconds

NEVER = 101
"""A threshold that no risk reaches."""


class Notify(Section):
    """A webhook that is told of requests for approval and of verdicts. It decides nothing, and nothing waits for it."""

    url: Credential = Field(
        description="Its https address, such as that of a Slack channel: whoever knows it can write there, so it is a "
        "secret of the guard's environment."
    )
    secret: Credential | None = Field(
        default=None,
        description="The secret that signs what is sent: whsec_ and base64, as Standard Webhooks has it. Unsigned when "
        "absent.",
    )


class Approval(Section):
    """When an operation is held or blocked because of its risk, and who may release it."""

    hold_at: int = Field(default=60, ge=1, le=NEVER, description="Hold at this risk and above; 101 is never reached.")
    block_at: int = Field(default=90, ge=1, le=NEVER, description="Block at this risk and above; 101 is never reached.")
    approvers: tuple[Approver, ...] | None = Field(
        default=None, description="Who may release what is held, unless the rule says; nobody when absent."
    )
    count: int = Field(default=1, ge=1, le=20, description="How many different people of approvers must approve.")
    each_of: tuple[Annotated[tuple[Approver, ...], Field(min_length=1)], ...] = Field(
        default=(), description="Further groups of approvers: somebody of each must approve as well."
    )
    self_approval: bool = Field(
        default=False,
        description="Whether the author of the change and the person who started the run may approve.",
    )
    without_pull_request: Literal["block", "issue"] = Field(
        default="block",
        description="What a hold is when the job runs for no pull request or issue: block refuses, issue opens an "
        "issue to ask in.",
    )
    most_open: int = Field(default=5, ge=1, le=50, description="Requests that may be open at the same time.")
    most: int = Field(default=20, ge=1, le=500, description="Requests in a session; what is held beyond is refused.")
    timeout: Duration | None = Field(
        default=None,
        description="How long a verdict may take before it is a refusal: 90s, 30m, 2h. When absent 30m, and 24h with "
        "mode: resume.",
    )
    mode: Literal["wait", "resume"] = Field(
        default="wait",
        description="wait keeps the agent waiting; resume ends the job, which runs again once people have decided. "
        "Only on GitHub.",
    )
    scope: Literal["once", "session"] = Field(
        default="once",
        description="What an approval releases: the operation once, or the same operation for the rest of the session.",
    )
    via: Literal["comment", "environment"] = Field(
        default="comment",
        description="How people decide: with a comment, or by letting a job into a protected environment. Only on "
        "GitHub.",
    )
    environment: EnvironmentName | None = Field(
        default=None,
        description="The environment of via: environment. Its reviewers decide, so that no approvers are named.",
        examples=["agent-approved"],
    )

    notify: Notify | None = Field(
        default=None,
        description="A webhook to tell, in the JSON that Slack takes; nobody is told when absent.",
        examples=[{"url": {"env": "CIGUARD_NOTIFY_URL"}, "secret": {"env": "CIGUARD_NOTIFY_SECRET"}}],
    )

    @property
    def timeout_seconds(self) -> int:
        """The timeout in seconds."""
        return seconds(self.timeout or {"wait": "30m", "resume": "24h"}[self.mode])

    @model_validator(mode="after")
    def _consistent(self) -> Approval:
        if (self.via == "environment") != (self.environment is not None):
            raise refusal(
                "via: environment and the name of an environment go together",
                "write via: environment and environment: NAME, or neither",
                at=("via",),
            )
        if self.via == "environment" and self.mode == "resume":
            raise refusal(
                "mode: resume is about answers in comments, and an environment's reviewers give none",
                "remove mode, or via and environment",
                at=("mode",),
            )
        return self

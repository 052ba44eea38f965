"""Where a secret of the guard comes from."""

from __future__ import annotations

from pydantic import Field

from ciguard.policy.rules import Section
from ciguard.policy.shapes import VariableName


class Credential(Section):
    """Where the guard gets a secret that it uses itself. The agent never sees it."""

    env: VariableName = Field(
        description="The variable of the guard's own environment that holds the secret: its name, never its value.",
        examples=["ANTHROPIC_API_KEY"],
    )

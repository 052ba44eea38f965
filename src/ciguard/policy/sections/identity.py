"""The section ``identity``: which jobs may start a session."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from pydantic import Field

from ciguard.policy.rules import Section
from ciguard.policy.shapes import ClaimValues, IssuerUrl


class Identity(Section):
    """Which jobs may start a session under this policy."""

    audience: str = Field(
        default="ciguard", min_length=1, description="The audience that the job's identity token must carry."
    )
    issuers: tuple[IssuerUrl, ...] = Field(
        default=(),
        description="Token issuers to trust besides the public ones, for example a GitHub Enterprise or GitLab server. "
        "Plain http only on loopback.",
    )
    allow: tuple[Annotated[Mapping[str, ClaimValues], Field(min_length=1)], ...] = Field(
        default=(),
        description="Who may start a session: any one of these entries must match. In an entry every claim must match "
        "one of its values; * in a value stands for any characters.",
        examples=[[{"repository": "acme/shop", "event_name": ["pull_request", "workflow_dispatch"]}]],
    )
    allow_layers: tuple[tuple[Annotated[Mapping[str, ClaimValues], Field(min_length=1)], ...], ...] = Field(
        default=(),
        description="Several lists like allow, of which each must match. Composition writes it: one list for each "
        "policy that has an allow list.",
    )

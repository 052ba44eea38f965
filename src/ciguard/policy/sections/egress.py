"""The section ``egress``: where the agent may connect besides the connections."""

from __future__ import annotations

from functools import cached_property
from typing import Annotated

from pydantic import BeforeValidator, Field, model_validator

from ciguard.policy.hosts import HostPattern, host_pattern
from ciguard.policy.rules import Section
from ciguard.policy.shapes import EgressPattern, Method, PathGlob, refusal


class EgressHost(Section):
    """Hosts that the agent may reach at one port, and what it may ask them for."""

    host: EgressPattern = Field(
        description="A host, or a host with a port (443 when absent); *.example.org stands for every host below "
        "example.org.",
        examples=["packages.example.com", "*.example.org:443"],
    )
    inspect: bool = Field(
        default=False,
        description="The guard opens the connection's TLS: each request is a decided and recorded http_request, and "
        "secrets in it are masked. Plain HTTP is always treated so.",
    )
    methods: tuple[Method, ...] | None = Field(
        default=None, min_length=1, description="The HTTP methods that may be used; any when absent. Needs inspect."
    )
    paths: tuple[PathGlob, ...] | None = Field(
        default=None,
        min_length=1,
        description="The paths that may be asked for, without their queries; * stands for any characters, any path "
        "when absent. Needs inspect.",
    )
    private: bool = Field(
        default=False,
        description="The host may resolve to loopback and private addresses. Link-local and metadata addresses stay "
        "out of reach.",
    )

    @model_validator(mode="after")
    def _enforceable(self) -> EgressHost:
        for key in ("methods", "paths"):
            if getattr(self, key) is not None and not self.inspect:
                raise refusal(
                    f"{key} can be held against requests that the guard sees only",
                    "add inspect: true to this host",
                    at=(key,),
                )
        return self

    @cached_property
    def pattern(self) -> HostPattern:
        """The hosts and the port."""
        return host_pattern(self.host)

    def __str__(self) -> str:
        """The entry as a policy would write it on one line."""
        extra = self.model_dump(mode="json", exclude_defaults=True, exclude={"host"})
        return f"{self.host} {extra}" if extra else self.host


def _egress_host(value: object) -> object:
    match value:
        case str():
            return {"host": value}
        case dict():
            # What a function has seen counts as Python to pydantic, where the lists of a strict model are tuples.
            return {key: tuple(item) if isinstance(item, list) else item for key, item in value.items()}
        case _:
            return value


class Egress(Section):
    """Where the agent may connect besides the connections."""

    allow: tuple[Annotated[EgressHost, BeforeValidator(_egress_host, json_schema_input_type=str | EgressHost)], ...] = (
        Field(
            default=(),
            description="Hosts that the agent may reach through the guard's proxy; a text is short for {host: text}. "
            "Nothing when absent.",
            examples=[["packages.example.com", {"host": "forge.example.com", "inspect": True, "paths": ["/api/*"]}]],
        )
    )

    @model_validator(mode="after")
    def _unambiguous(self) -> Egress:
        """Entries for the same host say the same of it, so that leaving one out never loosens the others."""
        for index, entry in enumerate(self.allow):
            for other in self.allow[:index]:
                overlap = entry.pattern.covers(other.pattern) or other.pattern.covers(entry.pattern)
                if overlap and (entry.inspect, entry.private) != (other.inspect, other.private):
                    raise refusal(
                        f"{entry.host} and {other.host} have hosts in common, but not inspect and private",
                        "give both the same inspect and private, or name hosts that do not overlap",
                        at=("allow", index),
                    )
        return self

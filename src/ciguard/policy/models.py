"""The policy file, key by key. Unknown keys, loose types and empty values are errors.

One model serves both for a document as written and for the composed policy that is enforced: composition empties
``extends`` and ``identity.allow`` and states every parent's layer in ``identity.allow_layers``.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from functools import cached_property
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, JsonValue, model_validator

from ciguard.inspect.personal_data import NameKind, PersonalData
from ciguard.policy.hosts import HostPattern, host_pattern
from ciguard.policy.rules import ActionWord, Rule, Section
from ciguard.policy.shapes import (
    KINDS,
    AgentPath,
    AllowedWord,
    Approver,
    ClaimValues,
    ConnectionName,
    Duration,
    EgressPattern,
    EnvironmentName,
    FieldName,
    Glob,
    IssuerUrl,
    Method,
    ModelName,
    PathGlob,
    Recipient,
    RemoteHost,
    UpstreamUrl,
    VariableName,
    VaultName,
    refusal,
)

VERSION = 1
"""The newest version of the policy format that this ciguard reads."""

NEVER = 101
"""A threshold that no risk reaches."""

AGENT_WORDS = ("Anthropic", "Claude", "Code", "Codex", "Copilot", "Gemini", "OpenAI")
"""Words of agents' names, which models take for people's."""


UNASKED = (
    "these approvers are not asked: the reviewers of the environment decide",
    "remove the approvers, or via: environment",
)
"""Cause and remedy when a policy asks both the approvers that it names and the reviewers of an environment."""


class ConnectionType(StrEnum):
    """The upstream APIs that this version serves."""

    ANTHROPIC = "anthropic"
    OPENAI = "openai"
    GEMINI = "gemini"


PUBLIC_UPSTREAMS = {
    ConnectionType.ANTHROPIC: "https://api.anthropic.com",
    ConnectionType.OPENAI: "https://api.openai.com",
    ConnectionType.GEMINI: "https://generativelanguage.googleapis.com",
}


def seconds(duration: str) -> int:
    """A duration such as 90s, 30m or 2h in seconds."""
    return int(duration[:-1]) * {"s": 1, "m": 60, "h": 3600}[duration[-1]]


PLANNED_TYPES = frozenset({"http", "postgres", "kubernetes", "git", "ssh"})


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


def _served(value: object) -> object:
    if isinstance(value, str) and value in PLANNED_TYPES:
        raise refusal(
            f"connections of type {value} are not served by this version of ciguard",
            f"remove this connection, or use one of: {', '.join(ConnectionType)}",
        )
    return ConnectionType(value) if isinstance(value, str) and value in set(ConnectionType) else value


def _number(value: object) -> object:
    if type(value) is not int or value != VERSION:
        raise refusal(f"the version must be the number {VERSION}", f"write version: {VERSION}")
    return value


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


class Credential(Section):
    """Where the guard gets a secret that it uses itself. The agent never sees it."""

    env: VariableName = Field(
        description="The variable of the guard's own environment that holds the secret: its name, never its value.",
        examples=["ANTHROPIC_API_KEY"],
    )


class ConnectionLimits(Section):
    """What a session may use up over one connection."""

    requests: int | None = Field(default=None, ge=1, description="Requests in a session; no limit when absent.")
    output_tokens: int | None = Field(
        default=None, ge=1, description="Tokens that models may produce in a session; no limit when absent."
    )
    request_bytes: int = Field(default=33_554_432, ge=1, description="The largest request body, in bytes.")


class Remote(Section):
    """What the agent may have the model's service itself do; the agent's closed network does not bound that."""

    tools: tuple[Glob, ...] = Field(
        default=(),
        description="Tools that the service runs itself, by the names that the API gives them, such as web_search_*, "
        "code_interpreter, google_search, mcp; * stands for any characters. None when absent.",
        examples=[["web_search*"]],
    )
    hosts: tuple[RemoteHost, ...] = Field(
        default=(),
        description='Hosts whose addresses the service may be given: of images, files and MCP servers; "*" is any '
        "address. None when absent.",
        examples=[["images.example.com", "*.example.org"]],
    )


class Connection(Section):
    """A model API that the agent may reach through the guard."""

    type: Annotated[ConnectionType, BeforeValidator(_served)] = Field(description="The API that the upstream speaks.")
    credential: Credential = Field(description="Where the guard gets the credential for the upstream.")
    upstream: UpstreamUrl = Field(
        default_factory=lambda data: PUBLIC_UPSTREAMS[data["type"]],
        description="The base URL of the API; the type's public one when absent. No trailing slash is needed.",
        examples=["https://gateway.example.com/anthropic"],
    )
    models: tuple[Glob, ...] | None = Field(
        default=None,
        min_length=1,
        description="The models that may be asked for; * stands for any characters. Any model when absent.",
        examples=[["claude-*"]],
    )
    limits: ConnectionLimits = Field(default=ConnectionLimits(), description="What a session may use up.")
    remote: Remote = Field(default=Remote(), description="What the model's service may be asked to do itself.")
    rules: tuple[Rule, ...] = Field(
        default=(), description="Rules for this connection alone, besides the general ones."
    )


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


class JobSigning(Section):
    """A key that lives as long as the session and that the job's identity vouches for."""


class SigstoreSigning(Section):
    """Sigstore certifies a key for the job's identity, and logs what it signed."""

    trust_config: Credential | None = Field(
        default=None,
        description="Where the trust configuration of your own Sigstore instance is, as JSON. Without, it is the "
        "public instance, whose log anybody can read: it publishes the names of the repository and the workflow.",
    )


class VaultSigning(Section):
    """A lasting key that never leaves the transit engine of a Vault."""

    address: UpstreamUrl = Field(
        description="The Vault's base URL; also the audience of the job's token.",
        examples=["https://vault.example.com"],
    )
    key: VaultName = Field(description="The name of the transit key: ed25519 or ecdsa-p256.")
    role: VaultName = Field(description="The role that the job logs in as, with its identity token.")
    mount: VaultName = Field(default="jwt", description="Where the JWT login is mounted.")
    transit: VaultName = Field(default="transit", description="Where the transit engine is mounted.")


class Signing(Section):
    """One of those who sign a session."""

    job: JobSigning | None = Field(
        default=None,
        description="A key that lives as long as the session and that the job's identity vouches for; job alone is "
        "short for it. Outside of CI it does nothing.",
    )
    key: Credential | None = Field(
        default=None, description="Where your own key is: Ed25519, ECDSA P-256 or RSA, in PEM, without a passphrase."
    )
    vault: VaultSigning | None = Field(
        default=None, description="A key in the transit engine of a Vault. Outside of CI it does nothing."
    )
    sigstore: SigstoreSigning | None = Field(
        default=None,
        description="A Sigstore bundle; sigstore alone is short for the public instance. Needs the extra "
        "ciguard[sigstore]. Outside of CI it does nothing.",
    )

    @model_validator(mode="after")
    def _one(self) -> Signing:
        if len([signer for signer in (self.job, self.key, self.vault, self.sigstore) if signer is not None]) != 1:
            raise refusal(
                "an entry of sign names exactly one signer", "write job, sigstore, {key: ...} or {vault: ...}"
            )
        return self


def _signing(value: object) -> object:
    return {value: {}} if isinstance(value, str) and value in ("job", "sigstore") else value


class Audit(Section):
    """Who signs a session, and who can open the originals of what was masked."""

    sign: tuple[
        Annotated[Signing, BeforeValidator(_signing, json_schema_input_type=Literal["job", "sigstore"] | Signing)], ...
    ] = Field(
        default=(Signing(job=JobSigning()),),
        description="Who signs the session; job when absent.",
        examples=[["job", {"key": {"env": "CIGUARD_SIGNING_KEY"}}]],
    )

    recipients: tuple[Recipient, ...] = Field(
        default=(),
        description="age recipients or SSH public keys of the auditors; no originals are kept when absent. "
        "For github:USER, ciguard policy check prints the keys to write.",
    )


class MaskedNames(Section):
    """Names of people and places, which a spaCy model recognises through Presidio."""

    model: ModelName = Field(
        description="The spaCy model: an installed package, or the absolute path of a saved pipeline outside of the "
        "workspace. It is never downloaded. Needs the extra ciguard[names].",
        examples=["/opt/models/en_core_web_sm"],
    )
    kinds: tuple[NameKind, ...] = Field(
        default=tuple(NameKind), min_length=1, description="Kinds of names that are masked."
    )
    allow: tuple[AllowedWord, ...] = Field(
        default=AGENT_WORDS,
        description="Words, in any case, that stay when a name is made of them alone, such as those of your project.",
    )


class Masking(Section):
    """What is masked besides secrets."""

    personal_data: tuple[PersonalData, ...] = Field(
        default=(), description="Kinds of personal data that are masked wherever they appear; none when absent."
    )
    fields: tuple[FieldName, ...] = Field(
        default=(),
        description="Names of fields, in any case and at any depth, or JSON pointers from the root of the arguments or "
        "the result of a tool: what they hold is masked, whatever it is.",
        examples=[["password", "/customer/ssn"]],
    )
    names: MaskedNames | None = Field(
        default=None,
        description="Names of people and places that are masked in what models and agents say; none when absent.",
    )


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

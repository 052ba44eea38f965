"""The policy file, key by key. Unknown keys, loose types and empty values are errors.

One model serves both for a document as written and for the composed policy that is enforced: composition empties
``extends`` and ``identity.allow`` and states every parent's layer in ``identity.allow_layers``.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from functools import cached_property
from typing import Any, Literal

from ciguard.inspect.personal_data import NameKind, PersonalData
from ciguard.operation import Json
from ciguard.policy.hosts import HostPattern, host_pattern
from ciguard.policy.reading import (
    Anything,
    ListOf,
    MappingOf,
    Maybe,
    Number,
    OneOf,
    Refusal,
    Schema,
    Screened,
    Text,
    YesOrNo,
    one_of,
)
from ciguard.policy.rules import ActionWord, Rule
from ciguard.policy.section import Inner, Section, declare, section_schema
from ciguard.policy.shapes import (
    AGENT_PATH,
    ALLOWED_WORD,
    APPROVER,
    CLAIM_VALUES,
    CONNECTION_NAME,
    DURATION,
    EGRESS_PATTERN,
    ENVIRONMENT_NAME,
    FIELD_NAME,
    GLOB,
    ISSUER_URL,
    KINDS,
    METHOD,
    MODEL_NAME,
    PATH_GLOB,
    RECIPIENT,
    REMOTE_HOST,
    UPSTREAM_URL,
    VARIABLE_NAME,
    VAULT_NAME,
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


def _served(value: Json) -> Json:
    if isinstance(value, str) and value in PLANNED_TYPES:
        raise Refusal(
            f"connections of type {value} are not served by this version of ciguard",
            f"remove this connection, or use one of: {', '.join(ConnectionType)}",
        )
    return value


def _number(value: Json) -> Json:
    if type(value) is not int or value != VERSION:
        raise Refusal(f"the version must be the number {VERSION}", f"write version: {VERSION}")
    return value


class Identity(Section):
    """Which jobs may start a session under this policy."""

    audience: str = declare(
        Text(least=1), default="ciguard", about="The audience that the job's identity token must carry."
    )
    issuers: tuple[str, ...] = declare(
        ListOf(ISSUER_URL),
        default=(),
        about="Token issuers to trust besides the public ones, for example a GitHub Enterprise or GitLab server. "
        "Plain http only on loopback.",
    )
    allow: tuple[Mapping[str, tuple[str, ...]], ...] = declare(
        ListOf(MappingOf(CLAIM_VALUES, least=1)),
        default=(),
        about="Who may start a session: any one of these entries must match. In an entry every claim must match "
        "one of its values; * in a value stands for any characters.",
        examples=([{"repository": "acme/shop", "event_name": ["pull_request", "workflow_dispatch"]}],),
    )
    allow_layers: tuple[tuple[Mapping[str, tuple[str, ...]], ...], ...] = declare(
        ListOf(ListOf(MappingOf(CLAIM_VALUES, least=1))),
        default=(),
        about="Several lists like allow, of which each must match. Composition writes it: one list for each "
        "policy that has an allow list.",
    )


class Credential(Section):
    """Where the guard gets a secret that it uses itself. The agent never sees it."""

    env: str = declare(
        VARIABLE_NAME,
        about="The variable of the guard's own environment that holds the secret: its name, never its value.",
        examples=("ANTHROPIC_API_KEY",),
    )


class ConnectionLimits(Section):
    """What a session may use up over one connection."""

    requests: int | None = declare(Maybe(Number(1)), default=None, about="Requests in a session; no limit when absent.")
    output_tokens: int | None = declare(
        Maybe(Number(1)), default=None, about="Tokens that models may produce in a session; no limit when absent."
    )
    request_bytes: int = declare(Number(1), default=33_554_432, about="The largest request body, in bytes.")


class Remote(Section):
    """What the agent may have the model's service itself do; the agent's closed network does not bound that."""

    tools: tuple[str, ...] = declare(
        ListOf(GLOB),
        default=(),
        about="Tools that the service runs itself, by the names that the API gives them, such as web_search_*, "
        "code_interpreter, google_search, mcp; * stands for any characters. None when absent.",
        examples=(["web_search*"],),
    )
    hosts: tuple[str, ...] = declare(
        ListOf(REMOTE_HOST),
        default=(),
        about='Hosts whose addresses the service may be given: of images, files and MCP servers; "*" is any '
        "address. None when absent.",
        examples=(["images.example.com", "*.example.org"],),
    )


class Connection(Section):
    """A model API that the agent may reach through the guard."""

    type: ConnectionType = declare(Screened(one_of(ConnectionType), _served), about="The API that the upstream speaks.")
    credential: Credential = declare(Inner(Credential), about="Where the guard gets the credential for the upstream.")
    upstream: str = declare(
        UPSTREAM_URL,
        factory=lambda data: PUBLIC_UPSTREAMS[data["type"]],
        about="The base URL of the API; the type's public one when absent. No trailing slash is needed.",
        examples=("https://gateway.example.com/anthropic",),
    )
    models: tuple[str, ...] | None = declare(
        Maybe(ListOf(GLOB, least=1)),
        default=None,
        about="The models that may be asked for; * stands for any characters. Any model when absent.",
        examples=(["claude-*"],),
    )
    limits: ConnectionLimits = declare(
        Inner(ConnectionLimits), default=ConnectionLimits(), about="What a session may use up."
    )
    remote: Remote = declare(
        Inner(Remote), default=Remote(), about="What the model's service may be asked to do itself."
    )
    rules: tuple[Rule, ...] = declare(
        ListOf(Inner(Rule)), default=(), about="Rules for this connection alone, besides the general ones."
    )


class Notify(Section):
    """A webhook that is told of requests for approval and of verdicts. It decides nothing, and nothing waits for it."""

    url: Credential = declare(
        Inner(Credential),
        about="Its https address, such as that of a Slack channel: whoever knows it can write there, so it is a "
        "secret of the guard's environment.",
    )
    secret: Credential | None = declare(
        Maybe(Inner(Credential)),
        default=None,
        about="The secret that signs what is sent: whsec_ and base64, as Standard Webhooks has it. Unsigned when "
        "absent.",
    )


class Approval(Section):
    """When an operation is held or blocked because of its risk, and who may release it."""

    hold_at: int = declare(Number(1, NEVER), default=60, about="Hold at this risk and above; 101 is never reached.")
    block_at: int = declare(Number(1, NEVER), default=90, about="Block at this risk and above; 101 is never reached.")
    approvers: tuple[str, ...] | None = declare(
        Maybe(ListOf(APPROVER)),
        default=None,
        about="Who may release what is held, unless the rule says; nobody when absent.",
    )
    count: int = declare(Number(1, 20), default=1, about="How many different people of approvers must approve.")
    each_of: tuple[tuple[str, ...], ...] = declare(
        ListOf(ListOf(APPROVER, least=1)),
        default=(),
        about="Further groups of approvers: somebody of each must approve as well.",
    )
    self_approval: bool = declare(
        YesOrNo(),
        default=False,
        about="Whether the author of the change and the person who started the run may approve.",
    )
    without_pull_request: Literal["block", "issue"] = declare(
        OneOf(("block", "issue")),
        default="block",
        about="What a hold is when the job runs for no pull request or issue: block refuses, issue opens an "
        "issue to ask in.",
    )
    most_open: int = declare(Number(1, 50), default=5, about="Requests that may be open at the same time.")
    most: int = declare(Number(1, 500), default=20, about="Requests in a session; what is held beyond is refused.")
    timeout: str | None = declare(
        Maybe(DURATION),
        default=None,
        about="How long a verdict may take before it is a refusal: 90s, 30m, 2h. When absent 30m, and 24h with "
        "mode: resume.",
    )
    mode: Literal["wait", "resume"] = declare(
        OneOf(("wait", "resume")),
        default="wait",
        about="wait keeps the agent waiting; resume ends the job, which runs again once people have decided. "
        "Only on GitHub.",
    )
    scope: Literal["once", "session"] = declare(
        OneOf(("once", "session")),
        default="once",
        about="What an approval releases: the operation once, or the same operation for the rest of the session.",
    )
    via: Literal["comment", "environment"] = declare(
        OneOf(("comment", "environment")),
        default="comment",
        about="How people decide: with a comment, or by letting a job into a protected environment. Only on GitHub.",
    )
    environment: str | None = declare(
        Maybe(ENVIRONMENT_NAME),
        default=None,
        about="The environment of via: environment. Its reviewers decide, so that no approvers are named.",
        examples=("agent-approved",),
    )

    notify: Notify | None = declare(
        Maybe(Inner(Notify)),
        default=None,
        about="A webhook to tell, in the JSON that Slack takes; nobody is told when absent.",
        examples=({"url": {"env": "CIGUARD_NOTIFY_URL"}, "secret": {"env": "CIGUARD_NOTIFY_SECRET"}},),
    )

    @property
    def timeout_seconds(self) -> int:
        """The timeout in seconds."""
        return seconds(self.timeout or {"wait": "30m", "resume": "24h"}[self.mode])

    def check(self) -> None:
        """See :class:`Section`."""
        if (self.via == "environment") != (self.environment is not None):
            raise Refusal(
                "via: environment and the name of an environment go together",
                "write via: environment and environment: NAME, or neither",
                at=("via",),
            )
        if self.via == "environment" and self.mode == "resume":
            raise Refusal(
                "mode: resume is about answers in comments, and an environment's reviewers give none",
                "remove mode, or via and environment",
                at=("mode",),
            )


class IsolationPaths(Section):
    """What of the file system the agent may use, besides the usual: absolute paths, ~/..., or below the workspace."""

    read: tuple[str, ...] = declare(
        ListOf(AGENT_PATH),
        default=(),
        about="Files and folders that the agent may read although they are a usual place of secrets.",
    )
    write: tuple[str, ...] = declare(
        ListOf(AGENT_PATH), default=(), about="Files and folders that the agent may write besides the workspace."
    )
    hide: tuple[str, ...] = declare(
        ListOf(AGENT_PATH),
        default=(),
        about="Files and folders that the agent must not see, besides the usual places of secrets.",
    )


class IsolationLimits(Section):
    """What the agent and all that it starts may use up; no limit when absent. Over it, the session ends."""

    processes: int | None = declare(Maybe(Number(1)), default=None, about="Processes at the same time.")
    memory_bytes: int | None = declare(
        Maybe(Number(1)), default=None, about="Memory in use at the same time, in bytes."
    )
    file_bytes: int | None = declare(
        Maybe(Number(1)), default=None, about="The largest file that can be written, in bytes."
    )
    disk_bytes: int | None = declare(
        Maybe(Number(1)),
        default=None,
        about="What the agent may add below the workspace, its HOME, its TMPDIR and isolation.paths.write, in "
        "bytes on the disk.",
    )
    wall_time: str | None = declare(Maybe(DURATION), default=None, about="How long the agent may run: 90s, 30m, 2h.")


class Protection(StrEnum):
    """What becomes of changes to files that later steps would execute, strictest first."""

    READ_ONLY = "read-only"
    REPORT = "report"


class Isolation(Section):
    """How strongly the agent must be kept from the credential and the network."""

    require: IsolationLevel = declare(
        one_of(IsolationLevel),
        default=IsolationLevel.LANDLOCK,
        about="The weakest level that is acceptable; below it the session does not start.",
    )
    prefer: Literal["auto", "namespace", "landlock", "user", "none"] = declare(
        OneOf(("auto", "namespace", "landlock", "user", "none")),
        default="auto",
        about="The level to use; auto takes the strongest that the machine offers.",
    )
    protected: Protection = declare(
        one_of(Protection),
        default=Protection.READ_ONLY,
        about="What later steps or agents would execute: .git/hooks, .git/config, .github, .gitlab-ci.yml, this "
        "policy and the agents' own configuration in the workspace. read-only refuses or undoes changes; report "
        "lets them be and records them.",
    )
    paths: IsolationPaths = declare(
        Inner(IsolationPaths), default=IsolationPaths(), about="Files that the agent may use besides the usual."
    )
    limits: IsolationLimits = declare(
        Inner(IsolationLimits), default=IsolationLimits(), about="What the agent may use up."
    )

    def check(self) -> None:
        """See :class:`Section`."""
        if self.prefer != "auto" and IsolationLevel(self.prefer).strength < self.require.strength:
            raise Refusal(
                f"isolation prefers {self.prefer}, which is weaker than the required {self.require}",
                "write prefer: auto, or a level at least as strong as require",
                at=("prefer",),
            )


class EgressHost(Section):
    """Hosts that the agent may reach at one port, and what it may ask them for."""

    host: str = declare(
        EGRESS_PATTERN,
        about="A host, or a host with a port (443 when absent); *.example.org stands for every host below example.org.",
        examples=(
            "packages.example.com",
            "*.example.org:443",
        ),
    )
    inspect: bool = declare(
        YesOrNo(),
        default=False,
        about="The guard opens the connection's TLS: each request is a decided and recorded http_request, and "
        "secrets in it are masked. Plain HTTP is always treated so.",
    )
    methods: tuple[str, ...] | None = declare(
        Maybe(ListOf(METHOD, least=1)),
        default=None,
        about="The HTTP methods that may be used; any when absent. Needs inspect.",
    )
    paths: tuple[str, ...] | None = declare(
        Maybe(ListOf(PATH_GLOB, least=1)),
        default=None,
        about="The paths that may be asked for, without their queries; * stands for any characters, any path "
        "when absent. Needs inspect.",
    )
    private: bool = declare(
        YesOrNo(),
        default=False,
        about="The host may resolve to loopback and private addresses. Link-local and metadata addresses stay "
        "out of reach.",
    )

    def check(self) -> None:
        """See :class:`Section`."""
        for limit in ("methods", "paths"):
            if getattr(self, limit) is not None and not self.inspect:
                raise Refusal(
                    f"{limit} can be held against requests that the guard sees only",
                    "add inspect: true to this host",
                    at=(limit,),
                )

    @cached_property
    def pattern(self) -> HostPattern:
        """The hosts and the port."""
        return host_pattern(self.host)

    def __str__(self) -> str:
        """The entry as a policy would write it on one line."""
        extra = {word: value for word, value in self.written(without=("host",)).items() if value}
        return f"{self.host} {extra}" if extra else self.host


def _egress_host(value: Json) -> Json:
    return {"host": value} if isinstance(value, str) else value


class Egress(Section):
    """Where the agent may connect besides the connections."""

    allow: tuple[EgressHost, ...] = declare(
        ListOf(Screened(Inner(EgressHost), _egress_host, short=EGRESS_PATTERN)),
        default=(),
        about="Hosts that the agent may reach through the guard's proxy; a text is short for {host: text}. "
        "Nothing when absent.",
        examples=(["packages.example.com", {"host": "forge.example.com", "inspect": True, "paths": ["/api/*"]}],),
    )

    def check(self) -> None:
        """Entries for the same host say the same of it, so that leaving one out never loosens the others."""
        for index, entry in enumerate(self.allow):
            for other in self.allow[:index]:
                overlap = entry.pattern.covers(other.pattern) or other.pattern.covers(entry.pattern)
                if overlap and (entry.inspect, entry.private) != (other.inspect, other.private):
                    raise Refusal(
                        f"{entry.host} and {other.host} have hosts in common, but not inspect and private",
                        "give both the same inspect and private, or name hosts that do not overlap",
                        at=("allow", index),
                    )


class JobSigning(Section):
    """A key that lives as long as the session and that the job's identity vouches for."""


class SigstoreSigning(Section):
    """Sigstore certifies a key for the job's identity, and logs what it signed."""

    trust_config: Credential | None = declare(
        Maybe(Inner(Credential)),
        default=None,
        about="Where the trust configuration of your own Sigstore instance is, as JSON. Without, it is the "
        "public instance, whose log anybody can read: it publishes the names of the repository and the workflow.",
    )


class VaultSigning(Section):
    """A lasting key that never leaves the transit engine of a Vault."""

    address: str = declare(
        UPSTREAM_URL,
        about="The Vault's base URL; also the audience of the job's token.",
        examples=("https://vault.example.com",),
    )
    key: str = declare(VAULT_NAME, about="The name of the transit key: ed25519 or ecdsa-p256.")
    role: str = declare(VAULT_NAME, about="The role that the job logs in as, with its identity token.")
    mount: str = declare(VAULT_NAME, default="jwt", about="Where the JWT login is mounted.")
    transit: str = declare(VAULT_NAME, default="transit", about="Where the transit engine is mounted.")


class Signing(Section):
    """One of those who sign a session."""

    job: JobSigning | None = declare(
        Maybe(Inner(JobSigning)),
        default=None,
        about="A key that lives as long as the session and that the job's identity vouches for; job alone is "
        "short for it. Outside of CI it does nothing.",
    )
    key: Credential | None = declare(
        Maybe(Inner(Credential)),
        default=None,
        about="Where your own key is: Ed25519, ECDSA P-256 or RSA, in PEM, without a passphrase.",
    )
    vault: VaultSigning | None = declare(
        Maybe(Inner(VaultSigning)),
        default=None,
        about="A key in the transit engine of a Vault. Outside of CI it does nothing.",
    )
    sigstore: SigstoreSigning | None = declare(
        Maybe(Inner(SigstoreSigning)),
        default=None,
        about="A Sigstore bundle; sigstore alone is short for the public instance. Needs the extra "
        "ciguard[sigstore]. Outside of CI it does nothing.",
    )

    def check(self) -> None:
        """See :class:`Section`."""
        if len([signer for signer in (self.job, self.key, self.vault, self.sigstore) if signer is not None]) != 1:
            raise Refusal(
                "an entry of sign names exactly one signer", "write job, sigstore, {key: ...} or {vault: ...}"
            )


def _signing(value: Json) -> Json:
    return {value: {}} if isinstance(value, str) and value in ("job", "sigstore") else value


class Audit(Section):
    """Who signs a session, and who can open the originals of what was masked."""

    sign: tuple[Signing, ...] = declare(
        ListOf(Screened(Inner(Signing), _signing, short=OneOf(("job", "sigstore")))),
        default=(Signing(job=JobSigning()),),
        about="Who signs the session; job when absent.",
        examples=(["job", {"key": {"env": "CIGUARD_SIGNING_KEY"}}],),
    )

    recipients: tuple[str, ...] = declare(
        ListOf(RECIPIENT),
        default=(),
        about="age recipients or SSH public keys of the auditors; no originals are kept when absent. "
        "For github:USER, ciguard policy check prints the keys to write.",
    )


class MaskedNames(Section):
    """Names of people and places, which a spaCy model recognises through Presidio."""

    model: str = declare(
        MODEL_NAME,
        about="The spaCy model: an installed package, or the absolute path of a saved pipeline outside of the "
        "workspace. It is never downloaded. Needs the extra ciguard[names].",
        examples=("/opt/models/en_core_web_sm",),
    )
    kinds: tuple[NameKind, ...] = declare(
        ListOf(one_of(NameKind), least=1), default=tuple(NameKind), about="Kinds of names that are masked."
    )
    allow: tuple[str, ...] = declare(
        ListOf(ALLOWED_WORD),
        default=AGENT_WORDS,
        about="Words, in any case, that stay when a name is made of them alone, such as those of your project.",
    )


class Masking(Section):
    """What is masked besides secrets."""

    personal_data: tuple[PersonalData, ...] = declare(
        ListOf(one_of(PersonalData)),
        default=(),
        about="Kinds of personal data that are masked wherever they appear; none when absent.",
    )
    fields: tuple[str, ...] = declare(
        ListOf(FIELD_NAME),
        default=(),
        about="Names of fields, in any case and at any depth, or JSON pointers from the root of the arguments or "
        "the result of a tool: what they hold is masked, whatever it is.",
        examples=(["password", "/customer/ssn"],),
    )
    names: MaskedNames | None = declare(
        Maybe(Inner(MaskedNames)),
        default=None,
        about="Names of people and places that are masked in what models and agents say; none when absent.",
    )


class SessionLimits(Section):
    """When the guard ends a session."""

    refusals_in_a_row: int = declare(
        Number(1), default=10, about="Refusals without anything allowed between them after which the session ends."
    )


class Example(Section):
    """What the policy must decide of an operation; ciguard policy test runs it."""

    operation: Mapping[str, Mapping[str, Json]] = declare(
        MappingOf(MappingOf(Anything())),
        about="One operation or result: {kind: body}.",
        examples=({"tool_call": {"name": "Bash", "input": {"command": "git status"}}},),
    )
    connection: str = declare(Text(), default="", about="The connection that it goes over; none when absent.")
    expect: ActionWord = declare(one_of(ActionWord), about="The decision.")
    rules: tuple[str, ...] = declare(ListOf(Text()), default=(), about="Rules that must be among the reasons.")

    def check(self) -> None:
        """See :class:`Section`."""
        if len(self.operation) != 1 or next(iter(self.operation)) not in KINDS:
            raise Refusal(
                "an example has exactly one operation",
                f"write operation: {{kind: body}} where kind is one of: {', '.join(KINDS)}",
                at=("operation",),
            )


class Policy(Section):
    """A ciguard policy: what an agent may do in a CI job."""

    version: int = declare(Screened(Number(VERSION, VERSION), _number), about="The version of the policy format.")
    extends: tuple[str, ...] = declare(
        ListOf(Text()),
        default=(),
        about="Policies to start from: presets (ciguard:observe, ciguard:standard, ciguard:strict) and files, "
        "relative to this one. This file can tighten what it extends, never loosen it.",
        examples=(["ciguard:standard"],),
    )
    identity: Identity = declare(Inner(Identity), default=Identity(), about="Which jobs may start a session.")
    connections: Mapping[str, Connection] = declare(
        MappingOf(Inner(Connection), key=CONNECTION_NAME),
        default={},
        about="The model APIs that the agent may reach, by name; what is not named is refused.",
    )
    rules: tuple[Rule, ...] = declare(
        ListOf(Inner(Rule)), default=(), about="Rules for everything that the agent does and gets."
    )
    approval: Approval = declare(
        Inner(Approval), default=Approval(), about="Thresholds of risk, and who releases held operations."
    )
    isolation: Isolation = declare(
        Inner(Isolation), default=Isolation(), about="How strongly the agent must be isolated."
    )
    egress: Egress = declare(
        Inner(Egress), default=Egress(), about="Where the agent may connect besides the connections."
    )
    audit: Audit = declare(Inner(Audit), default=Audit(), about="Who can open the originals of what was masked.")
    masking: Masking = declare(Inner(Masking), default=Masking(), about="What is masked besides secrets.")
    limits: SessionLimits = declare(
        Inner(SessionLimits), default=SessionLimits(), about="When the guard ends a session."
    )
    env: tuple[str, ...] = declare(
        ListOf(VARIABLE_NAME),
        default=(),
        about="Names of variables that are passed on to the agent besides the ordinary ones.",
    )
    secrets: tuple[str, ...] = declare(
        ListOf(VARIABLE_NAME),
        default=(),
        about="Names of variables of the guard's environment whose values are masked everywhere.",
    )
    tests: tuple[Example, ...] = declare(
        ListOf(Inner(Example)), default=(), about="Examples with their decisions; ciguard policy test runs them."
    )

    def check(self) -> None:
        """See :class:`Section`."""
        seen: set[str] = set()
        for place, rule in self.placed_rules():
            if rule.id in seen:
                raise Refusal(f"there are two rules {rule.id}", "give each rule an id of its own", at=(*place, "id"))
            seen.add(rule.id)
        for index, name in enumerate(self.env):
            if name in self.guard_variables():
                raise Refusal(
                    f"{name} holds a secret of the guard's own and must not reach the agent",
                    "remove it from env: for a model, the guard gives the agent a token of its own",
                    at=("env", index),
                )
        if stated := self.unasked():
            raise Refusal(*UNASKED, at=stated)

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

        return dump(self.written(without=("extends", "tests")))

    @cached_property
    def digest(self) -> str:
        """``sha256:`` and the digest of ``text`` in hexadecimal."""
        import hashlib

        return f"sha256:{hashlib.sha256(self.text.encode()).hexdigest()}"


def json_schema() -> dict[str, Any]:
    """The JSON Schema of policy files, for editors."""
    named: dict[str, Schema] = {}
    schema = section_schema(Policy, named)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "ciguard policy",
        **schema,
        "$defs": named,
    }

"""The small values of a policy file: their shapes, and what to say when a value has another."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, GetCoreSchemaHandler, GetJsonSchemaHandler, WithJsonSchema
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from ciguard.operation import OperationKind, ResultKind
from ciguard.policy.hosts import HostError, host_pattern
from ciguard.policy.tools import GROUPS

LOOPBACK = ("127.0.0.1", "localhost", "::1")


def refusal(cause: str, remedy: str, *, at: tuple[str | int, ...] = ()) -> PydanticCustomError:
    """A validation error that carries its remedy, and ``at``: where below the validated value it is."""
    return PydanticCustomError("policy", "{cause}", {"cause": cause, "remedy": remedy, "at": at})


@dataclass(frozen=True, slots=True)
class Shape:
    """A text that must match ``pattern`` as a whole. The value itself is never shown: it may be a pasted secret."""

    pattern: str
    what: str
    remedy: str

    def check(self, value: str) -> str:
        """``value`` when it has this shape."""
        if re.fullmatch(self.pattern, value) is None:
            raise refusal(f"this is not {self.what}", self.remedy)
        return value

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self.check, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {**handler(schema), "pattern": f"^(?:{self.pattern})$"}


def _upstream(value: str) -> str:
    example = "write for example https://gateway.example.com/anthropic"
    try:
        parts = urlsplit(value)
        port_is_valid = parts.port is None or parts.port > 0
    except ValueError:
        raise refusal("this is not a URL", example) from None
    if not parts.hostname or not port_is_valid or re.search(r"[^!-~]|\\", value):
        raise refusal("this is not a URL", example)
    if "@" in parts.netloc:
        raise refusal(
            "a URL here holds no user and no password", "name the credential in the connection's credential key"
        )
    if "?" in value or "#" in value:
        raise refusal("a URL here has no query and no fragment", example)
    if parts.scheme == "http" and parts.hostname not in LOOPBACK:
        raise refusal("plain http is served only on loopback", "use an https URL")
    if parts.scheme not in ("http", "https"):
        raise refusal("this is not an https URL", example)
    if any(segment in (".", "..") for segment in parts.path.split("/")):
        raise refusal("a URL here has no . and .. in its path", example)
    return value.rstrip("/")


def _host_pattern(value: str) -> str:
    try:
        host_pattern(value)
    except HostError as error:
        raise refusal(
            f"this is not a host pattern: {error}", 'write host, host:port, "*.example.org" or "*.example.org:443"'
        ) from None
    return value


def _regex(value: str) -> str:
    from ciguard.inspect.text_rules import PatternError, compile_pattern

    try:
        compile_pattern(value)
    except PatternError as error:
        raise refusal(error.cause, error.remedy) from None
    return value


def _keyword(value: str) -> str:
    if not value.strip():
        raise refusal("this keyword is empty", "write a word, or remove the line")
    return value


def _tool_glob(value: str) -> str:
    if value.startswith("ciguard:") and value not in GROUPS:
        raise refusal(f"there is no group of tools {value[:40]!r}", f"choose from: {', '.join(GROUPS)}")
    return value


def _kind(value: str) -> str:
    if value not in KINDS:
        raise refusal(f"there is no operation or result {value[:40]!r}", f"choose from: {', '.join(KINDS)}")
    return value


def _listed(value: object) -> object:
    match value:
        case str():
            return (value,)
        case list():
            return tuple(value)
        case _:
            raise refusal("a claim's value is a text or a list of texts", "put the value in quotes")


KINDS: tuple[str, ...] = (*OperationKind, *ResultKind)
"""What rules can look at: the operations and the results."""

ConnectionName = Annotated[
    str,
    Shape(
        r"[a-z][a-z0-9-]{0,31}",
        "a connection name",
        "use a lower-case letter, then up to 31 lower-case letters, digits and hyphens, for example claude",
    ),
]
RuleId = Annotated[
    str,
    Shape(
        r"(?=.{1,64}$)[a-z][a-z0-9]*(?:-[a-z0-9]+)*",
        "a rule id",
        "use lower-case words joined by hyphens, at most 64 characters, for example no-force-push",
    ),
]
VariableName = Annotated[
    str,
    Shape(
        r"[A-Za-z_][A-Za-z0-9_]{0,127}",
        "the name of an environment variable",
        "write the name of a variable, for example ANTHROPIC_API_KEY, and never the value itself",
    ),
]
VaultName = Annotated[
    str,
    Shape(
        r"[A-Za-z0-9_-]{1,128}(?:/[A-Za-z0-9_-]{1,128}){0,7}",
        "a name or path in a Vault",
        "write letters, digits, - and _, with / between the parts of a path",
    ),
]
Approver = Annotated[
    str,
    Shape(
        r"@[A-Za-z0-9][A-Za-z0-9_.-]*(?:/[A-Za-z0-9_.-]+)*|role:(?:write|maintain|admin)|codeowners:/\S{0,500}"
        r"|rule:[^\s\x00-\x1f\x7f](?:[^\x00-\x1f\x7f]{0,253}[^\s\x00-\x1f\x7f])?",
        "an approver",
        'write a user, a team, a role, the owners of a path or an approval rule in quotes, for example "@alice", '
        '"@acme/security", "role:maintain", "codeowners:/db/" or "rule:Security"',
    ),
]
Duration = Annotated[
    str,
    Shape(r"[1-9][0-9]{0,5}[smh]", "a duration", "write a number and a unit: 90s, 30m or 2h"),
]
EnvironmentName = Annotated[
    str,
    Shape(
        r"[A-Za-z0-9][A-Za-z0-9 ._/-]{0,254}",
        "an environment's name",
        "write the name as the repository's settings have it, for example agent-approved",
    ),
]
AgentPath = Annotated[
    str,
    Shape(
        r"(?!.*(?:^|/)\.\.?(?:/|$))(?:/|~/|[^/~\0])[^\0]{0,1000}",
        "a path",
        "write an absolute path, one below the home directory (~/...) or one below the workspace; without . and ..",
    ),
]
EgressPattern = Annotated[
    str,
    Shape(
        r"(?:(?:\*\.)?[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+\])(?::[1-9][0-9]{0,4})?",
        "a host pattern",
        'write host, host:port, "*.example.org" or "*.example.org:443"',
    ),
    AfterValidator(_host_pattern),
]
RemoteHost = Literal["*"] | EgressPattern
Method = Annotated[str, Shape(r"[A-Z][A-Z-]{0,31}", "an HTTP method", "write it in capital letters, for example GET")]
PathGlob = Annotated[
    str,
    Shape(
        r"/[!->@-~]*",
        "a path",
        "write a path as a URL has it, without its query, in which * stands for any characters: /api/*",
    ),
]
Recipient = Annotated[
    str,
    Shape(
        r"age1[0-9a-z]{58}|ssh-(?:ed25519|rsa) [A-Za-z0-9+/]+={0,2}(?: .*)?|github:[A-Za-z0-9][A-Za-z0-9-]{0,38}",
        "an age recipient",
        "write an age1... recipient or an ssh-ed25519 or ssh-rsa public key; other key types are not supported",
    ),
]
IssuerUrl = Annotated[str, AfterValidator(_upstream)]
UpstreamUrl = Annotated[str, AfterValidator(_upstream)]
Regex = Annotated[str, AfterValidator(_regex)]
Keyword = Annotated[str, AfterValidator(_keyword)]
Glob = Annotated[str, Shape(r"\S{1,200}", "a glob", "write a name in which * stands for any characters")]
FieldName = Annotated[
    str,
    Shape(
        r"[A-Za-z0-9_$.@-]{2,64}|(?:/[^/\s]{1,64}){1,16}",
        "the name of a field",
        "write a name such as password, or a JSON pointer such as /customer/ssn",
    ),
]
ModelName = Annotated[
    str,
    Shape(
        r"[A-Za-z_][A-Za-z0-9_]{0,99}|(?!.*/\.\.?(?:/|$))/[^\0]{1,1000}",
        "a model",
        "write the name of an installed package, or an absolute path without . and ..",
    ),
]
AllowedWord = Annotated[str, Shape(r"\w{1,64}", "a word", "write one word without spaces and signs")]
TableGlob = Annotated[
    str,
    Shape(r"[^\s.]{1,100}(?:\.[^\s.]{1,100}){0,2}", "the name of a table", "write table, schema.table or schema.*"),
]
CommandPattern = Annotated[
    str,
    Shape(
        r"[^\s-]\S*(?: \S+){0,15}",
        "a pattern of commands",
        "write a program and the words that follow it with single spaces: docker run --privileged",
    ),
]
FileGlob = Annotated[
    str,
    Shape(
        r"(?!\./.)[^\n]{1,200}(?<!/)|/",
        "a path",
        "write a path without ./ in front and / behind, in which * stands for any characters: /etc/*, ~/.ssh/*, .env",
    ),
]
ToolGlob = Annotated[Glob, AfterValidator(_tool_glob)]
Kind = Annotated[str, AfterValidator(_kind), WithJsonSchema({"enum": list(KINDS)})]
ClaimValues = Annotated[
    tuple[Annotated[str, Shape(r"(?s).+", "a claim's value", "write the value that the claim must have")], ...],
    Field(min_length=1),
    BeforeValidator(_listed),
    WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}, "minItems": 1}]}),
]


def seconds(duration: str) -> int:
    """A duration such as 90s, 30m or 2h in seconds."""
    return int(duration[:-1]) * {"s": 1, "m": 60, "h": 3600}[duration[-1]]

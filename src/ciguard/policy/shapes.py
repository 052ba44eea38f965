"""The small values of a policy file: their shapes, and what to say when a value has another."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from ciguard.operation import Json, OperationKind, ResultKind
from ciguard.policy.hosts import HostError, host_pattern
from ciguard.policy.reading import Checked, ListOf, OneOf, Refusal, Schema, Screened, Shape, Text
from ciguard.policy.tools import GROUPS

LOOPBACK = ("127.0.0.1", "localhost", "::1")


def _upstream(value: str) -> str:
    example = "write for example https://gateway.example.com/anthropic"
    try:
        parts = urlsplit(value)
        port_is_valid = parts.port is None or parts.port > 0
    except ValueError:
        raise Refusal("this is not a URL", example) from None
    if not parts.hostname or not port_is_valid or re.search(r"[^!-~]|\\", value):
        raise Refusal("this is not a URL", example)
    if "@" in parts.netloc:
        raise Refusal(
            "a URL here holds no user and no password", "name the credential in the connection's credential key"
        )
    if "?" in value or "#" in value:
        raise Refusal("a URL here has no query and no fragment", example)
    if parts.scheme == "http" and parts.hostname not in LOOPBACK:
        raise Refusal("plain http is served only on loopback", "use an https URL")
    if parts.scheme not in ("http", "https"):
        raise Refusal("this is not an https URL", example)
    if any(segment in (".", "..") for segment in parts.path.split("/")):
        raise Refusal("a URL here has no . and .. in its path", example)
    return value.rstrip("/")


def _host_pattern(value: str) -> str:
    try:
        host_pattern(value)
    except HostError as error:
        raise Refusal(
            f"this is not a host pattern: {error}", 'write host, host:port, "*.example.org" or "*.example.org:443"'
        ) from None
    return value


def _regex(value: str) -> str:
    from ciguard.inspect.text_rules import PatternError, compile_pattern

    try:
        compile_pattern(value)
    except PatternError as error:
        raise Refusal(error.cause, error.remedy) from None
    return value


def _keyword(value: str) -> str:
    if not value.strip():
        raise Refusal("this keyword is empty", "write a word, or remove the line")
    return value


def _tool_glob(value: str) -> str:
    if value.startswith("ciguard:") and value not in GROUPS:
        raise Refusal(f"there is no group of tools {value[:40]!r}", f"choose from: {', '.join(GROUPS)}")
    return value


def _kind(value: Json) -> Json:
    if isinstance(value, str) and value not in KINDS:
        raise Refusal(f"there is no operation or result {value[:40]!r}", f"choose from: {', '.join(KINDS)}")
    return value


def _listed(value: Json) -> Json:
    match value:
        case str():
            return [value]
        case list():
            return value
        case _:
            raise Refusal("a claim's value is a text or a list of texts", "put the value in quotes")


class _RemoteHost:
    """Any host, or those of a pattern."""

    def read(self, value: Json) -> str:
        """See :class:`~ciguard.policy.reading.Reader`."""
        return "*" if value == "*" else EGRESS_PATTERN.read(value)

    def schema(self, named: dict[str, Schema]) -> Schema:
        """See :class:`~ciguard.policy.reading.Reader`."""
        return {"anyOf": [{"const": "*", "type": "string"}, EGRESS_PATTERN.schema(named)]}


KINDS: tuple[str, ...] = (*OperationKind, *ResultKind)
"""What rules can look at: the operations and the results."""

CONNECTION_NAME = Shape(
    r"[a-z][a-z0-9-]{0,31}",
    "a connection name",
    "use a lower-case letter, then up to 31 lower-case letters, digits and hyphens, for example claude",
)
RULE_ID = Shape(
    r"(?=.{1,64}$)[a-z][a-z0-9]*(?:-[a-z0-9]+)*",
    "a rule id",
    "use lower-case words joined by hyphens, at most 64 characters, for example no-force-push",
)
VARIABLE_NAME = Shape(
    r"[A-Za-z_][A-Za-z0-9_]{0,127}",
    "the name of an environment variable",
    "write the name of a variable, for example ANTHROPIC_API_KEY, and never the value itself",
)
VAULT_NAME = Shape(
    r"[A-Za-z0-9_-]{1,128}(?:/[A-Za-z0-9_-]{1,128}){0,7}",
    "a name or path in a Vault",
    "write letters, digits, - and _, with / between the parts of a path",
)
APPROVER = Shape(
    r"@[A-Za-z0-9][A-Za-z0-9_.-]*(?:/[A-Za-z0-9_.-]+)*|role:(?:write|maintain|admin)|codeowners:/\S{0,500}"
    r"|rule:[^\s\x00-\x1f\x7f](?:[^\x00-\x1f\x7f]{0,253}[^\s\x00-\x1f\x7f])?",
    "an approver",
    'write a user, a team, a role, the owners of a path or an approval rule in quotes, for example "@alice", '
    '"@acme/security", "role:maintain", "codeowners:/db/" or "rule:Security"',
)
DURATION = Shape(r"[1-9][0-9]{0,5}[smh]", "a duration", "write a number and a unit: 90s, 30m or 2h")
ENVIRONMENT_NAME = Shape(
    r"[A-Za-z0-9][A-Za-z0-9 ._/-]{0,254}",
    "an environment's name",
    "write the name as the repository's settings have it, for example agent-approved",
)
AGENT_PATH = Shape(
    r"(?!.*(?:^|/)\.\.?(?:/|$))(?:/|~/|[^/~\0])[^\0]{0,1000}",
    "a path",
    "write an absolute path, one below the home directory (~/...) or one below the workspace; without . and ..",
)
EGRESS_PATTERN = Checked(
    Shape(
        r"(?:(?:\*\.)?[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+\])(?::[1-9][0-9]{0,4})?",
        "a host pattern",
        'write host, host:port, "*.example.org" or "*.example.org:443"',
    ),
    _host_pattern,
)
REMOTE_HOST = _RemoteHost()
METHOD = Shape(r"[A-Z][A-Z-]{0,31}", "an HTTP method", "write it in capital letters, for example GET")
PATH_GLOB = Shape(
    r"/[!->@-~]*",
    "a path",
    "write a path as a URL has it, without its query, in which * stands for any characters: /api/*",
)
RECIPIENT = Shape(
    r"age1[0-9a-z]{58}|ssh-(?:ed25519|rsa) [A-Za-z0-9+/]+={0,2}(?: .*)?|github:[A-Za-z0-9][A-Za-z0-9-]{0,38}",
    "an age recipient",
    "write an age1... recipient or an ssh-ed25519 or ssh-rsa public key; other key types are not supported",
)
ISSUER_URL = Checked(Text(), _upstream)
UPSTREAM_URL = Checked(Text(), _upstream)
REGEX = Checked(Text(), _regex)
KEYWORD = Checked(Text(), _keyword)
GLOB = Shape(r"\S{1,200}", "a glob", "write a name in which * stands for any characters")
FIELD_NAME = Shape(
    r"[A-Za-z0-9_$.@-]{2,64}|(?:/[^/\s]{1,64}){1,16}",
    "the name of a field",
    "write a name such as password, or a JSON pointer such as /customer/ssn",
)
MODEL_NAME = Shape(
    r"[A-Za-z_][A-Za-z0-9_]{0,99}|(?!.*/\.\.?(?:/|$))/[^\0]{1,1000}",
    "a model",
    "write the name of an installed package, or an absolute path without . and ..",
)
ALLOWED_WORD = Shape(r"\w{1,64}", "a word", "write one word without spaces and signs")
TABLE_GLOB = Shape(
    r"[^\s.]{1,100}(?:\.[^\s.]{1,100}){0,2}", "the name of a table", "write table, schema.table or schema.*"
)
COMMAND_PATTERN = Shape(
    r"[^\s-]\S*(?: \S+){0,15}",
    "a pattern of commands",
    "write a program and the words that follow it with single spaces: docker run --privileged",
)
FILE_GLOB = Shape(
    r"(?!\./.)[^\n]{1,200}(?<!/)|/",
    "a path",
    "write a path without ./ in front and / behind, in which * stands for any characters: /etc/*, ~/.ssh/*, .env",
)
TOOL_GLOB = Checked(GLOB, _tool_glob)
KIND = Screened(OneOf(KINDS), _kind)
CLAIM_VALUES = Screened(
    ListOf(Shape(r"[\s\S]+", "a claim's value", "write the value that the claim must have"), least=1),
    _listed,
    short=Text(least=1),
)

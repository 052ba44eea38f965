"""The agent's environment: built from an allowlist, never inherited."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Literal

from ciguard.forge import github, gitlab
from ciguard.inspect.known_value import forms
from ciguard.policy.sections.connection import ConnectionType

ORDINARY = frozenset(
    {"PATH", "HOME", "USER", "LOGNAME", "SHELL", "PWD", "TMPDIR", "LANG", "LANGUAGE", "TZ", "TERM", "COLORTERM"}
    | {"NO_COLOR", "FORCE_COLOR", "COLUMNS", "LINES", "CI", "DEBIAN_FRONTEND", "IS_SANDBOX"}
    | {"SSL_CERT_FILE", "SSL_CERT_DIR", "NODE_EXTRA_CA_CERTS", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "GIT_SSL_CAINFO"}
    | {"JAVA_HOME", "GOROOT", "GOPATH", "CARGO_HOME", "RUSTUP_HOME", "NVM_DIR", "PYENV_ROOT", "VIRTUAL_ENV"}
    | {"RUNNER_OS", "RUNNER_ARCH", "RUNNER_TOOL_CACHE", "AGENT_TOOLSDIRECTORY"}
    | {"GITHUB_ACTIONS", "GITHUB_WORKSPACE", "GITHUB_REPOSITORY", "GITHUB_REF", "GITHUB_REF_NAME", "GITHUB_SHA"}
    | {"GITHUB_HEAD_REF", "GITHUB_BASE_REF", "GITHUB_EVENT_NAME", "GITHUB_RUN_ID", "GITHUB_SERVER_URL"}
    | {"GITLAB_CI", "CI_PROJECT_DIR", "CI_PROJECT_PATH", "CI_COMMIT_SHA", "CI_COMMIT_REF_NAME", "CI_PIPELINE_ID"}
    | {"CI_MERGE_REQUEST_IID", "CI_DEFAULT_BRANCH", "CI_SERVER_URL"}
)
"""Variables that pass: where things are, how to speak, and which commit this is. None of them is a credential."""

ORDINARY_PREFIX = "LC_"

AGENT_SETTINGS: Mapping[ConnectionType, Mapping[str, str]] = {
    ConnectionType.ANTHROPIC: {"CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1", "DISABLE_AUTOUPDATER": "1"},
    ConnectionType.OPENAI: {},
    ConnectionType.GEMINI: {"GEMINI_CLI_TRUST_WORKSPACE": "true"},
}
"""What the agents that use an API need besides its address, to run headless and without calling home."""


def inherited(environ: Mapping[str, str], named: Collection[str], secrets: Collection[str]) -> dict[str, str]:
    """What of ``environ`` the agent gets: the ordinary variables and those ``named`` by the policy.

    A variable whose value contains one of ``secrets``, in a common encoding too, does not pass, whatever its name; nor
    does one through which a process could act as the job, whatever the policy says.
    """
    hidden = [form for secret in secrets for form in forms(secret)]
    withheld = github.WITHHELD_VARIABLES | gitlab.WITHHELD_VARIABLES
    return {
        name: value
        for name, value in environ.items()
        if (name in ORDINARY or name.startswith(ORDINARY_PREFIX) or name in named)
        and name not in withheld
        and not any(form in value for form in hidden)
    }


CLAUDE_TIMEOUTS = ("CLAUDE_STREAM_IDLE_TIMEOUT_MS", "CLAUDE_BYTE_STREAM_IDLE_TIMEOUT_MS", "API_TIMEOUT_MS")
"""How long Claude Code waits for content, for bytes, and for an answer in all, in milliseconds: signs of life are
neither content nor an end."""

AFTER_A_HOLD = 600
"""Seconds that an agent waits beyond the longest hold: what follows the decision takes its time, too."""


def patience(type_: ConnectionType, longest_hold: float) -> dict[str, str]:
    """The variables that make agents wait for humans, who may take ``longest_hold`` seconds."""
    if type_ is not ConnectionType.ANTHROPIC:
        return {}
    return dict.fromkeys(CLAUDE_TIMEOUTS, str(round((longest_hold + AFTER_A_HOLD) * 1000)))


def connection_variables(name: str, type_: ConnectionType, url: str, token: str) -> dict[str, str]:
    """The variables that lead an agent to the connection ``name`` at ``url``.

    The names are those that the vendors' SDKs and agents read; ``CIGUARD_<NAME>_...`` serve any other.
    """
    own = f"CIGUARD_{name.upper().replace('-', '_')}"
    match type_:
        case ConnectionType.ANTHROPIC:
            standard = {"ANTHROPIC_BASE_URL": url, "ANTHROPIC_API_KEY": token, "ANTHROPIC_AUTH_TOKEN": token}
        case ConnectionType.OPENAI:
            url = f"{url}/v1"
            standard = {"OPENAI_BASE_URL": url, "OPENAI_API_KEY": token}
        case ConnectionType.GEMINI:
            standard = {"GOOGLE_GEMINI_BASE_URL": url, "GEMINI_API_KEY": token}
    return {**AGENT_SETTINGS[type_], **standard, f"{own}_BASE_URL": url, f"{own}_API_KEY": token}


PROXIED = ("http_proxy", "https_proxy", "all_proxy")
LOOPBACK = "localhost,127.0.0.1,::1"
TRUST = (
    *("SSL_CERT_FILE", "NODE_EXTRA_CA_CERTS", "REQUESTS_CA_BUNDLE", "PIP_CERT", "GIT_SSL_CAINFO", "CURL_CA_BUNDLE"),
    *("npm_config_cafile", "CARGO_HTTP_CAINFO", "AWS_CA_BUNDLE", "DENO_CERT"),
)
"""Variables that name the certificates to trust: OpenSSL and Go, Node, requests, pip, git, curl, npm, cargo, ..."""


def proxy_variables(port: int, token: str) -> dict[str, str]:
    """The variables that lead the agent's programs to the proxy at ``port`` for every host but loopback.

    Some read them in lower case only, some in upper case only. Node reads them when told to; git would otherwise make
    every first request without the credentials.
    """
    url = f"http://ciguard:{token}@127.0.0.1:{port}"
    proxied = dict.fromkeys(PROXIED, url) | {"no_proxy": LOOPBACK}
    return {
        **proxied,
        **{name.upper(): value for name, value in proxied.items()},
        "NODE_USE_ENV_PROXY": "1",
        "GIT_HTTP_PROXY_AUTHMETHOD": "basic",
    }


def trust_variables(bundle: Path) -> dict[str, str]:
    """The variables that make the agent's programs trust the certificates in ``bundle`` instead of their own."""
    return dict.fromkeys(TRUST, str(bundle))


def write_codex_home(directory: Path, url: str, web_search: Literal["disabled", "live"]) -> dict[str, str]:
    """A Codex configuration that uses the connection at ``url``, and the variable that points Codex there.

    What Codex would do besides its task is off: it would look for updates and extensions on hosts that no policy names,
    and dump its shell's environment to a file. ``web_search`` is what OpenAI runs for it; Codex asks for it unless told
    otherwise. Source: Codex's configuration reference, "model_providers", "features", "web_search".
    """
    (directory / "config.toml").write_text(
        f"""\
model_provider = "ciguard"
check_for_update_on_startup = false
web_search = "{web_search}"

[model_providers.ciguard]
name = "ciguard"
base_url = "{url}/v1"
env_key = "OPENAI_API_KEY"
wire_api = "responses"
supports_websockets = false

[analytics]
enabled = false

[features]
shell_snapshot = false
apps = false
plugins = false
""",
        encoding="utf-8",
    )
    return {"CODEX_HOME": str(directory)}

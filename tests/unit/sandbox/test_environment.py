"""What of its environment the guard hands on."""

from __future__ import annotations

import base64
import tomllib
from pathlib import Path

import pytest

from ciguard.forge import github, gitlab
from ciguard.policy.sections.connection import ConnectionType
from ciguard.sandbox.environment import (
    ORDINARY,
    connection_variables,
    inherited,
    patience,
    proxy_variables,
    write_codex_home,
)

SECRET = "upstream/credential+5f1e"
URL = "http://127.0.0.1:4711/claude"
TOKEN = "ciguard-session-token-abc"

CREDENTIALS = sorted(
    {"ACTIONS_ID_TOKEN_REQUEST_TOKEN", "ACTIONS_ID_TOKEN_REQUEST_URL", "ACTIONS_RUNTIME_TOKEN", "ACTIONS_CACHE_URL"}
    | {"ACTIONS_RESULTS_URL", "GITHUB_TOKEN", "GH_TOKEN", "CI_JOB_TOKEN", "CI_REGISTRY_PASSWORD", "CI_REPOSITORY_URL"}
    | {"CIGUARD_ID_TOKEN", "CI_DEPLOY_PASSWORD", "CIGUARD_APP_PRIVATE_KEY"}
)


def test_only_ordinary_variables_pass() -> None:
    given = {
        "PATH": "/bin",
        "LC_ALL": "C",
        "HOME": "/root",
        "EDITOR": "vi",
        "LD_PRELOAD": "x.so",
        "NODE_OPTIONS": "-r x",
    }
    assert inherited(given, [], []) == {"PATH": "/bin", "LC_ALL": "C", "HOME": "/root"}


def test_variables_that_the_policy_names_pass() -> None:
    assert inherited({"EDITOR": "vi", "PAGER": "less"}, ["EDITOR", "MISSING"], []) == {"EDITOR": "vi"}


@pytest.mark.parametrize("name", CREDENTIALS)
def test_what_a_process_could_act_as_the_job_with_never_passes(name: str) -> None:
    assert name in github.WITHHELD_VARIABLES | gitlab.WITHHELD_VARIABLES
    assert inherited({name: "value"}, [name], []) == {}


def test_no_ordinary_variable_is_a_credential() -> None:
    assert not ORDINARY & (github.WITHHELD_VARIABLES | gitlab.WITHHELD_VARIABLES)


@pytest.mark.parametrize(
    "value",
    [
        SECRET,
        f"https://user:{SECRET}@example.com",
        base64.b64encode(SECRET.encode()).decode(),
        base64.b64encode(b"x:" + SECRET.encode() + b"!").decode(),
        base64.urlsafe_b64encode(b"xy" + SECRET.encode()).decode(),
        SECRET.encode().hex(),
        SECRET.encode().hex().upper(),
        SECRET.replace("/", "%2F").replace("+", "%2B"),
    ],
)
def test_a_value_with_a_secret_in_it_never_passes(value: str) -> None:
    assert inherited({"LANG": value, "EDITOR": value, "PATH": "/bin"}, ["EDITOR"], [SECRET]) == {"PATH": "/bin"}


@pytest.mark.parametrize(
    ("type_", "expected"),
    [
        (
            ConnectionType.ANTHROPIC,
            {"ANTHROPIC_BASE_URL": URL, "ANTHROPIC_API_KEY": TOKEN, "ANTHROPIC_AUTH_TOKEN": TOKEN},
        ),
        (ConnectionType.OPENAI, {"OPENAI_BASE_URL": f"{URL}/v1", "OPENAI_API_KEY": TOKEN}),
        (ConnectionType.GEMINI, {"GOOGLE_GEMINI_BASE_URL": URL, "GEMINI_API_KEY": TOKEN}),
    ],
)
def test_agents_are_led_to_the_connection(type_: ConnectionType, expected: dict[str, str]) -> None:
    variables = connection_variables("my-model", type_, URL, TOKEN)
    assert expected.items() <= variables.items()
    base = expected[next(name for name in expected if name.endswith("BASE_URL"))]
    assert variables["CIGUARD_MY_MODEL_BASE_URL"] == base
    assert variables["CIGUARD_MY_MODEL_API_KEY"] == TOKEN


def test_codex_is_led_there_by_a_configuration_of_its_own(tmp_path: Path) -> None:
    assert write_codex_home(tmp_path, "http://127.0.0.1:4711/gpt", "disabled") == {"CODEX_HOME": str(tmp_path)}
    written = (tmp_path / "config.toml").read_text()
    configuration = tomllib.loads(written)
    assert configuration["model_provider"] == "ciguard"
    assert configuration["model_providers"]["ciguard"] == {
        "name": "ciguard",
        "base_url": "http://127.0.0.1:4711/gpt/v1",
        "env_key": "OPENAI_API_KEY",
        "wire_api": "responses",
        "supports_websockets": False,
    }
    assert configuration["analytics"] == {"enabled": False}
    assert configuration["web_search"] == "disabled"


def test_programs_find_the_proxy_in_either_case_and_leave_loopback_alone() -> None:
    variables = proxy_variables(4711, "token")
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        assert variables[name] == variables[name.upper()] == "http://ciguard:token@127.0.0.1:4711"
    assert variables["no_proxy"] == variables["NO_PROXY"] == "localhost,127.0.0.1,::1"
    assert variables["NODE_USE_ENV_PROXY"] == "1"


def test_claude_code_waits_longer_than_a_hold_lasts() -> None:
    names = {"CLAUDE_STREAM_IDLE_TIMEOUT_MS", "CLAUDE_BYTE_STREAM_IDLE_TIMEOUT_MS", "API_TIMEOUT_MS"}
    assert patience(ConnectionType.ANTHROPIC, 1800) == dict.fromkeys(names, "2400000")
    assert patience(ConnectionType.OPENAI, 1800) == {}

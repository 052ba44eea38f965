from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest

from ciguard.policy import preset_files
from ciguard.policy.models import Policy, json_schema
from ciguard.policy.sections.approval import Approval
from ciguard.policy.sections.isolation import IsolationLevel
from ciguard.policy.yaml_document import parse
from tests.unit.policy.sources import loaded, refused

FULL = """\
identity:
  allow:
    - {repository: acme/shop, event_name: [pull_request, workflow_dispatch]}
connections:
  claude:
    type: anthropic
    credential: {env: ANTHROPIC_API_KEY}
    models: ["claude-*"]
    limits: {requests: 500, output_tokens: 2_000_000}
    rules:
      - {id: own, on: [prompt], text: {keywords: [token]}, action: mask}
rules:
  - id: destructive-sql
    on: [tool_call, command, sql]
    sql: {statements: [drop, truncate], without_where: [delete, update]}
    action: hold
    approvers: ["@acme/dba"]
  - id: tools
    on: [tool_call]
    tool: {names: ["mcp__*"], except: [mcp__safe__*]}
    risk: 70
approval: {hold_at: 60, block_at: 90, approvers: ["@acme/security", "rule:Data protection"], timeout: 30m}
isolation: {require: landlock}
egress: {allow: [packages.example.com, "*.example.org:443"]}
audit: {recipients: ["ssh-ed25519 AAAA auditor"]}
env: [NODE_ENV]
secrets: [DATABASE_URL]
tests:
  - {operation: {tool_call: {name: Bash, input: {command: "psql -c 'DROP TABLE users'"}}}, expect: hold}
"""


def test_defaults() -> None:
    policy = loaded("connections: {c: {type: gemini, credential: {env: KEY}}}")
    connection = policy.connections["c"]
    assert connection.upstream == "https://generativelanguage.googleapis.com"
    assert connection.models is None
    assert (connection.limits.requests, connection.limits.output_tokens) == (None, None)
    assert connection.limits.request_bytes == 33_554_432
    assert (policy.approval.hold_at, policy.approval.block_at, policy.approval.timeout_seconds) == (60, 90, 1800)
    assert policy.isolation.require is IsolationLevel.LANDLOCK
    assert policy.isolation.prefer == "auto"
    assert policy.identity.audience == "ciguard"
    assert policy.limits.refusals_in_a_row == 10
    assert policy.identity.allow_layers == ()


@pytest.mark.parametrize(("text", "seconds"), [("1s", 1), ("90s", 90), ("30m", 1800), ("2h", 7200)])
def test_durations_in_seconds(text: str, seconds: int) -> None:
    assert Approval(timeout=text).timeout_seconds == seconds


def test_levels_are_ordered_by_strength() -> None:
    strengths = [level.strength for level in IsolationLevel]
    assert strengths == sorted(strengths, reverse=True)


class TestText:
    @pytest.mark.parametrize("text", ["", FULL, "extends: [ciguard:strict]", "identity: {allow_layers: [[{a: b}]]}"])
    def test_it_is_a_policy_that_is_enforced_alike(self, text: str) -> None:
        policy = loaded(text)
        again = loaded(policy.text.removeprefix("version: 1\n"))
        assert again.text == policy.text
        assert again.model_copy(update={"tests": policy.tests}) == policy

    def test_it_spells_out_defaults_and_leaves_examples_out(self) -> None:
        text = loaded(FULL).text
        assert "refusals_in_a_row: 10\n" in text
        assert 'upstream: "https://api.anthropic.com"\n' in text
        assert "tests" not in text
        assert "extends" not in text

    def test_the_digest_is_of_the_text(self) -> None:
        policy = loaded(FULL)
        assert policy.digest == f"sha256:{hashlib.sha256(policy.text.encode()).hexdigest()}"

    def test_only_what_is_enforced_changes_the_digest(self) -> None:
        digest = loaded(FULL).digest
        assert loaded(f"# a comment\n{FULL}").digest == digest
        assert loaded(FULL.replace("expect: hold", "expect: allow")).digest == digest
        assert loaded(FULL.replace("hold_at: 60", "hold_at: 59")).digest != digest


class TestSchema:
    def test_it_is_a_schema(self) -> None:
        jsonschema.Draft202012Validator.check_schema(json_schema())

    def test_it_takes_every_policy_that_comes_with_ciguard(self) -> None:
        validator = jsonschema.Draft202012Validator(json_schema())
        documents = [parse(f"version: 1\n{FULL}", "full", empty_remedy="").root]
        for name in preset_files.names():
            documents += [preset_files.reviewed(name).root, preset_files.examples(name).root]
        assert [error.message for document in documents for error in validator.iter_errors(document)] == []

    @pytest.mark.parametrize(
        "document",
        [
            {},
            {"version": 2},
            {"version": 1, "rule": []},
            {"version": 1, "connections": {"C": {"type": "openai", "credential": {"env": "A"}}}},
            {"version": 1, "rules": [{"id": "A", "on": ["sql"]}]},
            {"version": 1, "rules": [{"id": "a", "on": ["select"]}]},
            {"version": 1, "approval": {"timeout": "soon"}},
            {"version": 1, "identity": {"allow": [{"a": 1}]}},
        ],
    )
    def test_it_refuses_what_the_policy_refuses(self, document: dict[str, object]) -> None:
        assert not jsonschema.Draft202012Validator(json_schema()).is_valid(document)

    def test_every_key_has_a_description(self) -> None:
        schema = json_schema()
        for name, part in (("", schema), *schema["$defs"].items()):
            for key, value in part.get("properties", {}).items():
                about = value.get("description") or schema["$defs"][value["$ref"].rpartition("/")[2]]["description"]
                assert about.endswith("."), f"{name}.{key}"


def test_a_policy_does_not_change() -> None:
    policy = loaded(FULL)
    with pytest.raises(ValueError, match="frozen"):
        policy.env = ("A",)
    assert isinstance(policy, Policy)


@pytest.mark.parametrize(
    "names",
    [
        "{kinds: [person]}",
        "{model: ../model}",
        "{model: model/en}",
        "{model: /opt/../workspace/model}",
        "{model: ''}",
        "{model: en, kinds: []}",
        "{model: en, kinds: [organization]}",
        "{model: en, allow: ['New York']}",
        "{model: en, threshold: 0.5}",
    ],
)
def test_names_need_a_model_that_is_where_it_says(names: str) -> None:
    assert refused(f"masking: {{names: {names}}}").line == 2


def test_names_are_off_by_default() -> None:
    assert loaded("rules: []").masking.names is None


def test_no_plugin_has_a_say(tmp_path: Path) -> None:
    metadata = tmp_path / "bystander-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: bystander\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text("[pydantic]\nbystander = bystander:plugin\n")
    (tmp_path / "bystander.py").write_text("print('loaded')\nplugin = None\n")
    code = "import importlib.metadata as m; print(*m.entry_points(group='pydantic')); import ciguard.policy.models"
    command = [sys.executable, "-c", code]
    environ = {**os.environ, "PYTHONPATH": str(tmp_path), "PYDANTIC_DISABLE_PLUGINS": ""}
    said = subprocess.run(command, env=environ, check=True, capture_output=True, text=True).stdout
    assert "bystander" in said
    assert "loaded" not in said

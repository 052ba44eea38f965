"""What the README gives to paste is valid, and what it points at is there."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from ciguard.cli import COMMANDS
from ciguard.policy.loading import FileSource, load_policy

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"```yaml\n(.*?)```", README, re.DOTALL)
PAGES = [README, *(page.read_text() for page in sorted((ROOT / "docs").glob("*.md")))]


def test_the_policy_loads(tmp_path: Path) -> None:
    (tmp_path / ".ciguard.yml").write_text(BLOCKS[0])
    policy = load_policy(FileSource(tmp_path), ".ciguard.yml")
    assert [connection.credential.env for connection in policy.connections.values()] == ["ANTHROPIC_API_KEY"]


def test_the_steps_use_the_action_as_it_is() -> None:
    steps = YAML(typ="safe", pure=True).load(BLOCKS[1])["steps"]
    action = YAML(typ="safe", pure=True).load((ROOT / "action.yml").read_text())
    guarded = steps[-1]
    assert set(guarded["with"]) <= set(action["inputs"])
    policy = YAML(typ="safe", pure=True).load(BLOCKS[0])
    assert set(guarded["env"]) == {"ANTHROPIC_API_KEY", *policy["env"]}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.splitlines()[0])
def test_links_lead_somewhere(page: str) -> None:
    folder = ROOT if page is README else ROOT / "docs"
    links = [link.partition("#")[0] for link in re.findall(r"\]\(([^)\s]+)\)", page) if "://" not in link]
    assert [link for link in links if link and not (folder / link).exists()] == []


def test_every_script_it_names_is_there() -> None:
    named = set(re.findall(r"^ {4}(scripts/\w+)", "\n".join(PAGES), re.MULTILINE))
    assert {"scripts/demo", "scripts/test"} <= named
    assert [name for name in named if not (ROOT / name).exists()] == []


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_an_example(command: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "ciguard", command, "--help"], capture_output=True, text=True, check=True
    )
    assert "example" in done.stdout

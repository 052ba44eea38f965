"""docs/session.md tells all of the format."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args, get_origin

import msgspec
import pytest

from ciguard.report.transcript import MAX_LINES, MAX_WIDTH, Kind
from ciguard.session.chain import CHAIN_KEYS, MAX_LINE_BYTES
from ciguard.session.container import MAX_ENTRIES
from ciguard.session.event import FIELDS, EventType
from ciguard.session.manifest import Completeness
from ciguard.session.objects import MAX_BODY_BYTES
from ciguard.session.reading import MAX_DEPTH, MAX_JSON_BYTES, MAX_LOG_BYTES
from ciguard.session.verification import verify
from tests.unit.session import sample

DOCS = (Path(__file__).parents[3] / "docs" / "session.md").read_text()


def section(title: str) -> str:
    found = re.search(rf"^(#+) {re.escape(title)}\n(.*?)(?=^#+ |\Z)", DOCS, re.MULTILINE | re.DOTALL)
    assert found, title
    return found[2]


def fields_below(kind: Any) -> Iterator[str]:
    """The names of the fields inside a field's type, at any depth."""
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        for field in msgspec.structs.fields(kind):
            yield field.name
            yield from fields_below(field.type)
    elif get_origin(kind):
        for argument in get_args(kind):
            yield from fields_below(argument)


@pytest.mark.parametrize("event", EventType)
def test_every_field_of_every_event_is_told(event: EventType) -> None:
    words = set(re.findall(r"\w+", section(event)))
    documented = {
        name for cell in re.findall(r"^\| (`.*?) \|", section(event), re.MULTILINE) for name in re.findall(r"\w+", cell)
    }
    assert documented == {field.name for field in msgspec.structs.fields(FIELDS[event])}
    everywhere = set(re.findall(r"\w+", section("Events")))
    assert set(fields_below(FIELDS[event])) <= words | everywhere


def test_what_the_chain_adds_is_told() -> None:
    assert set(re.findall(r"^\| `(\w+)` \|", section("Events"), re.MULTILINE)) == CHAIN_KEYS


def test_every_field_of_the_manifest_and_every_file_is_told(tmp_path: Path) -> None:
    directory = sample.record(tmp_path / "session")
    manifest = json.loads((directory / "manifest.json").read_bytes())
    told = {
        name
        for cell in re.findall(r"^\| (`.*?) \|", section("manifest.json"), re.MULTILINE)
        for name in re.findall(r"\w+", cell)
    }
    assert told == set(manifest)
    paths = set(re.findall(r"^\| `(.*?)/?` \|", section("The directory"), re.MULTILINE))
    assert paths == {path.name for path in directory.iterdir()}


def test_steps_kinds_and_states_are_told(tmp_path: Path) -> None:
    told = re.findall(r"^(\d)\. \*\*(.*?)\*\*", section("Verify a session"), re.MULTILINE)
    steps = verify(sample.record(tmp_path / "session")).steps
    assert told == [(str(step.number), step.name) for step in steps]
    assert all(f"`{kind}`" in section("Look at a session") for kind in Kind)
    assert all(f"`{state}`" in section("manifest.json") for state in Completeness)


def test_the_limits_are_those_of_the_code() -> None:
    mebibyte = 1024 * 1024
    assert re.findall(r"(\d+) MiB", section("Limits")) == [
        str(limit // mebibyte)
        for limit in (MAX_LOG_BYTES, MAX_LINE_BYTES, MAX_BODY_BYTES, MAX_JSON_BYTES, MAX_BODY_BYTES)
    ]
    assert f"deeper than {MAX_DEPTH}" in section("Limits")
    assert MAX_ENTRIES == 1_000_000
    assert f"cut after {MAX_LINES} lines and a line after {MAX_WIDTH} characters" in section("Look at a session")


def commands(title: str) -> list[str]:
    return re.findall(r"^    (\S.*?)(?:\s+#.*)?$", section(title), re.MULTILINE)


def test_the_commands_to_verify_by_hand_find_what_they_should(tmp_path: Path) -> None:
    directory = sample.record(tmp_path / "session")
    manifest = json.loads((directory / "manifest.json").read_bytes())
    check, listing, policy, head = (command for command in commands("Verify by hand")[:4])
    expected = {
        check: "",
        listing: manifest["objects"]["listing"],
        policy: manifest["policy"]["digest"].removeprefix("sha256:"),
        head: manifest["log"]["head"],
        "sed -n 7p events.jsonl | tr -d '\\n' | sha256sum": json.loads(
            (directory / "events.jsonl").read_bytes().splitlines()[7]
        )["previous"],
    }
    assert set(expected) <= set(commands("Verify by hand"))
    for command, output in expected.items():
        shell = shutil.which("sh")
        assert shell
        done = subprocess.run([shell, "-c", command], cwd=directory, capture_output=True, text=True, check=True)
        assert done.stdout.split(" ")[0] == output

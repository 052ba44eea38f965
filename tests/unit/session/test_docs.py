"""docs/session.md tells all of the format."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args, get_origin

import msgspec
import pytest

from ciguard.report.transcript import MAX_LINES, MAX_WIDTH, Kind
from ciguard.session.chain import CHAIN_KEYS, MAX_LINE_BYTES
from ciguard.session.container import MAX_ENTRIES
from ciguard.session.event import EVENTS, EventType
from ciguard.session.frame import MAX_BODY_BYTES
from ciguard.session.manifest import Completeness
from ciguard.session.pack import MAX_BODIES, MAX_PACK_BYTES, MAX_TOTAL_BYTES, parse
from ciguard.session.reading import MAX_DEPTH, MAX_JSON_BYTES, MAX_LOG_BYTES, open_session
from ciguard.session.sigstore_bundle import BUNDLE
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
    assert documented == {field.name for field in msgspec.structs.fields(EVENTS[event])} - CHAIN_KEYS
    everywhere = set(re.findall(r"\w+", section("Events")))
    assert set(fields_below(EVENTS[event])) <= words | everywhere


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
    assert paths == {path.name for path in directory.iterdir()} | {"sealed", BUNDLE}


def test_steps_kinds_and_states_are_told(tmp_path: Path) -> None:
    told = re.findall(r"^(\d)\. \*\*(.*?)\*\*", section("Verify a session"), re.MULTILINE)
    steps = verify(sample.record(tmp_path / "session")).steps
    assert told == [(str(step.number), step.name) for step in steps]
    assert all(f"`{kind}`" in section("Look at a session") for kind in Kind)
    assert all(f"`{state}`" in section("manifest.json") for state in Completeness)


def test_the_limits_are_those_of_the_code() -> None:
    mebibyte = 1024 * 1024
    assert re.findall(r"(\d+) MiB", section("Limits")) == [
        str(limit // mebibyte) for limit in (MAX_LOG_BYTES, MAX_LINE_BYTES, MAX_BODY_BYTES, MAX_JSON_BYTES)
    ]
    assert f"deeper than {MAX_DEPTH}" in section("Limits")
    assert MAX_ENTRIES == MAX_BODIES == 1_000_000
    assert f"more than {MAX_TOTAL_BYTES // mebibyte // 1024} GiB" in section("Limits")
    assert f"longer than {MAX_PACK_BYTES // mebibyte} MiB" in section("The directory")
    assert f"cut after {MAX_LINES} lines and a line after {MAX_WIDTH} characters" in section("Look at a session")


ZSTD = f"""#!{sys.executable}
import sys, zstandard
sys.stdout.buffer.write(zstandard.ZstdDecompressor().decompress(sys.stdin.buffer.read()))
"""
"""Stands in for ``zstd -dc`` where that is not installed."""


def commands(title: str) -> list[str]:
    """The commands of a section, without what is said of them; a loop is one command."""
    blocks = "\n".join(re.findall(r"^    (.*)$", section(title), re.MULTILINE))
    lines = [re.sub(r"\s+#.*", "", line) for line in re.sub(r"\n(?=  |done)", "\0", blocks).split("\n")]
    return [line.replace("\0", "\n") for line in lines]


def output(command: str, directory: Path, tools: Path) -> str:
    shell = shutil.which("sh")
    assert shell
    environ = {**os.environ, "PATH": f"{os.environ['PATH']}:{tools}"}
    done = subprocess.run([shell, "-c", command], cwd=directory, capture_output=True, text=True, env=environ)
    assert not done.stderr or "WARNING" in done.stderr, done.stderr
    return done.stdout


@pytest.fixture
def tools(tmp_path: Path) -> Path:
    """A folder to be searched last for programs."""
    (tmp_path / "tools").mkdir()
    (tmp_path / "tools" / "zstd").write_text(ZSTD)
    (tmp_path / "tools" / "zstd").chmod(0o700)
    return tmp_path / "tools"


def test_the_commands_to_verify_by_hand_find_what_they_should(tmp_path: Path, tools: Path) -> None:
    directory = sample.record(tmp_path / "session")
    manifest = json.loads((directory / "manifest.json").read_bytes())
    policy, head, index, packs, line, body, digest, every_body = commands("Verify by hand")
    assert output(policy, directory, tools).split(" ")[0] == manifest["policy"]["digest"].removeprefix("sha256:")
    assert output(head, directory, tools).split(" ")[0] == manifest["log"]["head"]
    assert output(index, directory, tools).split(" ")[0] == manifest["objects"]["index"]
    assert output(packs, directory, tools) == ""
    eighth = json.loads((directory / "events.jsonl").read_bytes().splitlines()[7])
    assert output(line, directory, tools).split(" ")[0] == eighth["previous"]
    assert "offset 1234 and length 200" in section("Verify by hand")
    places = parse((directory / "objects.index").read_bytes())
    assert len(places) > 5
    for stored, place in places.items():
        first, length = f"+{place.offset + 1} ", f"-c {place.length} "
        cut = digest.replace("+1235 ", first).replace("-c 200 ", length)
        assert output(cut, directory, tools).split(" ")[0] == stored
        shown = output(body.replace("+1235 ", first).replace("-c 200 ", length), directory, tools)
        assert shown.encode() == open_session(directory).body(stored)
    assert output(every_body, directory, tools) == ""


def test_the_commands_to_verify_by_hand_find_what_is_wrong(tmp_path: Path, tools: Path) -> None:
    directory = sample.record(tmp_path / "session")
    _, _, _, packs, *_, every_body = commands("Verify by hand")
    pack = directory / "objects" / "000001.pack"
    first, second, *_ = parse((directory / "objects.index").read_bytes()).values()
    content = pack.read_bytes()
    pack.write_bytes(content.replace(b"system text", b"another one"))
    assert output(packs, directory, tools) == "objects/000001.pack: FAILED\n"
    assert output(every_body, directory, tools).split() == [open_session(directory).digests()[0]]
    assert (first.offset, second.offset) == (0, first.length)

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ciguard.errors import SessionDamaged, UsageError
from ciguard.operation import Json
from ciguard.session import reading
from ciguard.session.manifest import Completeness
from ciguard.session.reading import Session, open_session, request_parts
from tests.unit.session import sample


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return sample.record(tmp_path_factory.mktemp("recorded") / "session")


@pytest.fixture
def copied(recorded: Path, tmp_path: Path) -> Path:
    return shutil.copytree(recorded, tmp_path / "session")


def test_a_session_reads_back(recorded: Path) -> None:
    session = open_session(recorded)
    assert session.completeness is Completeness.COMPLETE
    assert session.damage is None
    assert session.manifest is not None
    assert session.manifest["log"] == {"events": len(session.events), "head": session.position.head}
    prompt = next(event for event in session.events if event.get("operation") == "prompt")
    assert session.content(prompt["body"]) == {"texts": ["Fix the failing test."]}


@given(st.data())
def test_a_log_cut_anywhere_reads_up_to_its_last_whole_line(
    recorded: Path, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    log = (recorded / "events.jsonl").read_bytes()
    kept = log[: data.draw(st.integers(0, len(log) - 1))]
    directory = tmp_path_factory.mktemp("cut")
    (directory / "events.jsonl").write_bytes(kept)
    session = open_session(directory)
    assert session.damage is None
    assert session.completeness is Completeness.CUT_OFF
    assert session.position.count == len(session.events) == kept.count(b"\n")
    assert list(session.events) == [json.loads(line) for line in kept.split(b"\n")[:-1]]


@given(st.binary(max_size=200))
def test_any_bytes_can_be_read(tmp_path_factory: pytest.TempPathFactory, log: bytes) -> None:
    directory = tmp_path_factory.mktemp("noise")
    (directory / "events.jsonl").write_bytes(log)
    (directory / "manifest.json").write_bytes(log)
    session = open_session(directory)
    assert session.completeness is Completeness.CUT_OFF
    assert (session.damage is not None) == (b"\n" in log)


@pytest.mark.parametrize("manifest", [b"", b"[]", b"{", b"[" * 100_000, b"\xff"])
def test_a_session_without_a_usable_manifest_is_cut_off(copied: Path, manifest: bytes) -> None:
    (copied / "manifest.json").write_bytes(manifest)
    session = open_session(copied)
    assert session.manifest is None
    assert session.completeness is Completeness.CUT_OFF


def test_responses_that_were_being_streamed_are_found(copied: Path) -> None:
    (copied / "partial" / "000007").write_bytes(b"half a")
    session = open_session(copied)
    assert session.completeness is Completeness.UNFINISHED_RESPONSES
    assert session.unfinished == ("000007",)
    assert session.unfinished_response("000007") == b"half a"


def test_an_unfinished_response_that_is_no_file_is_damage(copied: Path) -> None:
    (copied / "partial" / "000007").symlink_to("/etc/hostname")
    session = open_session(copied)
    with pytest.raises(SessionDamaged, match="000007"):
        session.unfinished_response("000007")


@pytest.mark.parametrize("name", ["missing", "file", "empty"])
def test_what_is_no_session_is_a_mistake(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match=name):
        open_session(tmp_path / name)


def test_a_log_that_is_no_file_is_damage(tmp_path: Path) -> None:
    (tmp_path / "events.jsonl").symlink_to("/dev/zero")
    with pytest.raises(SessionDamaged, match=r"events\.jsonl"):
        open_session(tmp_path)


def body_of(session: Session) -> str:
    digest: str = next(event["body"] for event in session.events if "body" in event)
    return digest


def test_a_body_that_is_missing_or_another_is_damage(copied: Path) -> None:
    session = open_session(copied)
    digest = body_of(session)
    assert session.body(digest).startswith(b"{")
    pack = copied / "objects" / "000001.pack"
    content = bytearray(pack.read_bytes())
    for byte in range(0, len(content), 2):
        content[byte] ^= 1
    pack.write_bytes(content)
    with pytest.raises(SessionDamaged, match=f"body {digest} is not"):
        session.body(digest)
    pack.unlink()
    with pytest.raises(SessionDamaged, match="missing"):
        session.body(digest)
    pack.mkdir()
    with pytest.raises(SessionDamaged, match="not a plain file"):
        session.body(digest)


def test_all_stored_bodies_are_known(copied: Path) -> None:
    session = open_session(copied)
    named = {event["body"] for event in session.events if "body" in event}
    named |= {digest for event in session.events for _, digest in event.get("parts", {}).get("add", [])}
    assert set(session.digests()) == named
    assert len(session.digests()) == len(named)
    (copied / "objects.index").write_bytes(b"x")
    with pytest.raises(SessionDamaged, match=r"objects\.index"):
        open_session(copied).digests()


def test_without_an_index_the_bodies_before_the_cut_are_there(copied: Path) -> None:
    stored = open_session(copied).digests()
    (copied / "objects.index").unlink()
    assert open_session(copied).digests() == stored
    pack = copied / "objects" / "000001.pack"
    pack.write_bytes(pack.read_bytes()[:-1])
    session = open_session(copied)
    assert session.digests() == stored[:-1]
    assert [hashlib.sha256(session.body(digest)).hexdigest() for digest in session.digests()] == list(stored[:-1])
    with pytest.raises(SessionDamaged, match=f"body {stored[-1]} is missing"):
        session.body(stored[-1])


@pytest.mark.parametrize(
    ("body", "what"),
    [
        (b"{", "JSON"),
        (b"[" * 300 + b"]" * 300, "nested"),
        (b"[" * 100_000 + b"]" * 100_000, "JSON"),
        (b"1" * 5000, "JSON"),
        (b'"' + b"x" * 6000 + b'"', "larger"),
    ],
    ids=["not-json", "deep", "very-deep", "huge-integer", "large"],
)
def test_bodies_that_are_not_json_within_the_limits_are_damage(
    tmp_path: Path, body: bytes, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if what == "larger":
        monkeypatch.setattr(reading, "MAX_JSON_BYTES", 6000)
    recorder = sample.start(tmp_path / "session")
    digest = recorder.store(body)
    recorder.close()
    with pytest.raises(SessionDamaged, match=what):
        open_session(tmp_path / "session").content(digest)


def request(base: int | None, keep: int, *added: str) -> dict[str, Any]:
    return {"type": "request", "parts": {"base": base, "keep": keep, "add": [["messages", part] for part in added]}}


def test_parts_of_a_request_build_on_earlier_ones() -> None:
    events = [
        request(None, 0, "a", "b"),
        request(0, 2, "c"),
        {"type": "response"},
        request(1, 1, "d"),
        request(0, 0),
    ]
    parts = {seq: [digest for _, digest in request_parts(events, seq)] for seq in (0, 1, 3, 4)}
    assert parts == {0: ["a", "b"], 1: ["a", "b", "c"], 3: ["a", "d"], 4: []}
    assert request_parts(events, 0)[0] == ("messages", "a")


def test_ten_thousand_turns_build_on_each_other() -> None:
    events = [request(None, 0, "0")] + [request(seq - 1, seq, str(seq)) for seq in range(1, 10_000)]
    assert [digest for _, digest in request_parts(events, 9_999)] == [str(seq) for seq in range(10_000)]


@pytest.mark.parametrize(
    "events",
    [
        [request(None, 1, "a")],
        [request(0, 0)],
        [request(1, 0), request(0, 0)],
        [request(7, 0)],
        [{"type": "response"}, request(0, 0)],
        [{"type": "response"}],
        [],
    ],
    ids=["keeps-too-many", "on-itself", "on-a-later-one", "on-nothing", "on-a-response", "no-request", "nothing"],
)
def test_parts_that_refer_to_what_is_not_there_are_damage(events: list[dict[str, Json]]) -> None:
    with pytest.raises(SessionDamaged):
        request_parts(events, max(len(events) - 1, 0))

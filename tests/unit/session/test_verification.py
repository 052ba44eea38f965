from __future__ import annotations

import base64
import hashlib
import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ciguard.operation import Json
from ciguard.session import pack_writer
from ciguard.session.canonical import canonical
from ciguard.session.chain import Position
from ciguard.session.event import Original
from ciguard.session.frame import Compressor, expand
from ciguard.session.pack import parse
from ciguard.session.recorder import Recorder
from ciguard.session.step import Outcome, Step
from ciguard.session.verification import verify
from tests.unit.session import sample


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return sample.record(tmp_path_factory.mktemp("recorded") / "session")


@pytest.fixture
def copied(recorded: Path, tmp_path: Path) -> Path:
    return shutil.copytree(recorded, tmp_path / "session")


@pytest.fixture
def small(tmp_path: Path) -> Path:
    recorder = sample.start(tmp_path / "small")
    for text in ("one", "two"):
        recorder.store(text.encode())
    seal_an_original(recorder)
    sample.end(recorder)
    return tmp_path / "small"


def seal_an_original(recorder: Recorder) -> None:
    """As if a value had been masked, whose original is kept."""
    recorder.append_original(base64.b64encode(b"an age file"))
    recorder.record(Original(placeholder="[ciguard-masked:token:1]", commitment="c" * 64))


def failure(directory: Path) -> Step:
    verification = verify(directory)
    found = verification.failure or verification.incomplete
    assert found is not None
    return found


def test_what_was_recorded_holds(recorded: Path) -> None:
    verification = verify(recorded)
    assert [step.outcome for step in verification.steps] == [Outcome.HOLDS] * 6 + [Outcome.NONE] * 2
    assert [step.number for step in verification.steps] == [1, 2, 3, 4, 5, 6, 7, 8]
    assert verification.failure is None
    assert not verification.signed
    assert verification.session == "0b7f"


def test_a_session_survives_an_archive_that_drops_empty_folders(copied: Path) -> None:
    (copied / "partial").rmdir()
    assert verify(copied).failure is None


def files(directory: Path) -> list[Path]:
    return sorted(path for path in directory.rglob("*") if path.is_file())


def flip(path: Path, bit: int) -> None:
    content = bytearray(path.read_bytes())
    content[bit // 8] ^= 1 << bit % 8
    path.write_bytes(content)


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A session with originals, and so with every file that a session can have but those of others who sign."""
    directory = tmp_path_factory.mktemp("full") / "session"
    recorder = sample.start(directory)
    sample.converse(recorder)
    seal_an_original(recorder)
    sample.end(recorder)
    return directory


@settings(max_examples=200)
@given(st.data())
def test_any_bit_that_differs_is_found(
    full: Path, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    directory = shutil.copytree(full, tmp_path_factory.mktemp("flipped") / "session")
    path = data.draw(st.sampled_from(files(directory)))
    flip(path, data.draw(st.integers(0, 8 * path.stat().st_size - 1)))
    assert verify(directory).failure is not None


@pytest.mark.parametrize("name", ["policy.yml", "objects/000001.pack", "objects.index", "sealed/originals"])
def test_every_bit_of_a_file_counts(small: Path, name: str) -> None:
    path = small / name
    for bit in range(8 * path.stat().st_size):
        flip(path, bit)
        assert verify(small).failure is not None, bit
        flip(path, bit)
    assert verify(small).failure is None


def lines(directory: Path) -> list[bytes]:
    return (directory / "events.jsonl").read_bytes().splitlines(keepends=True)


def rewrite(directory: Path, kept: list[bytes]) -> None:
    (directory / "events.jsonl").write_bytes(b"".join(kept))


def relink(directory: Path, change: Callable[[list[dict[str, Any]]], object]) -> None:
    """Change events and make the chain and the manifest's head fit again, as a careful forger would."""
    events = [json.loads(line) for line in lines(directory)]
    change(events)
    position, chained = Position(), []
    for event in events:
        line = canonical({**event, "seq": position.count, "previous": position.head})
        position = Position(position.count + 1, hashlib.sha256(line).hexdigest())
        chained.append(line + b"\n")
    rewrite(directory, chained)
    restate(directory, log={"events": position.count, "head": position.head})


def restate(directory: Path, **changes: Json) -> None:
    manifest = json.loads((directory / "manifest.json").read_bytes())
    (directory / "manifest.json").write_bytes(canonical({**manifest, **changes}) + b"\n")


def event_of(events: list[dict[str, Any]], kind: str) -> dict[str, Any]:
    return next(event for event in events if event["type"] == kind)


def change_an_event(directory: Path) -> None:
    rewrite(
        directory, [line.replace(b"rm -rf", b"ls -la").replace(b'"block"', b'"allow"') for line in lines(directory)]
    )


def delete_an_event(directory: Path) -> None:
    kept = lines(directory)
    del kept[4]
    rewrite(directory, kept)


def insert_an_event(directory: Path) -> None:
    kept = lines(directory)
    kept.insert(4, kept[3])
    rewrite(directory, kept)


def reorder_events(directory: Path) -> None:
    kept = lines(directory)
    kept[4], kept[5] = kept[5], kept[4]
    rewrite(directory, kept)


def cut_events(directory: Path) -> None:
    rewrite(directory, lines(directory)[:-3])


def cut_the_last_byte(directory: Path) -> None:
    (directory / "events.jsonl").write_bytes((directory / "events.jsonl").read_bytes()[:-1])


def append_half_a_line(directory: Path) -> None:
    with (directory / "events.jsonl").open("ab") as log:
        log.write(b"{")


def empty_the_log(directory: Path) -> None:
    rewrite(directory, [])


def forge_a_decision(directory: Path) -> None:
    def allow(events: list[dict[str, Any]]) -> None:
        blocked = next(event for event in events if event.get("effect") == "withheld")
        blocked["decision"] = {"action": "allow", "risk": 0, "reasons": []}

    relink(directory, allow)


def forge_a_time(directory: Path) -> None:
    def later(events: list[dict[str, Any]]) -> None:
        events[0]["time"] = "2027-01-01T00:00:00.000Z"

    relink(directory, later)


def refer_to_no_request(directory: Path) -> None:
    relink(directory, lambda events: event_of(events, "operation").update(request=1))


def transfer_over_no_operation(directory: Path) -> None:
    transfer = {"operation": 0, "status": 0, "sent": 0, "received": 0, "masked": {}, "complete": True, "reason": ""}
    relink(directory, lambda events: events.insert(1, {**transfer, "type": "transfer", "time": events[0]["time"]}))


def answer_no_request_for_approval(directory: Path) -> None:
    relink(directory, lambda events: events.insert(2, {**VERDICT, "type": "verdict", "time": events[0]["time"]}))


def answer_a_request_for_approval_twice(directory: Path) -> None:
    def answer(events: list[dict[str, Any]]) -> None:
        body = event_of(events, "operation")["body"]
        asked = {**ASKED, "body": body, "type": "approval_requested"}
        again = [asked, {**VERDICT, "type": "verdict"}, {**VERDICT, "type": "verdict"}]
        events[2:2] = [{**event, "time": events[0]["time"]} for event in again]

    relink(directory, answer)


ASKED: Mapping[str, Json] = {
    "approval": "1",
    "digest": "d" * 16,
    "subject": "tool_call",
    "connection": "claude",
    "place": "github.com/acme/shop#7",
    "head": "c" * 40,
    "quorums": [{"count": 1, "approvers": ["@alice"]}],
    "expires": "2026-11-02T10:30:00.000Z",
}
VERDICT: Mapping[str, Json] = {
    "approval": "1",
    "outcome": "denied",
    "reason": "It was denied.",
    "comment": 1,
    "waited_ms": 10,
    "evidence": [],
    "discounted": 0,
}


def build_on_no_request(directory: Path) -> None:
    relink(directory, lambda events: event_of(events, "request")["parts"].update(base=1))


def keep_too_many_parts(directory: Path) -> None:
    relink(directory, lambda events: event_of(events, "request")["parts"].update(keep=1))


def start_twice(directory: Path) -> None:
    relink(directory, lambda events: events.insert(1, events[0]))


def leave_out_the_start(directory: Path) -> None:
    relink(directory, lambda events: events.pop(0))


def go_on_after_the_end(directory: Path) -> None:
    relink(directory, lambda events: events.append(events[-1]))


def name_another_body(directory: Path) -> None:
    relink(directory, lambda events: event_of(events, "operation").update(body="0" * 64))


PACK = "objects/000001.pack"


def frames(directory: Path) -> list[bytes]:
    """The frames of the sample's pack, in order."""
    content = (directory / PACK).read_bytes()
    places = parse((directory / "objects.index").read_bytes()).values()
    return [content[place.offset : place.offset + place.length] for place in places]


def pack(directory: Path, kept: list[bytes]) -> None:
    (directory / PACK).write_bytes(b"".join(kept))


def index(directory: Path, kept: list[bytes]) -> None:
    (directory / "objects.index").write_bytes(b"".join(kept))


def indexed(directory: Path) -> list[bytes]:
    return (directory / "objects.index").read_bytes().splitlines(keepends=True)


def reindex(directory: Path) -> None:
    """Make the index fit the pack again, as a careful forger would."""
    content = (directory / PACK).read_bytes()
    made = [f"{hashlib.sha256(content).hexdigest()}  {PACK}  {len(content)}\n"]
    offset = 0
    for frame in frames_in(content):
        made.append(f"{hashlib.sha256(expand(frame)).hexdigest()}  {PACK}  {offset}  {len(frame)}\n")
        offset += len(frame)
    (directory / "objects.index").write_text("".join(made))


def frames_in(content: bytes) -> list[bytes]:
    return [b"\x28\xb5\x2f\xfd" + rest for rest in content.split(b"\x28\xb5\x2f\xfd")[1:]]


def swap_frames(directory: Path) -> None:
    first, second, *rest = frames(directory)
    pack(directory, [second, first, *rest])


def drop_a_frame(directory: Path) -> None:
    pack(directory, frames(directory)[1:])


def drop_a_frame_carefully(directory: Path) -> None:
    drop_a_frame(directory)
    reindex(directory)


def cut_the_last_frame(directory: Path) -> None:
    content = (directory / PACK).read_bytes()
    (directory / PACK).write_bytes(content[:-1])


def add_half_a_frame(directory: Path) -> None:
    pack(directory, [*frames(directory), Compressor().frame(b"hello, world")[:-1]])


def add_a_frame(directory: Path) -> None:
    pack(directory, [*frames(directory), Compressor().frame(b"hello, world")])


def add_a_frame_carefully(directory: Path) -> None:
    add_a_frame(directory)
    reindex(directory)


def repeat_a_frame(directory: Path) -> None:
    pack(directory, [*frames(directory), frames(directory)[0]])


def put_a_byte_between_frames(directory: Path) -> None:
    first, *rest = frames(directory)
    pack(directory, [first, b"\0", *rest])


def put_a_skippable_frame_between_frames(directory: Path) -> None:
    first, *rest = frames(directory)
    pack(directory, [first, b"\x50\x2a\x4d\x18\x06\0\0\0hidden", *rest])


def replace_a_body(directory: Path) -> None:
    first, *rest = frames(directory)
    pack(directory, [Compressor().frame(b"x" * len(expand(first))), *rest])


def store_a_body_otherwise(directory: Path) -> None:
    import zstandard

    first, *rest = frames(directory)
    compressor = zstandard.ZstdCompressor(level=19, write_checksum=True)
    pack(directory, [compressor.compress(expand(first)), *rest])


def store_a_body_otherwise_carefully(directory: Path) -> None:
    store_a_body_otherwise(directory)
    reindex(directory)


def drop_the_pack(directory: Path) -> None:
    (directory / PACK).unlink()


def rename_the_pack(directory: Path) -> None:
    (directory / PACK).rename(directory / "objects" / "000002.pack")


def add_an_empty_pack(directory: Path) -> None:
    (directory / "objects" / "000002.pack").touch()


def add_a_pack(directory: Path) -> None:
    (directory / "objects" / "000002.pack").write_bytes(Compressor().frame(b"hello, world"))


def split_the_pack(directory: Path) -> None:
    first, *rest = frames(directory)
    pack(directory, [first])
    (directory / "objects" / "000002.pack").write_bytes(b"".join(rest))


def drop_the_index(directory: Path) -> None:
    (directory / "objects.index").unlink()


def reverse_the_index(directory: Path) -> None:
    head, *rest = indexed(directory)
    index(directory, [head, *reversed(rest)])


def list_a_body_less(directory: Path) -> None:
    index(directory, indexed(directory)[:-1])


def list_a_body_more(directory: Path) -> None:
    index(directory, [*indexed(directory), f"{'0' * 64}  {PACK}  0  12\n".encode()])


def list_a_body_twice(directory: Path) -> None:
    index(directory, [*indexed(directory), indexed(directory)[-1]])


def list_a_body_elsewhere(directory: Path) -> None:
    head, first, *rest = indexed(directory)
    index(directory, [head, first.replace(b"  0  ", b"  1  "), *rest])


def list_two_bodies_as_each_other(directory: Path) -> None:
    head, first, second, *rest = indexed(directory)
    index(directory, [head, second[:64] + first[64:], first[:64] + second[64:], *rest])


def list_another_size(directory: Path) -> None:
    head, *rest = indexed(directory)
    index(directory, [head.replace(b".pack  ", b".pack  1"), *rest])


def list_no_pack(directory: Path) -> None:
    index(directory, indexed(directory)[1:])


def end_the_index_early(directory: Path) -> None:
    index(directory, [b"".join(indexed(directory))[:-1]])


def swap_the_policy(directory: Path) -> None:
    (directory / "policy.yml").write_text("version: 1\nextends: [ciguard:observe]\n")


def drop_the_policy(directory: Path) -> None:
    (directory / "policy.yml").unlink()


def drop_the_manifest(directory: Path) -> None:
    (directory / "manifest.json").unlink()


def another_format(directory: Path) -> None:
    restate(directory, format=2)


def another_identity(directory: Path) -> None:
    restate(directory, identity=None)


def more_in_the_manifest(directory: Path) -> None:
    restate(directory, **{"\x1b[2J": 1})


def less_in_the_manifest(directory: Path) -> None:
    manifest = json.loads((directory / "manifest.json").read_bytes())
    del manifest["masked"]
    (directory / "manifest.json").write_bytes(canonical(manifest) + b"\n")


def spell_the_manifest_otherwise(directory: Path) -> None:
    manifest = json.loads((directory / "manifest.json").read_bytes())
    (directory / "manifest.json").write_text(json.dumps(manifest))


def break_the_manifest(directory: Path) -> None:
    (directory / "manifest.json").write_text("{")


def leave_a_response_open(directory: Path) -> None:
    (directory / "partial" / "000001").write_text("data: x")


def add_a_file(directory: Path) -> None:
    (directory / "note\x1b[2J.txt").touch()


def add_a_folder(directory: Path) -> None:
    (directory / "objects" / "zz").mkdir()


def add_a_link(directory: Path) -> None:
    (directory / "partial" / "000001").symlink_to("/etc/passwd")


def link_the_policy(directory: Path) -> None:
    (directory / "policy.yml").rename(directory.parent / "policy.yml")
    (directory / "policy.yml").symlink_to(directory.parent / "policy.yml")


@pytest.mark.parametrize(
    ("tamper", "number", "detail"),
    [
        (change_an_event, 2, "previous is not the hash"),
        (delete_an_event, 2, "line 5 (event 4): seq is 5, expected 4"),
        (insert_an_event, 2, "line 5 (event 4): seq is 3, expected 4"),
        (reorder_events, 2, "line 5 (event 4): seq is 5, expected 4"),
        (empty_the_log, 2, "no events"),
        (cut_events, 4, "the log has no end"),
        (cut_the_last_byte, 4, "the log has no end"),
        (append_half_a_line, 4, "ends within a line"),
        (forge_a_decision, 2, "blocked is 1"),
        (forge_a_time, 4, "another started"),
        (refer_to_no_request, 2, "request 1, which is not there"),
        (transfer_over_no_operation, 2, "operation 0, which is not there"),
        (answer_no_request_for_approval, 2, "event 2 is a verdict on a request for approval that is not open"),
        (answer_a_request_for_approval_twice, 2, "event 4 is a verdict on a request for approval that is not open"),
        (build_on_no_request, 2, "request 1, which is not there"),
        (keep_too_many_parts, 2, "keeps 1 parts of 0"),
        (start_twice, 2, "session_started"),
        (leave_out_the_start, 2, "session_started"),
        (go_on_after_the_end, 2, "follows"),
        (name_another_body, 3, f"body {'0' * 64} is missing"),
        (swap_frames, 3, "000001.pack is not the file that objects.index lists"),
        (drop_a_frame, 3, "is missing"),
        (drop_a_frame_carefully, 3, "is missing"),
        (cut_the_last_frame, 3, "is missing"),
        (add_half_a_frame, 3, "000001.pack ends within a frame"),
        (add_a_frame, 3, "000001.pack is not the file that objects.index lists"),
        (add_a_frame_carefully, 4, "another objects"),
        (repeat_a_frame, 3, "repeats body"),
        (put_a_byte_between_frames, 3, "is not a zstd frame"),
        (put_a_skippable_frame_between_frames, 3, "is not a zstd frame"),
        (replace_a_body, 3, "is missing"),
        (store_a_body_otherwise, 3, "000001.pack is not the file that objects.index lists"),
        (store_a_body_otherwise_carefully, 4, "another objects"),
        (drop_the_pack, 3, "is missing"),
        (rename_the_pack, 3, "objects/000001.pack is missing"),
        (add_an_empty_pack, 3, "000002.pack ends within a frame"),
        (add_a_pack, 3, "000002.pack is not the file that objects.index lists"),
        (split_the_pack, 3, "000001.pack is not the file that objects.index lists"),
        (drop_the_index, 3, "objects.index is missing"),
        (reverse_the_index, 3, "in another order"),
        (list_a_body_less, 3, "is not listed in objects.index"),
        (list_a_body_more, 3, "lists other bodies than there are"),
        (list_a_body_twice, 3, "lists other bodies than there are"),
        (list_a_body_elsewhere, 3, "is not listed in objects.index"),
        (list_two_bodies_as_each_other, 3, "is not listed in objects.index"),
        (list_another_size, 3, "000001.pack is not the file that objects.index lists"),
        (list_no_pack, 3, "000001.pack is not the file that objects.index lists"),
        (end_the_index_early, 3, "objects.index lists other bodies"),
        (swap_the_policy, 5, "not the policy"),
        (drop_the_policy, 1, "policy.yml is missing"),
        (drop_the_manifest, 4, "ciguard finish seals"),
        (another_format, 1, "format 2"),
        (another_identity, 4, "another identity"),
        (more_in_the_manifest, 4, "says \\x1b[2J"),
        (less_in_the_manifest, 4, "does not say masked"),
        (spell_the_manifest_otherwise, 4, "canonical"),
        (break_the_manifest, 1, "manifest.json is not"),
        (leave_a_response_open, 4, "another completeness"),
        (add_a_file, 1, "note\\x1b[2J.txt does not belong"),
        (add_a_folder, 1, "objects/zz does not belong"),
        (add_a_link, 1, "partial/000001 does not belong"),
        (link_the_policy, 1, "policy.yml does not belong"),
    ],
)
def test_the_first_thing_wrong_is_named(copied: Path, tamper: Callable[[Path], None], number: int, detail: str) -> None:
    tamper(copied)
    step = failure(copied)
    assert step.number == number, step
    assert any(words in step.detail for words in detail.split("|")), step
    assert step.detail.isprintable()


def test_a_session_that_was_cut_off_holds_up_to_there_and_is_incomplete(tmp_path: Path) -> None:
    recorder: Recorder = sample.start(tmp_path / "session")
    sample.converse(recorder)
    recorder.spool().append(b"half a")
    (tmp_path / "session" / ".objects.index").write_bytes(b"half a")
    with (tmp_path / "session" / PACK).open("ab") as stored:
        stored.write(Compressor().frame(b"half a")[:9])
    with (tmp_path / "session" / "events.jsonl").open("ab") as log:
        log.write(b'{"connection":"cla')
    steps = verify(tmp_path / "session").steps
    assert [step.outcome.value for step in steps] == [
        "holds",
        "holds",
        "holds",
        "incomplete",
        "holds",
        "none",
        "none",
        "none",
    ]
    assert steps[2].detail == "8 bodies, and 9 bytes of one that was being written"
    assert steps[3].detail == (
        "the session is incomplete: the guard was cut off before it finished; the log ends at event 11; "
        "ciguard finish seals what there is"
    )


def test_a_session_that_ended_within_a_response_is_incomplete(tmp_path: Path) -> None:
    recorder = sample.start(tmp_path / "session")
    recorder.spool().append(b"half a")
    sample.end(recorder)
    step = verify(tmp_path / "session").steps[3]
    assert step.outcome is Outcome.INCOMPLETE
    assert step.detail == "the session is incomplete: 1 responses were still being streamed"


def test_bodies_that_no_event_names_are_counted(tmp_path: Path) -> None:
    recorder = sample.start(tmp_path / "session")
    recorder.store(b"stray")
    sample.end(recorder)
    verification = verify(tmp_path / "session")
    assert verification.failure is None
    assert verification.steps[2].detail == "1 bodies, 1 of them named by no event"


def test_a_session_cut_off_before_its_first_body_holds_up_to_there(tmp_path: Path) -> None:
    sample.start(tmp_path / "session").close()
    (tmp_path / "session" / PACK).touch()
    step = verify(tmp_path / "session").steps[2]
    assert (step.outcome, step.detail) == (Outcome.HOLDS, "0 bodies, and 0 bytes of one that was being written")


def test_noise_in_a_session_that_was_cut_off_is_found(tmp_path: Path) -> None:
    recorder = sample.start(tmp_path / "session")
    sample.converse(recorder)
    with (tmp_path / "session" / PACK).open("ab") as stored:
        stored.write(b"\0" * 100)
    step = verify(tmp_path / "session").steps[2]
    assert step.outcome is Outcome.FAILED
    assert "is not a zstd frame" in step.detail


def test_bodies_over_several_packs_hold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pack_writer, "MAX_PACK_BYTES", 100)
    directory = sample.record(tmp_path / "session")
    assert len(list((directory / "objects").iterdir())) > 3
    assert verify(directory).failure is None
    (directory / "objects" / "000002.pack").unlink()
    assert failure(directory).detail == "objects/000002.pack is missing"

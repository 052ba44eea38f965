from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from ciguard.errors import RecordingFailed, UsageError
from ciguard.session.event import EventType, SessionStopped
from ciguard.session.reading import open_session
from ciguard.session.recorder import HASHED_TOGETHER, Recorder, Spool
from tests.unit.session import sample


def lines(directory: Path) -> list[bytes]:
    return (directory / "events.jsonl").read_bytes().splitlines()


def test_only_the_owner_can_read_a_session(tmp_path: Path) -> None:
    directory = sample.record(tmp_path / "deep" / "session")
    modes = {path: path.stat().st_mode & 0o777 for path in (directory, *directory.rglob("*"))}
    assert set(modes.values()) == {0o700, 0o600}
    assert all(mode == (0o700 if path.is_dir() else 0o600) for path, mode in modes.items())


def test_an_empty_directory_is_taken_and_closed_to_others(tmp_path: Path) -> None:
    directory = tmp_path / "session"
    directory.mkdir(mode=0o755)
    Recorder(directory, sample.Steps()).close()
    assert directory.stat().st_mode & 0o777 == 0o700


def occupied(path: Path) -> None:
    path.mkdir()
    (path / "file").touch()


@pytest.mark.parametrize("occupy", [occupied, Path.touch], ids=["files-in-it", "a-file"])
def test_a_place_that_is_taken_is_refused(tmp_path: Path, occupy: Callable[[Path], None]) -> None:
    occupy(tmp_path / "session")
    with pytest.raises(UsageError, match="not an empty directory"):
        Recorder(tmp_path / "session", sample.Steps())


def test_an_event_is_on_disk_when_its_number_is_returned(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path / "session", sample.Steps())
    assert recorder.record(sample.event(EventType.SESSION_STARTED, **sample.STARTED)) == 0
    assert recorder.record(SessionStopped(reason="\ud800\0")) == 1
    written = [json.loads(line) for line in lines(tmp_path / "session")]
    assert [event["type"] for event in written] == ["session_started", "session_stopped"]
    assert written[1]["time"] == "2026-11-02T09:30:02.000Z"
    assert written[1]["reason"] == "\ud800\0"
    assert recorder.count == 2


def test_short_writes_are_continued(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: write(descriptor, bytes(data)[:7]))
    sample.record(tmp_path / "session")
    assert json.loads(lines(tmp_path / "session")[-1])["type"] == "session_finished"


def test_bodies_are_on_disk_under_their_digest(tmp_path: Path) -> None:
    recorder = sample.start(tmp_path / "session")
    digest = recorder.store(b"body")
    assert open_session(tmp_path / "session").body(digest) == b"body"
    assert recorder.store(b"body") == digest
    assert open_session(tmp_path / "session").digests() == (digest,)


def test_every_file_is_closed_in_the_end(tmp_path: Path) -> None:
    def descriptors() -> int:
        return len(list(Path("/proc/self/fd").iterdir()))

    before = descriptors()
    finished, left = sample.start(tmp_path / "finished"), sample.start(tmp_path / "left")
    for recorder in (finished, left):
        sample.converse(recorder)
        recorder.spool()
    assert descriptors() > before
    sample.end(finished)
    left.close()
    assert descriptors() == before


def test_what_streams_is_on_disk_until_it_is_recorded(tmp_path: Path) -> None:
    recorder = sample.start(tmp_path / "session")
    first, second = recorder.spool(), recorder.spool()
    first.append(b"data: one\n\n")
    second.append(b"other")
    first.append(b"data: two\n\n")
    files = {path.name: path.read_bytes() for path in (tmp_path / "session" / "partial").iterdir()}
    assert sorted(files.values()) == [b"data: one\n\ndata: two\n\n", b"other"]
    first.discard()
    assert [path.read_bytes() for path in (tmp_path / "session" / "partial").iterdir()] == [b"other"]
    second.discard()
    assert sample.end(recorder)["completeness"] == "complete"


def test_finishing_writes_the_counts_and_the_manifest(tmp_path: Path) -> None:
    recorder = sample.start(tmp_path / "session")
    sample.converse(recorder)
    counts = recorder.counts
    manifest = sample.end(recorder)
    last = json.loads(lines(tmp_path / "session")[-1])
    assert (last["operations"], last["blocked"], last["held"], last["masked"]) == (4, 1, 1, 2)
    assert (counts.operations, counts.blocked, counts.held, counts.masked) == (4, 1, 1, 2)
    assert json.loads((tmp_path / "session" / "manifest.json").read_bytes()) == manifest
    assert manifest["log"] == {"events": recorder.count, "head": recorder.head}
    assert manifest["completeness"] == "complete"
    assert manifest["agent"] == {"status": 0, "signal": ""}
    assert manifest["refused"] == 1
    assert (tmp_path / "session" / "policy.yml").read_text() == sample.POLICY


def test_a_response_left_open_is_kept_and_said(tmp_path: Path) -> None:
    recorder = sample.start(tmp_path / "session")
    recorder.spool().append(b"half a")
    manifest = sample.end(recorder)
    assert manifest["completeness"] == "unfinished responses"
    assert [path.read_bytes() for path in (tmp_path / "session" / "partial").iterdir()] == [b"half a"]


@pytest.mark.parametrize("asked", [1, 3, 100])
def test_the_digest_of_a_spool_is_that_of_its_file(tmp_path: Path, asked: int) -> None:
    recorder = sample.start(tmp_path / "session")
    spool = recorder.spool()
    file = tmp_path / "session" / spool.path
    for number in range(100):
        spool.append(bytes([number]) * 1500)
        assert len(spool._unhashed) <= HASHED_TOGETHER
        if number % asked == 0:
            assert spool.digest == hashlib.sha256(file.read_bytes()).hexdigest()
    assert spool.digest == hashlib.sha256(file.read_bytes()).hexdigest()
    recorder.close()


def every_call(recorder: Recorder, spool: Spool) -> list[Callable[[], object]]:
    return [
        lambda: recorder.record(SessionStopped(reason="r")),
        lambda: recorder.store(b"new"),
        lambda: recorder.store(b"known"),
        lambda: recorder.write_policy("p"),
        lambda: recorder.finish("succeeded"),
        lambda: spool.append(b"x"),
        recorder.spool,
        spool.discard,
    ]


def refuses_everything(recorder: Recorder, spool: Spool) -> None:
    for call in every_call(recorder, spool):
        with pytest.raises(RecordingFailed):
            call()


def broken_log(_directory: Path, recorder: Recorder, _spool: Spool) -> None:
    os.close(recorder._log)
    recorder._descriptors.remove(recorder._log)
    recorder.record(SessionStopped(reason="r"))


def broken_objects(directory: Path, recorder: Recorder, _spool: Spool) -> None:
    recorder._packs.close()
    recorder.store(b"new")


def broken_spool(_directory: Path, _recorder: Recorder, spool: Spool) -> None:
    spool.close()
    spool.append(b"x")


def wrong_order(_directory: Path, recorder: Recorder, _spool: Spool) -> None:
    recorder.record(sample.event(EventType.SESSION_STARTED, **sample.STARTED))


@pytest.mark.parametrize(
    ("fail", "what"),
    [
        (broken_log, "Bad file descriptor"),
        (broken_objects, "Bad file descriptor"),
        (broken_spool, "Bad file descriptor"),
        (wrong_order, "one session_started event"),
    ],
)
def test_after_one_failure_nothing_is_taken(
    tmp_path: Path, fail: Callable[[Path, Recorder, Spool], None], what: str
) -> None:
    recorder = sample.start(tmp_path / "session")
    recorder.store(b"known")
    spool = recorder.spool()
    with pytest.raises(RecordingFailed, match=what):
        fail(tmp_path / "session", recorder, spool)
    refuses_everything(recorder, spool)
    assert not (tmp_path / "session" / "manifest.json").exists()


def test_an_interrupted_write_breaks_the_recorder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recorder = sample.start(tmp_path / "session")
    spool = recorder.spool()

    def interrupted(_descriptor: int, _data: memoryview) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "write", interrupted)
    with pytest.raises(KeyboardInterrupt):
        recorder.record(SessionStopped(reason="r"))
    monkeypatch.undo()
    refuses_everything(recorder, spool)


def test_nothing_is_taken_after_the_end(tmp_path: Path) -> None:
    recorder = sample.start(tmp_path / "session")
    spool = recorder.spool()
    sample.end(recorder)
    refuses_everything(recorder, spool)


def test_a_place_that_cannot_be_written_is_a_failure_to_record() -> None:
    with pytest.raises(RecordingFailed, match="cannot be recorded"):
        Recorder(Path("/proc/session"), sample.Steps())

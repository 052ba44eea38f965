from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ciguard.cli import main
from ciguard.errors import RecordingFailed, SessionDamaged
from ciguard.session.cut_off import is_sealed, refuse_other_policy, seal
from ciguard.session.frame import Compressor
from ciguard.session.manifest import Completeness
from ciguard.session.reading import open_session
from ciguard.session.signers import ReadySigner, job_signer
from ciguard.session.step import Outcome
from ciguard.session.verification import verify
from tests.unit.session import sample

PACK = "objects/000001.pack"


@pytest.fixture(scope="module")
def dead(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("dead") / "session"
    recorder = sample.start(directory)
    sample.converse(recorder)
    recorder.spool().append(b"half an answer")
    recorder.close()
    return directory


@pytest.fixture
def copied(dead: Path, tmp_path: Path) -> Path:
    return shutil.copytree(dead, tmp_path / "session")


def sealed(directory: Path, *signers: ReadySigner) -> None:
    seal(open_session(directory), sample.Steps(), signers or (job_signer(None),))


def holds(directory: Path) -> bool:
    """Whether all holds and only the end is missing."""
    verification = verify(directory)
    outcomes = [step.outcome for step in verification.steps[:6]]
    assert verification.failure is None, verification.failure
    return outcomes == [Outcome.HOLDS] * 3 + [Outcome.INCOMPLETE] + [Outcome.HOLDS] * 2


def test_what_there_is_holds_and_is_incomplete(copied: Path) -> None:
    signer = job_signer(None)
    assert not is_sealed(open_session(copied))
    sealed(copied, signer)
    session = open_session(copied)
    assert is_sealed(session)
    assert session.completeness is Completeness.CUT_OFF
    assert holds(copied)
    assert signer.key.keyid in verify(copied).steps[5].detail
    assert session.unfinished_response("000001") == b"half an answer"


def test_half_written_ends_are_taken_off_and_counted(copied: Path) -> None:
    with (copied / "events.jsonl").open("ab") as log:
        log.write(b'{"half')
    with (copied / PACK).open("ab") as pack:
        pack.write(Compressor().frame(b"a body")[:9])
    (copied / ".objects.index").write_bytes(b"half an index")
    sealed(copied)
    assert open_session(copied).events[-1]["lost"] == {"log": 6, "objects": 9}
    assert not (copied / ".objects.index").exists()
    assert holds(copied)


def test_a_pack_that_was_only_created_goes(copied: Path) -> None:
    (copied / "objects" / "000002.pack").touch()
    sealed(copied)
    assert not (copied / "objects" / "000002.pack").exists()
    assert holds(copied)


def test_sealing_that_was_cut_off_itself_is_done_again(copied: Path) -> None:
    sealed(copied)
    (copied / "manifest.json").unlink()
    last = job_signer(None)
    sealed(copied, last)
    assert holds(copied)
    assert verify(copied).steps[5].detail == f"job key {last.key.keyid}, afterwards"


def test_a_session_cut_off_between_its_last_event_and_its_manifest_is_sealed(tmp_path: Path) -> None:
    directory = sample.record(tmp_path / "session")
    for name in ("manifest.json", "signature.json", "objects.index"):
        (directory / name).unlink()
    sealed(directory)
    assert holds(directory)


def test_nothing_stays_of_those_who_had_begun_to_sign(tmp_path: Path) -> None:
    directory = sample.record(tmp_path / "session")
    (directory / "manifest.json").unlink()
    (directory / "manifest.sigstore.json").write_bytes(b"a bundle of another manifest")
    (directory / ".policy.yml").write_bytes(b"half a policy")
    seal(open_session(directory), sample.Steps(), ())
    assert {path.name for path in directory.iterdir()}.isdisjoint(
        {"signature.json", "manifest.sigstore.json", ".policy.yml"}
    )
    assert verify(directory).failure is None


def test_a_log_that_is_damaged_in_its_middle_is_not_sealed(copied: Path) -> None:
    log = (copied / "events.jsonl").read_bytes().splitlines(keepends=True)
    log[3] = log[3].replace(b"allow", b"block")
    (copied / "events.jsonl").write_bytes(b"".join(log))
    with pytest.raises(SessionDamaged, match="cannot be sealed"):
        sealed(copied)
    assert (copied / "events.jsonl").read_bytes() == b"".join(log)


@pytest.mark.parametrize("content", [b"", b"noise\n"])
def test_a_damaged_log_is_not_sealed(copied: Path, content: bytes) -> None:
    (copied / "events.jsonl").write_bytes(content)
    with pytest.raises(SessionDamaged, match="cannot be sealed"):
        sealed(copied)
    assert not (copied / "manifest.json").exists()


def test_another_policy_does_not_say_who_signs(copied: Path) -> None:
    refuse_other_policy(open_session(copied))
    (copied / "policy.yml").write_text("version: 1\naudit: {sign: [job]}\n")
    with pytest.raises(SessionDamaged, match=r"policy\.yml is not the policy"):
        refuse_other_policy(open_session(copied))
    assert main(["finish", str(copied)]) == 65
    (copied / "policy.yml").unlink()
    assert main(["finish", str(copied)]) == 65
    assert not (copied / "manifest.json").exists()


def test_damaged_bodies_are_not_sealed(copied: Path) -> None:
    with (copied / PACK).open("ab") as pack:
        pack.write(b"\0" * 100)
    with pytest.raises(SessionDamaged, match="is not a zstd frame"):
        sealed(copied)


def test_what_cannot_be_written_says_so(copied: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("ciguard.session.cut_off.write_whole", full)
    with pytest.raises(RecordingFailed, match="No space left"):
        sealed(copied)


@settings(max_examples=60)
@given(st.data())
def test_any_bit_that_differs_in_a_sealed_session_is_found(
    dead: Path, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    directory = shutil.copytree(dead, tmp_path_factory.mktemp("flipped") / "session")
    sealed(directory)
    path = data.draw(st.sampled_from(sorted(path for path in directory.rglob("*") if path.is_file())))
    content = bytearray(path.read_bytes())
    bit = data.draw(st.integers(0, len(content) * 8 - 1))
    content[bit // 8] ^= 1 << bit % 8
    path.write_bytes(content)
    assert verify(directory).failure is not None


def test_a_session_cut_off_at_any_byte_of_its_log_is_sealed_and_holds(dead: Path, tmp_path: Path) -> None:
    log = (dead / "events.jsonl").read_bytes()
    first = log.index(b"\n") + 1
    for number, end in enumerate(range(first, len(log), 97)):
        directory = shutil.copytree(dead, tmp_path / f"{number}")
        (directory / "events.jsonl").write_bytes(log[:end])
        sealed(directory)
        assert holds(directory)
        assert open_session(directory).events[-1]["lost"]["log"] == end - (log.rindex(b"\n", 0, end) + 1)

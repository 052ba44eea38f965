from __future__ import annotations

import base64
import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pyrage
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa

from ciguard.errors import SessionDamaged, UsageError
from ciguard.inspect.placeholder import Placeholders
from ciguard.session.canonical import canonical
from ciguard.session.cut_off import seal
from ciguard.session.originals import ORIGINALS, Originals, commitment, encryption, in_place, open_originals
from ciguard.session.reading import open_session
from ciguard.session.signers import job_signer
from ciguard.session.verification import verify
from tests.unit.session import sample

AUDITOR = pyrage.x25519.Identity.generate()
KEY = str(AUDITOR).encode()
SECRETS = ["s3cr3t-value-one", "zweites Geheimnis \ud83d ✓", "three\nlines\n\x1b[2J"]


def ssh(private: ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey) -> tuple[str, bytes]:
    """The public key as a recipient, and the private key as ssh-keygen writes it."""
    public = private.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    secret = private.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption()
    )
    return f"{public.decode()} audit@example.com", secret


def recorded(directory: Path, *recipients: str, end: bool = True) -> list[str]:
    """A session in which each of ``SECRETS`` was masked twice, and a value that is nobody's to open; placeholders."""
    recorder = sample.start(directory)
    originals = Originals(encryption(recipients), recorder, ["the guard's own"])
    placeholders = Placeholders(b"key", originals.seal)
    made = [placeholders.placeholder("kind", value) for value in (*SECRETS, *SECRETS)]
    placeholders.placeholder("kind", "the guard's own")
    if end:
        sample.end(recorder)
    else:
        recorder.close()
    return made[: len(SECRETS)]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("made") / "session"
    recorded(directory, str(AUDITOR.to_public()))
    return directory


@pytest.fixture
def copied(made: Path, tmp_path: Path) -> Path:
    return shutil.copytree(made, tmp_path / "session")


def test_each_value_is_sealed_once_and_opened_by_any_recipient(tmp_path: Path) -> None:
    first, second = ssh(ed25519.Ed25519PrivateKey.generate()), ssh(rsa.generate_private_key(65537, 2048))
    placeholders = recorded(tmp_path / "session", str(AUDITOR.to_public()), first[0], second[0])
    session = open_session(tmp_path / "session")
    for key in (KEY, first[1], second[1], b"# created: today\n" + KEY + b"\n"):
        opened = open_originals(session, key)
        assert opened.values == dict(zip(placeholders, SECRETS, strict=True))
    assert in_place(f"a {placeholders[0]} b", opened) == f"a {SECRETS[0]} b"
    assert verify(tmp_path / "session").failure is None
    assert SECRETS[0] not in repr(opened)


def test_no_value_is_anywhere_in_clear(made: Path) -> None:
    for path in (path for path in made.rglob("*") if path.is_file()):
        content = path.read_bytes()
        assert b"s3cr3t" not in content
        assert b"the guard's own" not in content
    assert len((made / ORIGINALS).read_bytes().splitlines()) == len(SECRETS)


def test_another_key_opens_nothing(made: Path) -> None:
    session = open_session(made)
    with pytest.raises(UsageError, match="none of those"):
        open_originals(session, str(pyrage.x25519.Identity.generate()).encode())
    with pytest.raises(UsageError, match="none of those"):
        open_originals(session, ssh(ed25519.Ed25519PrivateKey.generate())[1])


@pytest.mark.parametrize("key", [b"", b"nonsense", b"\xff\xfe", b"AGE-SECRET-KEY-1NOT"])
def test_what_is_no_private_key_is_refused_without_being_quoted(made: Path, key: bytes) -> None:
    with pytest.raises(UsageError, match="no private key") as refused:
        open_originals(open_session(made), key)
    assert "NOT" not in refused.value.cause + refused.value.remedy


def test_a_session_without_originals_says_so(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="has no originals"):
        open_originals(open_session(sample.record(tmp_path / "session")), KEY)


def swap(lines: list[bytes]) -> list[bytes]:
    return [lines[1], lines[0], *lines[2:]]


def forge(lines: list[bytes]) -> list[bytes]:
    content = b'{"placeholder": "x", "value": "y", "salt": "00"}'
    return [base64.b64encode(pyrage.encrypt(content, [AUDITOR.to_public()])), *lines[1:]]


def reseal(**changes: str) -> Callable[[list[bytes]], list[bytes]]:
    """Seals the first original anew, for the same auditor, with changes."""

    def change(lines: list[bytes]) -> list[bytes]:
        content = json.loads(pyrage.decrypt(base64.b64decode(lines[0]), [AUDITOR]))
        assert changes.items() & content.items() == set()
        sealed = pyrage.encrypt(json.dumps({**content, **changes}).encode(), [AUDITOR.to_public()])
        return [base64.b64encode(sealed), *lines[1:]]

    return change


def break_one(lines: list[bytes]) -> list[bytes]:
    return [lines[0][:-8], *lines[1:]]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (swap, "is not the value that was masked"),
        (forge, "is not the value that was masked"),
        (reseal(value="another value"), "is not the value that was masked"),
        (reseal(placeholder="[ciguard-masked:kind:another]"), "is not the value that was masked"),
        (reseal(salt="00"), "is not the value that was masked"),
        (break_one, "cannot be decrypted"),
        (lambda lines: [b"?", *lines[1:]], "is not an original"),
        (lambda lines: lines[:-1], "has 2 of 3"),
    ],
)
def test_what_was_changed_is_found_by_opening_and_by_verifying(
    copied: Path, change: Callable[[list[bytes]], list[bytes]], words: str
) -> None:
    path = copied / ORIGINALS
    path.write_bytes(b"".join(line + b"\n" for line in change(path.read_bytes().splitlines())))
    with pytest.raises(SessionDamaged, match=words):
        open_originals(open_session(copied), KEY)
    assert verify(copied).failure is not None


def test_a_commitment_is_of_the_salt_and_the_value() -> None:
    assert commitment(b"\x00salt", "välue") == hashlib.sha256(b"\x00salt" + "välue".encode()).hexdigest()


def test_fewer_originals_than_events_are_found_also_in_a_forged_manifest(copied: Path) -> None:
    kept = b"".join((copied / ORIGINALS).read_bytes().splitlines(keepends=True)[:-1])
    (copied / ORIGINALS).write_bytes(kept)
    manifest = json.loads((copied / "manifest.json").read_bytes())
    manifest["originals"]["digest"] = hashlib.sha256(kept).hexdigest()
    (copied / "manifest.json").write_bytes(canonical(manifest) + b"\n")
    found = verify(copied).failure
    assert found is not None
    assert (found.number, found.detail) == (4, "sealed/originals has other originals than the log has events for")


def test_a_missing_file_is_found(copied: Path) -> None:
    (copied / ORIGINALS).unlink()
    with pytest.raises(SessionDamaged, match="missing"):
        open_originals(open_session(copied), KEY)
    assert verify(copied).failure is not None


def test_originals_that_no_event_names_yet_go_when_a_cut_off_session_is_sealed(tmp_path: Path) -> None:
    directory = tmp_path / "session"
    recorded(directory, str(AUDITOR.to_public()), end=False)
    with (directory / ORIGINALS).open("ab") as file:
        file.write(b"a whole line\nand half a")
    seal(open_session(directory), sample.Steps(), [job_signer(None)])
    assert verify(directory).failure is None
    assert len(open_originals(open_session(directory), KEY).values) == len(SECRETS)


@pytest.mark.parametrize("recipient", ["age1nonsense", "ssh-ed25519 AAAA", "ecdsa-sha2-nistp256 AAAA"])
def test_a_recipient_that_cannot_be_encrypted_to_is_refused(recipient: str) -> None:
    with pytest.raises(UsageError, match="nothing can be encrypted"):
        encryption([recipient])

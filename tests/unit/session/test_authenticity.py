"""Who vouches for a session, and who does not; the whole way with a forge is in tests/integration/test_signing.py."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from ciguard.operation import Json
from ciguard.session.authenticity import Expectations
from ciguard.session.reading import open_session
from ciguard.session.signature import SIGNATURE, Signer, SigningKey
from ciguard.session.signers import ReadySigner, job_signer, signed
from ciguard.session.step import Outcome, Step
from ciguard.session.verification import verify
from ciguard.testing.issuer import Issuer
from tests.unit.session import sample

ISSUER = "https://id.example.com"
CLAIMS: dict[str, Json] = {
    "iss": ISSUER,
    "repository": "acme/shop",
    "run_id": "7",
    "run_attempt": "1",
    "ref": "refs/heads/main",
    "workflow_ref": "acme/shop/.github/workflows/agent.yml@refs/heads/main",
    "job_workflow_ref": "acme/ciguard/.github/workflows/guarded-agent.yml@refs/tags/v1",
}
THEN = {"iat": int(sample.START.timestamp()), "nbf": int(sample.START.timestamp()) - 5}
VALID = {**THEN, "exp": int((sample.START + timedelta(minutes=5)).timestamp())}


@pytest.fixture(scope="module")
def issuer() -> Iterator[Issuer]:
    """An issuer whose keys an auditor has; nobody asks it."""
    with Issuer() as issuer:
        yield issuer


def record(directory: Path, *signers: ReadySigner, **started: Json) -> Path:
    """A session that ``signers`` sign, with the claims of a job in its log."""
    identity: Json = {"issuer": ISSUER, "claims": CLAIMS, "token_digest": "sha256:" + "1" * 64}
    named: Json = [msgspec.to_builtins(signer.announced) for signer in signers]
    recorder = sample.start(directory, {**sample.STARTED, "identity": identity, "signing": named, **started})
    recorder.finish("succeeded", lambda manifest, content: signed(signers, manifest, content))
    return directory


def with_token(issuer: Issuer, **claims: Json) -> ReadySigner:
    """A job's key, with the token that vouches for it."""
    return job_signer(lambda audience: issuer.mint({**VALID, **CLAIMS, **claims}, audience=audience))


def steps(directory: Path, issuer: Issuer, **expected: Any) -> tuple[Step, Step, Step]:
    """Steps 6 to 8 for an auditor who knows the issuer, and what is ``expected``."""
    found = verify(directory, Expectations(issuer=ISSUER, jwks=issuer.keys(), **expected)).steps
    return found[5], found[6], found[7]


def test_a_token_of_then_vouches_now(tmp_path: Path, issuer: Issuer) -> None:
    directory = record(tmp_path / "session", with_token(issuer))
    signature, identity, met = steps(directory, issuer, repository="acme/shop", run="7")
    assert (signature.outcome, identity.outcome, met.outcome) == (Outcome.HOLDS,) * 3


@pytest.mark.parametrize("claims", [{"exp": THEN["nbf"] - 3600, "iat": THEN["nbf"] - 7200, "nbf": THEN["nbf"] - 7200}])
def test_a_token_of_another_time_does_not(tmp_path: Path, issuer: Issuer, claims: dict[str, Json]) -> None:
    identity = steps(record(tmp_path / "session", with_token(issuer, **claims)), issuer)[1]
    assert identity.outcome is Outcome.FAILED
    assert "the job's token does not hold" in identity.detail


def test_a_token_vouches_only_for_a_key_of_a_job_that_the_log_knows(tmp_path: Path, issuer: Issuer) -> None:
    ready = with_token(issuer)
    of_owner = ReadySigner(msgspec.structs.replace(ready.key, signer=Signer.KEY), ready.sign)
    for number, directory in enumerate(
        (record(tmp_path / "owner", of_owner), record(tmp_path / "nobody", ready, identity=None))
    ):
        identity = steps(directory, issuer)[1]
        assert (number, identity.outcome) == (number, Outcome.FAILED)
        assert identity.detail == "a token stands beside a key that is not the job's"


def test_only_the_key_that_is_trusted_or_was_announced_vouches(tmp_path: Path, issuer: Issuer) -> None:
    ready, other = job_signer(None), job_signer(None)
    directory = record(tmp_path / "session", ready)
    assert steps(directory, issuer)[1].outcome is Outcome.NONE
    for known, outcome in ((other, Outcome.NONE), (ready, Outcome.HOLDS)):
        assert steps(directory, issuer, keys=frozenset({known.key.public_key}))[1].outcome is outcome
        assert steps(directory, issuer, announced=frozenset({known.key.keyid}))[1].outcome is outcome
    # What was announced must be of this session, whoever else vouches.
    announced = frozenset({ready.key.keyid, other.key.keyid})
    assert steps(directory, issuer, announced=announced)[2].outcome is Outcome.FAILED


@pytest.mark.parametrize(
    ("claims", "wanted", "words"),
    [
        ({}, "acme/ciguard/.github/workflows/guarded-agent.yml@*", ""),
        ({}, "acme/ciguard/.github/workflows/other.yml@*", "job_workflow_ref is acme/ciguard"),
        ({"job_workflow_ref": CLAIMS["workflow_ref"]}, "*", "does not belong to a reusable workflow"),
    ],
)
def test_a_reusable_workflow_is_the_one_that_is_required(
    tmp_path: Path, issuer: Issuer, claims: dict[str, Json], wanted: str, words: str
) -> None:
    stated: Json = {"issuer": ISSUER, "claims": {**CLAIMS, **claims}, "token_digest": "sha256:" + "1" * 64}
    directory = record(tmp_path / "session", with_token(issuer, **claims), identity=stated)
    met = steps(directory, issuer, reusable_workflow=wanted)[2]
    assert met.outcome is (Outcome.FAILED if words else Outcome.HOLDS), met.detail
    assert words in met.detail


@pytest.mark.parametrize("option", ["repository", "workflow", "ref", "run", "reusable_workflow"])
def test_what_nobody_says_meets_no_expectation(tmp_path: Path, issuer: Issuer, option: str) -> None:
    ready = job_signer(None)
    known = {"keys": frozenset({ready.key.public_key}), option: "*"}
    signature, identity, met = steps(record(tmp_path / "session", ready), issuer, **known)
    assert (signature.outcome, identity.outcome, met.outcome) == (Outcome.HOLDS, Outcome.HOLDS, Outcome.FAILED)
    assert "is unknown" in met.detail


def test_a_signature_of_another_session_by_the_same_key_fails(tmp_path: Path, issuer: Issuer) -> None:
    ready = job_signer(None)
    mine = record(tmp_path / "session", ready)
    other = record(tmp_path / "other", ready, session="0b80")
    shutil.copy(other / SIGNATURE, mine / SIGNATURE)
    assert steps(mine, issuer)[0].detail == "signature.json vouches for another manifest than manifest.json"


def signing(change: Callable[[list[ReadySigner]], list[ReadySigner]], directory: Path) -> Step:
    """Step 6 of a session that others sign than those that its log names."""
    named = [job_signer(None), job_signer(None)]
    identity: Json = None
    announced: Json = [msgspec.to_builtins(signer.announced) for signer in named]
    recorder = sample.start(directory, {**sample.STARTED, "identity": identity, "signing": announced})
    recorder.finish("succeeded", lambda manifest, content: signed(change(named), manifest, content))
    assert open_session(directory).manifest is not None
    return verify(directory).steps[5]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda named: named[:1], "which the log names, did not sign"),
        (lambda named: [*named, job_signer(None)], "signed, and the log does not name it"),
        (lambda named: named[:0], "signature.json is missing, and the log says that the session would be signed"),
        (
            lambda named: [ReadySigner(as_key(named[0].key), named[0].sign), named[1]],
            "which the log names, did not sign",
        ),
    ],
)
def test_exactly_those_sign_whom_the_log_names(
    tmp_path: Path, change: Callable[[list[ReadySigner]], list[ReadySigner]], words: str
) -> None:
    step = signing(change, tmp_path / "session")
    assert step.outcome is Outcome.FAILED
    assert words in step.detail


def as_key(key: SigningKey) -> SigningKey:
    """``key``, said to be the repository owner's."""
    return msgspec.structs.replace(key, signer=Signer.KEY)

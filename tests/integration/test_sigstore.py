"""A job signs its session with Sigstore, and an auditor verifies it offline; the instance is a stand-in."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from ciguard.cli import main
from ciguard.session.reading import open_session
from ciguard.session.signature import BadSignatureError
from ciguard.session.sigstore_bundle import BUNDLE, SigstoreIdentity, bundle_maker, check_bundle, verify_bundle
from ciguard.session.statement import statement
from ciguard.testing.github_job import github_job
from ciguard.testing.gitlab_job import gitlab_job
from ciguard.testing.issuer import Issuer
from tests.integration.sigstore_instance import SigstoreInstance, subject
from tests.integration.test_run import Ran, job
from tests.integration.test_signing import HELLO, IDENTITY, identified

SIGN = "audit: {sign: [{sigstore: {trust_config: {env: TRUST}}}]}\n"


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    with Issuer() as issuer:
        yield issuer


@pytest.fixture
def instance(issuer: Issuer) -> Iterator[SigstoreInstance]:
    with SigstoreInstance(issuer) as instance:
        yield instance


@dataclass(frozen=True)
class Signed:
    """A session of a job, and whom its certificate names."""

    ran: Ran
    claims: dict[str, str]
    trust: Path

    def verify(self, *options: str, whom: str = "") -> int:
        """``ciguard session verify`` for the job's own identity, or for ``whom``."""
        known = ["--sigstore-identity", whom or subject(self.claims), "--sigstore-issuer", self.claims["iss"]]
        return main(["session", "verify", *known, "--trust-config", str(self.trust), *options, str(self.ran.directory)])


async def recorded(folder: Path, issuer: Issuer, instance: SigstoreInstance, sign: str = SIGN) -> Signed:
    """A session of a GitHub job."""
    trust = folder / "trust.json"
    trust.write_text(instance.trust_config)
    with github_job(issuer, folder) as runner:
        async with job(folder, more=IDENTITY.format(issuer=issuer.url) + sign):
            ran = await identified(folder, {**runner.environ, "TRUST": instance.trust_config}, HELLO)
    return Signed(ran, {"iss": issuer.url, **{name: str(value) for name, value in runner.claims.items()}}, trust)


async def test_a_session_is_verified_by_the_certificate_of_its_job(
    tmp_path: Path, issuer: Issuer, instance: SigstoreInstance, capsys: pytest.CaptureFixture[str]
) -> None:
    made = await recorded(tmp_path, issuer, instance)
    assert made.ran.status == 0, made.ran.errors
    assert "will be signed with a Sigstore certificate of this job" in made.ran.errors
    assert open_session(made.ran.directory).events[0]["signing"] == [{"signer": "sigstore", "keyid": None}]
    capsys.readouterr()
    expected = ["--repository", "acme/shop", "--run", made.claims["run_id"], "--ref", "refs/heads/main"]
    assert made.verify(*expected, "--workflow", "acme/shop/.github/workflows/agent.yml@*") == 0
    printed = capsys.readouterr().out
    assert "6. signature: holds — a Sigstore bundle" in printed
    assert f"Sigstore says that {subject(made.claims)} signed it" in printed
    assert made.verify("--run", "1") == 65
    assert main(["session", "verify", str(made.ran.directory)]) == 65
    assert "nobody whom you know" in capsys.readouterr().err
    for token in instance.tokens:
        assert token not in made.ran.errors
        assert not any(token.encode() in path.read_bytes() for path in made.ran.directory.rglob("*") if path.is_file())


async def test_it_is_not_of_somebody_else(
    tmp_path: Path, issuer: Issuer, instance: SigstoreInstance, capsys: pytest.CaptureFixture[str]
) -> None:
    made = await recorded(tmp_path, issuer, instance)
    capsys.readouterr()
    assert made.verify(whom=subject(made.claims).replace("agent.yml", "other.yml")) == 65
    assert "manifest.sigstore.json does not hold: VerificationError" in capsys.readouterr().err
    directory = str(made.ran.directory)
    known = ["--sigstore-identity", subject(made.claims)]
    assert main(["session", "verify", *known, "--sigstore-issuer", "https://id.example.com", directory]) == 65
    assert main(["session", "verify", *known, directory]) == 64
    with SigstoreInstance(issuer) as other:
        made.trust.write_text(other.trust_config)
    assert made.verify() == 65


async def test_the_certificate_is_of_the_run_that_the_log_says(
    tmp_path: Path, issuer: Issuer, instance: SigstoreInstance, capsys: pytest.CaptureFixture[str]
) -> None:
    """Another run of the same workflow signs a record that is not its own."""
    made = await recorded(tmp_path, issuer, instance)
    session = open_session(made.ran.directory)
    assert session.manifest is not None
    manifest = (made.ran.directory / "manifest.json").read_bytes()
    token = issuer.mint({**made.claims, "sub": "repo:acme/shop", "run_id": "1"}, audience="sigstore")
    make = bundle_maker(lambda: token, instance.trust_config)
    (made.ran.directory / BUNDLE).write_bytes(make(statement(manifest, session.manifest)))
    capsys.readouterr()
    assert made.verify() == 65
    printed = capsys.readouterr()
    assert "6. signature: holds" in printed.out
    assert "the log says another run_id than the certificate" in printed.err


async def test_it_signs_beside_the_keys_of_the_session(
    tmp_path: Path, issuer: Issuer, instance: SigstoreInstance, capsys: pytest.CaptureFixture[str]
) -> None:
    made = await recorded(tmp_path, issuer, instance, SIGN.replace("[{", "[job, {"))
    capsys.readouterr()
    jwks = tmp_path / "jwks.json"
    jwks.write_text(json.dumps(issuer.keys()))
    assert made.verify("--issuer", issuer.url, "--jwks", str(jwks)) == 0
    assert "job key sha256:" in (printed := capsys.readouterr().out)
    assert "a Sigstore bundle" in printed
    (made.ran.directory / BUNDLE).unlink()
    assert made.verify("--issuer", issuer.url, "--jwks", str(jwks)) == 65
    assert "manifest.sigstore.json is missing" in capsys.readouterr().err


async def test_a_gitlab_job_signs_with_the_token_that_it_declares(
    tmp_path: Path, issuer: Issuer, instance: SigstoreInstance, capsys: pytest.CaptureFixture[str]
) -> None:
    runner = gitlab_job(issuer)
    token = issuer.mint(runner.claims, audience="sigstore")
    trust = tmp_path / "trust.json"
    trust.write_text(instance.trust_config)
    environ = {**runner.environ, "TRUST": instance.trust_config}
    async with job(tmp_path, more=IDENTITY.format(issuer=issuer.url) + SIGN):
        without = await identified(tmp_path, environ, HELLO)
        assert without.status == 77
        assert "SIGSTORE_ID_TOKEN:\n    aud: sigstore" in without.errors
        ran = await identified(tmp_path, {**environ, "SIGSTORE_ID_TOKEN": token}, HELLO)
    assert ran.status == 0, ran.errors
    made = Signed(ran, {"iss": issuer.url, **{name: str(value) for name, value in runner.claims.items()}}, trust)
    assert made.verify("--repository", "acme/platform/shop") == 0
    assert made.verify("--run", str(runner.claims["pipeline_id"])) == 65
    assert "pipeline_id is unknown" in capsys.readouterr().err


async def test_nothing_starts_without_a_trust_configuration(
    tmp_path: Path, issuer: Issuer, capsys: pytest.CaptureFixture[str]
) -> None:
    with github_job(issuer, tmp_path) as runner:
        async with job(tmp_path, more=IDENTITY.format(issuer=issuer.url) + SIGN):
            ran = await identified(tmp_path, {**runner.environ, "TRUST": '{"mediaType": "text"}'}, HELLO)
    assert ran.status == 71
    assert "the trust configuration of Sigstore cannot be had" in ran.errors
    assert not ran.directory.exists()


async def test_an_instance_that_is_down_at_the_end_fails_the_session(
    tmp_path: Path, issuer: Issuer, instance: SigstoreInstance, capsys: pytest.CaptureFixture[str]
) -> None:
    instance.refuse = 503
    made = await recorded(tmp_path, issuer, instance)
    assert made.ran.status == 74
    assert "error: the session cannot be signed with Sigstore" in made.ran.errors
    assert "Traceback" not in made.ran.errors
    assert not (made.ran.directory / "manifest.json").exists()
    assert made.verify("--allow-unsigned") == 65


async def test_every_bit_of_a_bundle_counts(tmp_path: Path, issuer: Issuer, instance: SigstoreInstance) -> None:
    made = await recorded(tmp_path, issuer, instance)
    path = made.ran.directory / BUNDLE
    whole = path.read_bytes()
    expected = SigstoreIdentity(subject(made.claims), made.claims["iss"], made.trust.read_text())
    verify_bundle(whole, expected, online=False)
    chance = random.Random(20261121)  # noqa: S311 - chooses what is tried, the same each time
    # The name before a checkpoint's signature is the only thing in a bundle that nobody signs.
    name = whole.index("\\n\\n— ".encode()) + len("\\n\\n— ".encode())
    unsigned = range(8 * name, 8 * (name + len(b"acme")))
    for bit in sorted(chance.sample(range(8 * len(whole)), 1500)):
        content = bytearray(whole)
        content[bit // 8] ^= 1 << bit % 8
        if bit not in unsigned:
            with pytest.raises(BadSignatureError):
                verify_bundle(bytes(content), expected, online=False)


def test_without_the_extra_it_says_what_to_install() -> None:
    code = (
        "import sys; sys.modules['sigstore'] = None\n"
        "from ciguard.errors import UsageError\n"
        "from ciguard.session.sigstore_bundle import bundle_maker\n"
        "try:\n    bundle_maker(lambda: '', '{}')\n"
        "except UsageError as error:\n    print(error.remedy)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("install the extra: pip install 'ciguard[sigstore]'")


def test_check_says_what_is_wrong() -> None:
    with pytest.raises(BadSignatureError, match="not in order"):
        check_bundle(b"{}", b"")

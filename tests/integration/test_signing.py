"""A job signs its session, and an auditor with nothing but the archive verifies it."""

from __future__ import annotations

import json
import random
import re
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ciguard.cli import main
from ciguard.session.authenticity import Expectations
from ciguard.session.canonical import canonical
from ciguard.session.chain import Position, link
from ciguard.session.event import EventType, event_from
from ciguard.session.reading import open_session
from ciguard.session.signers import job_signer, signed
from ciguard.session.verification import verify
from ciguard.testing.github_job import GitHubJob, github_job
from ciguard.testing.gitlab_job import gitlab_job
from ciguard.testing.issuer import Issuer
from tests.integration.guarded import CREDENTIAL, SECRET
from tests.integration.test_run import Ran, finished, job, python, start
from tests.unit.session.vault import Vault

IDENTITY = """\
identity:
  issuers: ["{issuer}"]
  allow: [{{iss: "*"}}]
"""


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    with Issuer() as issuer:
        yield issuer


@dataclass(frozen=True)
class Signed:
    """A recorded session, and what its auditor has from elsewhere."""

    directory: Path
    log: str
    jwks: Path
    issuer: str
    job: GitHubJob

    def verify(self, *options: str, path: Path | None = None) -> int:
        """``ciguard session verify`` with the issuer's keys from a file."""
        known = ["--issuer", self.issuer, "--jwks", str(self.jwks)]
        return main(["session", "verify", *known, *options, str(path or self.directory)])


async def identified(folder: Path, environ: Mapping[str, str], agent: Sequence[str]) -> Ran:
    """``ciguard run`` in a job."""
    return await finished(await start(folder, agent, "--session-dir", "session", environ=environ), folder)


HELLO = python("ask('hello')")


async def recorded(
    folder: Path, issuer: Issuer, *, more: str = "", agent: Sequence[str] = HELLO, **environ: str
) -> Signed:
    """A session of a GitHub job."""
    with github_job(issuer, folder) as runner:
        async with job(folder, more=IDENTITY.format(issuer=issuer.url) + more):
            ran = await identified(folder, {**runner.environ, **environ}, agent)
    assert ran.status == 0, ran.errors
    jwks = folder / "jwks.json"
    jwks.write_text(json.dumps(issuer.keys()))
    return Signed(ran.directory, ran.errors, jwks, issuer.url, runner)


async def test_a_session_of_a_job_is_verified_with_only_its_archive(
    tmp_path: Path, issuer: Issuer, capsys: pytest.CaptureFixture[str]
) -> None:
    made = await recorded(tmp_path, issuer)
    archive = Path(shutil.make_archive(str(tmp_path / "artifact"), "zip", made.directory))
    shutil.rmtree(made.directory)
    run_id = str(made.job.claims["run_id"])
    assert made.verify("--repository", "acme/shop", "--run", run_id, path=archive) == 0
    out = capsys.readouterr().out
    assert f"7. job identity: holds — {made.issuer} says that the key belongs to repository acme/shop" in out
    key = re.search(r"signed with the job key (sha256:[0-9a-f]{64})", made.log)
    assert key is not None
    assert key[1] in (tmp_path / "github_step_summary").read_text()
    assert made.verify("--announced", key[1], path=archive) == 0


async def test_the_token_that_signs_is_had_before_the_agent_starts_and_never_reaches_it(
    tmp_path: Path, issuer: Issuer
) -> None:
    made = await recorded(tmp_path, issuer)
    audiences = [request.query["audience"] for request in issuer.requests if "audience" in request.query]
    [name] = [one["keyid"] for one in open_session(made.directory).events[0]["signing"]]
    assert audiences == [["ciguard"], [f"urn:ciguard:key:{name}"]]
    [key] = json.loads((made.directory / "signature.json").read_bytes())["keys"]
    assert key["token"].encode() not in (made.directory / "events.jsonl").read_bytes()
    assert key["token"] not in made.log


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--repository", "acme/other"], "repository is acme/shop"),
        (["--run", "1"], "run_id is"),
        (["--ref", "refs/heads/other"], "ref is refs/heads/main"),
        (["--workflow", "acme/shop/.github/workflows/other.yml@*"], "workflow_ref is"),
        (["--announced", "f" * 64], "was announced, and is no head"),
        (["--require-reusable-workflow", "*"], "does not belong to a reusable workflow"),
    ],
)
async def test_what_the_auditor_knows_otherwise_fails(
    tmp_path: Path, issuer: Issuer, capsys: pytest.CaptureFixture[str], options: list[str], words: str
) -> None:
    made = await recorded(tmp_path, issuer)
    capsys.readouterr()
    assert made.verify(*options) == 65
    assert words in capsys.readouterr().err
    assert made.verify("--workflow", "acme/shop/.github/workflows/agent.yml@*", "--ref", "refs/heads/main") == 0


async def test_nobody_else_vouches(tmp_path: Path, issuer: Issuer, capsys: pytest.CaptureFixture[str]) -> None:
    made = await recorded(tmp_path, issuer)
    keys = ["--jwks", str(made.jwks)]
    assert main(["session", "verify", *keys, str(made.directory)]) == 65
    assert "give --issuer" in capsys.readouterr().err
    assert main(["session", "verify", "--issuer", made.issuer, str(made.directory)]) == 65
    assert "the issuer has no key" in capsys.readouterr().err
    assert main(["session", "verify", "--issuer", made.issuer, "--online", str(made.directory)]) == 0
    with Issuer() as other:
        made.jwks.write_text(json.dumps(other.keys()))
    assert made.verify() == 65


def resign(made: Signed, change: Callable[[dict[str, Any]], object]) -> None:
    """Write the whole session anew, with a key of one's own and the job's token where it was."""
    session = open_session(made.directory)
    token = json.loads((made.directory / "signature.json").read_bytes())["keys"][0]["token"]
    mine = job_signer(lambda _: str(token))
    position, lines = Position(), []
    for event in session.events:
        if event["type"] == EventType.SESSION_STARTED:
            event["signing"] = [{"signer": "job", "keyid": mine.key.keyid}]
            change(event)
        line, position = link(position, event_from(event))
        lines.append(line + b"\n")
    (made.directory / "events.jsonl").write_bytes(b"".join(lines))
    manifest: dict[str, Any] = dict(session.manifest or {})
    started = session.events[0]
    manifest |= {"signing": started["signing"], "identity": started["identity"]}
    manifest["log"] = {**manifest["log"], "head": position.head}
    written = canonical(manifest) + b"\n"
    (made.directory / "manifest.json").write_bytes(written)
    (made.directory / "signature.json").write_bytes(signed([mine], written, manifest)["signature.json"])


def other_repository(started: dict[str, Any]) -> None:
    started["identity"]["claims"]["repository"] = "acme/other"


@pytest.mark.parametrize("change", [dict.keys, other_repository])
async def test_a_session_that_was_written_anew_and_signed_with_another_key_fails(
    tmp_path: Path, issuer: Issuer, capsys: pytest.CaptureFixture[str], change: Callable[[dict[str, Any]], object]
) -> None:
    made = await recorded(tmp_path, issuer)
    resign(made, change)
    capsys.readouterr()
    assert made.verify() == 65
    printed = capsys.readouterr()
    assert "6. signature: holds" in printed.out
    assert "7, job identity: the job's token does not hold: the identity token's audience" in printed.err


async def test_the_token_of_another_run_does_not_vouch(
    tmp_path: Path, issuer: Issuer, capsys: pytest.CaptureFixture[str]
) -> None:
    made = await recorded(tmp_path, issuer)
    content = json.loads((made.directory / "signature.json").read_bytes())
    [key] = content["keys"]
    audience = f"urn:ciguard:key:{key['keyid']}"
    key["token"] = issuer.mint({**made.job.claims, "run_id": "1"}, audience=audience)
    (made.directory / "signature.json").write_bytes(canonical(content) + b"\n")
    capsys.readouterr()
    assert made.verify() == 65
    assert "the log says another run_id than the job's token" in capsys.readouterr().err


async def test_a_missing_signature_fails(tmp_path: Path, issuer: Issuer, capsys: pytest.CaptureFixture[str]) -> None:
    made = await recorded(tmp_path, issuer)
    (made.directory / "signature.json").unlink()
    assert made.verify("--allow-unsigned") == 65
    assert "signature.json is missing" in capsys.readouterr().err


async def test_a_key_of_ones_own_signs_too(tmp_path: Path, issuer: Issuer) -> None:
    private = Ed25519PrivateKey.generate()
    pem = private.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()
    more = "audit: {sign: [{key: {env: SIGNING_KEY}}]}\n"
    made = await recorded(tmp_path, issuer, more=more, SIGNING_KEY=pem)
    public = tmp_path / "key.pem"
    public.write_bytes(
        private.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    )
    assert main(["session", "verify", "--key", str(public), str(made.directory)]) == 0
    assert main(["session", "verify", str(made.directory)]) == 65
    assert open_session(made.directory).events[0]["signing"][0]["signer"] == "key"
    body = pem.splitlines()[1].encode()
    assert not any(body in path.read_bytes() for path in made.directory.rglob("*") if path.is_file())


async def test_a_vault_signs_for_the_job(tmp_path: Path, issuer: Issuer, capsys: pytest.CaptureFixture[str]) -> None:
    given: list[str] = []

    def accepts(token: str) -> bool:
        keys = jwt.PyJWKSet.from_dict(issuer.keys())
        key = keys[jwt.get_unverified_header(token)["kid"]]
        given.append(token)
        return bool(jwt.decode(token, key, algorithms=["RS256"], audience=vault.settings.address))

    with Vault("ed25519", accepts) as vault:
        settings = json.dumps(vault.settings.model_dump())
        made = await recorded(tmp_path, issuer, more=f"audit: {{sign: [job, {{vault: {settings}}}]}}\n")
        public = tmp_path / "key.pem"
        public.write_bytes(vault.public_pem)
        assert vault.living == set()
    assert len(given) == 2
    assert made.verify("--key", str(public)) == 0
    printed = capsys.readouterr().out
    announced = re.search(r"signed with the vault key (sha256:[0-9a-f]{64})", made.log)
    assert announced is not None
    assert f"{announced[1]} is a key that you gave" in printed
    for token in given:
        assert token not in made.log
        assert not any(token.encode() in path.read_bytes() for path in made.directory.rglob("*") if path.is_file())


async def test_a_gitlab_job_announces_its_key(
    tmp_path: Path, issuer: Issuer, capsys: pytest.CaptureFixture[str]
) -> None:
    async with job(tmp_path, more=IDENTITY.format(issuer=issuer.url)):
        ran = await identified(tmp_path, gitlab_job(issuer).environ, HELLO)
    assert ran.status == 0, ran.errors
    key = re.search(r"signed with the job key (sha256:[0-9a-f]{64})", ran.errors)
    assert key is not None
    assert main(["session", "verify", str(ran.directory)]) == 65
    assert "nobody whom you know" in capsys.readouterr().err
    assert main(["session", "verify", "--announced", key[1], str(ran.directory)]) == 0


async def test_an_auditor_opens_what_was_masked_and_nobody_else_does(
    tmp_path: Path, issuer: Issuer, capsys: pytest.CaptureFixture[str]
) -> None:
    private = Ed25519PrivateKey.generate()
    recipient = (
        private.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH).decode()
    )
    key = tmp_path / "auditor"
    key.write_bytes(
        private.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption()
        )
    )
    more = f'audit: {{recipients: ["{recipient}"]}}\n'
    agent = python(f"ask('the token is {SECRET} and the key is {CREDENTIAL}')")
    made = await recorded(tmp_path, issuer, more=more, agent=agent)
    assert made.verify() == 0
    assert not any(SECRET.encode() in path.read_bytes() for path in made.directory.rglob("*") if path.is_file())
    capsys.readouterr()
    assert main(["session", "open", "--identity", str(key), str(made.directory)]) == 0
    printed = capsys.readouterr().out
    assert SECRET in printed
    assert CREDENTIAL not in printed
    assert main(["session", "open", "--identity", str(made.jwks), str(made.directory)]) == 64


async def test_every_bit_of_a_signature_with_its_token_counts(tmp_path: Path, issuer: Issuer) -> None:
    made = await recorded(tmp_path, issuer)
    path = made.directory / "signature.json"
    whole = path.read_bytes()
    begin = whole.index(b'"token":"') + len(b'"token":"')
    # The last character of each part of a token has bits that decoders drop.
    ends = [begin + end for end in range(len(whole) - begin) if whole[begin + end : begin + end + 1] in (b".", b'"')][
        :3
    ]
    chance = random.Random(20261121)  # noqa: S311 - chooses what is tried, the same each time
    bits = [8 * (end - 1) + bit for end in ends for bit in range(8)]
    for bit in bits + chance.sample(range(8 * len(whole)), 300):
        content = bytearray(whole)
        content[bit // 8] ^= 1 << bit % 8
        path.write_bytes(content)
        found = verify(made.directory, Expectations(issuer=made.issuer, jwks=issuer.keys()))
        assert found.failure is not None, (bit, content[bit // 8 - 20 : bit // 8 + 2])
    path.write_bytes(whole)
    assert made.verify() == 0

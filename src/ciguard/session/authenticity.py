"""Who vouches for a session: the steps of a verification that look beyond the directory.

Theory of operation. Whoever can write a session directory can write a consistent one. What they cannot do is sign it
with a key that the job's forge, or somebody whom the auditor knows, vouches for. On GitHub a key lives as long as the
session and is named by the audience of an identity token that the job got before the agent started; the token's own
signature is the forge's. Where the forge fixes the audience beforehand, the key's name was announced where the agent
could not write.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from ciguard.errors import IdentityRefused
from ciguard.forge.github import PUBLIC_ISSUER as GITHUB
from ciguard.forge.gitlab import PUBLIC_ISSUER as GITLAB
from ciguard.operation import Json
from ciguard.policy import globs
from ciguard.session.container import read_file
from ciguard.session.manifest import Completeness
from ciguard.session.reading import MAX_MANIFEST_BYTES, Session
from ciguard.session.signature import (
    AUDIENCE_PREFIX,
    MAX_SIGNATURE_BYTES,
    SIGNATURE,
    BadSignatureError,
    Signer,
    SigningKey,
    check,
)
from ciguard.session.sigstore_bundle import BUNDLE, MAX_BUNDLE_BYTES, SigstoreIdentity, check_bundle, verify_bundle
from ciguard.session.statement import statement
from ciguard.session.step import FailedError, NothingError, inert

_PUBLIC = frozenset({GITHUB, GITLAB})

_OF_ONE_TOKEN = frozenset({"aud", "jti", "iat", "nbf", "exp"})
"""Claims in which two tokens of the same job differ."""


@dataclass(frozen=True, slots=True)
class Expectations:
    """What the auditor knows from elsewhere.

    ``issuer`` is the forge's token issuer, when it is not a public one, and ``jwks`` its keys (RFC 7517), when they are
    not to be those that this version has; ``online`` fetches them instead. ``keys`` are public keys in DER that the
    auditor trusts, ``sigstore`` whom a Sigstore certificate must name. ``announced`` are names of keys and log heads
    that were published while the session ran. The others are what claims of the job's token must be; ``*`` in
    ``workflow`` and ``reusable_workflow`` stands for anything.
    """

    issuer: str = ""
    jwks: Json = None
    online: bool = False
    keys: frozenset[bytes] = frozenset()
    sigstore: SigstoreIdentity | None = None
    announced: frozenset[str] = frozenset()
    repository: str = ""
    workflow: str = ""
    ref: str = ""
    run: str = ""
    reusable_workflow: str = ""


NOTHING_EXPECTED = Expectations()
"""Of an auditor who knows nothing from elsewhere."""


@dataclass(frozen=True, slots=True)
class Vouching:
    """What vouches for a session: keys whose signatures hold, and a bundle that its own certificate's key signed."""

    keys: tuple[SigningKey, ...]
    bundle: bytes | None


def _announced(session: Session) -> set[tuple[str, str | None]]:
    """The signer and name of each key that the log says will sign; those named last count."""
    named = [event["signing"] for event in session.events if "signing" in event]
    return {(one["signer"], one["keyid"]) for one in named[-1]} if named else set()


def signatures(session: Session) -> tuple[Vouching, str]:
    """The signatures over manifest.json, and in words what holds; everybody whom the log names must have signed."""
    if session.manifest is None:
        raise NothingError("there is no manifest to vouch for")
    announced = _announced(session)
    certified = {one for one in announced if one[0] == Signer.SIGSTORE}
    signed = statement(read_file(session.directory, "manifest.json", MAX_MANIFEST_BYTES), session.manifest)
    try:
        keys = _keys(session, signed, announced - certified)
        bundle = _bundle(session, signed, expected=bool(certified))
    except BadSignatureError as error:
        raise FailedError(str(error)) from None
    names = [f"{key.signer} key {key.keyid}" for key in keys] + ["a Sigstore bundle"] * (bundle is not None)
    if not names:
        raise NothingError("nobody signed the session")
    afterwards = ", afterwards" if session.completeness is Completeness.CUT_OFF else ""
    return Vouching(keys, bundle), ", ".join(names) + afterwards


def _keys(session: Session, signed: bytes, announced: set[tuple[str, str | None]]) -> tuple[SigningKey, ...]:
    try:
        content = read_file(session.directory, SIGNATURE, MAX_SIGNATURE_BYTES)
    except FileNotFoundError:
        if announced:
            raise BadSignatureError(
                f"{SIGNATURE} is missing, and the log says that the session would be signed"
            ) from None
        return ()
    found = check(content)
    if found.statement != signed:
        raise BadSignatureError(f"{SIGNATURE} vouches for another manifest than manifest.json")
    names = {(key.signer.value, key.keyid) for key in found.keys}
    if missing := announced - names:
        raise BadSignatureError(f"the key {min(str(name) for _, name in missing)}, which the log names, did not sign")
    if strangers := names - announced:
        raise BadSignatureError(f"the key {min(name for _, name in strangers)} signed, and the log does not name it")
    return found.keys


def _bundle(session: Session, signed: bytes, *, expected: bool) -> bytes | None:
    try:
        content = read_file(session.directory, BUNDLE, MAX_BUNDLE_BYTES)
    except FileNotFoundError:
        if expected:
            raise BadSignatureError(f"{BUNDLE} is missing, and the log says that Sigstore would sign") from None
        return None
    if not expected:
        raise BadSignatureError(f"{BUNDLE} is there, and the log does not say that Sigstore would sign")
    check_bundle(content, signed)
    return content


def job_identity(found: Vouching, started: Mapping[str, Any], expected: Expectations) -> tuple[Mapping[str, str], str]:
    """The claims of the job that signed, and in words who vouches.

    Raises :class:`NothingError` when nobody whom the auditor knows does.
    """
    vouchers: list[str] = []
    claims: Mapping[str, str] = {}
    if expected.sigstore is not None:
        claims = _certified(found.bundle, started, expected.sigstore, online=expected.online)
        vouchers.append(f"Sigstore says that {inert(expected.sigstore.subject)} signed it")
    for key in found.keys:
        if key.public_key in expected.keys:
            vouchers.append(f"{key.keyid} is a key that you gave")
        if key.keyid in expected.announced:
            vouchers.append(f"{key.keyid} is a key that you saw announced")
        if key.token is not None:
            claims = {**claims, **_claims(key, key.token, started, expected)}
            vouchers.append(f"{claims['iss']} says that the key belongs to {_job(claims)}")
    if not vouchers:
        raise NothingError(
            "the signatures hold, but nothing says whose they are; give --key, --announced or --sigstore-identity"
        )
    return claims, "; ".join(vouchers)


def _certified(
    bundle: bytes | None, started: Mapping[str, Any], identity: SigstoreIdentity, *, online: bool
) -> Mapping[str, str]:
    """What the bundle's certificate says of the job; the log must say the same."""
    if bundle is None:
        raise FailedError("there is no Sigstore bundle")
    try:
        claims = verify_bundle(bundle, identity, online=online)
    except BadSignatureError as error:
        raise FailedError(str(error)) from None
    logged = (started["identity"] or {}).get("claims", {})
    for name, value in claims.items():
        if logged.get(name) != value:
            raise FailedError(f"the log says another {name} than the certificate")
    return claims


def _claims(key: SigningKey, token: str, started: Mapping[str, Any], expected: Expectations) -> Mapping[str, str]:
    from ciguard.identity.token import unverified_issuer, verify

    if key.signer is not Signer.JOB or started["identity"] is None:
        raise FailedError("a token stands beside a key that is not the job's")
    try:
        issuer = unverified_issuer(token)
        if issuer not in _PUBLIC and issuer != expected.issuer:
            raise FailedError(f"the token is from {inert(issuer)}; if that is your forge, give --issuer")
        claims = verify(
            token,
            _issuer_keys(issuer, expected),
            issuer=issuer,
            audience=AUDIENCE_PREFIX + key.keyid,
            now=datetime.fromisoformat(started["time"]),
        )
    except IdentityRefused as refused:
        raise FailedError(f"the job's token does not hold: {refused.cause}; {refused.remedy}") from None
    said = {name: value for name, value in claims.items() if name not in _OF_ONE_TOKEN}
    logged = {name: value for name, value in started["identity"]["claims"].items() if name not in _OF_ONE_TOKEN}
    for name in sorted(said.keys() | logged.keys()):
        if said.get(name) != logged.get(name):
            raise FailedError(f"the log says another {inert(name)} than the job's token")
    return {**claims, "iss": issuer}


def _issuer_keys(issuer: str, expected: Expectations) -> Json:
    from ciguard.identity.issuer import fetch_keys, keys_address
    from ciguard.identity.known_keys import known_keys

    if expected.jwks is not None:
        return expected.jwks
    return fetch_keys(keys_address(issuer)) if expected.online else known_keys(issuer)


def _job(claims: Mapping[str, str]) -> str:
    names = ("repository", "run_id", "run_attempt") if "repository" in claims else ("project_path", "job_id")
    return " ".join(f"{name} {inert(claims.get(name, ''))}" for name in names)


_CLAIMS: Mapping[str, tuple[str, str]] = {
    "repository": ("repository", "project_path"),
    "workflow": ("workflow_ref", "ci_config_ref_uri"),
    "ref": ("ref", "ref"),
    "run": ("run_id", "pipeline_id"),
}
"""For each expectation the claim that must meet it: of GitHub's tokens, of GitLab's."""


def expectations(session: Session, claims: Mapping[str, str], expected: Expectations) -> str:
    """In words which of the auditor's expectations are met; all must be."""
    met: list[str] = []
    gitlab = "project_path" in claims
    for option, names in _CLAIMS.items():
        wanted = getattr(expected, option)
        if not wanted:
            continue
        name = names[gitlab]
        said = claims.get(name, "")
        if not said or not (globs.matches(wanted, said) if option == "workflow" else wanted == said):
            raise FailedError(f"{name} is {inert(said) or 'unknown'}, and --{option} asks for {wanted}")
        met.append(f"{name} {inert(said)}")
    if expected.reusable_workflow:
        met.append(_reusable(claims, expected.reusable_workflow))
    known = {str(event["previous"]) for event in session.events[1:]} | {session.position.head}
    signed = {one["keyid"] for event in session.events for one in event.get("signing", ())}
    for announced in sorted(expected.announced):
        if announced not in known | signed:
            raise FailedError(f"{inert(announced)} was announced, and is no head and no key of this session")
        met.append(f"{announced} as announced")
    if not met:
        raise NothingError("none were given; --repository, --workflow, --ref, --run and --announced state them")
    return ", ".join(met)


def _reusable(claims: Mapping[str, str], wanted: str) -> str:
    said = claims.get("job_workflow_ref", "")
    if said and said == claims.get("workflow_ref"):
        raise FailedError("the job does not belong to a reusable workflow: its job_workflow_ref is its workflow_ref")
    if not said or not globs.matches(wanted, said):
        raise FailedError(f"job_workflow_ref is {inert(said) or 'unknown'}, not {wanted}")
    return f"job_workflow_ref {inert(said)}"

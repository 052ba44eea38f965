"""Verifying an identity token: a pure function over the token, the issuer's keys and the time.

A token is accepted when all of these hold; the same numbers stand in the code.

1. It has the form of a signed JWT (RFC 7515, RFC 7519) of at most ``TOKEN_LIMIT`` characters, without critical
   extensions, and no name appears twice in its header or claims.
2. Its algorithm is RS256 or ES256, whatever its keys might also be used for (RFC 8725, 3.1).
3. Exactly one of the issuer's keys has the token's ``kid``, and that key is for signatures with that algorithm.
4. The key verifies the signature. Nothing of the claims is looked at before.
5. ``iss`` is the expected issuer and ``aud`` the expected audience and no other.
6. ``exp`` has not passed, ``iat`` and ``nbf`` have, give or take ``LEEWAY``.

Errors quote claims of the token where that helps, never the token.
"""

from __future__ import annotations

import base64
import binascii
import math
import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import TypeAlias

from ciguard.errors import IdentityRefused
from ciguard.identity import strict_json
from ciguard.operation import Json

Claims: TypeAlias = Mapping[str, str]
"""What a verified token says: strings as they are, integers in decimal, booleans as ``true`` and ``false``.

Claims that are lists, objects, fractions or null are left out: no policy entry can match them.
"""

TOKEN_LIMIT = 64 * 1024
"""Characters of a token; GitLab's grow with the groups of the user."""

COMPACT = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*")
"""A compact JWS (RFC 7515, 7.1), whose base64url has no padding (2): a token has one spelling, and so one digest."""

LEEWAY = timedelta(seconds=60)
"""How far the clocks of the issuer and this machine may differ."""

KEY_TYPES: Mapping[str, Mapping[str, str]] = MappingProxyType(
    {"RS256": {"kty": "RSA"}, "ES256": {"kty": "EC", "crv": "P-256"}}
)
"""The accepted algorithms, each with what a JWK for it must say (RFC 7518, 6)."""

OTHER_TOKEN = "give ciguard the token that the forge issued for this job, unchanged"
CLOCK = "correct the clock of the runner; a token that is too old comes only from an earlier job"
KEYS = "if the issuer is your own, let it publish the key at its jwks_uri; else run the job again"


class UnknownKey(IdentityRefused):
    """The token is signed with a key that is not among the given ones: the issuer may have a newer one."""


def verify(token: str, keys: Json, *, issuer: str, audience: str, now: datetime) -> Claims:
    """The claims of ``token``, which the holder of one of ``keys`` signed as ``issuer`` for ``audience``.

    ``keys`` is a JWK Set (RFC 7517, 5) and ``now`` has a time zone. Raises UnknownKey when no key has the token's
    ``kid``, and IdentityRefused for everything else that is wrong.
    """
    # 1.
    header, payload = _split(token)
    # 2.
    algorithm = header.get("alg")
    if not isinstance(algorithm, str) or algorithm not in KEY_TYPES:
        raise IdentityRefused(
            f"the identity token's algorithm is {_quoted(algorithm)}, not RS256 or ES256",
            "let the issuer sign with RS256 or ES256",
        )
    # 3.
    key = _key(keys, header.get("kid"), algorithm)
    # 4.
    _check_signature(token, key, algorithm)
    claims = _members(payload, "claims")
    # 5.
    if claims.get("iss") != issuer:
        raise IdentityRefused(
            f"the identity token's issuer (iss) is {_quoted(claims.get('iss'))}, not {_quoted(issuer)}", OTHER_TOKEN
        )
    if claims.get("aud") not in (audience, [audience]):
        raise IdentityRefused(
            f"the identity token's audience (aud) is {_quoted(claims.get('aud'))}, not {_quoted(audience)}",
            f"ask for a token with the audience {_quoted(audience)}, or set identity.audience in the policy",
        )
    # 6.
    _check_times(claims, now)
    return MappingProxyType({name: text for name, value in claims.items() if (text := _text(value)) is not None})


def unverified_issuer(token: str) -> str:
    """What ``token`` says its issuer is: good for choosing among trusted issuers, proof of nothing."""
    _, payload = _split(token)
    issuer = _members(payload, "claims").get("iss")
    if not isinstance(issuer, str) or not issuer:
        raise IdentityRefused("the identity token names no issuer (iss)", OTHER_TOKEN)
    return issuer


def _split(token: str) -> tuple[dict[str, Json], bytes]:
    if len(token) > TOKEN_LIMIT:
        raise IdentityRefused(f"the identity token is longer than {TOKEN_LIMIT} characters", OTHER_TOKEN)
    if not COMPACT.fullmatch(token):
        raise IdentityRefused("the identity token is not a signed JWT", OTHER_TOKEN)
    encoded_header, encoded_payload, _ = token.split(".")
    header = _members(_decoded(encoded_header), "header")
    # RFC 7515, 4.1.11: a reader that does not understand a critical parameter must reject the token.
    if "crit" in header or "b64" in header:
        raise IdentityRefused("the identity token's header demands extensions", OTHER_TOKEN)
    return header, _decoded(encoded_payload)


def _decoded(part: str) -> bytes:
    try:
        return base64.b64decode(part + "=" * (-len(part) % 4), altchars=b"-_", validate=True)
    except binascii.Error:
        raise IdentityRefused("the identity token is not a signed JWT", OTHER_TOKEN) from None


def _members(text: bytes, what: str) -> dict[str, Json]:
    try:
        value = strict_json.parse(text)
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise IdentityRefused(f"the identity token's {what} are not a JSON object with unique names", OTHER_TOKEN)
    return value


def _key(keys: Json, kid: Json, algorithm: str) -> dict[str, Json]:
    if not isinstance(kid, str) or not kid:
        raise IdentityRefused("the identity token does not say which key signed it (kid)", OTHER_TOKEN)
    published = keys.get("keys") if isinstance(keys, dict) else None
    if not isinstance(published, list):
        raise IdentityRefused("the issuer's keys are not a JWK Set", KEYS)
    found = [key for key in published if isinstance(key, dict) and key.get("kid") == kid]
    if not found:
        raise UnknownKey(f"the issuer has no key {_quoted(kid)}, which signed the identity token", KEYS)
    if len(found) > 1:
        raise IdentityRefused(f"the issuer publishes several keys {_quoted(kid)}", KEYS)
    [key] = found
    # RFC 7517, 4.2 and 4.4: a key may leave its use and algorithm open.
    wanted = {"use": "sig", "alg": algorithm, **KEY_TYPES[algorithm]}
    given = {"use": "sig", "alg": algorithm, **key}
    if any(given.get(name) != value for name, value in wanted.items()):
        raise IdentityRefused(f"the issuer's key {_quoted(kid)} is not for {algorithm} signatures", KEYS)
    return key


def _check_signature(token: str, key: dict[str, Json], algorithm: str) -> None:
    import jwt

    try:
        verifier = jwt.PyJWK(key, algorithm)
        jwt.PyJWS(algorithms=[algorithm]).decode_complete(
            token, verifier, algorithms=[algorithm], options={"enforce_minimum_key_length": True}
        )
    except jwt.InvalidSignatureError:
        raise IdentityRefused("the identity token's signature is not the issuer's", OTHER_TOKEN) from None
    except jwt.InvalidKeyError:
        raise IdentityRefused(f"the issuer's key {_quoted(key.get('kid'))} is not usable or too short", KEYS) from None
    except jwt.PyJWTError:
        raise IdentityRefused("the identity token is not a signed JWT", OTHER_TOKEN) from None


def _check_times(claims: Mapping[str, Json], now: datetime) -> None:
    current, leeway = now.timestamp(), LEEWAY.total_seconds()
    expires, issued = _time(claims, "exp"), _time(claims, "iat")
    if expires is None or issued is None:
        raise IdentityRefused("the identity token has no times of issue and expiry (iat, exp)", OTHER_TOKEN)
    if current >= expires + leeway:
        raise IdentityRefused(f"the identity token expired {_ago(current - expires)} ago (exp)", CLOCK)
    if current < issued - leeway:
        raise IdentityRefused(f"the identity token was issued {_ago(issued - current)} in the future (iat)", CLOCK)
    starts = _time(claims, "nbf")
    if starts is not None and current < starts - leeway:
        raise IdentityRefused(f"the identity token is not valid for another {_ago(starts - current)} (nbf)", CLOCK)


def _time(claims: Mapping[str, Json], name: str) -> float | None:
    """A NumericDate (RFC 7519, 2): seconds since 1970, fractions allowed; None when the claim is absent."""
    match claims.get(name):
        case None:
            return None
        case bool():
            pass
        case int() | float() as value if abs(value) < 1e12 and math.isfinite(value):
            return float(value)
    raise IdentityRefused(f"the identity token's {name} is not a time", OTHER_TOKEN)


def _ago(seconds: float) -> str:
    return str(timedelta(seconds=round(seconds)))


def _text(value: Json) -> str | None:
    match value:
        case bool():
            return str(value).lower()
        case str():
            return value
        case int():
            return str(value)
    return None


def _quoted(value: Json) -> str:
    """A short, printable form of a value that a stranger may have chosen."""
    text = repr(value)
    return text if len(text) <= 200 else f"{text[:200]}…"

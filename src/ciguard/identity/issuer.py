"""The issuer of identity tokens: whether it is trusted, and which keys it publishes.

Discovery follows OpenID Connect Discovery 1.0, section 4: the document at ``/.well-known/openid-configuration`` names
the issuer itself and the address of its keys. GitHub and GitLab publish their keys on the issuer's own host, so keys
on another host are refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from urllib.parse import urlsplit

from ciguard.errors import IdentityRefused
from ciguard.forge import github, gitlab
from ciguard.forge.job import Forge
from ciguard.identity.fetch import check_url, get_json
from ciguard.identity.token import Claims, UnknownKey, unverified_issuer, verify
from ciguard.operation import Json

PUBLIC_ISSUERS = {Forge.GITHUB: github.PUBLIC_ISSUER, Forge.GITLAB: gitlab.PUBLIC_ISSUER}
"""The issuer that a job's token may come from without being named in the policy."""

DISCOVERY = "/.well-known/openid-configuration"
MISCONFIGURED = "correct the configuration of the issuer, or the name under which identity.issuers lists it"


def trusted_issuer(token: str, forge: Forge, named: Sequence[str]) -> str:
    """The issuer that ``token`` claims, if it is the forge's public one or among ``named``; else IdentityRefused."""
    issuer = unverified_issuer(token)
    if issuer != PUBLIC_ISSUERS[forge] and issuer not in named:
        raise IdentityRefused(
            f"the identity token comes from {issuer[:200]!r}, which is neither {PUBLIC_ISSUERS[forge]} "
            "nor named in the policy's identity.issuers",
            f"if that is your forge, name it in the policy:\nidentity:\n  issuers: [{issuer[:200]!r}]",
        )
    check_url(issuer, "the token's issuer")
    return issuer


def verify_with_issuer(token: str, issuer: str, *, audience: str, now: datetime) -> Claims:
    """The claims of ``token``, verified with the keys that ``issuer`` publishes now.

    Keys rotate: when none has the token's ``kid`` they are fetched a second time, in case a cache on the way was old.
    """
    address = keys_address(issuer)
    try:
        return verify(token, fetch_keys(address), issuer=issuer, audience=audience, now=now)
    except UnknownKey:
        return verify(token, fetch_keys(address), issuer=issuer, audience=audience, now=now)


def keys_address(issuer: str) -> str:
    """The ``jwks_uri`` that ``issuer`` announces, on the same host."""
    document = get_json(issuer.rstrip("/") + DISCOVERY, purpose="the issuer's description")
    match document:
        case {"issuer": str(name), "jwks_uri": str(address)}:
            pass
        case _:
            raise IdentityRefused("the issuer's description names no issuer and jwks_uri", MISCONFIGURED)
    if name != issuer:
        raise IdentityRefused(f"the issuer at {issuer!r} calls itself {name[:200]!r}", MISCONFIGURED)
    parts, own = check_url(address, "the issuer's keys"), urlsplit(issuer)
    if (parts.scheme, parts.netloc.lower()) != (own.scheme, own.netloc.lower()):
        raise IdentityRefused(f"the issuer at {issuer!r} has its keys on another host", MISCONFIGURED)
    return address


def fetch_keys(address: str) -> Json:
    """The JWK Set at ``address``."""
    return get_json(address, purpose="the issuer's keys")

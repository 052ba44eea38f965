"""A GitHub App that is installed for the stand-in's repository, and what GitHub asks of who speaks as one.

Source: GitHub's "Generating a JSON Web Token (JWT) for a GitHub App": RS256, ``iss`` is the App, ``iat`` is not in the
future, ``exp`` at most ten minutes away.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from ciguard.testing.loopback_forge import Refusal

LONGEST = 600
"""Seconds that a JWT may still last."""

LIFETIME = 3600
"""Seconds that an installation's token lasts."""


@dataclass(frozen=True, slots=True)
class App:
    """An App: its id, name and public key (PEM), and what its installation was given; ``installed`` is where."""

    id: str
    slug: str
    key: str
    installation: int
    permissions: Mapping[str, str] = field(default_factory=lambda: {"issues": "write", "pull_requests": "write"})
    installed: bool = True


def check_jwt(app: App | None, token: str, now: datetime) -> App:
    """The App that ``token`` speaks for; else a refusal in GitHub's words."""
    import jwt

    if app is None:
        raise Refusal(401, "A JSON web token could not be decoded")
    try:
        claims: dict[str, Any] = jwt.decode(
            token,
            app.key,
            algorithms=["RS256"],
            options={"verify_exp": False, "verify_iat": False, "require": ["iss", "iat", "exp"]},
        )
    except jwt.PyJWTError:
        raise Refusal(401, "A JSON web token could not be decoded") from None
    if claims["iss"] != app.id:
        raise Refusal(401, "'Issuer' claim ('iss') must be the App's id")
    if claims["iat"] > now.timestamp():
        raise Refusal(401, "'Issued at' claim ('iat') must be an Integer representing the time that it was issued at")
    if claims["exp"] > now.timestamp() + LONGEST:
        raise Refusal(401, "'Expiration time' claim ('exp') is too far in the future")
    if claims["exp"] <= now.timestamp():
        raise Refusal(401, "'Expiration time' claim ('exp') must be a numeric value in the future")
    return app


def granted(app: App, wanted: Any, repository: str) -> dict[str, str]:
    """The permissions of a token that is asked for with the body ``wanted``."""
    if not isinstance(wanted, dict) or not set(wanted) <= {"repositories", "permissions"}:
        raise Refusal(422, "Invalid request.")
    if wanted.get("repositories", [repository]) != [repository]:
        raise Refusal(422, "There is at least one repository that does not exist or is not accessible")
    asked: dict[str, str] = wanted.get("permissions", dict(app.permissions))
    levels = ("none", "read", "write", "admin")
    for name, level in asked.items():
        if levels.index(level) > levels.index(app.permissions.get(name, "none")):
            raise Refusal(422, "The permissions requested are not granted to this installation.")
    return asked

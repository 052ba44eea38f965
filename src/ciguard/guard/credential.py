"""A credential from the guard's own environment."""

from __future__ import annotations

from collections.abc import Mapping

from ciguard.errors import CredentialMissing
from ciguard.inspect.known_value import SHORTEST


def credential(user: str, variable: str, environ: Mapping[str, str]) -> str:
    """The value of ``variable``, which ``user`` needs. Raises :class:`CredentialMissing`."""
    value = environ.get(variable, "").strip()
    if not value:
        raise CredentialMissing(
            f"{user} takes its credential from {variable}, which is not set or empty",
            f"set it for the guard's step, on GitHub for example: env: {{{variable}: ${{{{ secrets.{variable} }}}}}}",
        )
    if len(value) < SHORTEST:
        raise CredentialMissing(
            f"the value of {variable} is shorter than {SHORTEST} characters and could not be masked",
            "check that the secret holds the whole credential",
        )
    return value

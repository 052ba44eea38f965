"""Reading a job's description out of environment variables that may be absent or malformed."""

from __future__ import annotations

import re
from collections.abc import Mapping

from ciguard.errors import IdentityRefused

COMMIT = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")
"""A full commit id, SHA-1 or SHA-256."""

DIGITS = re.compile(r"[0-9]{1,20}")
POSITIVE = re.compile(r"[1-9][0-9]{0,18}")
WORD = re.compile(r"[A-Za-z0-9_.\-\[\]]{1,255}")
REF = re.compile(r"[^\x00-\x20\x7f~^:?*\[\\-][^\x00-\x20\x7f~^:?*\[\\]{0,1023}")
PATH = re.compile(r"[A-Za-z0-9_.\-]+(?:/[A-Za-z0-9_.\-]+){1,24}")
URL = re.compile(r"https?://[^\x00-\x20\x7f<>\"]{1,2000}")

BROKEN_ENVIRONMENT = (
    "run ciguard in a step of its own job with the variables that the runner sets; `env` in an earlier step shows them"
)


def required(environ: Mapping[str, str], name: str, shape: re.Pattern[str]) -> str:
    """The variable ``name``, which must have ``shape``; raises IdentityRefused without repeating its value."""
    value = environ.get(name, "")
    if not value:
        raise IdentityRefused(f"the job's environment has no {name}", BROKEN_ENVIRONMENT)
    if not shape.fullmatch(value):
        raise IdentityRefused(f"{name} in the job's environment is malformed", BROKEN_ENVIRONMENT)
    return value


def optional(environ: Mapping[str, str], name: str, shape: re.Pattern[str]) -> str:
    """Like ``required``, but empty when the variable is absent or empty."""
    return required(environ, name, shape) if environ.get(name) else ""

"""The SSH keys that an account of GitHub publishes.

Source: GitHub's documentation of ``https://HOST/USER.keys``: one public key a line, without comments.
"""

from __future__ import annotations

import re

from ciguard.identity.fetch import get

_USABLE = re.compile(r"ssh-(?:ed25519|rsa) [A-Za-z0-9+/]+={0,2}", re.ASCII)
"""The types of keys that something can be encrypted to."""


def account_keys(server: str, user: str) -> list[str]:
    """The keys of ``user`` at the forge ``server`` that can be recipients, which may be none.

    Raises IdentityRefused when they cannot be had.
    """
    url = f"{server.rstrip('/')}/{user}.keys"
    content = get(url, purpose=f"the keys of the account {user}", accept="text/plain")
    lines = (line.strip() for line in content.decode("ascii", "replace").splitlines())
    return [line for line in lines if _USABLE.fullmatch(line)]

"""The certificates that the guard trusts as a client, read when it first needs them.

aiohttp reads the machine's certificates twice while it is imported, which takes longer than all the rest of its import.
A session needs them for its first call of an upstream over TLS, and then once.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import ssl

_PLACES = ("SSL_CERT_FILE", "SSL_CERT_DIR")
"""The variables by which OpenSSL is told where certificates are (openssl-env(7))."""


@contextmanager
def unread() -> Iterator[None]:
    """Whatever reads the machine's certificates meanwhile finds none. Not for use while other threads run."""
    before = {name: os.environ[name] for name in _PLACES if name in os.environ}
    os.environ.update(dict.fromkeys(_PLACES, os.devnull))
    try:
        yield
    finally:
        for name in _PLACES:
            del os.environ[name]
        os.environ.update(before)


@cache
def trusted() -> ssl.SSLContext:
    """TLS to servers that the machine's certificates vouch for, speaking HTTP/1.1."""
    import ssl

    context = ssl.create_default_context()
    context.set_alpn_protocols(["http/1.1"])
    return context

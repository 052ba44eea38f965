"""One small document over HTTP, bounded in time and size."""

from __future__ import annotations

import ipaddress
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, urlsplit

from ciguard.errors import IdentityRefused
from ciguard.identity import strict_json
from ciguard.operation import Json

if TYPE_CHECKING:
    import httpx2

ATTEMPTS = 3
PAUSE = 0.3
"""Seconds before the second attempt, twice as many before the third."""
CONNECT_TIMEOUT = 5.0
READ_TIMEOUT = 10.0
TOTAL_TIMEOUT = 20.0
"""Seconds for one attempt, however slowly the bytes come."""
SIZE_LIMIT = 512 * 1024

UNREACHABLE = "check the network of the runner and the forge's status page, then run the job again"
"""The remedy when a server does not answer usefully."""


class _TemporaryError(Exception):
    """The attempt failed in a way that another attempt may not."""


def is_loopback(url: SplitResult) -> bool:
    """Whether the URL's host is this machine, by address or as ``localhost``."""
    host = url.hostname or ""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def check_url(url: str, purpose: str) -> SplitResult:
    """The parts of ``url``; raises IdentityRefused unless it is https, or http to this machine."""
    try:
        parts = urlsplit(url)
        valid = bool(parts.hostname) and parts.port != 0 and parts.username is None and not parts.fragment
    except ValueError:
        valid = False
    if not valid or not url.isascii() or not url.isprintable() or " " in url:
        raise IdentityRefused(
            f"the address of {purpose} is not a URL", "correct the address; it looks like https://id.example.com"
        )
    if parts.scheme != "https" and not (parts.scheme == "http" and is_loopback(parts)):
        raise IdentityRefused(
            f"the address of {purpose} is not https", "use https; plain http is for this machine (127.0.0.1) only"
        )
    return parts


def get_json(url: str, *, purpose: str, bearer: str | None = None) -> Json:
    """The JSON document at ``url``; see :func:`get`."""
    content = get(url, purpose=purpose, accept="application/json", bearer=bearer)
    try:
        return strict_json.parse(content)
    except ValueError:
        raise IdentityRefused(f"{purpose} from {urlsplit(url).netloc} is not JSON", UNREACHABLE) from None


def get(url: str, *, purpose: str, accept: str, bearer: str | None = None) -> bytes:
    """The document at ``url``, of the media type ``accept``.

    ``purpose`` names it in errors ("the issuer's keys"). Connection failures and answers 429 and 5xx are tried
    again, up to three attempts; redirects are refused. Raises IdentityRefused; no error carries ``bearer`` or the
    answer.
    """
    import httpx2

    parts = check_url(url, purpose)
    headers = {"accept": accept, "accept-encoding": "identity", "user-agent": "ciguard"}
    if bearer is not None:
        if not bearer.isascii() or not bearer.isprintable():
            raise IdentityRefused(f"the token to ask for {purpose} is malformed", UNREACHABLE)
        headers["authorization"] = f"bearer {bearer}"
    timeout = httpx2.Timeout(READ_TIMEOUT, connect=CONNECT_TIMEOUT)
    # A proxy of the job's environment has no business with this machine's own addresses.
    with httpx2.Client(timeout=timeout, trust_env=not is_loopback(parts), follow_redirects=False) as client:
        for attempt in range(1, ATTEMPTS + 1):
            try:
                return _attempt(client, url, headers, purpose)
            except _TemporaryError as failure:
                reason = str(failure)
            if attempt < ATTEMPTS:
                time.sleep(PAUSE * attempt)
    raise IdentityRefused(f"{purpose} could not be had from {parts.netloc}: {reason}", UNREACHABLE)


def _attempt(client: httpx2.Client, url: str, headers: Mapping[str, str], purpose: str) -> bytes:
    import httpx2

    deadline = time.monotonic() + TOTAL_TIMEOUT
    host = urlsplit(url).netloc
    content = bytearray()
    try:
        with client.stream("GET", url, headers=headers) as response:
            status = response.status_code
            if status == 429 or status >= 500:
                raise _TemporaryError(f"status {status}")
            if status != 200:
                kind = "a redirect, which is not followed" if 300 <= status < 400 else f"status {status}"
                raise IdentityRefused(f"{purpose} could not be had from {host}: {kind}", UNREACHABLE)
            if response.headers.get("content-encoding", "identity") != "identity":
                raise IdentityRefused(f"{purpose} from {host} is compressed, which was not asked for", UNREACHABLE)
            for chunk in response.iter_raw():
                content += chunk
                if len(content) > SIZE_LIMIT:
                    raise IdentityRefused(f"{purpose} from {host} is larger than {SIZE_LIMIT} bytes", UNREACHABLE)
                if time.monotonic() > deadline:
                    raise _TemporaryError("the answer took too long")
    except httpx2.HTTPError as error:
        # The library's message may quote headers; its type says enough.
        raise _TemporaryError(type(error).__name__) from None
    return bytes(content)

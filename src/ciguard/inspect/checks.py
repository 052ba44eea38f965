"""What a regular expression cannot tell about a candidate: its checksum, and what it is when it is decoded.

A rule names one of :data:`CHECKS`; a candidate that its check refuses is no match. A checksum is asked for only where
every secret of the format carries it. The checks of :mod:`ciguard.inspect.written` are among them.
"""

from __future__ import annotations

import binascii
import json
import zlib
from base64 import b64decode, urlsafe_b64decode
from collections.abc import Callable, Mapping
from types import MappingProxyType

from ciguard.inspect import written

BASE62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
BASE36 = "0123456789abcdefghijklmnopqrstuvwxyz"
BECH32 = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"


def crc32_base62(secret: str) -> bool:
    """Tokens of GitHub and npm: the last six characters are the CRC-32 of what stands between prefix and them.

    Source: GitHub's engineering blog, "Behind GitHub's new authentication token formats" (2021); all such tokens that
    were issued since have it.
    """
    body = secret[secret.index("_") + 1 :]
    return body[-6:] == in_base(zlib.crc32(body[:-6].encode()), BASE62, 6)


def crc32_base36(secret: str) -> bool:
    """GitLab's routable tokens: the last seven characters are the CRC-32 of all before them.

    Source: GitLab handbook, "Routable tokens".
    """
    return secret[-7:] == in_base(zlib.crc32(secret[:-7].encode()), BASE36, 7)


def in_base(number: int, digits: str, width: int) -> str:
    """``number`` written with ``digits``, at least ``width`` characters wide."""
    written = ""
    while number:
        number, digit = divmod(number, len(digits))
        written = digits[digit] + written
    return written.rjust(width, digits[0])


def bech32(secret: str) -> bool:
    """The checksum of Bech32 (BIP 173), which the secret keys of age carry, in capital letters."""
    prefix, _, data = secret.lower().rpartition("1")
    expanded = [ord(letter) >> 5 for letter in prefix] + [0] + [ord(letter) & 31 for letter in prefix]
    checksum = 1
    for value in [*expanded, *(BECH32.index(letter) for letter in data)]:
        top, checksum = checksum >> 25, (checksum & 0x1FFFFFF) << 5 ^ value
        for bit, term in enumerate((0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)):
            checksum ^= term * (top >> bit & 1)
    return checksum == 1


def jwt(secret: str) -> bool:
    """The header of a signed or encrypted token is a JSON object that names its algorithm (RFC 7515, RFC 7516)."""
    header = secret.partition(".")[0]
    try:
        value = json.loads(urlsafe_b64decode(header + "=" * (-len(header) % 4)))
    except (ValueError, RecursionError):
        return False
    return isinstance(value, dict) and isinstance(value.get("alg"), str)


def basic_auth(secret: str) -> bool:
    """Base64 of printable text with a user, a colon and a password (RFC 7617)."""
    try:
        text = b64decode(secret, validate=True).decode()
    except ValueError:
        return False
    user, colon, password = text.partition(":")
    return bool(colon and user and password) and text.isprintable() and written.given(password)


def base64_private_key(secret: str) -> bool:
    """Base64 of a file whose first line announces a private key; the end may be cut."""
    whole = min(len(secret), 96) // 4 * 4
    try:
        head = b64decode(secret[:whole])
    except ValueError:
        return False
    return head.startswith(b"-----BEGIN ") and b"PRIVATE KEY" in head


def discord(secret: str) -> bool:
    """The first part of a Discord bot token is the base64 of the bot's numeric id."""
    first = secret.partition(".")[0]
    try:
        return urlsafe_b64decode(first + "=" * (-len(first) % 4)).isdigit()
    except binascii.Error:
        return False


CHECKS: Mapping[str, Callable[[str], bool]] = MappingProxyType(
    {
        "base64-private-key": base64_private_key,
        "basic-auth": basic_auth,
        "bech32": bech32,
        "chosen": written.chosen,
        "crc32-base36": crc32_base36,
        "crc32-base62": crc32_base62,
        "discord": discord,
        "given": written.given,
        "jwt": jwt,
        "mixed": written.mixed,
        "random": written.random,
        "strong": written.strong,
    }
)
"""The checks that a rule may name."""

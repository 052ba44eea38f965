"""Making secrets that look real: from the form of a rule, with checksums that hold, and passwords as people have."""

from __future__ import annotations

import json
import random
import string
import zlib
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Iterator
from urllib.parse import quote

from ciguard.inspect.checks import BASE36, BASE62, BECH32, bech32, in_base
from ciguard.inspect.pattern import Character, Choice, Node, Repeat, Secret, Sequence, parse
from scripts.rule_files import Format

LONGER = 40
"""Characters that a repetition is longer than its least at the most."""

ALNUM = string.ascii_letters + string.digits
BASE64 = ALNUM + "+/"
BASE64_URL = ALNUM + "-_"
TYPED = "!@#%^*-_=+.?~"
"""Symbols that passwords have without being escaped anywhere."""

WORDS = (
    "copper",
    "falcon",
    "meadow",
    "winter",
    "ladder",
    "Oslo",
    "marble",
    "cactus",
    "violin",
    "pepper",
    "Saturn",
    "tango",
)

HARDLY_NEGATED = 90
"""A class with more members says what a secret has not, and not what it is made of."""


def made(one: Format, draw: random.Random) -> str:
    """A secret of the format."""
    match one.rule.check:
        case "chosen" | "strong" | "given" if one.rule.kind != "npmrc-password":
            in_address = "://" in one.examples[0].text or "@tcp(" in one.examples[0].text
            return quote(password(draw), safe="!*=~") if in_address else password(draw)
        case "jwt":
            return _jwe(draw) if one.rule.kind == "jwe" else _jwt(draw)
        case "basic-auth":
            return b64encode(f"{draw.choice(WORDS).lower()}:{password(draw)}".encode()).decode()
        case "base64-private-key":
            return b64encode(_private_key(draw).encode()).decode()
    match one.rule.kind:
        case "private-key":
            return _private_key(draw)
        case "ansible-vault":
            return "\n" + _lines(draw, string.hexdigits[:16], 80, draw.randint(3, 8))
        case "putty-private-key":
            return "\n" + _lines(draw, BASE64, 64, 3)
    return _checked(one, _form(_secret_part(parse(one.rule.pattern, one.rule.kind)), draw))


def password(draw: random.Random) -> str:
    """A password: made by a machine, or of words with a digit and a symbol, as rules of composition ask for."""
    match draw.randrange(4):
        case 0:
            return draw.choice(ALNUM) + "".join(draw.choices(ALNUM + TYPED, k=draw.randint(11, 27)))
        case 1:
            return "".join(draw.choices(ALNUM, k=draw.randint(10, 24)))
        case 2:
            words = draw.choice(WORDS).title() + draw.choice(TYPED) + draw.choice(WORDS)
            return f"{words}{draw.randint(10, 9999)}"
        case _:
            word = draw.choice(WORDS).title().replace("a", "4").replace("o", "0").replace("e", "3")
            return f"{word}{draw.choice(TYPED)}{draw.choice(ALNUM)}{draw.randint(1, 999)}{draw.choice(TYPED)}x"


def _form(node: Node, draw: random.Random) -> str:
    match node:
        case Character(members):
            letters = [letter for letter in string.printable if members >> ord(letter) & 1]
            return draw.choice(letters if len(letters) < HARDLY_NEGATED else ALNUM + TYPED)
        case Sequence(items):
            return "".join(_form(item, draw) for item in items)
        case Choice(options):
            return _form(draw.choice(options), draw)
        case Repeat(item, least, most):
            return "".join(_form(item, draw) for _ in range(draw.randint(least, min(most, least + LONGER))))
        case Secret(item):
            return _form(item, draw)


def _secret_part(tree: Node) -> Node:
    return next(_secrets(tree), tree)


def _secrets(node: Node) -> Iterator[Node]:
    match node:
        case Secret(item):
            yield item
        case Sequence(nodes) | Choice(nodes):
            for one in nodes:
                yield from _secrets(one)


def _checked(one: Format, form: str) -> str:
    """``form`` with the checksum that its kind carries."""
    match one.rule.check:
        case "crc32-base62":
            prefix, _, body = form.partition("_")
            return f"{prefix}_{body[:-6]}{in_base(zlib.crc32(body[:-6].encode()), BASE62, 6)}"
        case "crc32-base36":
            return form[:-7] + in_base(zlib.crc32(form[:-7].encode()), BASE36, 7)
        case "bech32":
            return _bech32(form)
        case "discord":
            _, _, rest = form.partition(".")
            number = 10**17 * 8 + zlib.crc32(form.encode()) * 10**7
            return f"{urlsafe_b64encode(str(number).encode()).decode().rstrip('=')}.{rest}"
    return form


def _bech32(form: str) -> str:
    """``form`` with other last characters, so that its checksum holds (BIP 173)."""
    prefix, _, data = form.lower().rpartition("1")
    values = [ord(letter) >> 5 for letter in prefix] + [0] + [ord(letter) & 31 for letter in prefix]
    values += [BECH32.index(letter) for letter in data[:-6]] + [0] * 6
    checksum = 1
    for value in values:
        top, checksum = checksum >> 25, (checksum & 0x1FFFFFF) << 5 ^ value
        for bit, term in enumerate((0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)):
            checksum ^= term * (top >> bit & 1)
    checksum ^= 1
    whole = form[:-6] + "".join(BECH32[checksum >> 5 * (5 - place) & 31] for place in range(6)).upper()
    if not bech32(whole):
        raise AssertionError(whole)
    return whole


def _part(value: object) -> str:
    return urlsafe_b64encode(json.dumps(value, separators=(",", ":")).encode()).decode().rstrip("=")


def _jwt(draw: random.Random) -> str:
    header = {"alg": draw.choice(["HS256", "RS256", "ES256", "EdDSA"]), "typ": "JWT"}
    if draw.random() < 0.5:
        header["kid"] = "".join(draw.choices(ALNUM, k=16))
    claims = {"sub": draw.choice(WORDS), "iat": draw.randint(1_700_000_000, 1_790_000_000), "scope": "deploy"}
    return f"{_part(header)}.{_part(claims)}.{''.join(draw.choices(BASE64_URL, k=draw.choice([43, 86])))}"


def _jwe(draw: random.Random) -> str:
    lengths = (draw.choice([0, 342]), 16, draw.randint(20, 200), 22)
    return ".".join(
        [_part({"alg": "dir", "enc": "A256GCM"}), *("".join(draw.choices(BASE64_URL, k=length)) for length in lengths)]
    )


def _lines(draw: random.Random, letters: str, width: int, number: int) -> str:
    whole = ["".join(draw.choices(letters, k=width)) for _ in range(number)]
    return "\n".join([*whole, "".join(draw.choices(letters, k=draw.randint(20, width)))])


def _private_key(draw: random.Random) -> str:
    name, first, lines = draw.choice(
        [
            ("RSA PRIVATE KEY", "MIIEpAIBAAKCAQEA", 24),
            ("PRIVATE KEY", "MC4CAQAwBQYDK2VwBCIE", 0),
            ("EC PRIVATE KEY", "MHcCAQEEI", 2),
            ("OPENSSH PRIVATE KEY", "b3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAEbm9uZQ", 5),
            ("ENCRYPTED PRIVATE KEY", "MIIFLTBXBgkqhkiG9w0BBQ0wSjApBgkqhkiG9w0BBQww", 28),
        ]
    )
    body = first + _lines(draw, BASE64, 64, lines)[len(first) :] if lines else first + _lines(draw, BASE64, 40, 0) + "="
    return f"-----BEGIN {name}-----\n{body}\n-----END {name}-----"

"""Filling in texts: what stands between << and >> is a form of a name, or a value that only looks like a secret."""

from __future__ import annotations

import random
import re
import string
import uuid
from base64 import b64encode
from collections.abc import Callable

_SLOT = re.compile(r"<<(\w+)>>")
_ALNUM = string.ascii_letters + string.digits


def filled(template: str, words: list[str], draw: random.Random, **given: str) -> str:
    """``template`` with every slot filled: by ``given``, by a form of the name ``words``, or by chance."""

    def value(slot: re.Match[str]) -> str:
        key = slot[1]
        if key in given:
            return given[key]
        return NAMES[key](words) if key in NAMES else VALUES[key](draw)

    return _SLOT.sub(value, template)


def _camel(words: list[str]) -> str:
    return words[0] + "".join(word.title() for word in words[1:])


NAMES: dict[str, Callable[[list[str]], str]] = {
    "NAME": lambda words: "_".join(words).upper(),
    "snake": "_".join,
    "kebab": "-".join,
    "dotted": ".".join,
    "words": " ".join,
    "camel": _camel,
    "pascal": lambda words: "".join(word.title() for word in words),
    "header": lambda words: "-".join(word.title() for word in words),
}


def _hex(length: int) -> Callable[[random.Random], str]:
    return lambda draw: "".join(draw.choices("0123456789abcdef", k=length))


def _base64(length: int) -> Callable[[random.Random], str]:
    return lambda draw: b64encode(draw.randbytes(length)).decode()


def _letters(letters: str, length: int) -> Callable[[random.Random], str]:
    return lambda draw: "".join(draw.choices(letters, k=length))


VALUES: dict[str, Callable[[random.Random], str]] = {
    "short": _hex(7),
    "hex8": _hex(8),
    "hex17": _hex(17),
    "md5": _hex(32),
    "sha1": _hex(40),
    "sha256": _hex(64),
    "sha512": _base64(64),
    "b32": _base64(32),
    "b120": _base64(120),
    "b900": _base64(900),
    "uuid": lambda draw: str(uuid.UUID(int=draw.getrandbits(128), version=4)),
    "ulid": _letters("0123456789ABCDEFGHJKMNPQRSTVWXYZ", 26),
    "id12": _letters("0123456789abcdefghijklmnopqrstuvwxyz", 12),
    "nanoid": _letters(_ALNUM + "_-", 21),
    "upper": _letters(string.ascii_uppercase + string.digits, 14),
    "number": lambda draw: str(draw.randint(100_000, 99_999_999)),
    "account": lambda draw: str(draw.randint(10**11, 10**12 - 1)),
    "digit": lambda draw: str(draw.randint(1, 9)),
    "version": lambda draw: f"{draw.randint(0, 30)}.{draw.randint(0, 40)}.{draw.randint(0, 20)}",
    "time": lambda draw: f"2026-11-{draw.randint(1, 28):02}T{draw.randint(0, 23):02}:{draw.randint(0, 59):02}:07.123Z",
    "seconds": lambda draw: str(draw.randint(1_763_000_000, 1_763_999_999)),
    "address": lambda draw: f"10.{draw.randint(0, 255)}.{draw.randint(0, 255)}.{draw.randint(1, 254)}",
}
"""Hashes, identifiers, numbers and versions, which no scanner should report."""

"""The escapes of ``$'...'`` (POSIX.1-2024 XCU 2.2.4), which ``printf`` and ``echo -e`` know as well."""

from __future__ import annotations

import re

_ESCAPE = re.compile(
    r"\\(?:([0-7]{1,3})|x([0-9A-Fa-f]{1,2})|u([0-9A-Fa-f]{1,4})|U([0-9A-Fa-f]{1,8})|c(.)|(.))|([^\\]+)", re.DOTALL
)
_LETTERS = {"a": "\a", "b": "\b", "e": "\x1b", "E": "\x1b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}


def ansi(text: str) -> str:
    """``text`` with its escapes undone."""
    result = []
    for octal, hexa, short, long, control, letter, plain in _ESCAPE.findall(text):
        if plain:
            result.append(plain)
        elif octal:
            result.append(chr(int(octal, 8) & 0xFF))
        elif hexa or short or long:
            code = int(hexa or short or long, 16)
            result.append(chr(code) if code <= 0x10FFFF else "\N{REPLACEMENT CHARACTER}")
        elif control:
            result.append(chr(ord(control) & 0x1F))
        else:
            result.append(_LETTERS.get(letter, letter if letter in "\\'\"?" else f"\\{letter}"))
    return "".join(result)

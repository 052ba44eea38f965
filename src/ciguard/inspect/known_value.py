"""Secrets that the guard knows by value: its credentials, what the workflow names, what a rule recognised before."""

from __future__ import annotations

import base64
import html
import json
import math
import shlex
from collections.abc import Iterator
from dataclasses import dataclass, field
from urllib.parse import quote, quote_plus

SHORTEST = 8
"""Characters below which a value would be found all over ordinary text; no secret rule matches less either."""

SHORTEST_PIECE = 12
"""Characters that a line, or a piece of a value that was cut, must have to be found."""

LONGEST_PIECE = 128
"""Characters of a piece that are always enough, however long the value."""

LONGEST_LITERAL = 1_024
"""Characters of a form that is looked for in one piece."""


@dataclass(frozen=True, slots=True)
class KnownValue:
    """A secret value and the name that its placeholder carries (kebab-case)."""

    kind: str
    value: str = field(repr=False)


def piece(length: int) -> int:
    """Characters of a value of ``length`` that are found when the rest of it is cut off: two thirds of it, at most
    :data:`LONGEST_PIECE` and at least :data:`SHORTEST_PIECE`; all of a shorter value."""
    return min(length, max(SHORTEST_PIECE, min(math.ceil(length * 2 / 3), LONGEST_PIECE)))


def windows(form: str, expansion: float = 1) -> list[str]:
    """Parts of ``form`` of the same length; every run of :func:`piece` characters of it holds one of them whole.

    The first begins the form and the last ends it. ``expansion`` is how many characters of the form stand for one of
    the value: less than four of these (more, of values beyond 256) can be left at each end of a run.
    """
    enough = piece(len(form))
    step = max(1, min(int(expansion * max(4, len(form) / expansion // 64)), enough - SHORTEST_PIECE + 1))
    width = enough - step + 1
    starts = [*range(0, len(form) - width, step), len(form) - width]
    return [form[start : start + width] for start in starts]


def forms(value: str) -> tuple[str, ...]:
    """The value and what common encoders make of it.

    They are: base64 at each alignment in both alphabets; hexadecimal in both cases, plain, with colons, and as ``\\x``
    escapes; percent escapes in both cases, of reserved characters or of all; JSON and HTML escapes, of special
    characters or of all; shell quoting; reversed. The first and last characters of an unaligned base64 form depend on
    what surrounds the value, so they are left out.
    """
    raw = value.encode("utf-8", "surrogatepass")
    found = [value, value[::-1], *_hexadecimal(raw), *_percent(value, raw), *_escaped(value), *_base64(raw)]
    return tuple(dict.fromkeys(form for form in found if len(form) >= SHORTEST))


def literals(known: KnownValue, *, thorough: bool) -> dict[str, bool]:
    """The texts by which ``known`` is found, and for each whether it begins with the beginning of the value or a form.

    They are the windows of the value and of its lines, and all their forms. A ``thorough`` search looks for the windows
    of the forms too: so it finds what was encoded and then cut.
    """
    found: dict[str, bool] = {}
    lines = [line.strip() for line in known.value.splitlines() if len(line.strip()) >= SHORTEST_PIECE]
    for value in dict.fromkeys((known.value, *lines)):
        for form in forms(value):
            in_windows = form == value or (thorough and value == known.value) or len(form) > LONGEST_LITERAL
            parts = windows(form, len(form) / len(value)) if in_windows else [form]
            for place, part in enumerate(parts):
                found[part] = found.get(part, False) or not place
    return found


def _hexadecimal(raw: bytes) -> Iterator[str]:
    for digits in (raw.hex(), raw.hex().upper()):
        pairs = [digits[place : place + 2] for place in range(0, len(digits), 2)]
        yield from (digits, ":".join(pairs), " ".join(pairs), "".join(f"\\x{pair}" for pair in pairs))


def _percent(value: str, raw: bytes) -> Iterator[str]:
    # What is left as it is differs: nothing reserved, paths, JavaScript's encodeURIComponent and encodeURI.
    for safe in ("", "/", "-_.!~*'()", ";,/?:@&=+$-_.!~*'()#"):
        escaped = quote(value, safe=safe, errors="surrogatepass")
        yield from (escaped, _lower_escapes(escaped))
    yield quote_plus(value, errors="surrogatepass")
    yield "".join(f"%{byte:02X}" for byte in raw)
    yield "".join(f"%{byte:02x}" for byte in raw)


def _lower_escapes(escaped: str) -> str:
    first, *rest = escaped.split("%")
    return "%".join([first, *(one[:2].lower() + one[2:] for one in rest)])


def _escaped(value: str) -> Iterator[str]:
    for ascii_only in (True, False):
        plain = json.dumps(value, ensure_ascii=ascii_only)[1:-1]
        # Text in JSON in text in JSON is escaped twice.
        yield from (plain, plain.replace("/", "\\/"), json.dumps(plain)[1:-1])
    units = value.encode("utf-16-be", "surrogatepass")
    codes = [int.from_bytes(units[place : place + 2], "big") for place in range(0, len(units), 2)]
    yield "".join(f"\\u{code:04x}" for code in codes)
    yield "".join(f"\\u{code:04X}" for code in codes)
    named = html.escape(value)
    yield from (
        html.escape(value, quote=False),
        named,
        named.replace("&#x27;", "&#39;"),
        named.replace("&#x27;", "&apos;"),
    )
    yield "".join(f"&#{ord(character)};" for character in value)
    yield "".join(f"&#x{ord(character):x};" for character in value)
    yield "".join(f"&#x{ord(character):X};" for character in value)
    yield shlex.quote(value).removeprefix("'").removesuffix("'")
    yield value.replace("'", "'\\''")
    yield "".join(one if one.isalnum() or one in "_-./:,@%+=" else f"\\{one}" for one in value)
    yield "".join(f"\\{one}" if one in '"\\$`' else one for one in value)


def _base64(raw: bytes) -> Iterator[str]:
    for lead in range(3):
        encoded = base64.b64encode(b"\0" * lead + raw).decode().rstrip("=")
        start = (0, 2, 3)[lead]
        end = len(encoded) - (1 if (lead + len(raw)) % 3 else 0)
        yield encoded[start:end]
        yield encoded[start:end].replace("+", "-").replace("/", "_")

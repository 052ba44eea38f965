"""Secrets that the guard knows by value: its credentials and what the workflow names."""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from urllib.parse import quote

SHORTEST = 8
"""Characters below which a value would be found all over ordinary text; no secret rule matches less either."""


@dataclass(frozen=True, slots=True)
class KnownValue:
    """A secret value and the name that its placeholder carries (kebab-case)."""

    kind: str
    value: str = field(repr=False)


def forms(value: str) -> tuple[str, ...]:
    """The value and its common encodings: base64 at each alignment (both alphabets), hexadecimal, URL escapes.

    The first and last characters of an unaligned base64 form depend on what surrounds the value, so they are left out.
    """
    raw = value.encode("utf-8", "surrogatepass")
    found = [value, raw.hex(), raw.hex().upper(), quote(value, safe="", errors="surrogatepass")]
    for lead in range(3):
        encoded = base64.b64encode(b"\0" * lead + raw).decode().rstrip("=")
        start = (0, 2, 3)[lead]
        end = len(encoded) - (1 if (lead + len(raw)) % 3 else 0)
        found.append(encoded[start:end])
        found.append(encoded[start:end].replace("+", "-").replace("/", "_"))
    return tuple(dict.fromkeys(form for form in found if len(form) >= SHORTEST))

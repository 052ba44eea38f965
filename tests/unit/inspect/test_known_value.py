"""Known values: every common encoding is found, also cut, and ordinary text is not."""

from __future__ import annotations

import base64
import html
import json
import shlex
from collections.abc import Callable
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ciguard.inspect.known_value import SHORTEST, KnownValue, forms, literals, piece, windows
from tests.unit.inspect.streaming import streamed, value_matcher, whole

VALUE = "Kd83-fjw/0Qz+Lx7_mmPq'G$t\"6\\v&é9"
MATCHERS = (value_matcher(VALUE),)
LINES = "-----BEGIN ACME KEY-----\nqL7xPz0mWc4tRv8n\nYb2kJd6hGf1s\nshort\n-----END ACME KEY-----"

ENCODERS: dict[str, Callable[[str], str]] = {
    "raw": str,
    "reversed": lambda value: value[::-1],
    "hexadecimal": lambda value: value.encode().hex(),
    "upper hexadecimal": lambda value: value.encode().hex().upper(),
    "hexadecimal with colons": lambda value: value.encode().hex(":"),
    "hexadecimal with spaces": lambda value: value.encode().hex(" "),
    "byte escapes": lambda value: "".join(f"\\x{byte:02x}" for byte in value.encode()),
    "URL component": lambda value: quote(value, safe=""),
    "URL path": quote,
    "lower URL escapes": lambda value: "".join(f"%{byte:02x}" for byte in value.encode()),
    "upper URL escapes": lambda value: "".join(f"%{byte:02X}" for byte in value.encode()),
    "JSON": lambda value: json.dumps(value)[1:-1],
    "JSON in UTF-8": lambda value: json.dumps(value, ensure_ascii=False)[1:-1],
    "JSON for HTML": lambda value: json.dumps(value)[1:-1].replace("/", "\\/"),
    "JSON in JSON": lambda value: json.dumps(json.dumps(value)[1:-1])[1:-1],
    "JSON escapes": lambda value: "".join(f"\\u{ord(character):04x}" for character in value),
    "HTML": html.escape,
    "HTML text": lambda value: html.escape(value, quote=False),
    "decimal entities": lambda value: "".join(f"&#{ord(character)};" for character in value),
    "hexadecimal entities": lambda value: "".join(f"&#x{ord(character):x};" for character in value),
    "shell quotes": lambda value: shlex.quote(value)[1:-1],
    "shell quotes by backslash": lambda value: value.replace("'", "'\\''"),
    "shell double quotes": lambda value: "".join(f"\\{one}" if one in '"\\$`' else one for one in value),
}


@pytest.mark.parametrize("encode", ENCODERS.values(), ids=ENCODERS)
def test_every_encoding_is_found(encode: Callable[[str], str]) -> None:
    text = f"see {encode(VALUE)} there"
    masked = whole(text, MATCHERS)
    assert masked.startswith("see [ciguard-masked:known:")
    assert masked.endswith("] there")
    assert masked.count("[") == 1
    for cut in range(len(text)):
        assert streamed(text, [cut], MATCHERS) == masked
    assert streamed(text, range(len(text)), MATCHERS) == masked


@pytest.mark.parametrize("encode", ENCODERS.values(), ids=ENCODERS)
def test_every_encoding_is_found_cut_at_either_end(encode: Callable[[str], str]) -> None:
    encoded = encode(VALUE)
    expansion = len(encoded) / len(VALUE)
    for length in range(piece(len(encoded)), len(encoded)):
        for part in (encoded[:length], encoded[-length:]):
            masked = whole(f"x{part}x", MATCHERS)
            left = masked.partition("[")[0] + masked.rpartition("]")[2]
            assert len(left) - 2 <= 2 * 4 * expansion + 3
            assert streamed(f"x{part}x", range(0, len(part), 3), MATCHERS) == masked


@given(st.binary(max_size=40), st.binary(max_size=40), st.integers(0, 60))
@settings(max_examples=100)
def test_base64_at_any_alignment(before: bytes, after: bytes, cut: int) -> None:
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        encoded = encode(before + VALUE.encode() + after).decode()
        masked = whole(encoded, MATCHERS)
        assert "[ciguard-masked:known:" in masked
        assert not any(form in masked for form in forms(VALUE))
        assert streamed(encoded, [cut, cut + 1, cut + 9], MATCHERS) == masked


@given(st.text(min_size=12, max_size=300), st.data())
@settings(max_examples=100)
def test_windows_leave_less_than_four_characters_of_a_piece(value: str, data: st.DataObject) -> None:
    parts = windows(value)
    width = len(parts[0])
    assert all(len(part) == width for part in parts)
    assert value.startswith(parts[0])
    assert value.endswith(parts[-1])
    start = data.draw(st.integers(0, len(value) - piece(len(value))))
    run = value[start : start + piece(len(value))]
    assert any(part in run for part in parts)
    assert width >= min(12, len(value))
    assert len(run) - width < max(4, len(value) // 64)


@pytest.mark.parametrize(
    ("length", "enough"), [(8, 8), (12, 12), (17, 12), (30, 20), (150, 100), (192, 128), (4096, 128)]
)
def test_how_much_of_a_value_is_enough(length: int, enough: int) -> None:
    assert piece(length) == enough


def test_each_line_of_a_value_is_found() -> None:
    matchers = (value_matcher(LINES),)
    for line in LINES.splitlines():
        masked = whole(f"{{ {line} }}", matchers)
        assert (line in masked) == (line == "short")
    assert "Yb2kJd6h" not in whole(base64.b64encode(b"Yb2kJd6hGf1s").decode(), matchers)
    assert whole(LINES, matchers).count("ciguard-masked") == 1


@pytest.mark.parametrize(
    "text",
    ["correct horse", "a battery of staples", "the horse-battery", "correct horse races", "staple+4", "eht fo yrettab"],
)
def test_words_of_a_value_are_left_in_ordinary_text(text: str) -> None:
    assert whole(text, (value_matcher("correct horse-battery/staple+42"),)) == text


def test_a_value_without_specials_has_few_literals() -> None:
    known = KnownValue("known", "aB3d" * 10)
    assert len(literals(known, thorough=True)) < 200
    assert len(literals(known, thorough=False)) < 50
    assert all(len(text) >= SHORTEST for text in literals(known, thorough=True))


def test_secrets_are_not_in_reprs() -> None:
    assert VALUE not in repr(KnownValue("known", VALUE))
    assert "Kd83" not in repr(vars(value_matcher(VALUE))["_literals"])

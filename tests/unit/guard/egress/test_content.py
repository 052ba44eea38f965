from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ciguard.guard.egress.content import BodyRefusedError, TextAnswer, is_text, masked_body
from ciguard.inspect.known_value import KnownValue
from ciguard.inspect.masking import Masker
from ciguard.inspect.placeholder import Placeholders
from ciguard.operation import Json

KNOWN = "a-known-value-7d1f"
MASKER = Masker([KnownValue("known", KNOWN)], Placeholders(b"key"))
MASK = MASKER.mask(KNOWN).text


def no_rules(value: Json) -> tuple[Json, tuple[str, ...]]:
    return value, ()


@given(st.binary(max_size=300))
def test_bytes_without_secrets_stay_as_they_are(body: bytes) -> None:
    assert masked_body(body, "application/octet-stream", MASKER, no_rules).raw == body


@given(
    st.binary(max_size=50).filter(lambda data: b"%" not in data),
    st.binary(max_size=50).filter(lambda data: b"%" not in data),
)
def test_a_secret_between_any_bytes_does_not_stay(before: bytes, after: bytes) -> None:
    try:
        masked = masked_body(before + KNOWN.encode() + after, "", MASKER, no_rules)
    except BodyRefusedError:
        return
    assert KNOWN.encode() not in masked.raw
    assert "known" in masked.kinds


def test_json_is_masked_string_by_string() -> None:
    body = json.dumps({"a": f"x {KNOWN}", "b": [1, 2]}).encode()
    masked = masked_body(body, "application/json; charset=utf-8", MASKER, no_rules)
    assert json.loads(masked.raw) == {"a": f"x {MASK}", "b": [1, 2]}
    assert masked.recorded == {"body": masked.raw.decode()}


def test_what_is_no_text_is_recorded_by_its_digest() -> None:
    assert set(masked_body(b"\0\1\2", "", MASKER, no_rules).recorded) == {"bytes", "sha256"}
    assert masked_body(b"", "", MASKER, no_rules).recorded == {}


@pytest.mark.parametrize(
    ("content_type", "text"),
    [
        ("", True),
        ("text/html; charset=utf-8", True),
        ("application/json", True),
        ("application/problem+json", True),
        ("APPLICATION/XML", True),
        ("application/vnd.npm.install-v1+json; q=1.0", True),
        ("application/octet-stream", False),
        ("application/x-git-upload-pack-result", False),
        ("application/x-jsonish", False),
        ("image/png", False),
    ],
)
def test_which_answers_are_text(content_type: str, text: bool) -> None:
    assert is_text(content_type) is text


@given(st.lists(st.sampled_from([KNOWN, "é", "a-known", "\xff", " ", "x" * 30, "7d1f"]), max_size=8), st.data())
def test_an_answer_is_masked_the_same_however_it_is_cut(parts: list[str], data: st.DataObject) -> None:
    whole = "".join(parts).encode() + b"\xff"
    cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=6)))
    answer = TextAnswer(MASKER)
    pieces = [whole[start:end] for start, end in zip([0, *cuts], [*cuts, len(whole)], strict=True)]
    streamed = b"".join([*map(answer.feed, pieces), answer.finish()])
    expected = MASKER.mask(whole.decode("utf-8", "surrogateescape"))
    assert streamed == expected.text.encode("utf-8", "surrogateescape")
    assert tuple(answer.kinds) == expected.kinds

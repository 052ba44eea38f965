from __future__ import annotations

import base64
import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ciguard.approvals import marker
from ciguard.approvals.marker import Claim, Marker, marker_of
from ciguard.approvals.person import AtLeast, Person, Role, Team
from tests.unit.approvals.scene import BOB, REQUEST, RUN, panel

PANELS = (panel(Person("bob", BOB.id), Team("acme/dba"), AtLeast(Role.MAINTAIN), count=2), panel(Team("acme/security")))
WRITTEN = marker_of(replace(REQUEST, panels=PANELS), RUN, "1")
LINE = marker.write(WRITTEN)


def test_what_is_written_is_read_again() -> None:
    assert marker.read(f"### A request\n\n{LINE}\n") == WRITTEN
    assert marker.read(f"### A request\r\n\r\n{LINE}\r\n") == WRITTEN
    assert WRITTEN.resolved() == PANELS
    assert (WRITTEN.reference, WRITTEN.next_attempt) == (REQUEST.reference, "2")


def test_only_the_last_line_is_a_marker() -> None:
    assert marker.read(f"{LINE}\nmore") is None
    assert marker.read(f"> {LINE}") is None
    assert marker.read(f"`{LINE}`") is None
    assert marker.read("") is None


def spoilt(**changes: object) -> str:
    """A marker with other fields."""
    encoded = LINE.split(" ")[2]
    fields: dict[str, Any] = json.loads(base64.urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4)))
    fields |= changes
    packed = base64.urlsafe_b64encode(json.dumps(fields).encode()).rstrip(b"=").decode()
    return f"<!-- ciguard:request {packed} -->"


@pytest.mark.parametrize(
    "changes",
    [
        {"attempt": "0"},
        {"attempt": "-1"},
        {"attempt": "1\n"},
        {"run": "x"},
        {"session": "x"},
        {"digest": "a" * 23},
        {"request": "3f9a2c.0"},
        {"expires": "tomorrow"},
        {"expires": "2026-99-01T00:00:00Z"},
        {"excluded": ["1001"]},
        {"excluded": [2**70]},
        {"panels": [{"count": 0, "electors": []}]},
        {"panels": [{"count": 1, "electors": [{"role": "emperor"}]}]},
        {"more": 1},
    ],
)
def test_what_is_not_in_order_is_no_marker(changes: dict[str, object]) -> None:
    assert marker.read(spoilt()) == WRITTEN
    assert marker.read(spoilt(**changes)) is None


@given(st.text(max_size=300))
def test_any_text_is_read_or_is_not(text: str) -> None:
    assert marker.read(text) is None
    assert marker.read(f"<!-- ciguard:request {text} -->") is None
    assert marker.read_claim(text) is None


def test_a_marker_that_is_too_long_is_not_read() -> None:
    many = Marker(**{name: getattr(WRITTEN, name) for name in Marker.__struct_fields__} | {"excluded": [7] * 10_000})
    assert marker.read(marker.write(many)) is None


def test_a_claim_is_read_again() -> None:
    claim = Claim(REQUEST.reference, RUN.session)
    assert marker.read_claim(f"Used.\n\n{marker.write_claim(claim)}") == claim
    assert marker.read_claim(f"{marker.write_claim(claim)}\nUsed.") is None
    assert marker.read_claim(LINE) is None

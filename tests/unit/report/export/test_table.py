from __future__ import annotations

import csv
import io
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ciguard.report.export import table
from ciguard.session.reading import open_session
from tests.unit.report.export.scene import record_all
from tests.unit.session import sample


def rows(directory: Path) -> list[dict[str, str]]:
    text = "\n".join(table.lines(open_session(directory)))
    return list(csv.DictReader(io.StringIO(text), strict=True))


def test_the_decisions_of_a_session(tmp_path: Path) -> None:
    found = rows(sample.record(tmp_path / "session"))
    assert [row["kind"] for row in found] == [
        "instructions",
        "prompt",
        "response_text",
        "tool_call",
        "tool_call",
        "refused",
    ]
    blocked = found[3]
    assert tuple(blocked) == table.COLUMNS
    assert blocked["decision"] == "block"
    assert blocked["risk"] == "95"
    assert blocked["rules"] == "no-destruction"
    assert blocked["outcome"] == "withheld"
    assert blocked["content"] == "Bash: rm -rf /"
    assert found[2]["masked"] == "aws-access-key:2"


def test_verdicts_are_rows(tmp_path: Path) -> None:
    (verdict,) = (row for row in rows(record_all(tmp_path / "session")) if row["kind"] == "verdict")
    assert (verdict["outcome"], verdict["content"]) == ("released", "bob")


FORMULAS = [
    '=HYPERLINK("http://e.example")',
    "+1",
    "-1+cmd|' /C calc'!A0",
    "@SUM(1)",
    "\t=1",
    "\r=1",
    "  =1",
    "\uff1d1",
    'x";=1',
    "x,=1",
    "x;=1",
    "x;  +1",
    "\u200b=1",
]


@pytest.mark.parametrize("formula", FORMULAS)
def test_nothing_begins_a_formula(formula: str, tmp_path: Path) -> None:
    recorder = sample.start(tmp_path / "session")
    request = sample.request(recorder, None, 0)
    decided = sample.decision("block", 1, (formula, formula, 1))
    body = {"name": formula, "input": {"x": formula}}
    sample.operation(recorder, "tool_call", request, body, decided=decided, masked={formula: 1})  # type: ignore[arg-type]
    for line in table.lines(open_session(tmp_path / "session")):
        assert safe(line)


def safe(line: str) -> bool:
    """No piece of the line is a formula, at whatever separator a spreadsheet splits it, quotes taken off or not."""
    pieces = [piece.strip("\"' \t") for separator in (",", ";", "\t", "|") for piece in line.split(separator)]
    marked = [
        piece for piece in re.split(r"[,;|\t]", line) if re.match(r"[\"\s]*[=+\-@\uff1d\uff0b\uff0d\uff20]", piece)
    ]
    return not marked and bool(pieces)


@given(st.text(st.sampled_from("=+-@;,|\"' \t\r\nx\uff1d"), max_size=30))
def test_no_cell_begins_a_formula(text: str) -> None:
    assert safe(f'"{table.inert(text)}"')


def test_a_cell_is_one_line_in_which_everything_is_seen() -> None:
    assert table.inert("a\u202e\nb\x1b[31m\ud800" + "x" * 5000).startswith("a\\u{202e} b\\x1b[31m\\u{d800}xx")
    assert len(table.inert("x" * 5000)) == 1000


@given(st.text(max_size=50))
def test_what_can_be_no_formula_is_left_alone(text: str) -> None:
    plain = re.sub(r"[=+\-@\uff1d\uff0b\uff0d\uff20]", "", text)
    assert "'" not in table.inert(plain.replace("'", ""))

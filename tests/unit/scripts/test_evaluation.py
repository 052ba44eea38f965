"""The labelled evaluation: that it measures what it says, and that the goals are met on a part of it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from scripts.evaluation.__main__ import GOAL
from scripts.evaluation.labelled import CLOSE, OPEN, Label, Text, labelled
from scripts.evaluation.labelled_set import labelled_set
from scripts.evaluation.scanners import CIGUARD, at
from scripts.evaluation.scoring import Score, score
from scripts.evaluation.shipped import shipped
from scripts.rule_files import formats


@pytest.fixture(scope="module")
def texts() -> Sequence[Text]:
    return list(labelled_set(each=2, negative_rounds=2))


def measured(texts: Sequence[Text]) -> Score:
    return score(texts, CIGUARD.scan(texts, Path()).findings)


def test_the_goals_are_met(texts: Sequence[Text]) -> None:
    result = measured(texts)
    assert result.recall >= GOAL
    assert result.precision >= GOAL
    assert result.cut <= 0.01 * result.found.total()


def test_what_other_projects_ship_is_hardly_ever_reported() -> None:
    ordinary = list(shipped(share=200))
    size = sum(len(text.content) for text in ordinary)
    assert size > 100_000
    assert measured(ordinary).false.total() <= 1 + size / 1_000_000


def test_every_format_and_every_kind_of_text_is_in_the_set(texts: Sequence[Text]) -> None:
    assert {label.kind for text in texts for label in text.labels} == {one.rule.kind for one in formats()}
    assert len({text.sort for text in texts if text.labels}) > 20
    assert len({text.name for text in texts}) == len(texts)
    assert sum(not text.labels for text in texts) > 450


def test_the_set_is_the_same_each_time(texts: Sequence[Text]) -> None:
    assert list(labelled_set(each=2, negative_rounds=2)) == texts


def test_nothing_is_left_to_fill_in(texts: Sequence[Text]) -> None:
    assert not [text for text in texts if "<<" in text.content.replace("<<'END'", "") and ">>" in text.content]
    assert not [text for text in texts if OPEN in text.content or CLOSE in text.content]


def test_texts_of_json_are_json(texts: Sequence[Text]) -> None:
    of_json = [text for text in texts if text.sort in {"JSON", "JSON body"}]
    assert len(of_json) > 50
    for text in of_json:
        json.loads(text.content)


def test_a_label_is_the_secret_and_nothing_else() -> None:
    text = labelled("a.py", "Python", f"x = '{OPEN}s3cret{CLOSE}'  # {OPEN}other{CLOSE}.", "kind")
    assert text.content == "x = 's3cret'  # other."
    assert [text.content[label.start : label.end] for label in text.labels] == ["s3cret", "other"]


TEXT = Text("t", "log", "0123456789" * 5, (Label(10, 20, "a"), Label(30, 40, "b")))


@pytest.mark.parametrize(
    ("reports", "found", "false", "cut"),
    [
        ([], 0, 0, 0),
        ([Label(0, 5, "x")], 0, 1, 0),
        ([Label(0, 10, "x")], 0, 1, 0),
        ([Label(19, 31, "x")], 2, 0, 2),
        ([Label(10, 20, "x"), Label(12, 14, "y")], 1, 0, 0),
        ([Label(0, 5, "x"), Label(4, 8, "y")], 0, 1, 0),
        ([Label(17, 20, "x")], 1, 0, 0),
        ([Label(18, 20, "x")], 1, 0, 1),
        ([Label(10, 12, "x"), Label(20, 25, "y")], 1, 1, 1),
    ],
)
def test_overlap_decides(reports: list[Label], found: int, false: int, cut: int) -> None:
    result = score([TEXT], {"t": reports})
    assert (result.found.total(), result.false.total(), result.cut) == (found, false, cut)
    assert result.secrets.total() == 2
    assert result.recall == found / 2


def test_a_kind_is_claimed_when_one_of_it_was_found() -> None:
    more = Text("u", "log", TEXT.content, (Label(10, 20, "a"),))
    result = score([TEXT, more], {"t": [Label(10, 20, "x")]})
    assert result.claimed == (1, 0.5)
    assert result.precision == 1


@pytest.mark.parametrize(
    ("line", "secret", "place"),
    [(1, "one", (0, 3)), (2, "two", (8, 11)), (2, "one", (4, 11)), (3, "one", (12, 15)), (3, "e\nx", (12, 15))],
)
def test_a_report_of_a_line_is_found_in_it(line: int, secret: str, place: tuple[int, int]) -> None:
    assert at("one\nin  two\none", line, secret, "kind") == Label(*place, "kind")

"""Presidio with real spaCy pipelines."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from ciguard.errors import UsageError
from ciguard.inspect.names import Name
from ciguard.inspect.personal_data import NameKind
from ciguard.inspect.presidio import recogniser
from tests.spacy_models import saved_model

TEXT = "mr Jones and Ada Lovelace of Acme went to Lisbon."


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(saved_model(tmp_path_factory.mktemp("spacy")))


def test_people_and_places_are_found(model: str) -> None:
    assert recogniser(model, tuple(NameKind))(TEXT) == [
        Name(0, 8, NameKind.PERSON),
        Name(13, 25, NameKind.PERSON),
        Name(42, 48, NameKind.LOCATION),
    ]


def test_only_the_kinds_that_were_asked_for(model: str) -> None:
    assert [name.kind for name in recogniser(model, [NameKind.LOCATION])(TEXT)] == [NameKind.LOCATION]


def test_nothing_of_the_text_is_logged(model: str, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        recogniser(model, tuple(NameKind))(TEXT)
    assert not [word for word in ("Lovelace", "Acme", "Lisbon") if word in caplog.text]
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


@pytest.mark.parametrize("text", ["", "\0", "\ufffd", "A" + "\0" * 3_000, "🦀" * 100, "((((((((" * 100])
def test_odd_texts_have_no_names(model: str, text: str) -> None:
    assert recogniser(model, tuple(NameKind))(text) == []


@pytest.mark.parametrize("missing", ["/no/such/model", "no_such_package_en_core"])
def test_a_missing_model_is_said_and_not_downloaded(monkeypatch: pytest.MonkeyPatch, missing: str) -> None:
    import spacy.cli

    def download(*_: object) -> None:
        raise AssertionError

    monkeypatch.setattr(spacy.cli, "download", download)
    with pytest.raises(UsageError, match=f"the model {missing} .* is not there"):
        recogniser(missing, tuple(NameKind))


def test_a_damaged_model_is_said(tmp_path: Path) -> None:
    model = saved_model(tmp_path)
    (model / "config.cfg").write_text("[nlp", encoding="utf-8")
    with pytest.raises(UsageError, match="cannot be loaded"):
        recogniser(str(model), tuple(NameKind))


def test_a_model_that_does_not_know_such_names_is_said(tmp_path: Path) -> None:
    model = saved_model(tmp_path, [{"label": "PERSON", "pattern": "Ada"}])
    assert recogniser(str(model), [NameKind.PERSON])("Ada") == [Name(0, 3, NameKind.PERSON)]
    with pytest.raises(UsageError, match="does not know names of the kind location"):
        recogniser(str(model), tuple(NameKind))


def test_the_missing_extra_is_said(monkeypatch: pytest.MonkeyPatch, model: str) -> None:
    monkeypatch.setitem(__import__("sys").modules, "presidio_analyzer", None)
    with pytest.raises(UsageError, match="packages that are not installed") as refused:
        recogniser(model, tuple(NameKind))
    assert "ciguard[names]" in refused.value.remedy

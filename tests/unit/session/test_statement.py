from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from ciguard.decision import Action
from ciguard.policy.sections.isolation import IsolationLevel
from ciguard.session.cut_off import seal
from ciguard.session.manifest import Completeness
from ciguard.session.reading import open_session
from ciguard.session.signature import Signer
from ciguard.session.signers import job_signer
from ciguard.session.statement import PREDICATE_TYPE
from tests.unit.session import sample

SCHEMA: dict[str, Any] = json.loads((Path(__file__).parents[3] / "docs/session-predicate.schema.json").read_text())


def predicate(directory: Path) -> dict[str, Any]:
    """What a session's signature says."""
    signature = json.loads((directory / "signature.json").read_bytes())
    stated = json.loads(base64.b64decode(signature["envelope"]["payload"]))
    assert stated["predicateType"] == PREDICATE_TYPE == SCHEMA["$id"]
    found: dict[str, Any] = stated["predicate"]
    return found


def complete(directory: Path) -> dict[str, Any]:
    return predicate(sample.record(directory))


def cut_off(directory: Path) -> dict[str, Any]:
    recorder = sample.start(directory)
    sample.converse(recorder)
    recorder.spool().append(b"half an answer")
    recorder.append_original(b"AAAA")
    recorder.close()
    seal(open_session(directory), sample.Steps(), [job_signer(None)])
    return predicate(directory)


def of_nobody(directory: Path) -> dict[str, Any]:
    recorder = sample.start(directory, {**sample.STARTED, "identity": None, "job": None})
    sample.end(recorder)
    return predicate(directory)


@pytest.mark.parametrize("make", [complete, cut_off, of_nobody])
def test_a_predicate_is_as_its_published_schema_says(tmp_path: Path, make: Any) -> None:
    Draft202012Validator.check_schema(SCHEMA)
    found = make(tmp_path / "session")
    Draft202012Validator(SCHEMA).validate(found)
    assert SCHEMA["properties"].keys() == found.keys() == set(SCHEMA["required"])


def test_closed_sets_of_the_schema_are_those_of_the_code() -> None:
    stated = SCHEMA["properties"]
    assert stated["completeness"]["enum"] == list(Completeness)
    assert stated["signing"]["items"]["properties"]["signer"]["enum"] == list(Signer)
    assert set(stated["decisions"]["propertyNames"]["enum"]) == {action.name.lower() for action in Action}
    assert set(stated["isolation"]["properties"]["level"]["enum"]) == set(IsolationLevel)


@pytest.mark.parametrize(
    "change",
    [
        {"more": 1},
        {"format": 2},
        {"decisions": {"allowed": 1}},
        {"verdicts": {"released": 0}},
        {"log": {"events": 1, "head": "F" * 64}},
        {"signing": [{"signer": "me", "keyid": None}]},
    ],
)
def test_other_predicates_are_refused(tmp_path: Path, change: dict[str, Any]) -> None:
    found = complete(tmp_path / "session")
    assert not Draft202012Validator(SCHEMA).is_valid({**found, **change})

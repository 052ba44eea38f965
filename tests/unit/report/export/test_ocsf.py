"""OCSF events are checked against the published schema, as the package ocsf-json-schema has it."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from ocsf_json_schema import OcsfJsonSchemaEmbedded, get_ocsf_schema

from ciguard.report.export import ocsf
from ciguard.session.reading import open_session
from tests.unit.report.export.scene import record_all
from tests.unit.session import sample


@cache
def published() -> Any:
    schema = OcsfJsonSchemaEmbedded(get_ocsf_schema(version=ocsf.VERSION))
    name = schema.lookup_class_name_from_uid(class_uid=ocsf.CLASS)
    whole = closed(schema.get_class_schema(class_name=name, profiles=["ai_operation", "security_control"]))
    return jsonschema.Draft202012Validator(whole)


def closed(schema: Any) -> Any:
    """``schema`` with no place for attributes that it does not name, but where it says that anything may stand."""
    if isinstance(schema, dict):
        made = {key: closed(value) for key, value in schema.items()}
        if made.get("properties"):
            made["additionalProperties"] = False
        return made
    return [closed(one) for one in schema] if isinstance(schema, list) else schema


HOSTILE = "=1;\u202e<script>\ud800\x00"


@pytest.mark.parametrize("text", ["text", HOSTILE, "x" * 100_000])
def test_every_event_is_what_the_schema_says(tmp_path: Path, text: str) -> None:
    session = open_session(record_all(tmp_path / "session", text))
    events = [json.loads(line) for line in ocsf.lines(session)]
    assert {event["activity_name"] for event in events} == {"operation", "result", "response", "verdict", "refused"}
    for event in events:
        published().validate(event)


def test_the_check_itself_finds_what_is_wrong(tmp_path: Path) -> None:
    event: Any = next(ocsf.events(open_session(record_all(tmp_path / "session"))))
    for wrong in ({"action_id": 77}, {"unheard_of": 1}, {"time": "now"}, {"ai_model": {"name": "x"}}):
        with pytest.raises(jsonschema.ValidationError):
            published().validate({**event, **wrong})
    del event["api"]
    with pytest.raises(jsonschema.ValidationError):
        published().validate(event)


def test_what_the_guard_did(tmp_path: Path) -> None:
    found = {
        (event["api"]["operation"], event["action_id"], event["disposition_id"], event["status_id"], event["is_alert"])  # type: ignore[index,call-overload]
        for event in ocsf.events(open_session(record_all(tmp_path / "session")))
    }
    assert found == {
        ("instructions", 1, 1, 1, False),
        ("prompt", 1, 1, 1, False),
        ("prompt", 4, 11, 1, False),
        ("response_text", 4, 11, 1, False),
        ("tool_call", 2, 2, 2, True),
        ("tool_call", 2, 25, 2, True),
        ("tool_call", 1, 8, 1, True),
        ("tool_result", 1, 1, 1, False),
        ("connect", 1, 1, 1, False),
        ("response", 1, 1, 1, False),
        ("response", 1, 1, 2, False),
        ("GET /v1/files", 2, 2, 2, True),
        ("approval", 1, 8, 1, True),
    }


def test_a_log_without_a_beginning_is_exported_too(tmp_path: Path) -> None:
    directory = sample.record(tmp_path / "session")
    log = directory / "events.jsonl"
    log.write_bytes(b"".join(log.read_bytes().splitlines(keepends=True)[1:]))
    for event in ocsf.events(open_session(directory)):
        published().validate(event)

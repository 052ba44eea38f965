"""Spans are read by the published protocol's own types, and their names are those of the published conventions."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import json_format
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.semconv._incubating.attributes import gen_ai_attributes
from opentelemetry.semconv.attributes import (
    error_attributes,
    http_attributes,
    server_attributes,
    service_attributes,
)

from ciguard.report.export import genai_names, otel
from ciguard.session.reading import open_session
from tests.unit.report.export.scene import record_all
from tests.unit.session import sample

PUBLISHED = {
    value
    for module in (gen_ai_attributes, error_attributes, http_attributes, server_attributes, service_attributes)
    for name, value in vars(module).items()
    if name.isupper() and isinstance(value, str)
}


def spans(directory: Path) -> list[dict[str, Any]]:
    (line,) = otel.lines(open_session(directory))
    traced = json.loads(line)
    # The protocol's JSON spells ids in hex, where protobuf's own has base64.
    json_format.ParseDict(re_encoded(traced), ExportTraceServiceRequest())
    found: list[dict[str, Any]] = traced["resourceSpans"][0]["scopeSpans"][0]["spans"]
    return found


def re_encoded(traced: dict[str, Any]) -> dict[str, Any]:
    text = re.sub(r'"(traceId|spanId|parentSpanId)": "[0-9a-f]+"', r'"\1": "AAAA"', json.dumps(traced))
    made: dict[str, Any] = json.loads(text)
    return made


def attributes(span: dict[str, Any]) -> dict[str, Any]:
    return {one["key"]: next(iter(one["value"].values())) for one in span["attributes"]}


@pytest.mark.parametrize("text", ["text", "\ud800\u202e\x00<", "x" * 100_000])
def test_the_trace_is_what_the_protocol_says(tmp_path: Path, text: str) -> None:
    found = spans(record_all(tmp_path / "session", text))
    ids = [span["spanId"] for span in found]
    assert len(set(ids)) == len(ids)
    assert all(re.fullmatch("[0-9a-f]{16}", one) and int(one, 16) for one in ids)
    assert len({span["traceId"] for span in found}) == 1
    assert re.fullmatch("[0-9a-f]{32}", found[0]["traceId"])
    root, *inner = found
    assert "parentSpanId" not in root
    assert all(span["parentSpanId"] in ids for span in inner)
    assert all(int(span["startTimeUnixNano"]) <= int(span["endTimeUnixNano"]) for span in found)


def test_spans_say_who_did_what(tmp_path: Path) -> None:
    found = spans(record_all(tmp_path / "session", "Bash"))
    assert [span["name"] for span in found] == [
        "invoke_agent claude",
        "chat claude-test",
        "chat claude-test",
        "execute_tool Bash",
        "execute_tool Bash",
        "chat claude-test",
        "execute_tool Bash",
    ]
    assert attributes(found[1])["gen_ai.provider.name"] == "anthropic"
    assert attributes(found[1])["gen_ai.usage.input_tokens"] == "10"
    assert attributes(found[1])["server.address"] == "api.example.com"
    assert found[2]["status"]["code"] == 2
    assert attributes(found[3])["error.type"] == "block"
    assert "status" not in found[6]
    assert int(found[6]["endTimeUnixNano"]) > int(found[6]["startTimeUnixNano"])
    assert [event["name"] for event in found[6]["events"]] == ["ciguard.decision", "ciguard.decision"]


def test_names_are_those_of_the_conventions(tmp_path: Path) -> None:
    operations = {one.value for one in gen_ai_attributes.GenAiOperationNameValues}
    providers = {one.value for one in gen_ai_attributes.GenAiProviderNameValues}
    assert {genai_names.CHAT, genai_names.EXECUTE_TOOL, genai_names.INVOKE_AGENT} <= operations
    assert set(genai_names.PROVIDERS.values()) <= providers
    used = {key for span in spans(record_all(tmp_path / "session")) for key in attributes(span)}
    assert {key for key in used if not key.startswith("ciguard.")} <= PUBLISHED


def test_contents_stay_in_the_session(tmp_path: Path) -> None:
    sample.record(tmp_path / "session")
    (line,) = otel.lines(open_session(tmp_path / "session"))
    assert "Fix the failing test" not in line
    assert "DROP TABLE" not in line


def test_an_empty_log_has_no_spans(tmp_path: Path) -> None:
    recorder = sample.start(tmp_path / "session")
    recorder.close()
    (tmp_path / "session" / "events.jsonl").write_bytes(b"")
    assert otel.trace(open_session(tmp_path / "session")) == {"resourceSpans": []}

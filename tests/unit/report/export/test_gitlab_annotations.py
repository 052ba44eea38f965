from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from ciguard.errors import UsageError
from ciguard.operation import Json
from ciguard.report.export import gitlab_annotations
from ciguard.session.reading import open_session
from ciguard.session.recorder import Recorder
from tests.unit.session import sample

JOB: Json = {
    "forge": "gitlab",
    "repository": "acme/web/shop",
    "run_url": "https://gitlab.example.com/acme/web/shop/-/jobs/99",
    "server_url": "https://gitlab.example.com",
}
SCHEMA = {
    "type": "object",
    "additionalProperties": {
        "type": "array",
        "maxItems": 1000,
        "items": {
            "type": "object",
            "properties": {
                "external_link": {
                    "type": "object",
                    "properties": {"label": {"type": "string"}, "url": {"type": "string", "pattern": "^https?://"}},
                    "required": ["label", "url"],
                    "additionalProperties": False,
                }
            },
            "required": ["external_link"],
            "additionalProperties": False,
        },
    },
}
"""What GitLab takes: its own schemas of a section and of an external link, stricter where these require nothing."""


def start(directory: Path) -> Recorder:
    return sample.start(directory, {**sample.STARTED, "job": JOB})


def links(directory: Path) -> dict[str, str]:
    """The links of a session's report, by their labels."""
    (line,) = gitlab_annotations.lines(open_session(directory))
    document: Any = json.loads(line)
    jsonschema.Draft202012Validator(SCHEMA).validate(document)
    return {one["external_link"]["label"]: one["external_link"]["url"] for one in document["ciguard"]}


def ask(recorder: Recorder, approval: str, place: str) -> None:
    sample.ask(recorder, approval, {"name": "Bash", "input": {}}, place=place)


def answer(recorder: Recorder, approval: str, outcome: str, comment: int | None) -> None:
    sample.rule(recorder, approval, outcome, "text", comment=comment)


def test_links_lead_to_the_artifact_and_to_where_people_were_asked(tmp_path: Path) -> None:
    recorder = start(tmp_path / "session")
    ask(recorder, "a1", "gitlab.example.com/acme/web/shop!7")
    answer(recorder, "a1", "released", 501)
    ask(recorder, "b2", "gitlab.example.com/acme/web/shop#12")
    answer(recorder, "b2", "expired", None)
    ask(recorder, "c3", "gitlab.example.com/acme/web/shop!7")
    recorder.close()
    project = "https://gitlab.example.com/acme/web/shop/-"
    assert links(tmp_path / "session") == {
        "Session report": f"{project}/jobs/99/artifacts/file/ciguard-report.html",
        "Session": f"{project}/jobs/99/artifacts/browse/ciguard-session/",
        "Approval a1: released": f"{project}/merge_requests/7#note_501",
        "Approval b2: expired": f"{project}/issues/12",
        "Approval c3: not answered": f"{project}/merge_requests/7",
    }


@pytest.mark.parametrize(
    "place",
    [
        "evil.example.com/acme/web/shop!7",
        "gitlab.example.com.evil.example.com/acme/web/shop!7",
        "gitlab.example.com/acme/other!7",
        "gitlab.example.com/acme/web/shop!7#x",
        "javascript:alert(1)",
        "",
    ],
)
def test_no_link_leads_elsewhere(tmp_path: Path, place: str) -> None:
    recorder = start(tmp_path / "session")
    ask(recorder, "a1", place)
    recorder.close()
    assert list(links(tmp_path / "session")) == ["Session report", "Session"]


def test_there_are_no_more_links_than_gitlab_takes(tmp_path: Path) -> None:
    recorder = start(tmp_path / "session")
    for number in range(gitlab_annotations.MOST_APPROVALS + 5):
        ask(recorder, f"a{number}", "gitlab.example.com/acme/web/shop!7")
    recorder.close()
    assert len(links(tmp_path / "session")) == gitlab_annotations.MOST_APPROVALS + 2


def test_a_session_of_another_forge_or_of_none_has_no_links(tmp_path: Path) -> None:
    for name, job in (("github", sample.STARTED["job"]), ("none", None)):
        sample.start(tmp_path / name, {**sample.STARTED, "job": job}).close()
        with pytest.raises(UsageError, match="was not recorded in a job of GitLab"):
            gitlab_annotations.links(open_session(tmp_path / name))

"""Whatever GitLab is to read is checked against its published schema, and where that is open, against what we mean."""

from __future__ import annotations

import re
from typing import Any

import jsonschema
import pytest

from tests.unit.gitlab.definitions import (
    COMPONENT,
    COMPONENTS,
    EXPRESSION,
    ROOT,
    included_jobs,
    load,
    published_schema,
    template,
    with_inputs,
)

GIVEN = {"script": ["claude -p 'fix it'"]}
TYPES = {"string": str, "array": list, "boolean": bool, "number": int}


def documents(component: str) -> list[Any]:
    return load((ROOT / f"templates/{component}.yml").read_text(encoding="utf-8"))


def given(component: str) -> dict[str, Any]:
    inputs, _ = template(component)
    return {name: value for name, value in GIVEN.items() if name in inputs}


@pytest.mark.parametrize("component", COMPONENTS)
def test_a_component_is_what_the_schema_says(component: str) -> None:
    header, _ = documents(component)
    published_schema().validate(header)
    published_schema().validate(with_inputs(component, given(component)))


@pytest.mark.parametrize(
    "wrong",
    [
        {"spec": {"unheard_of": 1}},
        {"spec": {"component": ["commit"]}},
        {"job": {"script": "true", "artifacts": {"reports": {"junit": 7}}}},
        {"job": {"script": "true", "artifacts": {"reports": {"annotation": "x.json"}}}},
        {"job": {"script": "true", "id_tokens": {"A": {"audience": "x"}}}},
        {"job": {"script": "true", "unheard_of": 1}},
        {"job": {"script": []}},
    ],
)
def test_the_schema_itself_finds_what_is_wrong(wrong: Any) -> None:
    with pytest.raises(jsonschema.ValidationError):
        published_schema().validate(wrong)


@pytest.mark.parametrize("component", COMPONENTS)
def test_every_input_is_typed_and_described_and_has_a_default_of_its_type(component: str) -> None:
    inputs, _ = template(component)
    for name, facts in inputs.items():
        assert facts.keys() <= {"type", "description", "default", "options", "regex"}, name
        assert facts["description"].endswith("."), name
        assert isinstance(facts.get("default", TYPES[facts["type"]]()), TYPES[facts["type"]]), name


@pytest.mark.parametrize("component", COMPONENTS)
def test_every_expression_names_what_there_is_and_every_input_is_used(component: str) -> None:
    header, jobs = documents(component)
    used = [found.groups() for found in EXPRESSION.finditer(str(jobs))]
    assert str(jobs).count("$[[") == len(used)
    assert {name for source, name in used if source == "inputs"} == set(header["spec"]["inputs"])
    assert (
        {name for source, name in used if source == "component"} == set(header["spec"]["component"]) <= set(COMPONENT)
    )
    # GitLab puts no values into the header itself.
    assert "$[[" not in str(header)


PAGES = "".join((ROOT / name).read_text(encoding="utf-8") for name in ("README.md", "docs/gitlab.md"))
TO_PASTE = [
    block for block in re.findall(r"^```yaml\n(.*?)^```$", PAGES, re.MULTILINE | re.DOTALL) if "include:" in block
]


@pytest.mark.parametrize("text", TO_PASTE)
def test_what_there_is_to_paste_is_what_the_schema_says(text: str) -> None:
    (pipeline,) = load(text)
    published_schema().validate(pipeline)
    included_jobs(pipeline)


def test_every_component_is_shown() -> None:
    assert {name for name in COMPONENTS for text in TO_PASTE if f"/{name}@" in text} == set(COMPONENTS)


@pytest.mark.parametrize("component", COMPONENTS)
def test_a_component_has_one_job_of_the_name_that_is_given_and_nothing_global(component: str) -> None:
    assert list(with_inputs(component, given(component) | {"job-name": "mine"})) == ["mine"]

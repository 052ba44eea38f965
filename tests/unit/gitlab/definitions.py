"""The component's definitions as GitLab reads them: the header, and the jobs with the values of the inputs in place."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
from check_jsonschema.builtin_schemas import get_builtin_schema
from ruamel.yaml import YAML
from ruamel.yaml.constructor import SafeConstructor
from ruamel.yaml.nodes import SequenceNode

ROOT = Path(__file__).resolve().parents[3]
COMPONENTS = tuple(sorted(path.stem for path in (ROOT / "templates").iterdir()))
COMPONENT = {
    "sha": "0123456789abcdef0123456789abcdef01234567",
    "reference": "gitlab.example.com/acme/ciguard/agent@1.2.3",
}
EXPRESSION = re.compile(r"\$\[\[ (?P<source>[a-z]+)\.(?P<name>[a-z-]+) \]\]")
_INCLUDED = re.compile(
    r"\$CI_SERVER_FQDN/(acme/ciguard/(?P<name>[a-z]+)@\d+\.\d+\.\d+|\$CI_PROJECT_PATH/(?P<own>[a-z]+)@\$CI_COMMIT_SHA)"
)


class _Reference:
    """GitLab's tag for what stands in another job: the names that lead there, as the schema has it."""

    yaml_tag = "!reference"

    @classmethod
    def from_yaml(cls, _: SafeConstructor, node: SequenceNode) -> list[str]:
        return [str(item.value) for item in node.value]


def load(text: str) -> list[Any]:
    """The documents of ``text``."""
    yaml = YAML(typ="safe", pure=True)
    yaml.register_class(_Reference)
    return list(yaml.load_all(text))


def template(component: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """The inputs of ``component`` and its jobs, as they are written."""
    header, jobs = load((ROOT / f"templates/{component}.yml").read_text(encoding="utf-8"))
    return header["spec"]["inputs"], jobs


def with_inputs(component: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """The jobs of ``component`` with these inputs, and the defaults of the others."""
    inputs, jobs = template(component)
    assert given.keys() <= inputs.keys()
    values = {name: given[name] if name in given else facts["default"] for name, facts in inputs.items()}
    placed = _placed(jobs, {"inputs": values, "component": COMPONENT})
    assert isinstance(placed, dict)
    return placed


def _placed(value: Any, sources: Mapping[str, Mapping[str, Any]]) -> Any:
    """``value`` with its expressions replaced: a whole string by the value itself, a part by its text."""
    match value:
        case dict():
            return {_placed(key, sources): _placed(item, sources) for key, item in value.items()}
        case list():
            return [_placed(item, sources) for item in value]
        case str():
            whole = EXPRESSION.fullmatch(value)
            if whole:
                return sources[whole["source"]][whole["name"]]
            return EXPRESSION.sub(lambda found: str(sources[found["source"]][found["name"]]), value)
        case _:
            return value


@cache
def published_schema() -> Any:
    """GitLab's published schema of CI files, with the header of components, as the package check-jsonschema has it."""
    return jsonschema.Draft7Validator(get_builtin_schema("vendor.gitlab-ci"))


def included_jobs(pipeline: Mapping[str, Any]) -> dict[str, Any]:
    """The jobs of the components that ``pipeline`` includes, which are there, take these inputs and are valid.

    What its own jobs extend must be among them, or beside them.
    """
    made: dict[str, Any] = {}
    for included in pipeline["include"]:
        if "component" in included:
            found = _INCLUDED.fullmatch(included["component"])
            assert found, included
            jobs = with_inputs(found["name"] or found["own"], included.get("inputs", {}))
            published_schema().validate(jobs)
            made |= jobs
    assert {job["extends"] for job in pipeline.values() if "extends" in job} <= made.keys() | pipeline.keys()
    return made

"""Writes what is made from the policy's models and presets: the presets read ahead, and the reference in the docs.

Run it as ``.venv/bin/python scripts/policy_files.py`` after a change of either; a test fails until then.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from ciguard.decision import Action
from ciguard.policy import preset_files
from ciguard.policy.evaluation import concluded
from ciguard.policy.loading import FileSource, load_policy, validated
from ciguard.policy.models import Example, Policy, json_schema
from ciguard.policy.rules import Rule

DOCS = Path(__file__).parents[1] / "docs" / "policy.md"
KEYS = ("<!-- keys: written by scripts/policy_files.py -->", "<!-- end of keys -->")
CARDS = ("<!-- presets: written by scripts/policy_files.py -->", "<!-- end of presets -->")


def keys_reference() -> str:
    """A table of every key of the policy file, from its JSON Schema."""
    lines = ["| key | what it says | when absent |", "|---|---|---|"]
    lines += [f"| `{key}` | {_cell(about)} | {default} |" for key, about, default in _keys(json_schema())]
    return "\n".join(lines)


def preset_cards() -> str:
    """A card for every rule of the presets: what it finds, why that matters, what to do instead."""
    policies = {name: load_policy(FileSource(Path()), name) for name in preset_files.names()}
    parts = []
    for name in preset_files.names():
        own = validated(preset_files.reviewed(name))
        if not own.rules:
            continue
        parts.append(f"### Rules of `{name}`\n")
        parts += [_card(rule, policies) for rule in own.rules]
    return "\n".join(parts).rstrip()


def documentation(text: str) -> str:
    """The documentation ``text`` with both references brought up to date."""
    for (begin, end), content in ((KEYS, keys_reference()), (CARDS, preset_cards())):
        before, _, rest = text.partition(begin)
        _, _, after = rest.partition(end)
        text = f"{before}{begin}\n\n{content}\n\n{end}{after}"
    return text


def _keys(root: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    def walk(schema: Mapping[str, Any], path: str) -> Iterator[tuple[str, str, str]]:
        for key, part in schema["properties"].items():
            name = f"{path}{key}"
            below, step = _mapping_below(root, part)
            default = _default(part, required=key in schema.get("required", []))
            # pydantic leaves a description out where it repeats that of the mapping itself.
            about = part.get("description") or (below or {})["description"]
            yield name, about, default if below is None or key in schema.get("required", []) else ""
            if below is not None and name != "connections.NAME.rules":
                yield from walk(below, f"{name}{step}.")

    yield from walk(root, "")


def _mapping_below(root: Mapping[str, Any], part: Mapping[str, Any]) -> tuple[Mapping[str, Any] | None, str]:
    """The schema of the keys below ``part`` and how a path goes there, or None when there are no fixed keys."""
    step = ""
    while True:
        part = next((choice for choice in part.get("anyOf", []) if "$ref" in choice), part)
        if "$ref" in part:
            part = root["$defs"][part["$ref"].rpartition("/")[2]]
        if "properties" in part:
            return part, step
        if isinstance(part.get("items"), Mapping):
            part, step = part["items"], f"{step}[]"
        elif "patternProperties" in part:
            part, step = next(iter(part["patternProperties"].values())), f"{step}.NAME"
        else:
            return None, ""


def _default(part: Mapping[str, Any], *, required: bool) -> str:
    if required:
        return "an error"
    default = part.get("default")
    return "" if default in (None, [], "", {}) else f"`{default}`"


def _card(rule: Rule, policies: Mapping[str, Policy]) -> str:
    why, _, instead = rule.reason.partition(". ")
    found = "\n".join(f"  - {_shown(example)}" for example in _found(rule)[:3])
    actions = ", ".join(
        f"{name.removeprefix(preset_files.PREFIX)} {_word(rule, policy)}"
        for name, policy in policies.items()
        if any(known.id == rule.id for known in policy.rules)
    )
    return (
        f"#### {rule.id}\n\n"
        f"- **Finds**, in {', '.join(rule.on)}, for example:\n{found}\n"
        f"- **Why:** {why}.\n"
        f"- **Instead:** {instead}\n"
        f"- **Risk {rule.risk}:** {actions}.\n"
    )


def _word(rule: Rule, policy: Policy) -> str:
    words = {Action.ALLOW: "records it", Action.HOLD: "holds it", Action.BLOCK: "blocks it"}
    return words[concluded([rule], policy.approval).action]


def _found(rule: Rule) -> list[Example]:
    return [example for example in _examples() if rule.id in example.rules]


@cache
def _examples() -> list[Example]:
    names = [name for name in preset_files.names() if name != "ciguard:observe"]
    return [example for name in names for example in validated(preset_files.examples(name)).tests]


def _shown(example: Example) -> str:
    match example.operation:
        case {"tool_call": {"input": {"command": str(command)}}} | {"tool_call": {"input": {"cmd": str(command)}}}:
            text = command
        case {"tool_call": {"name": str(name), "input": {"file_path": str(path)}}}:
            text = f"{name} {path}"
        case _:
            text = json.dumps(example.operation, ensure_ascii=False)
    text = " ".join(text.split())
    return f"`` {text} ``" if "`" in text else f"`{text}`"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def main() -> None:
    """Bring the files up to date."""
    preset_files.READ_AHEAD.write_text(preset_files.read_ahead_text(), encoding="utf-8")
    DOCS.write_text(documentation(DOCS.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()

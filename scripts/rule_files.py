"""Writes what is made from the secret formats: the rules that are loaded, and the list in the documentation.

The formats are data for people: ``src/ciguard/inspect/rules/*.toml``, one file an area, each format with its provider,
a sentence, examples and look-alikes. Run ``.venv/bin/python scripts/rule_files.py`` after a change; a test fails until
then.

A format says ``pattern``, or ``name`` and ``secret`` when it has no mark of its own: then the secret must stand beside
a name that says whose it is, as in an assignment, a header, a command's option or a list of variables.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec

from ciguard.inspect.checks import CHECKS
from ciguard.inspect.rule_files import BEGINNINGS, CANDIDATES, LOADED
from ciguard.inspect.rule_matcher import RuleMatcher, candidates_of
from ciguard.inspect.secret_rule import SecretRule, check_rule

FOLDER = Path(__file__).parents[1] / "src" / "ciguard" / "inspect" / "rules"
DOCS = Path(__file__).parents[1] / "docs" / "secrets.md"
LIST = ("<!-- formats: written by scripts/rule_files.py -->", "<!-- end of formats -->")

AREAS = {
    "forges": "Forges",
    "clouds": "Clouds and hosting",
    "registries": "Package registries",
    "models": "Model providers",
    "ci": "CI, deployment and secret stores",
    "databases": "Databases and brokers",
    "monitoring": "Monitoring",
    "chat": "Chat",
    "mail": "Mail and messages",
    "payments": "Payments",
    "services": "Other services",
    "files": "Keys, credential files and headers",
    "assigned": "Values given to a telling name",
}
"""The files and their titles, in the order of the rules: where two rules find the same text, the first names it."""

SEPARATOR = (
    r"(?:[\"'`\]\[()\\ \t=:>|?,]{1,16}(?:(?:is|to|was)[:]?[ \t]{1,2}[\"'`]?)?"
    r"|[\"'\\,\snrt+]{0,48}(?i:value)[\"'\\:= \t]{1,8})"
)
"""What stands between a name and its value: an assignment, a mapping, an argument, an option, or ``value:``."""

REST_OF_NAME = r"[A-Za-z0-9_.-]{0,16}"

ESCAPE = r"(?:\\[nrtbf]|\[[0-9;]{0,12}m|%[0-9A-Fa-f]{2})"
"""The end of an escaped control character, of a colour of a terminal, or of an encoded character of an address."""


@dataclass(frozen=True, slots=True)
class Example:
    """A text with a made-up secret, which begins at ``start``."""

    text: str
    start: int
    secret: str


@dataclass(frozen=True, slots=True)
class Format:
    """One entry of the files: the rule, and what people should know of it."""

    area: str
    provider: str
    about: str
    rule: SecretRule
    examples: tuple[Example, ...]
    lookalikes: tuple[str, ...]


def formats() -> list[Format]:
    """Everything that the files say, in the order of :data:`AREAS`."""
    return [one for area in AREAS for one in _area(area)]


def _area(area: str) -> Iterator[Format]:
    content = tomllib.loads((FOLDER / f"{area}.toml").read_text(encoding="utf-8"))
    shared = tomllib.loads((FOLDER / "stops.toml").read_text(encoding="utf-8"))
    for entry in content["format"]:
        yield _format(area, dict(entry), shared)


def _format(area: str, entry: dict[str, Any], shared: dict[str, list[str]]) -> Format:
    provider, about = entry.pop("provider"), entry.pop("about")
    examples = tuple(_example(**example) for example in entry.pop("examples"))
    lookalikes = tuple("".join(pieces) for pieces in entry.pop("lookalikes"))
    if "name" in entry:
        entry["pattern"] = f"(?i:{entry.pop('name')}){REST_OF_NAME}{SEPARATOR}(?P<secret>{entry.pop('secret')})"
    stops = tuple(word for name in entry.pop("stops", []) for word in shared[name])
    rule = msgspec.convert(entry | {"stops": stops, "before": entry.get("before", "")}, SecretRule)
    check_rule(rule)
    return Format(area, provider, about, rule, examples, lookalikes)


def _example(pieces: list[str], around: str = "{secret}") -> Example:
    secret = "".join(pieces)
    before, _, after = around.partition("{secret}")
    return Example(f"{before}{secret}{after}", len(before), secret)


def rules() -> Iterator[SecretRule]:
    """The rules of all formats, in order.

    A rule that must not begin within a word is there twice, because the letter before a secret is none of a word when
    it ends an escape: ``\\nsk-...`` in JSON within a text.
    """
    for one in formats():
        yield one.rule
        if one.rule.before:
            pattern = one.rule.pattern if "(?P<secret>" in one.rule.pattern else f"(?P<secret>{one.rule.pattern})"
            yield replace(one.rule, pattern=ESCAPE + pattern, before="")


def loaded_text() -> str:
    """What ``LOADED`` must hold."""
    lines = [msgspec.json.encode(dict(_stated(rule))).decode() for rule in rules()]
    return "[\n" + ",\n".join(lines) + "\n]\n"


def _stated(rule: SecretRule) -> Iterator[tuple[str, object]]:
    for key in SecretRule.__dataclass_fields__:
        value = getattr(rule, key)
        default = SecretRule.__dataclass_fields__[key].default
        if value != default:
            yield key, value


def list_of_formats() -> str:
    """A table for each area: whose secret, under which kind, what it is, and what is checked."""
    parts = []
    for area, title in AREAS.items():
        parts.append(f"### {title}\n\n| provider | kind | what | form | checked |\n|---|---|---|---|---|")
        parts += [_row(one) for one in sorted(_area(area), key=lambda one: (one.provider.lower(), one.rule.kind))]
        parts.append("")
    return "\n".join(parts).rstrip()


def _row(one: Format) -> str:
    checked = [f"`{one.rule.check}`"] if one.rule.check else []
    checked += ["randomness"] if one.rule.entropy else []
    example = one.examples[0]
    marks = ", ".join(f"`{literal}`" for literal in one.rule.literals[:6]).replace("|", "\\|")
    form = f"near {marks}" if example.text != example.secret else f"has {marks}"
    more = " ..." if len(one.rule.literals) > 6 else ""
    return f"| {one.provider} | `{one.rule.kind}` | {one.about} | {form}{more} | {', '.join(checked)} |"


def documentation(text: str) -> str:
    """The documentation ``text`` with the list brought up to date."""
    begin, end = LIST
    before, _, rest = text.partition(begin)
    _, _, after = rest.partition(end)
    return f"{before}{begin}\n\n{list_of_formats()}\n\n{end}{after}"


def main() -> None:
    """Bring the files up to date."""
    LOADED.write_text(loaded_text(), encoding="utf-8")
    BEGINNINGS.write_bytes(RuleMatcher(tuple(rules()), CHECKS).beginnings)
    candidates = [[one.decode("latin-1") for one in each] for each in candidates_of(tuple(rules()))]
    lines = ",\n".join(msgspec.json.encode(each).decode() for each in candidates)
    CANDIDATES.write_text(f"[\n{lines}\n]\n", encoding="utf-8")
    DOCS.write_text(documentation(DOCS.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()

"""The labelled set: made from the formats, the kinds of text and the negatives, the same each time."""

from __future__ import annotations

import random
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

from scripts.evaluation.labelled import CLOSE, OPEN, Text, labelled
from scripts.evaluation.made_secret import made
from scripts.evaluation.placement import BARE, LINES, NAMED, Template
from scripts.evaluation.written_text import filled
from scripts.rule_files import Example, Format, formats

SEED = "ciguard-1"

EACH = 6
"""Texts with a secret for each format."""

NEGATIVE_ROUNDS = 25
"""Times that every hard negative is written, with other values."""

_NEGATIVES = tomllib.loads(Path(__file__).with_name("negatives.toml").read_text(encoding="utf-8"))
_ASSIGNED = re.compile(r"([A-Za-z][A-Za-z0-9_]*)=\{secret\}\n?")


def labelled_set(each: int = EACH, negative_rounds: int = NEGATIVE_ROUNDS) -> Iterator[Text]:
    """``each`` texts for each format, one with a placeholder in the secret's place, and the hard negatives."""
    for number, one in enumerate(formats()):
        draw = random.Random(f"{SEED} {number} {one.rule.kind}")  # noqa: S311 - made up, and the same each time
        templates = draw.sample(_templates(one), each)
        for place, template in enumerate(templates):
            yield _with_secret(one, template, f"{number:03}-{place}", draw)
        yield _with_placeholder(one, draw.choice(NAMED), f"{number:03}-placeholder", draw)
    for number, entry in enumerate(_NEGATIVES["hard"]):
        draw = random.Random(f"{SEED} negative {number}")  # noqa: S311 - see above
        for turn in range(negative_rounds):
            name = f"negative-{number:02}-{turn:02}-{entry['name']}"
            yield Text(name, entry["sort"], filled(entry["text"], ["shop"], draw))


def _templates(one: Format) -> tuple[Template, ...]:
    example = _around(one.examples[0])
    if _ASSIGNED.fullmatch(example):
        return NAMED
    return (*NAMED, *BARE) if example == "{secret}" and "\n" not in one.examples[0].secret else LINES


def _around(example: Example) -> str:
    return example.text[: example.start] + "{secret}" + example.text[example.start + len(example.secret) :]


def _with_secret(one: Format, template: Template, name: str, draw: random.Random) -> Text:
    secret = OPEN + made(one, draw) + CLOSE
    around = _around(draw.choice(one.examples))
    words = _words(one)
    if template in LINES:
        secret = around.replace("{secret}", secret).rstrip("\n")
    content = filled(template.text, words, draw, secret=template.written(secret))
    return labelled(name + template.suffix, template.sort, content, one.rule.kind)


def _with_placeholder(one: Format, template: Template, name: str, draw: random.Random) -> Text:
    words = _words(one)
    value = filled(draw.choice(_NEGATIVES["placeholders"]), words, draw)
    content = filled(template.text, words, draw, secret=template.written(value))
    return Text(name + template.suffix, "placeholder", content)


def _words(one: Format) -> list[str]:
    """The name of a secret of the format: what its example is assigned to, or its kind."""
    assigned = _ASSIGNED.fullmatch(_around(one.examples[0]))
    return re.split("[_-]", assigned[1].lower() if assigned else one.rule.kind)

"""Templates of Markdown for a forge, in which strangers' words stay words.

What strangers wrote stands only inside code and plain words (``report/inert.py``), where the forge renders no markup,
mention, image or link of theirs. A template cannot forget that: it refuses to print a string that did not pass through
one of these filters.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

from jinja2 import Environment, StrictUndefined, Template
from markupsafe import Markup

from ciguard.report.inert import code_block, code_span, prose

_MENTION = re.compile(r"@[A-Za-z0-9][A-Za-z0-9_.-]*(?:\[bot\]|(?:/[A-Za-z0-9_.-]+)+)?")
_REFERENCE = re.compile(r"[0-9a-f]+\.[0-9]+-[0-9a-f]+")
_INSTRUCTION = re.compile(r"/?ciguard")
_MARKER = re.compile(r"<!-- ciguard:[a-z]+ [A-Za-z0-9_-]+ -->", re.ASCII)
LINK = re.compile(r"https?://[A-Za-z0-9._~:/?#@!$&'*+,;=%-]+")
"""An address that can stand in a link: nothing in it ends one."""


@cache
def template(name: str) -> Template:
    """The template ``name`` of this package."""
    environment = Environment(
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_only_inert,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["code"] = lambda text, limit: Markup(code_span(text, limit))  # noqa: S704
    environment.filters["prose"] = lambda text, limit: Markup(prose(text, limit))  # noqa: S704
    environment.filters["block"] = lambda text: Markup(code_block(text))  # noqa: S704
    environment.filters["mention"] = _mention
    environment.filters["link"] = _link
    environment.filters["reference"] = _reference
    environment.filters["instruction"] = _instruction
    environment.filters["marker"] = _marker
    return environment.from_string(Path(__file__).parent.joinpath("templates", name).read_text("utf-8"))


def _mention(name: str) -> Markup:
    """A name that the policy or the forge gave, as one that is told of it; else as code."""
    return Markup(name if _MENTION.fullmatch(name) else code_span(name, 200))  # noqa: S704


def _reference(name: str) -> Markup:
    if not _REFERENCE.fullmatch(name):
        raise ValueError("this is not the reference of a request")
    return Markup(name)  # noqa: S704


def _instruction(prefix: str) -> Markup:
    if not _INSTRUCTION.fullmatch(prefix):
        raise ValueError("this is not how an instruction begins")
    return Markup(prefix)  # noqa: S704


def _marker(line: str) -> Markup:
    if not _MARKER.fullmatch(line):
        raise ValueError("this is no marker")
    return Markup(line)  # noqa: S704


def _link(url: str) -> Markup:
    return Markup(f"<{url}>" if LINK.fullmatch(url) else code_span(url, 300))  # noqa: S704


def _only_inert(value: object) -> object:
    if isinstance(value, str) and not isinstance(value, Markup):
        raise TypeError("a template of Markdown prints a string that is not inert")
    return value

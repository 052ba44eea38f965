"""The secret rules that come with ciguard, as they are loaded.

The formats are kept for people in ``rules/*.toml``, with examples and look-alikes; ``scripts/rule_files.py`` writes the
rules alone into one file of JSON, which loads in a few milliseconds. A test holds the two together.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path

import msgspec

from ciguard.inspect.secret_rule import SecretRule

LOADED = Path(__file__).parent / "rules" / "rules.json"

BEGINNINGS = LOADED.with_name("beginnings.txt")
"""What is derived from the rules to tell in a stream what may become a secret."""

CANDIDATES = LOADED.with_name("candidates.json")
"""What is derived from the rules to find where they may match: for each, the expressions of its candidates."""


@cache
def load_rules() -> tuple[SecretRule, ...]:
    """All rules; where two find the same text, the first of them names it."""
    rules = msgspec.json.decode(LOADED.read_bytes(), type=tuple[SecretRule, ...])
    # Most rules have the same hundreds of words.
    stops = {rule.stops: rule.stops for rule in rules}
    return tuple(replace(rule, stops=stops[rule.stops]) for rule in rules)


def load_candidates() -> list[list[bytes]]:
    """:data:`CANDIDATES` as bytes."""
    derived = msgspec.json.decode(CANDIDATES.read_bytes(), type=list[list[str]])
    return [[expression.encode("latin-1") for expression in expressions] for expressions in derived]

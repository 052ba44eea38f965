"""What the secret rules mean, said with nothing but ``re``: the reference for tests of the rules themselves."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from ciguard.inspect.checks import CHECKS
from ciguard.inspect.pattern import (
    Character,
    Choice,
    Node,
    Repeat,
    Secret,
    Sequence,
    character_set,
    parse,
    render,
    rendered_set,
)
from ciguard.inspect.rule_matcher import entropy
from ciguard.inspect.secret_rule import SecretRule


@dataclass(frozen=True, slots=True)
class Match:
    start: int
    end: int
    kind: str


def expression(rule: SecretRule) -> re.Pattern[bytes]:
    before = b"(?<!" + rendered_set(character_set(rule.before, rule.kind)) + b")" if rule.before else b""
    after = b"(?!" + rendered_set(character_set(rule.after, rule.kind)) + b")" if rule.after else b""
    return re.compile(before + render(parse(rule.pattern, rule.kind)) + after)


def accepted(rule: SecretRule, secret: str) -> bool:
    """Whether a candidate passes what is asked of it beside the pattern."""
    if entropy(secret) < rule.entropy or any(stop in secret.lower() for stop in rule.stops):
        return False
    return not rule.check or CHECKS[rule.check](secret)


class Rules:
    """Finds the matches of rules; of those that overlap the earliest, the longest, the first rule names it."""

    def __init__(self, rules: Iterable[SecretRule]) -> None:
        self._rules = [
            (rule, expression(rule), [literal.lower().encode() for literal in rule.literals]) for rule in rules
        ]

    def matches(self, text: str) -> list[Match]:
        raw = text.encode("latin-1", "replace")
        lower = raw.lower()
        found: list[tuple[int, int, int, str]] = []
        for order, (rule, pattern, literals) in enumerate(self._rules):
            if any(literal in lower for literal in literals):
                found += [(start, -end, order, rule.kind) for start, end in _spans(rule, pattern, raw)]
        merged: list[Match] = []
        for start, end, _, kind in sorted(found):
            if merged and start < merged[-1].end:
                merged[-1] = Match(merged[-1].start, max(merged[-1].end, -end), merged[-1].kind)
            else:
                merged.append(Match(start, -end, kind))
        return merged


def _spans(rule: SecretRule, pattern: re.Pattern[bytes], raw: bytes) -> Iterable[tuple[int, int]]:
    group = "secret" if "secret" in pattern.groupindex else 0
    match = pattern.search(raw)
    while match:
        start, end = match.span(group)
        taken = accepted(rule, raw[start:end].decode("latin-1"))
        if taken:
            yield start, end
        match = pattern.search(raw, match.end() if taken else match.start() + 1)


def secret_part(rule: SecretRule) -> Node:
    """The tree of what is masked."""
    tree = parse(rule.pattern, rule.kind)
    return next(iter(_secrets(tree)), tree)


def _secrets(node: Node) -> Iterable[Node]:
    match node:
        case Secret(item):
            yield item
        case Sequence(nodes) | Choice(nodes):
            for one in nodes:
                yield from _secrets(one)
        case Repeat(item):
            yield from _secrets(item)
        case Character():
            return

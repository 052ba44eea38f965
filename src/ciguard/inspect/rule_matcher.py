"""Recognising secrets by rules.

One pass of a :class:`~ciguard.inspect.finder.Finder` gives hints; around each hint the rule's own expression decides. A
rule matches at every place where its expression does, also inside another match: so whether it matches somewhere does
not depend on where the reading of a text began.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from functools import cache, cached_property
from typing import Any

from ciguard.inspect.candidate import expressions
from ciguard.inspect.finder import Finder, finder
from ciguard.inspect.partial import partial
from ciguard.inspect.pattern import LONGEST, Node, character_set, parse, render, rendered_set, widths
from ciguard.inspect.secret_rule import Category, SecretRule
from ciguard.inspect.span import Span

PLACEHOLDER_SHAPE = (parse(r"\[ciguard-masked:[a-z0-9-]{1,200}:[0-9a-f]{12}\]", "placeholder"), 0, 0)
"""What a placeholder looks like: while one may be growing, no secret around it is decided."""

PARTIAL_MEMORY = 64 * 1024 * 1024
"""Bytes that the automaton of everything that could still become a match may take."""

Check = Callable[[str], bool]

NO_CHECKS: Mapping[str, Check] = {}


class _Rule:
    """A rule, its expression compiled when it is first needed."""

    def __init__(self, rule: SecretRule, priority: int, check: Check | None) -> None:
        self.rule = rule
        self._priority = priority
        self._check = check

    @cached_property
    def _expression(self) -> re.Pattern[bytes]:
        pattern, before, after = self.shape
        return re.compile(
            (b"(?<!" + rendered_set(before) + b")" if before else b"")
            + render(pattern)
            + (b"(?!" + rendered_set(after) + b")" if after else b"")
        )

    @cached_property
    def longest(self) -> int:
        """Characters that a match may have."""
        return widths(parse(self.rule.pattern, self.rule.kind))[1]

    @property
    def shape(self) -> tuple[Node, int, int]:
        """The pattern, and the characters that must not stand before and after it."""
        return (
            parse(self.rule.pattern, self.rule.kind),
            character_set(self.rule.before, self.rule.kind),
            character_set(self.rule.after, self.rule.kind),
        )

    def matches(self, data: bytes, begin: int, end: int) -> Iterator[re.Match[bytes]]:
        """The matches of the expression that lie between ``begin`` and ``end``, one for each place where one begins."""
        match = self._expression.search(data, begin, end)
        while match:
            yield match
            match = self._expression.search(data, match.start() + 1, end)

    def span(self, match: re.Match[bytes], text: str) -> Span | None:
        """The secret in ``match``, if it is one."""
        start, end = match.span("secret") if match.lastindex else match.span()
        secret = text[start:end]
        if not self._is_secret(secret):
            return None
        lasting = self.rule.category is Category.SECRET
        return Span(start, end, self.rule.kind, secret, match.start(), self._priority, lasting)

    def _is_secret(self, secret: str) -> bool:
        if self.rule.stops:
            lowered = secret.lower()
            if any(stop in lowered for stop in self.rule.stops):
                return False
        if self.rule.entropy and entropy(secret) < self.rule.entropy:
            return False
        return self._check is None or self._check(secret)


class RuleMatcher:
    """A :class:`~ciguard.inspect.matching.Matcher` for a set of rules; earlier rules go first where two match the same.

    ``checks`` has the functions that rules name.
    """

    def __init__(
        self,
        rules: Sequence[SecretRule],
        checks: Mapping[str, Check] = NO_CHECKS,
        finder_of: Callable[[Sequence[bytes]], Finder] = finder,
    ) -> None:
        self._rules = [
            _Rule(rule, priority, checks[rule.check] if rule.check else None) for priority, rule in enumerate(rules)
        ]
        found = [
            (one, expression)
            for one in self._rules
            for expression in expressions(one.rule.pattern, one.rule.kind, one.rule.literals)
        ]
        self._owners = [owner for owner, _ in found]
        self._finder = finder_of([expression for _, expression in found])

    def find(self, text: str, data: bytes, begin: int) -> Collection[Span]:
        """See :class:`~ciguard.inspect.matching.Matcher`."""
        spans = (rule.span(match, text) for rule, match in self._matches(data, begin))
        return [span for span in spans if span]

    def places(self, data: bytes) -> Iterable[int]:
        """See :class:`~ciguard.inspect.matching.Matcher`."""
        return (match.start() for _, match in self._matches(data, 0))

    def _matches(self, data: bytes, begin: int) -> Iterator[tuple[_Rule, re.Match[bytes]]]:
        around: dict[_Rule, list[tuple[int, int]]] = {}
        for number, first, last in self._finder.hints(data):
            rule = self._owners[number]
            around.setdefault(rule, []).append((max(begin, first - rule.longest), last + rule.longest + 1))
        for rule, windows in around.items():
            for low, high in _merged(windows):
                for match in rule.matches(data, low, high):
                    yield rule, match

    def open_from(self, data: bytes) -> tuple[int, int]:
        """See :class:`~ciguard.inspect.matching.Matcher`."""
        tail = max(0, len(data) - LONGEST - 1)
        match = self._open(data[tail:] if tail else data)
        start = len(data) if match is None else tail + match.start() + 1
        return start, start

    @cached_property
    def _open(self) -> Callable[[bytes], Any]:
        import re2

        options = re2.Options()
        options.encoding = re2.Options.Encoding.LATIN1
        options.max_mem = PARTIAL_MEMORY
        # The end is where RE2 begins here: it runs the reversed automaton, which stops at the first character that no
        # prefix has.
        search: Callable[[bytes], Any] = re2.compile(
            b"(?:" + partial([*(one.shape for one in self._rules), PLACEHOLDER_SHAPE]) + b")\\z", options
        ).search
        return search


@cache
def secret_rules() -> RuleMatcher:
    """The matcher of all rules for secrets."""
    from ciguard.inspect.first_rules import SECRET_RULES

    return RuleMatcher(SECRET_RULES)


def entropy(text: str) -> float:
    """Shannon entropy of the characters of ``text``, in bits per character."""
    return -sum(count / len(text) * math.log2(count / len(text)) for count in Counter(text).values())


def _merged(windows: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """The same ground without overlaps, from left to right."""
    found: list[tuple[int, int]] = []
    for low, high in sorted(windows):
        if found and low <= found[-1][1]:
            found[-1] = (found[-1][0], max(found[-1][1], high))
        else:
            found.append((low, high))
    return found

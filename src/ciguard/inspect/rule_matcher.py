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

from ciguard.inspect.candidate import expressions, farthest, literal_expression
from ciguard.inspect.finder import Finder, Hint, finder
from ciguard.inspect.partial import WORD_BYTES, Shape, beginning, growing, left, shapes, together
from ciguard.inspect.pattern import LONGEST, Node, character_set, parse, render, rendered_set, widths
from ciguard.inspect.secret_rule import Category, SecretRule
from ciguard.inspect.span import Span

PLACEHOLDER_SHAPE = Shape((), (parse(r"\[ciguard-masked:[a-z0-9-]{1,200}:[0-9a-f]{12}\]", "placeholder"),), 0, 0)
"""What a placeholder looks like: while one may be growing, no secret around it is decided."""

PARTIAL_MEMORY = 64 * 1024 * 1024
"""Bytes that the automaton of everything that could still become a match may take."""

Check = Callable[[str], bool]
Search = Callable[[bytes], int]
"""Where in a text something begins that reaches its end; -1 when nothing does."""

NO_CHECKS: Mapping[str, Check] = {}


class _Rule:
    """A rule, its expression compiled when it is first needed."""

    def __init__(self, rule: SecretRule, priority: int, check: Check | None) -> None:
        self.rule = rule
        self._priority = priority
        self._check = check

    @cached_property
    def _pattern(self) -> Node:
        return parse(self.rule.pattern, self.rule.kind)

    @cached_property
    def _neighbours(self) -> tuple[int, int]:
        return character_set(self.rule.before, self.rule.kind), character_set(self.rule.after, self.rule.kind)

    @cached_property
    def _shapes(self) -> tuple[Shape, ...]:
        return shapes(self._pattern, *self._neighbours)

    @cached_property
    def _left(self) -> tuple[int, int]:
        return left(self._pattern, self._neighbours[0])

    @cached_property
    def _expression(self) -> re.Pattern[bytes]:
        before, after = self._neighbours
        return re.compile(
            (b"(?<!" + rendered_set(before) + b")" if before else b"")
            + render(self._pattern)
            + (b"(?!" + rendered_set(after) + b")" if after else b"")
        )

    @cached_property
    def longest(self) -> int:
        """Characters that a match may have."""
        return widths(self._pattern)[1]

    @cached_property
    def farthest(self) -> int:
        """Characters after the beginning of a match within which a hint leads to it."""
        return farthest(self._pattern, self.rule.literals)

    @property
    def words(self) -> tuple[str, ...]:
        """What every match contains one of, in lower case; none for a shape."""
        return tuple(dict.fromkeys(literal.lower() for literal in self.rule.literals))

    @property
    def beginning(self) -> bytes:
        """An expression for what may become a secret and has no word of the rule yet."""
        parts = [beginning(one, self.words) if self.words else growing(one) for one in self._shapes]
        return b"|".join(dict.fromkeys(part for part in parts if part))

    @cached_property
    def growing(self) -> Search:
        """Searches for what may become a secret at the end of a text."""
        return _search(together(growing(one) for one in self._shapes))

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
        at_word, in_word = self._left
        start += in_word if start and match.string[start - 1] in WORD_BYTES else at_word
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
        beginnings: bytes = b"",
        candidates: Sequence[Sequence[bytes]] = (),
    ) -> None:
        """``beginnings`` and ``candidates`` are what :attr:`beginnings` and :func:`candidates_of` were for the same
        rules: they take long to derive.
        """
        self._derived = beginnings
        self._rules = [
            _Rule(rule, priority, checks[rule.check] if rule.check else None) for priority, rule in enumerate(rules)
        ]
        each = zip(self._rules, candidates or candidates_of(rules), strict=True)
        found = [(one, expression) for one, of_one in each for expression in of_one]
        self._finder_of = finder_of
        self._owners = [owner for owner, _ in found]
        self._all_speak = all(one.words for one in self._rules)
        self._wordless: bytes | None = None
        self.expressions = [expression for _, expression in found]
        self._finder = finder_of(self.expressions)

    def hints(self, data: bytes) -> Sequence[Hint]:
        """See :class:`~ciguard.inspect.matching.Matcher`."""
        return () if data is self._wordless else self._finder.hints(data)

    def find(self, text: str, data: bytes, begin: int, hints: Sequence[Hint]) -> Collection[Span]:
        """See :class:`~ciguard.inspect.matching.Matcher`."""
        if not hints:
            return ()
        spans = (rule.span(match, text) for rule, match in self._matches(data, begin, hints))
        return [span for span in spans if span]

    def _matches(self, data: bytes, begin: int, hints: Sequence[Hint]) -> Iterator[tuple[_Rule, re.Match[bytes]]]:
        around: dict[_Rule, list[tuple[int, int]]] = {}
        for number, first, last in hints:
            rule = self._owners[number]
            around.setdefault(rule, []).append((max(begin, first - rule.farthest), last + rule.longest))
        for rule, windows in around.items():
            for low, high in _merged(windows):
                for match in rule.matches(data, low, high):
                    yield rule, match

    def open_from(self, data: bytes) -> tuple[int, int] | None:
        """See :class:`~ciguard.inspect.matching.Matcher`."""
        skipped = max(0, len(data) - LONGEST - 1)
        tail = data[skipped:] if skipped else data
        found = self._beginnings(tail)
        start = skipped + found + 1 if found >= 0 else len(data)
        speakers, words = self._speaking
        hints = words.hints(tail)
        if not hints and not skipped and self._all_speak:
            # A stream reads the same text for what is whole in it next, and there is nothing without a word.
            self._wordless = data
            return None if start == len(data) else (start, start)
        for rule in {speakers[number] for number, _, _ in hints}:
            if (found := rule.growing(tail)) >= 0:
                start = min(start, skipped + found + 1)
        return start, start

    @property
    def beginnings(self) -> bytes:
        """An expression for all that may become a secret at the end of a text, and has no word of its rule yet."""
        return self._derived or together([*(rule.beginning for rule in self._rules), growing(PLACEHOLDER_SHAPE)])

    @cached_property
    def _beginnings(self) -> Search:
        return _search(self.beginnings)

    @cached_property
    def _speaking(self) -> tuple[list[_Rule], Finder]:
        return [rule for rule in self._rules for _ in rule.words], self._finder_of(self.words)

    @property
    def words(self) -> list[bytes]:
        """An expression for each word of each rule."""
        return [literal_expression(word) for rule in self._rules for word in rule.words]


def _search(expression: bytes) -> Search:
    """Searches for ``expression``, which ends with the text.

    The end is where RE2 begins there: it runs the reversed automaton, which stops at the first character that no prefix
    has. What its package puts around it takes longer than the search.
    """
    from re2 import Options, _re2, error

    options = Options()
    options.encoding = Options.Encoding.LATIN1
    options.max_mem = PARTIAL_MEMORY
    compiled = _re2.RE2(expression, options)
    if not compiled.ok():
        raise error(compiled.error())
    match, anchor = compiled.Match, _re2.RE2.Anchor.UNANCHORED

    def search(data: bytes) -> int:
        start: int = match(anchor, data, 0, len(data))[0][0]
        return start

    return search


@cache
def secret_rules() -> RuleMatcher:
    """The matcher of all rules for secrets."""
    from ciguard.inspect.checks import CHECKS
    from ciguard.inspect.rule_files import BEGINNINGS, load_candidates, load_rules

    return RuleMatcher(load_rules(), CHECKS, beginnings=BEGINNINGS.read_bytes(), candidates=load_candidates())


def candidates_of(rules: Sequence[SecretRule]) -> list[tuple[bytes, ...]]:
    """What finds the places where each rule may match."""
    return [expressions(rule.pattern, rule.kind, rule.literals) for rule in rules]


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

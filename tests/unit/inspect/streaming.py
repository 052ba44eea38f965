"""Masking a text whole and in pieces with given matchers, for the tests of this folder."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence

from ciguard.inspect.known_value import KnownValue, literals
from ciguard.inspect.masking import MaskStream, Replacement, find, replaced
from ciguard.inspect.matching import Matcher
from ciguard.inspect.placeholder import Placeholders
from ciguard.inspect.projection import projected
from ciguard.inspect.rule_matcher import RuleMatcher
from ciguard.inspect.secret_rule import SecretRule
from ciguard.inspect.span import Span
from ciguard.inspect.value_matcher import ValueMatcher
from tests.unit.inspect.first_rules import SECRET_RULES

PLACEHOLDERS = Placeholders(b"k" * 32)

KEYED = SecretRule(
    "keyed",
    r"(?i:password|token)[\"']?[ ]{0,3}[:=][ ]{0,3}[\"']?(?P<secret>[^\s\"']{8,40})",
    ("password", "token"),
    entropy=2.5,
    stops=("example",),
)
ADDRESS = SecretRule(
    "address",
    r"[A-Za-z0-9._+-]{1,64}@[A-Za-z0-9-]{1,63}(?:[.][A-Za-z0-9-]{1,63}){1,4}",
    (),
    before="A-Za-z0-9._+-",
    after="@",
)
BRANCHING = SecretRule(
    "branching", r"id(?:[0-9]{4}|[0-9a-f]{6,12}|-(?:xy){2,3}z?)[A-Z]{0,5}", ("id",), before="", after="A-Za-z0-9-"
)
OVERLAPPING = SecretRule("overlapping", r"ab[ab]{6,10}", ("ab",), before="")
ODD_RULES = (KEYED, ADDRESS, BRANCHING, OVERLAPPING)
"""Rules whose matches end late, overlap, need what follows, or have no literal."""


def value_matcher(*values: str, thorough: bool = True) -> ValueMatcher:
    """What finds ``values``, which are all of the kind ``known``."""
    return ValueMatcher(
        (text, begins, known)
        for known in [KnownValue("known", value) for value in values]
        for text, begins in literals(known, thorough=thorough).items()
    )


ODD = (RuleMatcher(ODD_RULES),)
FIRST = RuleMatcher(SECRET_RULES)
"""What finds the formats of :mod:`tests.unit.inspect.first_rules`."""


def replacements(spans: Sequence[Span], offset: int) -> list[Replacement]:
    """What stands in the place of ``spans``, with ``offset`` added."""
    return [
        Replacement(offset + one.start, offset + one.end, one.kind, PLACEHOLDERS.placeholder(one.kind, one.value))
        for one in spans
    ]


def spans(matcher: Matcher, text: str) -> list[Span]:
    """What ``matcher`` finds in ``text``."""
    data = projected(text)
    return list(matcher.find(text, data, 0, matcher.hints(data)))


def whole(text: str, matchers: Sequence[Matcher]) -> str:
    """``text`` masked at once."""
    return replaced(text, replacements(find(matchers, PLACEHOLDERS, text, projected(text), 0, 0), 0))


def stream(matchers: Sequence[Matcher]) -> MaskStream:
    """A stream of its own."""
    return MaskStream(matchers, PLACEHOLDERS, replacements)


def streamed(text: str, cuts: Iterable[int], matchers: Sequence[Matcher]) -> str:
    """The text masked in a stream that is cut at ``cuts``; checks that nothing undecided was released."""
    one = stream(matchers)
    edges = [0, *sorted({cut for cut in cuts if cut <= len(text)}), len(text)]
    found = []
    for begin, end in itertools.pairwise(edges):
        before = one.decided
        found += one.feed(text[begin:end])
        assert before <= one.decided <= end
        assert all(replacement.end <= one.decided for replacement in found)
    found += one.finish()
    assert one.decided == len(text)
    return replaced(text, found)

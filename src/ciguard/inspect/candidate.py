"""What finds the places where a rule might match: expressions that are cheap to compile and quick to search.

Most rules are found by a word that every match contains. Words of which ordinary text is full would lead nowhere:
there, the beginning of the pattern is kept, up to where it says enough, with small counts. Either way every match holds
a candidate, and not every candidate is a match.
"""

from __future__ import annotations

from collections.abc import Collection

from ciguard.inspect.pattern import (
    Character,
    Choice,
    Node,
    Repeat,
    Secret,
    Sequence,
    parse,
    quantifier,
    rendered_set,
    widths,
)

ENOUGH = 24
"""Characters that a candidate asks for at the most; it can end with fewer where the pattern gets loose."""

COUNTED = 8
"""Repetitions up to which a candidate counts."""

LOOSE = 64
"""Characters by which the length of a node may vary before a candidate ends at it."""

COMMON = frozenset(
    {
        "account",
        "api",
        "apikey",
        "auth",
        "authorization",
        "basic",
        "bearer",
        "client",
        "connection",
        "cred",
        "id",
        "key",
    }
    | {"value", "live_", "test_", "access_", "st.", "re_", "key_", "cio", "dd_", "gh_", "sk_", "ek_", "mat_", "github"}
    | {"login", "machine", "pass", "passwd", "password", "pat", "private", "pwd", "secret", "session", "sig", "token"}
    | {"better", "bot", "spaces", "storage", "together"}
    | {"user", "username", "://", "http", "https", "url", "-", "_", ".", "@", ":", "=", "credential", "credentials"}
)
"""Words of which ordinary text is full. What is missing here costs time, and nothing else."""

MOST_SPELLINGS = 4_096
"""Texts that a part of a pattern may stand for and still be read as a list of texts."""


def expressions(pattern: str, kind: str, literals: Collection[str]) -> tuple[bytes, ...]:
    """What finds the candidates of ``pattern``; every match contains one of ``literals`` if there are any.

    A pattern takes a while to read: where the literals will do, it is not.
    """
    words = telling(literals)
    if words:
        return tuple(literal_expression(word) for word in sorted(words))
    return (_beginning(parse(pattern, kind))[0],)


def telling(literals: Collection[str]) -> frozenset[str]:
    """``literals`` in lower case; none if ordinary text is full of some, so that they are not looked for."""
    words = frozenset(literal.lower() for literal in literals)
    return words if not words & COMMON else frozenset()


def farthest(pattern: Node, literals: Collection[str]) -> int:
    """Characters after the beginning of a match within which a candidate ends."""
    items = _flat(pattern)
    if words := telling(literals):
        sure = next(count for count in range(1, len(items) + 1) if holds_one_of(Sequence(items[:count]), words))
    else:
        sure = _beginning(pattern)[1]
    return sum(widths(item)[1] for item in items[:sure])


def literal_expression(word: str) -> bytes:
    """An expression for ``word`` (ASCII), whatever its case."""
    return b"".join(rendered_set(1 << ord(one.lower()) | 1 << ord(one.upper())) for one in word)


def holds_one_of(node: Node, literals: Collection[str]) -> bool:
    """Whether all that ``node`` matches is sure to contain one of ``literals`` (lower case), whatever its case."""
    if spelled := _spellings(node):
        return _all_hold(spelled, literals)
    match node:
        case Character():
            return False
        case Choice(options):
            return all(holds_one_of(option, literals) for option in options)
        case Repeat(item, least, _):
            return least > 0 and holds_one_of(item, literals)
        case Secret(item):
            return holds_one_of(item, literals)
        case Sequence():
            run = {""}
            for item in _flat(node):
                spelled = _spellings(item)
                if spelled and len(run) * len(spelled) <= MOST_SPELLINGS:
                    run = {before + after for before in run for after in spelled}
                    if _all_hold(run, literals):
                        return True
                    continue
                run = spelled or {""}
                if _all_hold(run, literals) or holds_one_of(item, literals):
                    return True
            return False


def _all_hold(texts: Collection[str], literals: Collection[str]) -> bool:
    return bool(texts) and all(any(literal in text for literal in literals) for text in texts)


def _spelled(character: Character) -> set[int]:
    """The members without case, if there are few."""
    members = (
        {one for one in range(256) if character.members >> one & 1} if character.members.bit_count() <= 8 else set()
    )
    return {ord(chr(one).lower()) for one in members}


def _spellings(node: Node) -> set[str]:
    """All texts that ``node`` matches, in lower case; none when there are too many."""
    match node:
        case Character():
            return {chr(one) for one in _spelled(node)}
        case Choice(options):
            each = [_spellings(option) for option in options]
            return set().union(*each) if all(each) else set()
        case Sequence(items):
            texts = {""}
            for item in items:
                following = _spellings(item)
                if not following or len(texts) * len(following) > MOST_SPELLINGS:
                    return set()
                texts = {before + after for before in texts for after in following}
            return texts
        case Repeat(item, least, most):
            once = _spellings(item)
            if not once or most > 4 or len(once) ** most > MOST_SPELLINGS:
                return set()
            texts, found = {""}, {""} if not least else set()
            for count in range(1, most + 1):
                texts = {before + after for before in texts for after in once}
                found |= texts if count >= least else set()
            return found
        case Secret(item):
            return _spellings(item)


def _beginning(pattern: Node) -> tuple[bytes, int]:
    """An expression for how ``pattern`` begins, and how many of its items that is at the most."""
    items = _flat(pattern)
    expression = b""
    asked = place = 0
    for place, item in enumerate(items):
        least, most = widths(item)
        if not least and not expression:
            continue
        is_last = place == len(items) - 1 or most - least > LOOSE or asked + least >= ENOUGH
        if isinstance(item, Repeat) and (is_last or not expression):
            # Any part of a repetition that is long enough will do at either end.
            kept = min(item.least, COUNTED)
            expression += loose(Repeat(item.item, kept, kept)) if kept else b""
        else:
            expression += loose(item)
        asked += least
        if is_last:
            break
    return expression, place + 1


def _flat(node: Node) -> tuple[Node, ...]:
    match node:
        case Sequence(items):
            return tuple(inner for item in items for inner in _flat(item))
        case Secret(item):
            return _flat(item)
        case _:
            return (node,)


def loose(node: Node) -> bytes:
    """An expression for everything that ``node`` matches, and more, with small counts."""
    match node:
        case Character(members):
            return rendered_set(members)
        case Sequence(items):
            return b"".join(loose(item) for item in items)
        case Choice(options):
            return b"(?:" + b"|".join(loose(option) for option in options) + b")"
        case Repeat(item, least, most):
            inner = loose(item) if isinstance(item, Character) else b"(?:" + loose(item) + b")"
            return inner + (quantifier(least, most) if most <= COUNTED else b"*" if not least else b"+")
        case Secret(item):
            return loose(item)

"""Everything that could still grow into a secret: the proper prefixes of what a pattern matches, as expressions.

For a text that goes on, a secret may have begun wherever such a prefix reaches the text's end. The expressions are
derived from the pattern's tree: a prefix of a sequence is a prefix of its first node, or all of the first and a prefix
of the rest; a prefix of a repetition is fewer repetitions and a prefix of one more. Large counts are left out, which
lets a few more texts pass for prefixes, and none fewer.

What announces a secret (``password=``) need not be held back, so of such patterns only those prefixes count that have
all of it. And as long as a text has none of a rule's words, only the prefixes up to the word can count: these are few
and short, and the rules' prefixes are looked for together; a rule's other prefixes only where one of its words is.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from ciguard.inspect.candidate import holds_one_of, loose
from ciguard.inspect.pattern import ALL, Character, Choice, Node, Repeat, Secret, Sequence, rendered_set, widths

CONTEXT = 512
"""Characters before a place that are read to tell whether a secret begins there."""

LEFT = 7
"""Characters that are left of a secret that nothing announces: a pattern that begins like any long word."""

LEFT_IN_WORD = 3
"""Characters that are left of a secret that begins in the middle of a word."""

LONG = 32
"""Characters from which on a secret can spare some of them."""

MANY = 10
"""Members of a set from which on any word has some of them."""

WORD_BYTES = frozenset(b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz")
"""What words are made of."""

_WORD = sum(1 << byte for byte in WORD_BYTES)


@dataclass(frozen=True, slots=True)
class Shape:
    """A pattern: what announces the secret, the nodes from its beginning on, what must not stand next to a match."""

    announced_by: tuple[Node, ...]
    rest: tuple[Node, ...]
    before: int
    after: int


def left(pattern: Node, before: int) -> tuple[int, int]:
    """How many characters of a match stay: of one that begins a word, and of one that begins in the middle of a word.

    A long secret that begins like any word keeps some: most words are shorter, and are not held back for what they
    might become. One that begins in the middle of a word keeps fewer: nearly every word would be held back for its last
    letter.
    """
    items = _flat(pattern)
    if any(isinstance(item, Secret) for item in items):
        return 0, 0
    within = LEFT_IN_WORD if not before and _split(items, LEFT_IN_WORD) else 0
    count = 0
    for item in items:
        character = item.item if isinstance(item, Repeat) else item
        if not isinstance(character, Character) or character.members.bit_count() < MANY:
            break
        count += item.least if isinstance(item, Repeat) else 1
        if isinstance(item, Repeat) and item.least != item.most:
            break
    if count < LEFT_IN_WORD or widths(pattern)[0] < LONG or not _split(items, min(count, LEFT)):
        return 0, within
    return min(count, LEFT), min(count, LEFT)


def shapes(pattern: Node, before: int, after: int) -> tuple[Shape, ...]:
    """The shapes of ``pattern``: several where its beginning is not masked everywhere alike (see :func:`left`)."""
    items = _flat(pattern)
    at_word, in_word = left(pattern, before)
    if at_word == in_word == 0:
        place = next((place for place, item in enumerate(items) if isinstance(item, Secret)), 0)
        if sum(widths(item)[1] for item in items[:place]) >= CONTEXT:
            place = 0
        return (Shape(items[:place], items[place:], before, after),)
    found = [] if at_word else [Shape((), items, _WORD, after)]
    return (*found, *(Shape(announced, rest, before, after) for announced, rest in _split(items, in_word)))


def _split(items: tuple[Node, ...], count: int) -> list[tuple[tuple[Node, ...], tuple[Node, ...]]]:
    """The ways to part ``items`` after their first ``count`` characters; none when that is not plain to see."""
    if not count:
        return [((), items)]
    if not items:
        return []
    first, rest = items[0], items[1:]
    match first:
        case Character():
            return [((first, *announced), left) for announced, left in _split(rest, count - 1)]
        case Repeat(Character() as item, least, most, open_ended) if least >= count:
            left = (Repeat(item, least - count, most - count, open_ended),) if most > count else ()
            return [((Repeat(item, count, count),), (*left, *rest))]
        case Repeat(Character() as item, least, most) if least == most:
            return [((first, *announced), left) for announced, left in _split(rest, count - least)]
        case Choice(options):
            each = [_split((*_flat(option), *rest), count) for option in options]
            return [way for ways in each for way in ways] if all(each) else []
        case _:
            return []


def growing(one: Shape) -> bytes:
    """An expression for a character that may stand before a match, and a prefix of a match with its announcement.

    Where something must not follow, a whole match counts as a prefix: the next character decides.
    """
    rest = (*one.rest, Character(ALL & ~one.after)) if one.after else one.rest
    return _announced(one) + _prefixes(Sequence(rest))


def beginning(one: Shape, words: Collection[str]) -> bytes:
    """The same for the prefixes that need not have one of ``words`` (lower case) yet; empty if there are no such."""
    items = (*one.announced_by, *one.rest)
    sure = next(count for count in range(1, len(items) + 1) if holds_one_of(Sequence(items[:count]), words))
    rest = one.rest[: max(0, sure - len(one.announced_by))]
    return _announced(one) + _prefixes(Sequence(rest)) if rest else b""


def _announced(one: Shape) -> bytes:
    return rendered_set(ALL & ~one.before) + b"".join(loose(item) for item in one.announced_by)


def together(expressions: Iterable[bytes]) -> bytes:
    """One expression for any of ``expressions`` (empty ones aside) at the end of a text."""
    return b"(?:" + b"|".join(dict.fromkeys(one for one in expressions if one)) + b")\\z"


def _flat(node: Node) -> tuple[Node, ...]:
    return tuple(inner for item in node.items for inner in _flat(item)) if isinstance(node, Sequence) else (node,)


def _prefixes(node: Node) -> bytes:
    """An expression for the proper prefixes of ``node``, the empty one too."""
    match node:
        case Character():
            return b""
        case Sequence(items):
            expression = _prefixes(items[-1]) if items else b""
            for item in reversed(items[:-1]):
                further = loose(item) + expression
                inner = _prefixes(item)
                expression = b"(?:" + (inner + b"|" + further if inner else further) + b")?"
            return expression
        case Choice(options):
            each = [one for option in options if (one := _prefixes(option))]
            return b"(?:" + b"|".join(each) + b")?" if each else b""
        case Repeat(item, _, most):
            return loose(Repeat(item, 0, most - 1)) + _prefixes(item) if most > 1 else _prefixes(item)
        case Secret(item):
            return _prefixes(item)

"""Everything that could still grow into a match: the proper prefixes of what a pattern matches, as an expression.

For a text that goes on, a match may have begun wherever such a prefix reaches the text's end. The expression is derived
from the pattern's tree: a prefix of a sequence is a prefix of its first node, or all of the first and a prefix of the
rest; a prefix of a repetition is fewer repetitions and a prefix of one more. Large counts are left out, which lets a
few more texts pass for prefixes, and none fewer.
"""

from __future__ import annotations

from collections.abc import Iterable

from ciguard.inspect.candidate import loose
from ciguard.inspect.pattern import ALL, Character, Choice, Node, Repeat, Secret, Sequence, rendered_set


def partial(patterns: Iterable[tuple[Node, int, int]]) -> bytes:
    """An expression over bytes for a character that may stand before a match, and a prefix of a match.

    Of each pattern come the characters that must not stand before and after a match. Where there are some after it, a
    whole match counts as a prefix too: the next character decides.
    """
    groups: dict[int, list[bytes]] = {}
    for pattern, before, after in patterns:
        whole = Sequence((pattern, Character(ALL & ~after))) if after else pattern
        groups.setdefault(before, []).append(_prefixes(whole))
    return b"|".join(
        rendered_set(ALL & ~before) + b"(?:" + b"|".join(prefixes) + b")" for before, prefixes in groups.items()
    )


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

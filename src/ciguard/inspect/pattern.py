"""The language of secret patterns: a subset of regular expressions that ``re``, RE2 and Hyperscan read alike.

A pattern is read into a small tree, from which the engine derives all else: the expression that confirms a match, the
expression that finds candidates, and the expression of everything that could still grow into a match (see
:mod:`ciguard.inspect.partial`). Patterns see *characters as bytes*: one byte for each character, ASCII as itself
(see :mod:`ciguard.inspect.projection`), so that offsets are the same in a text and in what is searched.

The language: literals, ``\\d \\s \\w \\n \\r \\t``, escaped punctuation, character classes of ASCII characters and of
ranges (with ``^``), ``(?:...)``, ``(?i:...)``, one ``(?P<secret>...)``, ``|``, and the greedy quantifiers
``? * + {m} {m,n} {m,}``. There is no ``.``, no look-around, no anchor, no back-reference, and no unbounded repetition
within a repetition. ``*``, ``+`` and ``{m,}`` end at :data:`LONGEST_REPEAT` repetitions.
"""

from __future__ import annotations

import string
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

from ciguard.errors import GuardFailure

LONGEST_REPEAT = 4_096
"""Repetitions at which a quantifier without an upper bound ends."""

LONGEST = 40_000
"""Characters that a match may have; a pattern that could be longer is refused."""

ALL = (1 << 256) - 1
"""Every character."""


class PatternRefused(GuardFailure):
    """A pattern is outside the language; ``place`` is the index of the character where that shows."""

    def __init__(self, kind: str, place: int, cause: str, remedy: str) -> None:
        super().__init__(f"the pattern of {kind}, character {place + 1}: {cause}", remedy)
        self.kind = kind
        self.place = place


@dataclass(frozen=True, slots=True)
class Character:
    """One character of a set: bit ``n`` of ``members`` stands for the byte ``n``."""

    members: int


@dataclass(frozen=True, slots=True)
class Sequence:
    """One node after the other."""

    items: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Choice:
    """One of several nodes, the first that leads to a match."""

    options: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Repeat:
    """``item`` from ``least`` to ``most`` times, as often as possible; ``open_ended`` was written without a bound."""

    item: Node
    least: int
    most: int
    open_ended: bool = False


@dataclass(frozen=True, slots=True)
class Secret:
    """The part of a match that is the secret."""

    item: Node


Node = Character | Sequence | Choice | Repeat | Secret


def parse(pattern: str, kind: str) -> Node:
    """The tree of ``pattern``, which belongs to the rule ``kind``.

    Raises :class:`PatternRefused` for what is not in the language, matches the empty text, or could match more than
    :data:`LONGEST` characters.
    """
    return _Parser(pattern, kind).whole()


def character_set(inside: str, kind: str) -> int:
    """The members of the class ``[inside]``, which may not be negated; 0 for the empty text."""
    if not inside:
        return 0
    if inside.startswith("^"):
        raise PatternRefused(kind, 0, "before and after name characters, not all others", "list the characters")
    return _Parser(inside, kind).whole_class()


def widths(node: Node) -> tuple[int, int]:
    """The fewest and the most characters that ``node`` matches."""
    match node:
        case Character():
            return 1, 1
        case Sequence(items):
            least, most = 0, 0
            for item in items:
                fewest, longest = widths(item)
                least, most = least + fewest, most + longest
            return least, most
        case Choice(options):
            both = [widths(option) for option in options]
            return min(fewest for fewest, _ in both), max(longest for _, longest in both)
        case Repeat(item, least, most):
            fewest, longest = widths(item)
            return fewest * least, longest * most
        case Secret(item):
            return widths(item)


def render(node: Node) -> bytes:
    """``node`` as a regular expression over bytes that ``re``, RE2 and Hyperscan read alike."""
    match node:
        case Character(members):
            return rendered_set(members)
        case Sequence(items):
            return b"".join(render(item) for item in items)
        case Choice(options):
            return b"(?:" + b"|".join(render(option) for option in options) + b")"
        case Repeat(item, least, most):
            inner = render(item) if isinstance(item, Character) else b"(?:" + render(item) + b")"
            return inner + quantifier(least, most)
        case Secret(item):
            return b"(?P<secret>" + render(item) + b")"


def quantifier(least: int, most: int) -> bytes:
    """The shortest spelling of a greedy repetition."""
    match least, most:
        case 1, 1:
            return b""
        case 0, 1:
            return b"?"
        case _ if least == most:
            return b"{%d}" % least
        case _:
            return b"{%d,%d}" % (least, most)


@cache
def rendered_set(members: int) -> bytes:
    """A character of a set of bytes, as a regular expression; the set is not empty."""
    runs = list(_runs(members))
    if runs == [(runs[0][0], runs[0][0])]:
        return _byte(runs[0][0])
    return b"[" + b"".join(_byte(low) if low == high else _byte(low) + b"-" + _byte(high) for low, high in runs) + b"]"


_PLAIN = frozenset((string.ascii_letters + string.digits).encode())


def _byte(value: int) -> bytes:
    return bytes([value]) if value in _PLAIN else b"\\x%02x" % value


def _runs(members: int) -> Iterator[tuple[int, int]]:
    """The members as ranges, lowest first."""
    start: int | None = None
    for value in range(257):
        if members >> value & 1:
            start = value if start is None else start
        elif start is not None:
            yield start, value - 1
            start = None


def _set(characters: str) -> int:
    return sum(1 << ord(character) for character in set(characters))


_CLASSES = {
    "d": _set(string.digits),
    "s": _set(" \t\n\r\f\v"),
    "w": _set(string.ascii_letters + string.digits + "_"),
}
_CONTROLS = {"n": "\n", "r": "\r", "t": "\t"}
_LOWER, _UPPER = _set(string.ascii_lowercase), _set(string.ascii_uppercase)


def _without_case(members: int) -> int:
    return members | (members & _LOWER) >> 32 | (members & _UPPER) << 32


class _Parser:
    """Reads a pattern from left to right; ``_place`` is where it is."""

    def __init__(self, pattern: str, kind: str) -> None:
        self._pattern = pattern
        self._kind = kind
        self._place = 0
        self._caseless = False
        self._has_secret = False

    def whole(self) -> Node:
        node = self._choice()
        if self._place < len(self._pattern):
            raise self._refused("this parenthesis closes nothing", "escape it, or take it away")
        least, most = widths(node)
        if not least:
            raise self._refused("the pattern matches the empty text", "let it ask for at least one character")
        if most > LONGEST:
            raise self._refused(
                f"a match could have {most} characters, and {LONGEST} are the most", "lower the upper bounds"
            )
        return node

    def whole_class(self) -> int:
        members = 0
        while self._place < len(self._pattern):
            members |= self._class_item()
        return members

    def _class_members(self) -> int:
        negated = self._take("^")
        members = 0
        first = True
        while first or not self._take("]"):
            members |= self._class_item()
            first = False
        if self._caseless:
            members = _without_case(members)
        members = ALL & ~members if negated else members
        if not members:
            raise self._refused("no character is in this class", "name at least one")
        return members

    def _choice(self) -> Node:
        options = [self._sequence()]
        while self._take("|"):
            options.append(self._sequence())
        return options[0] if len(options) == 1 else Choice(tuple(options))

    def _sequence(self) -> Node:
        items: list[Node] = []
        while self._place < len(self._pattern) and self._pattern[self._place] not in "|)":
            items.append(self._repetition())
        return items[0] if len(items) == 1 else Sequence(tuple(items))

    def _repetition(self) -> Node:
        start = self._place
        had_secret = self._has_secret
        item = self._item()
        quantified = self._place
        bounds = self._bounds()
        if bounds is None:
            return item
        least, most, open_ended = bounds
        if self._peek() and self._peek() in "?*+{":
            raise self._refused(
                "lazy, possessive and doubled quantifiers are not in the language", "use one greedy quantifier"
            )
        if self._has_secret and not had_secret:
            raise self._refused("the secret is repeated", "repeat what is in the group instead", start)
        if most > 1 and _open_ended(item):
            raise self._refused("an unbounded repetition is repeated", "give the inner one an upper bound", quantified)
        if most > 1 and not widths(item)[0]:
            raise self._refused("what is repeated can be empty", "let it ask for at least one character", quantified)
        return Repeat(item, least, most, open_ended)

    def _item(self) -> Node:
        character = self._next()
        match character:
            case "(":
                return self._group()
            case "[":
                return Character(self._class_members())
            case "\\":
                return Character(self._escape())
            case "." | "^" | "$":
                raise self._refused(
                    f"{character} is not in the language", f"write a class, or \\{character}", self._place - 1
                )
            case "*" | "+" | "?" | "{" | "}" | "]":
                raise self._refused(
                    f"{character} stands where a character should", f"write \\{character}", self._place - 1
                )
            case _:
                return Character(self._literal(character))

    def _group(self) -> Node:
        start = self._place - 1
        if self._take("?:"):
            return self._closed(self._choice())
        if self._take("?i:"):
            outer, self._caseless = self._caseless, True
            node = self._closed(self._choice())
            self._caseless = outer
            return node
        if self._take("?P<secret>"):
            if self._has_secret:
                raise self._refused("there are two secrets", "name one group only", start)
            node = Secret(self._closed(self._choice()))
            if not widths(node)[0]:
                raise self._refused("the secret can be empty", "let it ask for at least one character", start)
            self._has_secret = True
            return node
        raise self._refused(
            "this kind of group is not in the language", "use (?:...), (?i:...) or (?P<secret>...)", start
        )

    def _closed(self, node: Node) -> Node:
        if not self._take(")"):
            raise self._refused("a parenthesis is not closed", "add )")
        return node

    def _bounds(self) -> tuple[int, int, bool] | None:
        if self._take("?"):
            return 0, 1, False
        if self._take("*"):
            return 0, LONGEST_REPEAT, True
        if self._take("+"):
            return 1, LONGEST_REPEAT, True
        if not self._take("{"):
            return None
        start = self._place - 1
        end = self._pattern.find("}", start)
        least, comma, most = self._pattern[start + 1 : max(end, start)].partition(",")
        if not _is_number(least) or not (_is_number(most) or not most):
            raise self._refused("this is no quantifier", "write {m}, {m,n} or {m,}, or \\{", start)
        self._place = end + 1
        low = int(least)
        high = int(most) if most else (max(low, LONGEST_REPEAT) if comma else low)
        if high > LONGEST or high < low or not high:
            raise self._refused("the bounds of this quantifier cannot be met", f"count up, to {LONGEST} at most", start)
        return low, high, bool(comma) and not most

    def _class_item(self) -> int:
        low = self._class_character()
        if self._peek() != "-" or self._pattern[self._place + 1 : self._place + 2] in ("]", ""):
            return low
        self._next()
        high = self._class_character()
        if low.bit_count() > 1 or high.bit_count() > 1 or high < low:
            raise self._refused("this is no range", "write the lower character first, or put the - at the end")
        return (high << 1) - low

    def _class_character(self) -> int:
        character = self._next()
        if character == "\\":
            return self._escape()
        if character == "[" or (character == "]" and self._pattern[self._place - 2 : self._place - 1] not in "[^"):
            raise self._refused("a bracket in a class is not escaped", f"write \\{character}", self._place - 1)
        return self._ascii(character)

    def _escape(self) -> int:
        character = self._next()
        if character in _CLASSES:
            return _CLASSES[character]
        if character in _CONTROLS:
            return 1 << ord(_CONTROLS[character])
        if character in string.ascii_letters + string.digits:
            raise self._refused(
                f"\\{character} is not in the language", "only \\d \\s \\w \\n \\r \\t are", self._place - 2
            )
        return self._ascii(character)

    def _literal(self, character: str) -> int:
        members = self._ascii(character)
        return _without_case(members) if self._caseless else members

    def _ascii(self, character: str) -> int:
        if not character.isascii():
            raise self._refused("only ASCII can be matched", "leave the character out", self._place - 1)
        return 1 << ord(character)

    def _peek(self) -> str:
        return self._pattern[self._place : self._place + 1]

    def _next(self) -> str:
        character = self._peek()
        if not character:
            raise self._refused("the pattern ends in the middle", "complete it")
        self._place += 1
        return character

    def _take(self, expected: str) -> bool:
        if not self._pattern.startswith(expected, self._place):
            return False
        self._place += len(expected)
        return True

    def _refused(self, cause: str, remedy: str, place: int | None = None) -> PatternRefused:
        return PatternRefused(self._kind, self._place if place is None else place, cause, remedy)


def _open_ended(node: Node) -> bool:
    match node:
        case Character():
            return False
        case Sequence(nodes) | Choice(nodes):
            return any(_open_ended(one) for one in nodes)
        case Repeat(item, _, _, open_ended):
            return open_ended or _open_ended(item)
        case Secret(item):
            return _open_ended(item)


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 5

"""Finding secrets in text and putting placeholders in their place, in whole texts and in streams alike.

Theory of operation. A secret is either a *known value* or a match of a *rule*. Rules begin with a fixed start and stay
within one token, so in a stream everything is decided except a tail in which a secret may still be growing: a token
that contains a start, a tail that is the beginning of a start or of a known value, or an unfinished private key. A
:class:`MaskStream` says how far the text is decided; :meth:`Masker.mask` is the same machine fed once and finished, so
the two cannot differ.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import re2

from ciguard.inspect.known_value import SHORTEST, KnownValue, forms
from ciguard.inspect.placeholder import Placeholders
from ciguard.inspect.token_rule import (
    LONGEST_BLOCK,
    LONGEST_TOKEN,
    PRIVATE_KEY,
    PRIVATE_KEY_OPEN,
    SECRET_RULES,
    TOKEN,
)

HEAD = 4
"""Characters at the beginning of a known value that tell whether it may have begun."""

REMEMBERED = 4096
"""Short texts that a masker remembers to be clean."""

REMEMBERED_LENGTH = 256
"""Characters up to which a text is short."""

GATE_MEMORY = 64 * 1024 * 1024
"""Bytes that the automaton of all rules and known values may take."""


@dataclass(frozen=True, slots=True)
class Replacement:
    """The characters from ``start`` to ``end`` (offsets from the beginning of the text) become ``placeholder``."""

    start: int
    end: int
    kind: str
    placeholder: str


@dataclass(frozen=True, slots=True)
class Masked:
    """A masked text and the kinds of the secrets that were in it, one entry for each place."""

    text: str
    kinds: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Found:
    start: int
    end: int
    kind: str
    value: str = field(repr=False)


def _proper_prefixes(words: Iterable[str]) -> list[str]:
    return sorted({word[:length] for word in words for length in range(1, len(word))}, key=len, reverse=True)


def _openings() -> re.Pattern[str]:
    """Matches the earliest place in a token where a rule has begun, or could begin with the text to come."""
    words = sorted(
        {start for rule in SECRET_RULES for start in rule.starts if rule.at_word_start}, key=len, reverse=True
    )
    others = sorted({start for rule in SECRET_RULES for start in rule.starts if not rule.at_word_start})
    dashes = PRIVATE_KEY.starts

    def either(strings: Iterable[str]) -> str:
        return "|".join(re.escape(string) for string in strings)

    return re.compile(
        f"(?<![A-Za-z0-9])(?:{either(words)}|(?:{either(_proper_prefixes(words))})\\Z)"
        f"|{either(others)}|(?:{either(_proper_prefixes([*others, *dashes]))})\\Z"
    )


def _gate(known: Iterable[str]) -> re2.Pattern[bytes]:
    """Matches every text that holds a secret, and few others."""
    options = re2.Options()
    options.encoding = re2.Options.Encoding.LATIN1
    options.max_mem = GATE_MEMORY
    rules = [rule.gate.encode() for rule in (*SECRET_RULES, PRIVATE_KEY)]
    literal = [re2.escape(form.encode("utf-8", "surrogatepass")) for form in known]
    return re2.compile(b"|".join([*rules, *literal]), options)


_OPENINGS = _openings()
_UP_TO_LAST_SEPARATOR = re.compile(f".*[^{TOKEN}]", re.DOTALL)


class Masker:
    """Masks the known values and everything that the secret rules recognise."""

    def __init__(self, known: Sequence[KnownValue], placeholders: Placeholders) -> None:
        self._placeholders = placeholders
        self._forms = [(form, value) for value in known for form in forms(value.value)]
        self._gate = _gate([form for form, _ in self._forms])
        self._heads = [(form[:HEAD], form) for form, _ in self._forms]
        self._shorter_heads = {form[:length] for form, _ in self._forms for length in range(1, HEAD)}
        self._longest = max((len(form) for form, _ in self._forms), default=0)
        self._clean: set[str] = set()

    def mask(self, text: str) -> Masked:
        """``text`` with every secret replaced."""
        if len(text) < SHORTEST or text in self._clean:
            return Masked(text)
        replacements = self.find(text, 0)
        if not replacements:
            # Headers and the words of a protocol come again with every call.
            if len(text) <= REMEMBERED_LENGTH and len(self._clean) < REMEMBERED:
                self._clean.add(text)
            return Masked(text)
        return Masked(replaced(text, replacements), tuple(replacement.kind for replacement in replacements))

    def stream(self) -> MaskStream:
        """A new stream of text."""
        return MaskStream(self)

    def find(self, text: str, begin: int) -> list[Replacement]:
        """All secrets of ``text`` from the index ``begin`` on; what stands before ``begin`` is context.

        Secrets that overlap become one replacement, under the kind of the earliest.
        """
        # Most texts hold nothing: one linear pass settles that.
        if not self._gate.search(text.encode("utf-8", "surrogatepass")):
            return []
        found = self._found(text, begin)
        found.sort(key=lambda one: (one.start, -one.end))
        merged: list[_Found] = []
        for one in found:
            if merged and one.start < merged[-1].end:
                last = merged[-1]
                if one.end > last.end:
                    merged[-1] = _Found(last.start, one.end, last.kind, text[last.start : one.end])
            else:
                merged.append(one)
        return [
            Replacement(one.start, one.end, one.kind, self._placeholders.placeholder(one.kind, one.value))
            for one in merged
        ]

    def _found(self, text: str, begin: int) -> list[_Found]:
        found: list[_Found] = []
        for form, known in self._forms:
            start = text.find(form, begin)
            while start >= 0:
                found.append(_Found(start, start + len(form), known.kind, known.value))
                start = text.find(form, start + len(form))
        for rule in (*SECRET_RULES, PRIVATE_KEY):
            if any(text.find(opening, begin) >= 0 for opening in rule.starts):
                for match in rule.pattern.finditer(text, begin):
                    start, end = match.span(match.lastindex or 0)
                    found.append(_Found(start, end, rule.kind, text[start:end]))
        return found

    def undecided_from(self, text: str, begin: int) -> int:
        """The earliest index of ``text`` from ``begin`` on where a secret could still grow; its length if none."""
        before_token = _UP_TO_LAST_SEPARATOR.match(text)
        opening = _OPENINGS.search(
            text, max(before_token.end() if before_token else 0, begin, len(text) - LONGEST_TOKEN)
        )
        undecided = opening.start() if opening else len(text)
        earliest_key = max(begin, len(text) - 2 * LONGEST_BLOCK)
        key = text.rfind(PRIVATE_KEY.starts[0], earliest_key)
        while key >= 0:
            if PRIVATE_KEY_OPEN.match(text, key):
                undecided = min(undecided, key)
            key = text.rfind(PRIVATE_KEY.starts[0], earliest_key, key)
        for length in range(1, min(HEAD, len(text) - begin + 1)):
            if text[-length:] in self._shorter_heads:
                undecided = min(undecided, len(text) - length)
        tail = text[max(begin, len(text) - self._longest + 1) :]
        for head, form in self._heads:
            start = tail.find(head)
            while start >= 0:
                if form.startswith(tail[start:]):
                    undecided = min(undecided, len(text) - len(tail) + start)
                    break
                start = tail.find(head, start + 1)
        return undecided


class MaskStream:
    """Masks a text that arrives in pieces.

    Offsets count from the beginning of the whole text. ``decided`` is the offset up to which all replacements have been
    returned: text before it may be released.
    """

    def __init__(self, masker: Masker) -> None:
        self._masker = masker
        self._held = ""
        self._context = 0
        self.decided = 0

    def feed(self, text: str) -> list[Replacement]:
        """Take the next piece and return the replacements that became certain, in order."""
        held = self._held + text
        undecided = self._masker.undecided_from(held, self._context)
        if undecided <= self._context:
            self._held = held
            return []
        found = self._masker.find(held, self._context)
        for replacement in reversed(found):
            if replacement.end > undecided:
                undecided = min(undecided, replacement.start)
        return self._decide(held, undecided, found)

    def finish(self) -> list[Replacement]:
        """No more text comes: return the last replacements; everything is decided."""
        return self._decide(self._held, len(self._held), self._masker.find(self._held, self._context))

    def _decide(self, held: str, undecided: int, found: list[Replacement]) -> list[Replacement]:
        offset = self.decided - self._context
        certain = [
            Replacement(offset + one.start, offset + one.end, one.kind, one.placeholder)
            for one in found
            if one.start < undecided
        ]
        self.decided = offset + undecided
        self._context = min(undecided, 1)
        self._held = held[undecided - self._context :]
        return certain


def replaced(text: str, replacements: Iterable[Replacement]) -> str:
    """``text`` with ``replacements`` (ordered, not overlapping) applied."""
    pieces: list[str] = []
    position = 0
    for replacement in replacements:
        pieces += (text[position : replacement.start], replacement.placeholder)
        position = replacement.end
    pieces.append(text[position:])
    return "".join(pieces)

"""Putting placeholders where secrets are, in whole texts and in streams alike.

Theory of operation. *Matchers* (rules, known values) say where secrets are, each depending only on a bounded part of
the text, and how far back from the end of a text one may still be growing. A :class:`MaskStream` keeps the text from
there on, and no more: what stands before is decided, and released. A whole text is decided at once by the same
functions, so however a text is cut, the outcome is the same. At most :data:`MOST_HELD` characters are kept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from ciguard.inspect.known_value import LONGEST_LITERAL, SHORTEST, KnownValue, literals
from ciguard.inspect.matching import Matcher
from ciguard.inspect.named_fields import NO_FIELDS, NamedFields
from ciguard.inspect.partial import CONTEXT
from ciguard.inspect.pattern import LONGEST
from ciguard.inspect.placeholder import Placeholders
from ciguard.inspect.projection import OTHER, projected
from ciguard.inspect.rule_matcher import RuleMatcher, entropy, secret_rules
from ciguard.inspect.span import Span, joined
from ciguard.inspect.together import find_each
from ciguard.inspect.value_matcher import ValueMatcher

if TYPE_CHECKING:
    from ciguard.inspect.names import Names

MOST_HELD = 2 * LONGEST + 1
"""Characters that a stream holds back at the most: an unfinished match, and finished ones that overlap with it."""

PROMPT = 1_024
"""Characters up to which a held text is looked at whenever some more comes; a longer one when it grew by a part."""

KEPT = CONTEXT + 256
"""Characters up to which a stream keeps a text that is decided: cutting it costs more than reading it once more."""

GROWTH = 16
"""The part (one of so many) by which a longer text must have grown."""

REMEMBERED = 4096
"""Short texts that a masker remembers to be clean."""

REMEMBERED_LENGTH = 256
"""Characters up to which a text is short."""

MOST_LOOKED_THROUGH = 1024 * 1024
"""Characters of a message that a masker remembers to be clean."""

MOST_LEARNED = 32
"""Values recognised by rules that are looked for in other forms from then on; the oldest make room."""

LEARNED_LENGTH = 16
"""Characters that a value must have to be looked for without what announced it."""

LEARNED_ENTROPY = 3.0
"""Bits per character that it must have."""


@dataclass(frozen=True, slots=True)
class Replacement:
    """The characters from ``start`` to ``end`` (offsets from the beginning of the text) become ``placeholder``."""

    start: int
    end: int
    kind: str
    placeholder: str


class Masked(msgspec.Struct, frozen=True):
    """A masked text and the kinds of the secrets that were in it, one entry for each place."""

    text: str
    kinds: tuple[str, ...] = ()


class Masker:
    """Masks the known values, everything that the secret rules recognise, and what ``more`` rules do.

    ``fields`` are masked by those who know the structure of a value; their rules are among ``more``. ``names`` are
    masked by those who know what of a message is content.
    """

    def __init__(
        self,
        known: Sequence[KnownValue],
        placeholders: Placeholders,
        more: RuleMatcher | None = None,
        fields: NamedFields = NO_FIELDS,
        names: Names | None = None,
    ) -> None:
        self._placeholders = placeholders
        self.fields = fields
        self.names = names
        self._known = frozenset(value.value for value in known)
        self._given = ValueMatcher(
            (text, begins, value) for value in known for text, begins in literals(value, thorough=True).items()
        )
        self._learned: dict[str, KnownValue] = {}
        self._recognised: dict[str, KnownValue] = {}
        self._always: tuple[Matcher, ...] = (secret_rules(), self._given, *([more] if more else []))
        self._matchers = self._always
        self._clean: set[str] = set()
        self._lately_clean: set[str] = set()
        self.lessons = 0
        """How often something was learned: what was masked before may be masked differently since."""

    def mask(self, text: str) -> Masked:
        """``text`` with every secret replaced."""
        if len(text) < SHORTEST or text in self._clean or text in self._lately_clean:
            return Masked(text)
        replacements = self.find(text)
        if not replacements:
            # Headers and the words of a protocol come again with every call.
            if len(text) <= REMEMBERED_LENGTH and len(self._clean) < REMEMBERED:
                self._clean.add(text)
            return Masked(text)
        return _masked(text, replacements)

    def placeholder(self, kind: str, value: str) -> str:
        """What stands in the place of ``value``, which is masked for what it is called."""
        return self._placeholders.placeholder(kind, value)

    def find(self, text: str) -> list[Replacement]:
        """All secrets of ``text``, in order; where some overlap they are one, under the kind of the earliest."""
        spans = find(self._matchers, self._placeholders, text, projected(text), 0, 0)
        return self.replacements(spans, 0)

    def mask_each(self, texts: Iterable[str]) -> dict[str, Masked]:
        """Those of ``texts`` that hold a secret, each masked like on its own; one pass over all of them."""
        clean = self._lately_clean
        distinct = list(dict.fromkeys([text for text in texts if len(text) >= SHORTEST and text not in clean]))
        found: dict[str, Masked] = {}
        if not distinct:
            return found
        for text, spans in find_each(self._matchers, distinct):
            if replacements := self.replacements(apart(spans, self._placeholders, text, 0), 0):
                found[text] = _masked(text, replacements)
        return found

    def look_through(self, texts: Iterable[str]) -> bool:
        """See in one pass in which of ``texts``, those of one message, there is nothing: they are not looked at again.

        That holds until the next message, or until there is more to look for; for long messages not at all. Returns
        whether nothing in the whole message is to be masked.
        """
        distinct = set(texts)
        if sum(map(len, distinct)) > MOST_LOOKED_THROUGH:
            self._lately_clean = set()
            return False
        found = find_each(self._matchers, list(distinct))
        if found:
            distinct.difference_update([text for text, _ in found])
        self._lately_clean = distinct
        return not found and self.fields is NO_FIELDS

    def is_clean(self, text: str) -> bool:
        """Whether ``text`` was looked through lately, and there is nothing in it."""
        return text in self._lately_clean

    def stream(self) -> MaskStream:
        """A new stream of text."""
        return MaskStream(self._matchers, self._placeholders, self.replacements)

    def replacements(self, spans: Sequence[Span], offset: int) -> list[Replacement]:
        """What stands in the place of ``spans``, with ``offset`` added."""
        for span in spans:
            if span.lasting and len(self._recognised) < MOST_LEARNED and _lasts(span.value):
                self._recognised.setdefault(span.value, KnownValue(span.kind, span.value))
        return [
            Replacement(
                offset + one.start, offset + one.end, one.kind, self._placeholders.placeholder(one.kind, one.value)
            )
            for one in spans
        ]

    def remember(self) -> None:
        """Look for what the rules recognised in other forms from now on; streams that were begun go on as they were.

        It is for the guard to say when: what belongs together, such as one answer, should be masked alike throughout.
        """
        if not self._recognised:
            return
        fresh = {
            value: known
            for value, known in self._recognised.items()
            if value not in self._learned and value not in self._known
        }
        self._recognised.clear()
        if not fresh:
            return
        self._learned = dict(list((self._learned | fresh).items())[-MOST_LEARNED:])
        learned = ValueMatcher(
            (text, begins, known)
            for known in self._learned.values()
            for text, begins in literals(known, thorough=False).items()
        )
        self._matchers = (*self._always, learned)
        self._clean.clear()
        self.lessons += 1
        self._lately_clean = set()


def _masked(text: str, replacements: Sequence[Replacement]) -> Masked:
    return Masked(replaced(text, replacements), tuple(replacement.kind for replacement in replacements))


def _lasts(value: str) -> bool:
    """Whether ``value`` is secret enough to be looked for without what announced it."""
    return LEARNED_LENGTH <= len(value) <= LONGEST_LITERAL and entropy(value) >= LEARNED_ENTROPY


class MaskStream:
    """Masks a text that arrives in pieces.

    Offsets count from the beginning of the whole text. ``decided`` is the offset up to which all replacements have been
    returned: text before it may be released.
    """

    def __init__(
        self,
        matchers: Sequence[Matcher],
        placeholders: Placeholders,
        replacements: Callable[[Sequence[Span], int], list[Replacement]],
    ) -> None:
        self._matchers = matchers
        self._placeholders = placeholders
        self._replacements = replacements
        # What is kept begins with one character of context, which is no part of the text at its beginning.
        self._text = chr(OTHER)
        self._data = bytes([OTHER])
        self._base = -1
        self._looked = 0
        self.decided = 0

    def add(self, text: str) -> None:
        """Take the next piece, and decide nothing yet."""
        self._text += text
        self._data += projected(text)

    def feed(self, text: str) -> list[Replacement]:
        """Take the next piece and return the replacements that became certain, in order."""
        self.add(text)
        length = len(self._data)
        if length > PROMPT and length - self._looked < length // GROWTH:
            return []
        self._looked = length
        release, origin, nothing = length, length, length <= KEPT
        for matcher in self._matchers:
            if (opened := matcher.open_from(self._data)) is not None:
                release, origin, nothing = min(release, opened[0]), min(origin, opened[1]), False
        if nothing:
            self.decided = self._base + length
            return []
        return self._decide(release, origin)

    def finish(self) -> list[Replacement]:
        """No more text comes: return the last replacements; everything is decided."""
        return self._decide(len(self._data), len(self._data))

    def _decide(self, release: int, origin: int) -> list[Replacement]:
        """Decide what stands before ``release``; later secrets are found by reading from ``origin`` on."""
        floor = self.decided - self._base
        if release <= floor:
            return []
        spans = find(self._matchers, self._placeholders, self._text, self._data, 1, floor)
        for span in reversed(spans):
            if span.end > release:
                release = min(release, span.start)
        origin = min(origin, release - CONTEXT)
        for span in spans:
            if span.end > release:
                origin = min(origin, span.origin)
        # A placeholder is known as one when it is read from its beginning.
        for low, high in self._placeholders.spans(self._text) if origin > 1 else ():
            if low < origin < high:
                origin = low
        origin = max(origin, 1)
        certain = self._replacements([span for span in spans if span.end <= release], self._base) if spans else []
        self.decided = self._base + release
        self._text = self._text[origin - 1 :]
        self._data = self._data[origin - 1 :]
        self._base += origin - 1
        self._looked = len(self._data)
        return certain


def find(
    matchers: Iterable[Matcher], placeholders: Placeholders, text: str, data: bytes, begin: int, floor: int
) -> list[Span]:
    """What is to be replaced in ``text``, whose projection is ``data``: in order, not overlapping, after ``floor``.

    ``begin`` is the first index that is not context.
    """
    found = [span for matcher in matchers for span in matcher.find(text, data, begin, matcher.hints(data))]
    return apart(found, placeholders, text, floor) if found else found


def apart(spans: Sequence[Span], placeholders: Placeholders, text: str, floor: int) -> list[Span]:
    """What of ``spans``, found in ``text``, is to be replaced: in order, not overlapping, after ``floor``.

    Where a placeholder is, a secret was masked already. What it leaves of a span counts when it is as long as the
    shortest secret.
    """
    for low, high in placeholders.spans(text):
        pieces: list[Span] = []
        for span in spans:
            if span.end <= low or high <= span.start:
                pieces.append(span)
                continue
            origin = min(span.origin, low)
            for start, end in ((span.start, low), (high, span.end)):
                if end - start >= SHORTEST:
                    pieces.append(Span(start, end, span.kind, span.value, origin, span.priority, span.lasting))
        spans = pieces
    return joined(spans, floor, text)


def replaced(text: str, replacements: Iterable[Replacement]) -> str:
    """``text`` with ``replacements`` (ordered, not overlapping) applied."""
    pieces: list[str] = []
    position = 0
    for replacement in replacements:
        pieces += (text[position : replacement.start], replacement.placeholder)
        position = replacement.end
    pieces.append(text[position:])
    return "".join(pieces)

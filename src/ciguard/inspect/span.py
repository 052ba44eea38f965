"""Places in a text that are to be masked, as the matchers find them and as they are replaced."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from ciguard.inspect.pattern import LONGEST


@dataclass(frozen=True, slots=True)
class Span:
    """The characters from ``start`` to ``end``, which are ``value`` or a form of it.

    ``origin`` is the index from which the text has to be read to find the span again. ``priority`` decides between
    spans of the same place: the lower goes first. ``lasting`` marks a value that stays secret where it comes up later.
    """

    start: int
    end: int
    kind: str
    value: str = field(repr=False)
    origin: int
    priority: int = 0
    lasting: bool = False


def joined(spans: Iterable[Span], floor: int, text: str) -> list[Span]:
    """``spans`` as they are replaced: in order, not overlapping, and nothing before ``floor``.

    Spans that overlap become one, under the kind of the earliest, as long as it has no more than
    :data:`~ciguard.inspect.pattern.LONGEST` characters; where it would have more, a new one begins at the end of the
    last. So where a span begins depends only on a bounded part of the text.
    """
    found: list[Span] = []
    for span in sorted(spans, key=lambda one: (one.start, -one.end, one.priority)):
        if span.end <= floor:
            continue
        start = max(span.start, floor)
        last = found[-1] if found else None
        if last is None or start >= last.end:
            found.append(replace(span, start=start))
        elif span.end > last.end and span.end - last.start <= LONGEST:
            value = last.value if last.value == span.value else text[last.start : span.end]
            found[-1] = replace(last, end=span.end, value=value, origin=min(last.origin, span.origin))
        elif span.end > last.end:
            found.append(replace(span, start=last.end))
    return found

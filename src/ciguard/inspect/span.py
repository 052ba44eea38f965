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
    first: Span | None = None
    end, origin, alike = floor, 0, True

    def close() -> None:
        if first:
            value = first.value if alike else text[first.start : end]
            found.append(replace(first, end=end, value=value, origin=origin))

    for span in sorted(spans, key=lambda one: (one.start, -one.end, one.priority)):
        if span.end <= end:
            continue
        if first and span.start < end and span.end - first.start <= LONGEST:
            alike = alike and span.value == first.value
            origin = min(origin, span.origin)
        else:
            close()
            first, origin, alike = replace(span, start=max(span.start, end)), span.origin, True
        end = span.end
    close()
    return found

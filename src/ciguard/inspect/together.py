"""Searching many texts in one pass: a pass costs far more for each text than for each character.

The texts are joined and searched as one. What that gives are hints only, and each goes to the text in which it ends;
where a hint does not say where, every text is asked. Then each text decides on its own: what is found there does not
depend on its neighbours, nor on what joins them.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Sequence
from itertools import accumulate

from ciguard.inspect.finder import Hint
from ciguard.inspect.matching import Matcher
from ciguard.inspect.projection import OTHER, projected
from ciguard.inspect.span import Span

_SEPARATOR = chr(OTHER)


def find_each(matchers: Sequence[Matcher], texts: Sequence[str]) -> list[tuple[str, list[Span]]]:
    """Those of ``texts`` in which ``matchers`` find something, and what."""
    data = projected(_SEPARATOR.join(texts))
    hints = [matcher.hints(data) for matcher in matchers]
    if not any(hints):
        return []
    starts = [0, *accumulate(len(text) + 1 for text in texts[:-1])]
    hinted: defaultdict[int, list[list[Hint]]] = defaultdict(lambda: [[] for _ in matchers])
    anywhere: set[int] = set()
    for place, of_all in enumerate(hints):
        for number, first, last in of_all:
            if first < last:
                anywhere.add(place)
                continue
            index = bisect_right(starts, last) - 1
            end = min(last - starts[index], len(texts[index]))
            hinted[index][place].append((number, end, end))
    found: list[tuple[str, list[Span]]] = []
    for index in range(len(texts)) if anywhere else sorted(hinted):
        text = texts[index]
        own = data[starts[index] : starts[index] + len(text)]
        spans: list[Span] = []
        for place, matcher in enumerate(matchers):
            of_one = matcher.hints(own) if place in anywhere else hinted[index][place]
            spans += matcher.find(text, own, 0, of_one) if of_one else ()
        if spans:
            found.append((text, spans))
    return found

"""What masking costs: ordinary text at once, as the strings of a JSON body, and in streamed pieces."""

from __future__ import annotations

import json
import secrets
import sysconfig
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ciguard.codecs.answer import masked_value
from ciguard.codecs.document import parse
from ciguard.inspect.known_value import KnownValue
from ciguard.inspect.masking import Masker
from ciguard.inspect.placeholder import Placeholders
from ciguard.inspect.rule_matcher import secret_rules

DELTA = 20
"""Characters of a streamed piece."""


@dataclass(frozen=True, slots=True)
class MaskingCost:
    """CPU seconds: of 1 MB of source code, of 200 KB of JSON, of one streamed piece, and of being ready to start."""

    megabyte: float
    body: float
    delta: float
    start: float


def masking_cost() -> MaskingCost:
    """Measure with three known values and all rules; the text is the source of Python's standard library."""
    known = [KnownValue(f"known-{place}", secrets.token_urlsafe(40)) for place in range(3)]

    def start() -> Masker:
        secret_rules.cache_clear()
        return Masker(known, Placeholders(secrets.token_bytes(32)))

    started = _best(start)
    masker = start()
    text = _code(1_000_000)
    lines = text.splitlines()[:4_400]
    body = parse(
        json.dumps([{"type": "text", "text": line} for line in lines]).encode()[:200_000].rpartition(b", {")[0] + b"]"
    )
    pieces = [text[place : place + DELTA] for place in range(0, 200_000, DELTA)]

    def stream() -> None:
        one = masker.stream()
        for piece in pieces:
            one.feed(piece)
        one.finish()

    return MaskingCost(
        megabyte=_best(lambda: masker.find(text)),
        body=_best(lambda: masked_value(body, masker)),
        delta=_best(stream) / len(pieces),
        start=started,
    )


def _code(size: int) -> str:
    library = Path(sysconfig.get_path("stdlib"))
    text = ""
    for path in sorted(library.glob("*.py")):
        text += path.read_text(encoding="utf-8")
        if len(text) >= size:
            break
    return text[:size]


def _best(work: Callable[[], object]) -> float:
    """CPU seconds of the fastest of five runs."""
    taken = []
    for _ in range(5):
        begun = time.process_time()
        work()
        taken.append(time.process_time() - begun)
    return min(taken)

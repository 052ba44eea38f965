"""The few lines that end a guarded run on the terminal."""

from __future__ import annotations

from collections.abc import Iterator

from ciguard.report.facts import facts_of
from ciguard.report.inert import excerpt
from ciguard.report.paint import Line, Span, Tone
from ciguard.report.transcript import counts
from ciguard.session.reading import Session

_STOPS_SHOWN = 5


def closing(session: Session) -> Iterator[Line]:
    """What came of ``session`` and where it is recorded; print each line through a painter of ``report/paint.py``."""
    facts = facts_of(session)
    tone = Tone.STRONG if facts.complete else Tone.BAD
    yield (Span("ciguard  ", Tone.FAINT), Span(facts.outcome, tone), Span(f" ({facts.exited})", Tone.FAINT))
    yield (Span("         "), *counts(facts))
    if facts.approvals.requests:
        yield (Span("         approvals: ", Tone.FAINT), Span(facts.approvals.words))
    for stop in facts.stops[:_STOPS_SHOWN]:
        rules = ", ".join(rule for rule, _ in stop.reasons)
        tone = Tone.BAD if stop.action == "block" else Tone.WARNING
        what = excerpt(stop.content, 70)
        yield (Span("         "), Span(stop.word, tone), Span(f"  {what}  "), Span(rules, Tone.FAINT))
    if len(facts.stops) > _STOPS_SHOWN:
        yield (Span(f"         … and {len(facts.stops) - _STOPS_SHOWN} more", Tone.FAINT),)
    identity = "verified" if facts.issuer else "unverified"
    yield (Span("         ", Tone.FAINT), Span(f"isolation {facts.isolation} · identity {identity}", Tone.FAINT))
    yield (Span("recorded ", Tone.FAINT), Span(str(session.directory)))
    yield (Span("         look at it: ", Tone.FAINT), Span(f"ciguard session show {session.directory}"))

"""Small charts over the time of a session: what is drawn, as numbers; the template makes SVG of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from ciguard.session.event import EventType

WIDTH = 480
HEIGHT = 72
_BARS = 60
_GAP = 1.5
_ACTIONS = ("allow", "mask", "hold", "block")
_MINOR, _MAJOR = 40, 70
"""Risk from which a bar is drawn as of a hold, and as of a block."""


@dataclass(frozen=True, slots=True)
class Rectangle:
    """A part of a bar, in the units of the drawing; ``series`` names its colour."""

    x: float
    y: float
    width: float
    height: float
    series: str
    words: str


@dataclass(frozen=True, slots=True)
class Chart:
    """Bars over time; ``words`` says in a sentence what they show, and ``top`` what the highest stands for.

    ``series`` are the names that a key to the colours has.
    """

    title: str
    words: str
    top: int
    series: tuple[str, ...]
    rectangles: tuple[Rectangle, ...]


def charts(events: Sequence[Mapping[str, Any]]) -> tuple[Chart, ...]:
    """The charts of a session that have something to show."""
    if not events:
        return ()
    span = _Span(_moment(events[0]), _moment(events[-1]))
    actions = [dict.fromkeys(_ACTIONS, 0) for _ in range(_BARS)]
    risks = [0] * _BARS
    tokens = [dict.fromkeys(("input", "output"), 0) for _ in range(_BARS)]
    for event in events:
        bar = span.bar(_moment(event))
        if event["type"] in (EventType.OPERATION, EventType.RESULT):
            actions[bar][event["decision"]["action"]] += 1
            risks[bar] = max(risks[bar], event["decision"]["risk"])
        elif event["type"] == EventType.RESPONSE:
            tokens[bar]["input"] += event["usage"]["input_tokens"]
            tokens[bar]["output"] += event["usage"]["output_tokens"]
    decided = sum(sum(bar.values()) for bar in actions)
    sent, received = (sum(bar[side] for bar in tokens) for side in ("input", "output"))
    drawn = (
        replace(_chart("Operations and results", f"{decided:,} decisions over time", actions), series=_ACTIONS),
        _chart(
            "Highest risk", f"highest risk over time, at most {max(risks)}", [{_band(risk): risk} for risk in risks]
        ),
        _chart("Tokens to the model", f"{sent:,} tokens over time", [{"input": bar["input"]} for bar in tokens]),
        _chart(
            "Tokens from the model", f"{received:,} tokens over time", [{"output": bar["output"]} for bar in tokens]
        ),
    )
    return tuple(chart for chart in drawn if chart.rectangles)


@dataclass(frozen=True, slots=True)
class _Span:
    begin: float
    end: float

    def bar(self, moment: float) -> int:
        """Which bar ``moment`` belongs to. Clocks may go back, so one outside belongs to the nearest."""
        share = (moment - self.begin) / max(self.end - self.begin, 0.001)
        return min(max(int(share * _BARS), 0), _BARS - 1)


def _moment(event: Mapping[str, Any]) -> float:
    return datetime.fromisoformat(event["time"]).timestamp()


def _band(risk: int) -> str:
    return "block" if risk >= _MAJOR else "hold" if risk >= _MINOR else "allow"


def _chart(title: str, words: str, bars: Sequence[Mapping[str, int]]) -> Chart:
    top = max(sum(bar.values()) for bar in bars)
    rectangles = tuple(_rectangles(bars, top)) if top else ()
    return Chart(title, words, top, (), rectangles)


def _rectangles(bars: Sequence[Mapping[str, int]], top: int) -> Iterable[Rectangle]:
    step = WIDTH / _BARS
    for number, bar in enumerate(bars):
        base = float(HEIGHT)
        for series, value in bar.items():
            if value:
                height = max(value / top * (HEIGHT - 2), 1.5)
                base -= height
                x = number * step
                words = f"{series}: {value:,}"
                yield Rectangle(round(x, 2), round(base, 2), round(step - _GAP, 2), round(height, 2), series, words)

from __future__ import annotations

from pathlib import Path

from ciguard.report.html.chart import HEIGHT, WIDTH, charts
from ciguard.session.reading import open_session
from tests.unit.session import sample


def test_the_charts_of_a_session(tmp_path: Path) -> None:
    operations, risk, tokens_in, tokens_out = charts(open_session(sample.record(tmp_path / "session")).events)
    assert operations.title == "Operations and results"
    assert operations.words == "5 decisions over time"
    assert {bar.series for bar in operations.rectangles} == {"allow", "hold", "block"}
    assert risk.top == 95
    assert [bar.words for bar in risk.rectangles] == ["block: 95", "hold: 60"]
    assert tokens_in.words == "20 tokens over time"
    assert tokens_out.words == "6 tokens over time"
    for chart in (operations, risk, tokens_in, tokens_out):
        for bar in chart.rectangles:
            assert 0 <= bar.x < bar.x + bar.width <= WIDTH
            assert 0 <= bar.y < bar.y + bar.height <= HEIGHT + 0.01


def test_what_has_nothing_to_show_is_not_drawn(tmp_path: Path) -> None:
    sample.start(tmp_path / "session").close()
    assert charts(open_session(tmp_path / "session").events) == ()
    assert charts(()) == ()


def test_a_clock_that_went_back_stays_in_the_drawing() -> None:
    usage = {"input_tokens": 1, "output_tokens": 0}
    times = ("2026-01-01T00:00:05.000Z", "2026-01-01T00:00:01.000Z", "2026-01-01T00:00:06.000Z")
    (chart,) = charts([{"type": "response", "time": time, "usage": usage} for time in times])
    assert sum(bar.height for bar in chart.rectangles) > 0
    assert all(bar.x >= 0 for bar in chart.rectangles)

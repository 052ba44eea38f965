"""The report: Markdown tables of what was measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from scripts.benchmarks.masking import MaskingCost
from scripts.benchmarks.measure import Samples, StreamSamples, quantile
from scripts.benchmarks.systems import DIRECT, GUARD, PASSTHROUGH


@dataclass(frozen=True, slots=True)
class Results:
    """Everything of one run: by load or figure, then by system; times in seconds, memory in megabytes."""

    loads: Mapping[str, Mapping[str, Samples]]
    streams: Mapping[str, StreamSamples]
    start_ups: Mapping[str, float]
    idle: Mapping[str, float]
    after: Mapping[str, float]
    after_requests: int
    empty_run: float
    missing: Mapping[str, str]
    masking: MaskingCost


def tables(results: Results) -> str:
    """All tables, one below the other."""
    parts = [_load(name, samples) for name, samples in results.loads.items()]
    parts += [_streams(results.streams), _costs(results), of_masking(results.masking)]
    parts += [f"{name} was not measured: {reason}." for name, reason in results.missing.items()]
    return "\n\n".join(parts)


def of_masking(cost: MaskingCost) -> str:
    """What masking alone costs."""
    rows = [
        ["ordinary text, 1 MB at once", f"{1 / cost.megabyte:.0f} MB/s"],
        ["the strings of a JSON body of 200 KB", f"{_ms(cost.body)} ms"],
        ["a streamed piece of 20 characters", f"{cost.delta * 1e6:.1f} µs"],
        ["compiling rules and three known values at the start", f"{_ms(cost.start)} ms"],
    ]
    return _table("Masking, CPU of one core", ["work", "cost"], rows)


def _table(title: str, header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [f"### {title}", "", "| " + " | ".join(header) + " |"]
    lines.append("|---|" + "---:|" * (len(header) - 1))
    lines += ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join(lines)


def _ms(seconds: float) -> str:
    return f"{seconds * 1e3:.2f}"


def _times(value: float, floor: float) -> str:
    return f"{value / floor:.1f}" if floor > 0 else "-"


def _load(name: str, samples: Mapping[str, Samples]) -> str:
    direct = samples[DIRECT.name].latencies
    floor = _median_added(samples[PASSTHROUGH.name].latencies, direct)
    rows = []
    for system, taken in samples.items():
        row = [system, _ms(quantile(taken.latencies, 0.5)), _ms(quantile(taken.latencies, 0.99))]
        if system == DIRECT.name:
            row += ["-", "-", "-", "-"]
        else:
            added = _median_added(taken.latencies, direct)
            row += [_ms(added), _ms(quantile(taken.latencies, 0.99) - quantile(direct, 0.99))]
            row += [_times(added, floor), _ms(taken.cpu_each)]
        rows.append(row)
    header = ["ms", "p50", "p99", "added p50", "added p99", "× pass-through", "CPU per request"]
    return _table(f"{name} ({len(direct)} requests each)", header, rows)


def _median_added(latencies: Sequence[float], direct: Sequence[float]) -> float:
    return quantile(latencies, 0.5) - quantile(direct, 0.5)


def _streams(samples: Mapping[str, StreamSamples]) -> str:
    direct = samples[DIRECT.name]
    rows = []
    for system, taken in samples.items():
        if system == DIRECT.name:
            rows.append([system, "-", "-", "-", "-"])
            continue
        row = [system, _ms(quantile(taken.first, 0.5) - quantile(direct.first, 0.5))]
        row += [_ms(quantile(taken.delays, share) - quantile(direct.delays, share)) for share in (0.5, 0.99)]
        rows.append([*row, f"{taken.cpu_each * 1e6:.0f} µs"])
    header = ["ms", "added to first event", "added to each word, p50", "p99", "CPU per event"]
    return _table(f"Streams of 500 events, one every 2 ms ({len(direct.first)} streams each)", header, rows)


def _costs(results: Results) -> str:
    rows = [
        [
            system,
            f"{results.start_ups[system]:.2f} s" if system in results.start_ups else "-",
            f"{results.idle[system]:.0f} MB",
            f"{results.after[system]:.0f} MB",
        ]
        for system in results.idle
        if system != DIRECT.name
    ]
    rows.append([f"`ciguard run -- true` ({GUARD.name})", f"{results.empty_run:.2f} s", "-", "-"])
    after = f"memory after {results.after_requests} requests"
    return _table("Start and memory", ["", "start to first answer", "memory idle", after], rows)

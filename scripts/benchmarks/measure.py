"""The measurements: every system gets its turn in every round, so that the machine's moods hit all alike."""

from __future__ import annotations

import re
import statistics
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from scripts.benchmarks.payload import new_prompts
from scripts.benchmarks.process import cpu_seconds, resident_megabytes
from scripts.benchmarks.systems import Running, System, guard_environment, guarded, run
from scripts.benchmarks.upstream import EVENTS

SETTLE = 0.03
"""Seconds after each turn in which a system may finish what it put off; that costs CPU, and is not to slow the next."""

_SENT = re.compile(rb"at=(\d+) ")


@dataclass(frozen=True, slots=True)
class Load:
    """A kind of request: in each of ``rounds`` every system gets ``block`` requests of its own source."""

    name: str
    source: Callable[[], Iterator[bytes]]
    rounds: int
    block: int


@dataclass(slots=True)
class Samples:
    """What one system did under one load; times in seconds."""

    latencies: list[float] = field(default_factory=list)
    cpu: float = 0.0

    @property
    def cpu_each(self) -> float:
        """CPU seconds per request."""
        return self.cpu / len(self.latencies)


@dataclass(slots=True)
class StreamSamples:
    """What one system did with streams; times in seconds."""

    first: list[float] = field(default_factory=list)
    delays: list[float] = field(default_factory=list)
    cpu: float = 0.0

    @property
    def cpu_each(self) -> float:
        """CPU seconds per event."""
        return self.cpu / (len(self.first) * EVENTS)


def quantile(values: Sequence[float], share: float) -> float:
    """The value below which ``share`` of ``values`` lie."""
    ordered = sorted(values)
    return ordered[min(int(share * len(ordered)), len(ordered) - 1)]


def latencies(running: Sequence[Running], load: Load) -> dict[str, Samples]:
    """Latency and CPU time of each system under ``load``, after one block that does not count."""
    samples = {system.name: Samples() for system in running}
    sources = {system.name: load.source() for system in running}
    for number in range(load.rounds + 1):
        for system in running:
            bodies = [next(sources[system.name]) for _ in range(load.block)]
            before = cpu_seconds(system.processes)
            taken = [system.client.ask(body).last for body in bodies]
            time.sleep(SETTLE)
            used = cpu_seconds(system.processes) - before
            if number:
                samples[system.name].latencies += taken
                samples[system.name].cpu += used
    return samples


def streams(running: Sequence[Running], rounds: int) -> dict[str, StreamSamples]:
    """Time to the first event, delay of each word, and CPU time of each system; the first stream does not count."""
    samples = {system.name: StreamSamples() for system in running}
    prompt = new_prompts(1000, stream=True)
    for number in range(rounds + 1):
        for system in running:
            before = cpu_seconds(system.processes)
            heard = system.client.ask(prompt())
            time.sleep(SETTLE)
            used = cpu_seconds(system.processes) - before
            arrived = list(delays(heard.arrivals))
            if number:
                samples[system.name].first.append(heard.first)
                samples[system.name].delays += arrived
                samples[system.name].cpu += used
    return samples


def delays(arrivals: Sequence[tuple[int, bytes]]) -> Iterator[float]:
    """For each word, the time from its sending to its arrival."""
    received = b""
    for at, data in arrivals:
        received += data
        end = 0
        for word in _SENT.finditer(received):
            yield (at - int(word[1])) / 1e9
            end = word.end()
        received = received[end:]


def start_ups(systems: Sequence[System], upstream: str, scratch: Path, rounds: Mapping[str, int]) -> dict[str, float]:
    """Median seconds from a system's start to its first answer; systems without ``rounds`` are left out."""
    prompt = new_prompts(1000)
    taken: dict[str, list[float]] = {}
    for number in range(max(rounds.values())):
        for system in systems:
            if number < rounds.get(system.name, 0):
                running = run(system, upstream, scratch, prompt())
                running.stop()
                taken.setdefault(system.name, []).append(running.start)
    return {name: statistics.median(values) for name, values in taken.items()}


def empty_runs(upstream: str, scratch: Path, rounds: int) -> float:
    """Median seconds of ``ciguard run -- true``."""
    taken = []
    for _ in range(rounds):
        command = guarded(scratch, upstream, "true")
        started = time.monotonic()
        subprocess.run(command, cwd=scratch, env=guard_environment(), check=True, capture_output=True)
        taken.append(time.monotonic() - started)
    return statistics.median(taken)


def memory(running: Sequence[Running]) -> dict[str, float]:
    """Resident megabytes of each system."""
    return {system.name: resident_megabytes(system.processes) for system in running}

"""A conversation of 200 turns and 2 MB, resent whole with every turn as agents do: its turns, and its record."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from ciguard.session.bodies import Bodies
from scripts.benchmarks.measure import SETTLE
from scripts.benchmarks.payload import growing_conversation, new_prompts
from scripts.benchmarks.process import cpu_seconds
from scripts.benchmarks.systems import GUARD, PASSTHROUGH, System, run

TURNS = 200
ADDED = 10_000
"""Bytes that each turn adds."""

GROUPS = 5
"""Parts of the conversation of which each has a row."""


@dataclass(frozen=True, slots=True)
class Record:
    """Bytes of a session: what was new in its conversation, its log without compression, and its directory."""

    unique: int
    log: int
    stored: int


def table(upstream: str, scratch: Path, divisor: int) -> str:
    """The measured tables."""
    turns = TURNS // divisor
    requests = list(islice(growing_conversation(ADDED), turns))
    costs = {system.name: list(_turns(system, upstream, scratch, requests)) for system in (PASSTHROUGH, GUARD)}
    unique = len(requests[-1])  # it has all that was ever sent
    record = _record(scratch, unique)
    size = turns // GROUPS
    lines = [f"| CPU per turn | {' | '.join(costs)} | the guard's own part |", "|---|" + "---:|" * (len(costs) + 1)]
    for first in range(0, turns, size):
        means = [sum(taken[first : first + size]) / size * 1e3 for taken in costs.values()]
        sent = f"{(first + 1) * ADDED / 1e6:.2f} to {(first + size) * ADDED / 1e6:.2f} MB sent each"
        shown = " | ".join(f"{one:.2f} ms" for one in (*means, means[1] - means[0]))
        lines.append(f"| turns {first + 1} to {first + size}, {sent} | {shown} |")
    return "\n".join(
        [
            *lines,
            "",
            "| the record | |",
            "|---|---:|",
            f"| new content, of all turns | {record.unique / 1e6:.2f} MB |",
            f"| events and bodies, uncompressed | {record.log / 1e6:.2f} MB (× {record.log / record.unique:.2f}) |",
            f"| on disk | {record.stored / 1e6:.2f} MB |",
        ]
    )


def _turns(system: System, upstream: str, scratch: Path, requests: Sequence[bytes]) -> Iterator[float]:
    """CPU seconds of each turn."""
    running = run(system, upstream, scratch, new_prompts(1000)())
    try:
        for body in requests:
            before = cpu_seconds(running.processes)
            running.client.ask(body)
            time.sleep(SETTLE)
            yield cpu_seconds(running.processes) - before
    finally:
        running.stop()


def _record(scratch: Path, unique: int) -> Record:
    """What the only session below ``scratch`` wrote."""
    (session,) = scratch.glob("session-*")
    bodies = Bodies(session)
    log = (session / "events.jsonl").stat().st_size + sum(len(bodies.read(digest)) for digest in bodies.digests())
    stored = sum(path.stat().st_size for path in session.rglob("*") if path.is_file())
    return Record(unique, log, stored)

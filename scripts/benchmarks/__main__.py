"""``scripts/bench``: measures the guard beside what it is compared with, and writes ``docs/benchmarks.md``."""

from __future__ import annotations

import argparse
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path

from scripts.benchmarks.masking import masking_cost
from scripts.benchmarks.measure import Load, empty_runs, latencies, memory, start_ups, streams
from scripts.benchmarks.payload import new_prompts, resent_conversation
from scripts.benchmarks.systems import (
    OWN,
    PEERS,
    ROOT,
    WITH_PEERS,
    Running,
    System,
    Unavailable,
    install,
    run,
    versions,
)
from scripts.benchmarks.table import Results, of_masking, tables

PAGE = ROOT / "docs" / "benchmarks.md"
_BEGIN = "<!-- measured: scripts/bench writes what follows -->"
_BEGIN_COMMANDS = "<!-- commands: scripts/bench --commands writes this -->"
_END_COMMANDS = "<!-- end of commands -->"
_BEGIN_INSPECTION = "<!-- inspection: scripts/bench --inspection writes this -->"
_END_INSPECTION = "<!-- end of inspection -->"


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and report."""
    parser = argparse.ArgumentParser(prog="scripts/bench", description=__doc__)
    parser.add_argument("--peers", action="store_true", help="also measure mitmproxy and LiteLLM, installing them")
    parser.add_argument("--quick", action="store_true", help="a tenth of the requests; prints, and writes nothing")
    parser.add_argument("--commands", action="store_true", help="measure what deciding every command costs instead")
    parser.add_argument("--inspection", action="store_true", help="measure masking beside scanners of secrets instead")
    options = parser.parse_args(arguments)
    if options.commands:
        return _commands(quick=options.quick)
    if options.inspection:
        return _inspection(quick=options.quick)
    if options.peers:
        install(PEERS)
    with tempfile.TemporaryDirectory(prefix="ciguard-bench-") as scratch, _upstream() as upstream:
        results = _measure(WITH_PEERS if options.peers else OWN, upstream, Path(scratch), 10 if options.quick else 1)
    report = f"{_conditions(options.peers)}\n\n{tables(results)}\n"
    print(report)
    if not options.quick:
        introduction = PAGE.read_text(encoding="utf-8").partition(_BEGIN)[0]
        PAGE.write_text(f"{introduction}{_BEGIN}\n\n{report}", encoding="utf-8")
    return 0


def _commands(*, quick: bool) -> int:
    from scripts.benchmarks.commands import starts, table

    parts = [_measured("scripts/bench --commands"), table(10 if quick else 1, 1 if quick else 2), starts(20)]
    report = "\n\n".join(parts) + "\n"
    return _section(report, _BEGIN_COMMANDS, _END_COMMANDS, quick=quick)


def _inspection(*, quick: bool) -> int:
    from scripts.benchmarks import conversation, inspection
    from scripts.evaluation.scanners import PACKAGES

    install(PACKAGES)
    divisor = 10 if quick else 1
    with tempfile.TemporaryDirectory(prefix="ciguard-bench-") as scratch, _upstream() as upstream:
        turns = conversation.table(upstream, Path(scratch), divisor)
    compared = "".join(f", {name} {number}" for name, number in versions(PACKAGES).items())
    parts = [_measured("scripts/bench --inspection", compared), of_masking(masking_cost())]
    parts += ["### Scanning files", inspection.table(divisor), "### A long conversation", turns]
    return _section("\n\n".join(parts) + "\n", _BEGIN_INSPECTION, _END_INSPECTION, quick=quick)


def _section(report: str, begin: str, end: str, *, quick: bool) -> int:
    """Print ``report`` and, unless the run was a quick one, put it between two marks of the page."""
    print(report)
    if not quick:
        page = PAGE.read_text(encoding="utf-8")
        before, _, rest = page.partition(begin)
        after = rest.partition(end)[2]
        PAGE.write_text(f"{before}{begin}\n\n{report}\n{end}{after}", encoding="utf-8")
    return 0


@contextmanager
def _upstream() -> Iterator[str]:
    command = [sys.executable, "-m", "scripts.benchmarks.upstream"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None  # noqa: S101 - it is a pipe
        try:
            yield f"http://127.0.0.1:{process.stdout.readline().strip()}"
        finally:
            process.terminate()


def _measure(systems: Sequence[System], upstream: str, scratch: Path, divisor: int) -> Results:
    first = new_prompts(1000)
    missing: dict[str, str] = {}
    running: list[Running] = []
    with ExitStack() as stack:
        for system in systems:
            try:
                running.append(run(system, upstream, scratch, first()))
            except Unavailable as reason:
                missing[system.name] = str(reason)
                continue
            stack.callback(running[-1].stop)
        idle = memory(running)
        thousand, *others = _loads(divisor)
        loads = {thousand.name: latencies(running, thousand)}
        after = memory(running)
        loads |= {load.name: latencies(running, load) for load in others}
        streamed = streams(running, max(10 // divisor, 1))
    present = [system for system in systems if system.name not in missing]
    slow = {system.name: system.start for system in running if system.start > 3}
    rounds = {system.name: 1 if system.name in slow else max(10 // divisor, 2) for system in present}
    return Results(
        loads=loads,
        streams=streamed,
        start_ups=start_ups(present, upstream, scratch, rounds),
        idle=idle,
        after=after,
        after_requests=len(next(iter(loads[thousand.name].values())).latencies) + thousand.block,
        empty_run=empty_runs(upstream, scratch, max(20 // divisor, 3)),
        missing=missing,
        masking=masking_cost(),
    )


def _loads(divisor: int) -> tuple[Load, ...]:
    def new(size: int) -> Iterator[bytes]:
        prompt = new_prompts(size)
        while True:
            yield prompt()

    return (
        Load("1 KB prompt, new", lambda: new(1_000), 50 // divisor, 20),
        Load("200 KB prompt, new", lambda: new(200_000), 40 // divisor, 5),
        Load("2 MB prompt, new", lambda: new(2_000_000), 40 // divisor, 2),
        Load("200 KB conversation, resent with 1 KB new", resent_conversation(200_000, 1_000), 40 // divisor, 5),
    )


def _conditions(peers: bool) -> str:
    compared = "".join(f", {name} {number}" for name, number in versions(PEERS).items()) if peers else ""
    return _measured("scripts/bench --peers" if peers else "scripts/bench", compared)


def _measured(command: str, compared: str = "") -> str:
    version = platform.python_version()
    kernel = ".".join(platform.release().split(".")[:2])
    return (
        f"Measured on {datetime.now(UTC):%Y-%m-%d} with `{command}`: {os.cpu_count()} cores, {platform.system()} "
        f"{kernel}, Python {version}{compared}."
    )


if __name__ == "__main__":
    sys.exit(main())

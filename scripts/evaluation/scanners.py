"""What is compared: ciguard's masker, detect-secrets and Kingfisher, each on the same files."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ciguard.inspect.masking import Masker
from ciguard.inspect.placeholder import Placeholders
from scripts.benchmarks.systems import CACHE
from scripts.evaluation.labelled import Label, Text
from scripts.evaluation.scoring import Findings

KINGFISHER_FOUND = 200
"""What Kingfisher ends with when it found something."""


@dataclass(frozen=True, slots=True)
class Scanned:
    """What a scanner reported, and the CPU seconds that it took from its start to its end."""

    findings: Findings
    cpu: float


@dataclass(frozen=True, slots=True)
class Scanner:
    """A scanner by its name; ``scan`` gets the texts and the folder in which they are."""

    name: str
    scan: Callable[[Sequence[Text], Path], Scanned]


def write(texts: Sequence[Text], folder: Path) -> None:
    """Put every text into a file of its own below ``folder``."""
    for text in texts:
        path = folder / text.name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text.content, encoding="utf-8", newline="")


def _ciguard(texts: Sequence[Text], folder: Path) -> Scanned:
    del folder
    begun = time.process_time()
    masker = Masker((), Placeholders(b"evaluation" * 4))
    findings = {text.name: [Label(one.start, one.end, one.kind) for one in masker.find(text.content)] for text in texts}
    return Scanned(findings, time.process_time() - begun)


def _detect_secrets(texts: Sequence[Text], folder: Path) -> Scanned:
    python = CACHE / "detect-secrets" / "bin" / "python"
    output, cpu = _output([str(python), str(Path(__file__).with_name("run_detect_secrets.py")), str(folder)])
    reports: dict[str, list[list[Any]]] = json.loads(output)
    return Scanned(
        {
            text.name: [at(text.content, line, secret, kind) for line, secret, kind in reports.get(text.name, [])]
            for text in texts
        },
        cpu,
    )


def _kingfisher(texts: Sequence[Text], folder: Path) -> Scanned:
    options = ["--no-validate", "--no-update-check", "--no-dedup", "--quiet", "--confidence", "low"]
    environ = os.environ | {"KF_RULE_CACHE_DIR": str(CACHE / "kingfisher-rules")}
    command = [str(kingfisher()), "scan", str(folder), "--format", "json", *options]
    output, cpu = _output(command, environ)
    found: dict[str, list[tuple[int, str, str]]] = {}
    for report in json.JSONDecoder().raw_decode(output)[0]["findings"] if output.strip() else []:
        one = report["finding"]
        name = str(Path(one["path"]).relative_to(folder))
        found.setdefault(name, []).append((one["line"], one["snippet"], report["rule"]["id"]))
    return Scanned(
        {
            text.name: [at(text.content, line, secret, kind) for line, secret, kind in found.get(text.name, [])]
            for text in texts
        },
        cpu,
    )


def kingfisher() -> Path:
    """Kingfisher's program."""
    return CACHE / "kingfisher-bin" / "bin" / "kingfisher"


def _output(command: Sequence[str], environ: dict[str, str] | None = None) -> tuple[str, float]:
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environ, text=True) as process:
        assert process.stdout is not None  # noqa: S101 - it is a pipe
        output = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode not in {0, KINGFISHER_FOUND}:
        raise RuntimeError(f"{command[0]} ended with {process.returncode}")
    return output, usage.ru_utime + usage.ru_stime


def at(content: str, line: int, secret: str, kind: str) -> Label:
    """Where ``secret`` stands that was reported for ``line``, counted from 1; the line, if it is not there as it is."""
    start = 0
    for _ in range(line - 1):
        start = content.find("\n", start) + 1
    end = content.find("\n", start)
    place = content.find(secret, start)
    if place < 0 or (end >= 0 and place > end):
        return Label(start, len(content) if end < 0 else end, kind)
    return Label(place, place + len(secret), kind)


CIGUARD = Scanner("ciguard", _ciguard)
KINGFISHER = Scanner("Kingfisher", _kingfisher)
PEERS = (Scanner("detect-secrets", _detect_secrets), KINGFISHER)
PACKAGES = {"detect-secrets": "detect-secrets", "kingfisher-bin": "kingfisher-bin"}
"""What pip installs for the peers, into an environment of its own each."""

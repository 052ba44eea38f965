"""What inspection costs: scanning the files that other projects ship, beside detect-secrets and Kingfisher."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

from ciguard.inspect.rule_matcher import secret_rules
from scripts.evaluation.labelled import Text
from scripts.evaluation.scanners import CIGUARD, PEERS, Scanner, write
from scripts.evaluation.shipped import shipped

SHARE = 40
"""One of so many shipped files is scanned."""


def table(divisor: int) -> str:
    """The measured table: CPU seconds of each scanner for one empty file, and for all files."""
    texts = list(shipped(SHARE * divisor))
    size = sum(len(text.content.encode()) for text in texts) / 1e6
    lines = [
        f"| scanner | start, with one empty file | {len(texts)} files, {size:.1f} MB | without the start |",
        "|---|---:|---:|---:|",
    ]
    for scanner in (CIGUARD, *PEERS):
        _cpu(scanner, [Text("empty.txt", "empty", "")])  # fills the caches that stay on disk
        start = _cpu(scanner, [Text("empty.txt", "empty", "")])
        whole = _cpu(scanner, texts)
        rate = f"{size / (whole - start):.1f} MB/s" if whole > start else "-"
        lines.append(f"| {scanner.name} | {start:.2f} s | {whole:.2f} s | {rate} |")
    return "\n".join(lines)


def _cpu(scanner: Scanner, texts: Sequence[Text]) -> float:
    secret_rules.cache_clear()
    with tempfile.TemporaryDirectory(prefix="ciguard-bench-") as folder:
        write(texts, Path(folder))
        return scanner.scan(texts, Path(folder)).cpu

"""``scripts/evaluate``: measures what the secret rules find and what they leave alone; writes ``docs/accuracy.md``."""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from scripts.benchmarks.systems import ROOT, install, versions
from scripts.evaluation.foreign import foreign_set
from scripts.evaluation.labelled import Text
from scripts.evaluation.labelled_set import SEED, labelled_set
from scripts.evaluation.report import Results, of_rules, tables
from scripts.evaluation.scanners import CIGUARD, KINGFISHER, PACKAGES, PEERS, Scanner, write
from scripts.evaluation.scoring import Score, score
from scripts.evaluation.shipped import shipped

PAGE = ROOT / "docs" / "accuracy.md"
_BEGIN = "<!-- measured: scripts/evaluate --peers writes what follows -->"

SHARE = 10
"""One of so many shipped files is scanned."""

GOAL = 0.98
"""The least recall and precision of ciguard."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and report; the exit status is 1 when ciguard misses the goal."""
    parser = argparse.ArgumentParser(prog="scripts/evaluate", description=__doc__)
    parser.add_argument("--peers", action="store_true", help="also run detect-secrets and Kingfisher, installing them")
    parser.add_argument("--write", metavar="FOLDER", type=Path, help="only write the labelled texts into a folder")
    options = parser.parse_args(arguments)
    if options.write:
        write(list(labelled_set()), options.write)
        return 0
    if options.peers:
        install(PACKAGES)
    results = _measured((CIGUARD, *PEERS) if options.peers else (CIGUARD,))
    own = results.scores[CIGUARD.name]
    report = tables(results)
    print(report)
    print(f"\nleft eight or more characters of a secret that was found: {own.cut}")
    for kind, number in own.secrets.items():
        if own.found[kind] < number:
            print(f"missed {number - own.found[kind]} of {number}: {kind}")
    if options.peers:
        compared = ", ".join(f"{name} {number}" for name, number in versions(PACKAGES).items())
        measured = (
            f"Measured on {datetime.now(UTC):%Y-%m-%d} with `scripts/evaluate --peers`: {compared}, seed `{SEED}`."
        )
        introduction = PAGE.read_text(encoding="utf-8").partition(_BEGIN)[0]
        page = f"{introduction}{_BEGIN}\n\n{measured}\n\n{report}\n\n## By rule\n\n{of_rules(results.scores)}\n"
        PAGE.write_text(page, encoding="utf-8")
    return int(own.recall < GOAL or own.precision < GOAL)


def _measured(scanners: Sequence[Scanner]) -> Results:
    texts, ordinary = list(labelled_set()), list(shipped(SHARE))
    scores, cpu = _scores(scanners, texts)
    ordinary_scores, ordinary_cpu = _scores(scanners, ordinary)
    foreign, foreign_scores = _foreign(scanners)
    total = {name: cpu[name] + ordinary_cpu[name] for name in cpu}
    return Results(texts, scores, ordinary, ordinary_scores, foreign, foreign_scores, total)


def _foreign(scanners: Sequence[Scanner]) -> tuple[Sequence[Text], dict[str, Score]]:
    """The formats of Kingfisher that it finds itself, and how everybody does on them."""
    if KINGFISHER not in scanners:
        return (), {}
    texts = list(foreign_set())
    found = _scores((KINGFISHER,), texts)[0][KINGFISHER.name].found
    claimed = [text for text in texts if any(found[label.kind] for label in text.labels)]
    return claimed, _scores(scanners, claimed)[0]


def _scores(scanners: Sequence[Scanner], texts: Sequence[Text]) -> tuple[dict[str, Score], dict[str, float]]:
    scores, cpu = {}, {}
    with tempfile.TemporaryDirectory(prefix="ciguard-evaluate-") as folder:
        write(texts, Path(folder))
        for scanner in scanners:
            scanned = scanner.scan(texts, Path(folder))
            scores[scanner.name] = score(texts, scanned.findings)
            cpu[scanner.name] = scanned.cpu
    return scores, cpu


if __name__ == "__main__":
    sys.exit(main())

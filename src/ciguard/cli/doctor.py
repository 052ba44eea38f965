"""``ciguard doctor``: what this machine and job offer."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from ciguard.cli.parser import Parser

EPILOG = """\
example:
  ciguard doctor

Isolation levels are tried by starting a process under each, strongest first; a session takes the first that works.
Nothing is sent anywhere. The exit status is 0 whatever is found.
"""


def main(arguments: Sequence[str]) -> int:
    """Run ``ciguard doctor ARGUMENTS`` and return its exit status."""
    parser = Parser(
        prog="ciguard doctor",
        description="Say what this machine and job offer: isolation levels, identity, agents.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--json", action="store_true", help="print a JSON list of findings")
    options = parser.parse_args(arguments)
    from ciguard.guard.examination import examine
    from ciguard.report.paint import Span, Tone, coloured, plain

    findings = examine(dict(os.environ), Path.cwd())
    if options.json:
        print(json.dumps([asdict(finding) for finding in findings]))
        return 0
    paint = coloured if sys.stdout.isatty() and "NO_COLOR" not in os.environ else plain
    for finding in findings:
        mark = Span("✓ ", Tone.GOOD) if finding.available else Span("✗ ", Tone.BAD)
        print(paint((mark, Span(f"{finding.subject} {finding.name}", Tone.STRONG))))
        for words in finding.words:
            print(paint((Span(f"    {words}", Tone.FAINT),)))
        for line in finding.remedy.splitlines():
            print(paint((Span(f"    help: {line}"),)))
    return 0

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
With a token for the forge in the environment, the forge is asked what the token may do, and who the approvers of the
policy in the checkout are; nothing is written there. The exit status is 0 whatever is found.
"""


def main(arguments: Sequence[str]) -> int:
    """Run ``ciguard doctor ARGUMENTS`` and return its exit status."""
    parser = Parser(
        prog="ciguard doctor",
        description="Say what this machine and job offer: isolation levels, identity, approvals, agents.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--json", action="store_true", help="print a JSON list of findings")
    parser.add_argument("--policy", default=".ciguard.yml", metavar="F", help="the policy file (default: .ciguard.yml)")
    options = parser.parse_args(arguments)
    from ciguard.guard.examination import examine
    from ciguard.report.paint import Span, Tone, coloured, plain

    marks = {True: Span("✓ ", Tone.GOOD), False: Span("✗ ", Tone.BAD), None: Span("? ", Tone.WARNING)}
    findings = examine(dict(os.environ), Path.cwd(), options.policy)
    if options.json:
        print(json.dumps([asdict(finding) for finding in findings]))
        return 0
    paint = coloured if sys.stdout.isatty() and "NO_COLOR" not in os.environ else plain
    for finding in findings:
        mark = marks[finding.available]
        print(paint((mark, Span(f"{finding.subject} {finding.name}", Tone.STRONG))))
        for words in finding.words:
            print(paint((Span(f"    {words}", Tone.FAINT),)))
        for line in finding.remedy.splitlines():
            print(paint((Span(f"    help: {line}"),)))
    return 0

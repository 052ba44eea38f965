"""``ciguard session export``: a session for other programs."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ciguard.session.reading import Session

FORMATS = ("jsonl", "ocsf", "otel", "csv", "junit", "gitlab-annotations")


def add(commands: Any) -> None:
    """Add the command to the subparsers ``commands``."""
    export = commands.add_parser(
        "export",
        help="print a session for other programs",
        description="Print a session as JSON lines (jsonl: each event with its bodies; ocsf: OCSF 1.8.0 events), "
        "as one OTLP/JSON document (otel: OpenTelemetry GenAI spans), as a table (csv: the decisions), as a JUnit "
        "report (junit: what was not simply let through), or as links for GitLab's page of the job "
        "(gitlab-annotations). It does not verify.",
        epilog="example: ciguard session export --format ocsf ciguard-session.zip > events.jsonl",
    )
    export.add_argument(
        "directory", type=Path, metavar="PATH", help="a session directory, or an artifact's zip archive"
    )
    export.add_argument("--format", choices=FORMATS, required=True)
    export.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    """Export the session that ``options`` name."""
    from ciguard.session.archive import session_directory
    from ciguard.session.reading import open_session

    lines = _lines(options.format)
    with session_directory(options.directory) as directory:
        session = open_session(directory)
        for line in lines(session):
            print(line)
        if session.damage:
            print(f"the log is damaged, {session.damage}; nothing vouches for what follows", file=sys.stderr)


def _lines(form: str) -> Callable[[Session], Iterator[str]]:
    from ciguard.report.export import gitlab_annotations, junit, ocsf, otel, table, whole

    return {
        "jsonl": whole.lines,
        "ocsf": ocsf.lines,
        "otel": otel.lines,
        "csv": table.lines,
        "junit": junit.lines,
        "gitlab-annotations": gitlab_annotations.lines,
    }[form]

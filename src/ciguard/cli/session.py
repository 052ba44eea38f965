"""``ciguard session``: show and verify recorded sessions."""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ciguard.cli.parser import Parser
from ciguard.errors import SessionDamaged, UsageError

if TYPE_CHECKING:
    from ciguard.operation import Json
    from ciguard.report.paint import Painter
    from ciguard.report.transcript import Kind
    from ciguard.session.reading import Session
    from ciguard.session.verification import Verification


def main(arguments: Sequence[str]) -> int:
    """Run ``ciguard session ARGUMENTS`` and return its exit status."""
    options = _parser().parse_args(arguments)
    # A terminal that cannot show a character gets its escape, not a failure half-way down a transcript.
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    run: Callable[[argparse.Namespace], None] = options.run
    run(options)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="ciguard session",
        description="Show and verify recorded sessions.",
        epilog="example: ciguard session show ciguard-session --only held,blocked",
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    show = commands.add_parser(
        "show",
        help="print a session as a transcript",
        description="Print a session as a transcript: what was asked, tried, decided and answered, in order of time.",
        epilog="example: ciguard session show ciguard-session --only held,blocked --grep 'drop table'",
    )
    show.add_argument("directory", type=Path, metavar="DIR", help="a session directory")
    show.add_argument("--full", action="store_const", const="whole", default="cut", dest="length", help="cut no text")
    show.add_argument(
        "--only",
        default="",
        metavar="KINDS",
        help="only these, separated by commas: prompts, calls, results, masked, held, blocked, refused",
    )
    show.add_argument("--grep", default="", metavar="REGEX", help="only what this matches, in upper or lower case")
    show.add_argument("--json", action="store_true", help="one JSON object a line: each event with its body")
    show.set_defaults(run=_show)
    verify = commands.add_parser(
        "verify",
        help="check that a session is what was recorded",
        description="Check, offline, that a session directory is what was recorded. Exit status 0 only when all holds.",
        epilog="example: ciguard session verify --allow-unsigned ciguard-session",
    )
    verify.add_argument("directory", type=Path, metavar="DIR", help="a session directory")
    verify.add_argument("--allow-unsigned", action="store_true", help="accept a session that nobody signed")
    verify.add_argument("--json", action="store_true", help="print one JSON object")
    verify.set_defaults(run=_verify)
    return parser


def _show(options: argparse.Namespace) -> None:
    from ciguard.report.facts import facts_of
    from ciguard.report.transcript import cut, entries, header, whole
    from ciguard.session.reading import open_session

    wanted = _kinds(options.only)
    pattern = _pattern(options.grep)
    session = open_session(options.directory)
    chosen = (
        entry for entry in entries(session) if (not wanted or wanted & entry.kinds) and pattern.search(entry.searchable)
    )
    if options.json:
        events: Iterable[Mapping[str, Any]] = (entry.event for entry in chosen)
        if not wanted and not options.grep:
            events = chain(session.events, (event for event in events if event["type"] == "unfinished"))
        for event in events:
            print(json.dumps(_resolved(session, event)))
        return
    paint = _painter()
    for line in header(facts_of(session)):
        print(paint(line))
    lines = whole if options.length == "whole" else cut
    for entry in chosen:
        print()
        for line in lines(entry):
            print(paint(line))


def _verify(options: argparse.Namespace) -> None:
    from ciguard.report.paint import Span, Tone
    from ciguard.session.reading import DAMAGE_REMEDY
    from ciguard.session.verification import Outcome, verify

    verification = verify(options.directory)
    holds = verification.failure is None and (verification.signed or options.allow_unsigned)
    if options.json:
        print(json.dumps(_as_json(verification, holds)))
    else:
        tones = {Outcome.HOLDS: Tone.GOOD, Outcome.FAILED: Tone.BAD, Outcome.NONE: Tone.WARNING}
        paint = _painter()
        for step in verification.steps:
            words = (Span(f"{step.number}. {step.name}: "), Span(step.outcome, tones[step.outcome]))
            print(paint((*words, Span(f" — {step.detail}"))))
    # The steps come before the error, also where both go to the same pipe.
    sys.stdout.flush()
    if verification.failure:
        failure = verification.failure
        raise SessionDamaged(f"step {failure.number}, {failure.name}: {failure.detail}", DAMAGE_REMEDY)
    if not holds:
        raise SessionDamaged(
            "everything holds, but nobody signed the session",
            "compare the log head with the job summary's, then accept it with --allow-unsigned",
        )


def _as_json(verification: Verification, holds: bool) -> dict[str, Json]:
    steps: list[Json] = [
        {"number": step.number, "name": step.name, "outcome": step.outcome.value, "detail": step.detail}
        for step in verification.steps
    ]
    return {"session": verification.session, "holds": holds, "signed": verification.signed, "steps": steps}


def _resolved(session: Session, event: Mapping[str, Any]) -> dict[str, Any]:
    if event["type"] == "request":
        added = [{"label": label, **_content(session, digest)} for label, digest in event["parts"]["add"]]
        return {**event, "added": added}
    if "body" in event:
        return {**event, **_content(session, event["body"])}
    return dict(event)


def _content(session: Session, digest: str) -> dict[str, Json]:
    try:
        return {"content": session.content(digest)}
    except SessionDamaged as error:
        return {"content": None, "problem": error.cause}


def _kinds(words: str) -> frozenset[Kind]:
    from ciguard.report.transcript import Kind

    try:
        return frozenset(Kind(word.strip()) for word in words.split(",") if word.strip())
    except ValueError as error:
        known = ", ".join(Kind)
        raise UsageError(f"--only: {error}", f"choose from {known}, separated by commas") from None


def _pattern(text: str) -> re.Pattern[str]:
    try:
        return re.compile(text, re.IGNORECASE)
    except re.error as error:
        raise UsageError(
            f"--grep: not a regular expression: {error}", "escape its special characters with \\"
        ) from None


def _painter() -> Painter:
    from ciguard.report.paint import coloured, plain

    return coloured if sys.stdout.isatty() and not os.environ.get("NO_COLOR") else plain

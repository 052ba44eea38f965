"""``ciguard session``: read and verify recorded sessions."""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ciguard.cli import session_export, session_replay
from ciguard.cli.parser import Parser
from ciguard.cli.terminal import painter
from ciguard.errors import SessionDamaged, UsageError

if TYPE_CHECKING:
    from ciguard.operation import Json
    from ciguard.report.transcript import Kind
    from ciguard.session.authenticity import Expectations
    from ciguard.session.reading import Session
    from ciguard.session.sigstore_bundle import SigstoreIdentity
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
        description="Read, verify and export recorded sessions.",
        epilog="example: ciguard session show ciguard-session --only held,blocked",
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    show = commands.add_parser(
        "show",
        help="print a session as a transcript",
        description="Print a session as a transcript: what was asked, tried, decided and answered, in order of time.",
        epilog="example: ciguard session show ciguard-session --only held,blocked --grep 'drop table'",
    )
    show.add_argument("directory", type=Path, metavar="PATH", help="a session directory, or an artifact's zip archive")
    show.add_argument("--full", action="store_const", const="whole", default="cut", dest="length", help="cut no text")
    show.add_argument(
        "--only",
        default="",
        metavar="KINDS",
        help="only these, separated by commas: prompts, calls, results, masked, held, blocked, refused, network",
    )
    show.add_argument("--grep", default="", metavar="REGEX", help="only what this matches, in upper or lower case")
    show.add_argument("--json", action="store_true", help="one JSON object a line: each event with its body")
    show.set_defaults(run=_show)
    opened = commands.add_parser(
        "open",
        help="print a session with the originals of what was masked",
        description="Print a session as a transcript with the originals of what was masked in their place. They go to "
        "your terminal only: nothing is written.",
        epilog="example: ciguard session open --identity ~/.ssh/id_ed25519 ciguard-session.zip",
    )
    opened.add_argument(
        "directory", type=Path, metavar="PATH", help="a session directory, or an artifact's zip archive"
    )
    opened.add_argument(
        "--identity", type=Path, required=True, metavar="FILE", help="an age identity, or an SSH private key"
    )
    opened.set_defaults(run=_open)
    verify = commands.add_parser(
        "verify",
        help="check that a session is what was recorded",
        description="Check, offline, that a session is what was recorded, and who vouches for it. Exit status 0 only "
        "when all holds.",
        epilog="example: ciguard session verify --repository acme/shop ciguard-session.zip",
    )
    verify.add_argument(
        "directory", type=Path, metavar="PATH", help="a session directory, or an artifact's zip archive"
    )
    _add_expectations(verify)
    verify.add_argument("--allow-incomplete", action="store_true", help="accept a session whose end is missing")
    verify.add_argument("--allow-unsigned", action="store_true", help="accept a session that nobody vouches for")
    verify.add_argument("--json", action="store_true", help="print one JSON object")
    verify.set_defaults(run=_verify)
    report = commands.add_parser(
        "report",
        help="write a session as a page to read in a browser",
        description="Write a session as one HTML file that needs no network: what verification says of it, totals, and "
        "everything that happened. It is made whatever verification says, and says it at the top.",
        epilog="example: ciguard session report --repository acme/shop ciguard-session.zip -o report.html",
    )
    report.add_argument(
        "directory", type=Path, metavar="PATH", help="a session directory, or an artifact's zip archive"
    )
    report.add_argument(
        "-o", dest="output", type=Path, default=Path("report.html"), metavar="FILE", help="default: report.html"
    )
    _add_expectations(report)
    report.set_defaults(run=_report)
    session_replay.add(commands)
    session_export.add(commands)
    return parser


def _add_expectations(parser: argparse.ArgumentParser) -> None:
    known = parser.add_argument_group("what you know from elsewhere, and the session must agree with")
    known.add_argument("--repository", default="", metavar="NAME", help="the job's repository, or project on GitLab")
    known.add_argument(
        "--workflow", default="", metavar="REF", help="its workflow_ref or ci_config_ref_uri; * is anything"
    )
    known.add_argument("--ref", default="", help="its branch or tag, for example refs/heads/main")
    known.add_argument("--run", default="", dest="run_id", metavar="ID", help="its run_id, or pipeline_id on GitLab")
    known.add_argument(
        "--require-reusable-workflow", default="", metavar="REF", help="the reusable workflow it was; * is anything"
    )
    known.add_argument(
        "--announced", action="append", default=[], metavar="DIGEST", help="a key or log head that the job announced"
    )
    whom = parser.add_argument_group("whom you trust")
    whom.add_argument("--key", action="append", default=[], type=Path, metavar="FILE", help="a public key in PEM")
    whom.add_argument(
        "--sigstore-identity", default="", metavar="SUBJECT", help="whom a Sigstore certificate must name"
    )
    whom.add_argument("--sigstore-issuer", default="", metavar="URL", help="and the issuer of that identity")
    whom.add_argument(
        "--trust-config", type=Path, metavar="FILE", help="the trust configuration of your own Sigstore instance"
    )
    whom.add_argument("--issuer", default="", metavar="URL", help="the token issuer of your own forge")
    keys = whom.add_mutually_exclusive_group()
    keys.add_argument("--jwks", type=Path, metavar="FILE", help="the issuer's keys, instead of those built in")
    keys.add_argument("--online", action="store_true", help="fetch the issuer's keys")


def _expectations(options: argparse.Namespace) -> Expectations:
    from ciguard.session.authenticity import Expectations
    from ciguard.session.signature import public_key_of

    keys = set()
    for path in options.key:
        try:
            keys.add(public_key_of(_read(path)))
        except ValueError:
            raise UsageError(f"{path} is not a public key in PEM", "give the public half of the signing key") from None
    jwks: Json = None
    if options.jwks:
        from ciguard.identity import strict_json

        try:
            jwks = strict_json.parse(_read(options.jwks))
        except ValueError:
            raise UsageError(f"{options.jwks} is not JSON", "save the JWK Set at the issuer's jwks_uri") from None
    return Expectations(
        issuer=options.issuer,
        jwks=jwks,
        online=options.online,
        keys=frozenset(keys),
        sigstore=_sigstore(options),
        announced=frozenset(options.announced),
        repository=options.repository,
        workflow=options.workflow,
        ref=options.ref,
        run=options.run_id,
        reusable_workflow=options.require_reusable_workflow,
    )


def _sigstore(options: argparse.Namespace) -> SigstoreIdentity | None:
    from ciguard.session.sigstore_bundle import SigstoreIdentity

    subject, issuer = options.sigstore_identity, options.sigstore_issuer
    if not (subject or issuer or options.trust_config):
        return None
    if not (subject and issuer):
        raise UsageError(
            "--sigstore-identity and --sigstore-issuer go together",
            "give both: anybody can have a certificate of somebody else, or of another issuer",
        )
    trust_config = _read(options.trust_config).decode("utf-8", "replace") if options.trust_config else ""
    return SigstoreIdentity(subject, issuer, trust_config)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}", "check its name and its permissions") from None


def _show(options: argparse.Namespace) -> None:
    from ciguard.session.archive import session_directory
    from ciguard.session.reading import open_session

    wanted = _kinds(options.only)
    pattern = _pattern(options.grep)
    with session_directory(options.directory) as directory:
        _print(open_session(directory), wanted, pattern, options)


def _print(session: Session, wanted: frozenset[Kind], pattern: re.Pattern[str], options: argparse.Namespace) -> None:
    from ciguard.report.export.whole import with_bodies
    from ciguard.report.facts import facts_of
    from ciguard.report.transcript import cut, entries, header, whole

    chosen = (
        entry for entry in entries(session) if (not wanted or wanted & entry.kinds) and pattern.search(entry.searchable)
    )
    if options.json:
        events: Iterable[Mapping[str, Any]] = (entry.event for entry in chosen)
        if not wanted and not options.grep:
            events = chain(session.events, (event for event in events if event["type"] == "unfinished"))
        for event in events:
            print(json.dumps(with_bodies(session, event)))
        return
    paint = painter()
    for line in header(facts_of(session)):
        print(paint(line))
    lines = whole if options.length == "whole" else cut
    for entry in chosen:
        print()
        for line in lines(entry):
            print(paint(line))


def _open(options: argparse.Namespace) -> None:
    from ciguard.report.paint import Span
    from ciguard.report.transcript import entries, whole
    from ciguard.session.archive import session_directory
    from ciguard.session.originals import in_place, open_originals
    from ciguard.session.reading import open_session

    identity = _read(options.identity)
    paint = painter()
    with session_directory(options.directory) as directory:
        session = open_session(directory)
        opened = open_originals(session, identity)
        print(f"{len(opened.values)} originals opened; each is the value that was masked", file=sys.stderr)
        for entry in entries(session):
            print()
            for line in whole(entry):
                print(paint(tuple(Span(in_place(span.text, opened), span.tone) for span in line)))


def _verify(options: argparse.Namespace) -> None:
    from ciguard.report.paint import Span, Tone
    from ciguard.session.archive import session_directory
    from ciguard.session.reading import DAMAGE_REMEDY
    from ciguard.session.step import Outcome
    from ciguard.session.verification import verify

    expected = _expectations(options)
    with session_directory(options.directory) as directory:
        verification = verify(directory, expected)
    complete = verification.incomplete is None or options.allow_incomplete
    holds = verification.failure is None and complete and (verification.signed or options.allow_unsigned)
    if options.json:
        print(json.dumps(_as_json(verification, holds)))
    else:
        tones = {Outcome.HOLDS: Tone.GOOD, Outcome.FAILED: Tone.BAD, Outcome.NONE: Tone.WARNING}
        tones[Outcome.INCOMPLETE] = Tone.WARNING
        paint = painter()
        for step in verification.steps:
            words = (Span(f"{step.number}. {step.name}: "), Span(step.outcome, tones[step.outcome]))
            print(paint((*words, Span(f" — {step.detail}"))))
        for line in verification.unproven:
            print(paint((Span("not proven: ", Tone.FAINT), Span(line))))
    # The steps come before the error, also where both go to the same pipe.
    sys.stdout.flush()
    if verification.failure:
        failure = verification.failure
        raise SessionDamaged(f"step {failure.number}, {failure.name}: {failure.detail}", DAMAGE_REMEDY)
    if verification.incomplete and not complete:
        step = verification.incomplete
        raise SessionDamaged(
            f"step {step.number}, {step.name}: {step.detail}", "accept what there is with --allow-incomplete"
        )
    if not holds:
        raise SessionDamaged(
            "everything holds, but nobody whom you know vouches for the session",
            "give what the job announced (--announced) or a key (--key); or compare the log head with the job's log, "
            "then accept it with --allow-unsigned",
        )


def _report(options: argparse.Namespace) -> None:
    from ciguard.report.html.page import render
    from ciguard.session.archive import session_directory
    from ciguard.session.reading import open_session
    from ciguard.session.verification import verify

    output: Path = options.output
    if output.resolve().is_relative_to(options.directory.resolve()):
        raise UsageError(
            f"{output} is in the session directory, which holds nothing but what was recorded",
            "write the report elsewhere: -o FILE",
        )
    expected = _expectations(options)
    with session_directory(options.directory) as directory:
        verification = verify(directory, expected)
        page = render(open_session(directory), verification)
    try:
        output.write_text(page, encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{output} cannot be written: {error.strerror}", "give another file: -o FILE") from None
    failure = verification.failure
    found = f"step {failure.number}, {failure.name}: {failure.detail}" if failure else "no step failed"
    print(f"{output} written; verification: {found}", file=sys.stderr)


def _as_json(verification: Verification, holds: bool) -> dict[str, Json]:
    steps: list[Json] = [
        {"number": step.number, "name": step.name, "outcome": step.outcome.value, "detail": step.detail}
        for step in verification.steps
    ]
    return {
        "session": verification.session,
        "holds": holds,
        "signed": verification.signed,
        "steps": steps,
        "unproven": list(verification.unproven),
    }


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

"""``ciguard run``: guard a command."""

from __future__ import annotations

import argparse
import gc
import json
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ciguard.cli.parser import Parser
from ciguard.errors import ApprovalAwaited, CiguardError, UsageError

if TYPE_CHECKING:
    from ciguard.guard.judge import Notice
    from ciguard.guard.plan import Plan
    from ciguard.guard.session import Outcome
    from ciguard.report.paint import Painter

EPILOG = """\
example:
  ciguard run --identity none -- claude -p "fix the failing test"

The agent gets no credential: the guard holds it, and the agent talks to the guard with a token that is worth nothing
elsewhere. ANTHROPIC_BASE_URL, OPENAI_BASE_URL, GOOGLE_GEMINI_BASE_URL and the matching keys are set for it.

exit status: the command's own, unless the guard must fail: 64 usage, 69 isolation, 70 guard failure, 71 credential,
74 recording, 75 approvals cannot be asked for, 76 stopped after too many refusals, 77 identity, 78 policy, 79 waits for
approval, 126 and 127 command cannot be run.
"""


def main(arguments: Sequence[str]) -> int:
    """Run ``ciguard run ARGUMENTS`` and return its exit status."""
    options = _parser().parse_args(arguments)
    argv = tuple(options.command[1:] if options.command[:1] == ["--"] else options.command)
    if not argv:
        raise UsageError("there is no command to run", 'name one after --: ciguard run -- claude -p "fix the bug"')
    # Nearly all that is made until the agent starts stays; see run_guarded.
    gc.disable()
    from ciguard.guard.certificates import unread

    with unread():
        from ciguard.guard.session import new_session_directory
    from ciguard.sandbox.own_process import harden

    harden()
    environ = dict(os.environ)
    directory = options.session_dir or new_session_directory(environ)
    try:
        return _guarded(options, argv, environ, directory)
    except CiguardError as refusal:
        if options.refusal_file and not directory.exists():
            _keep(refusal, options.refusal_file)
        raise


def _keep(refusal: CiguardError, path: Path) -> None:
    try:
        # Not where something is already, such as a link that a pull request brought.
        with path.open("x", encoding="utf-8") as file:
            file.write(f"{refusal.told}\n")
    except OSError as error:
        print(f"{path} cannot be written: {error.strerror}", file=sys.stderr)


def _guarded(options: argparse.Namespace, argv: tuple[str, ...], environ: Mapping[str, str], directory: Path) -> int:
    from ciguard.forge.github_files import workflow_commands_stopped
    from ciguard.guard.plan import plan
    from ciguard.guard.session import run_guarded
    from ciguard.identity.establish import IdentityMode
    from ciguard.sandbox.own_process import scrub_environment

    mode = IdentityMode(options.identity)
    planned = plan(environ, Path.cwd(), options.policy, mode, options.base_ref, _approved(options.approved))
    scrub_environment(planned.credential_variables)
    paint = _painter()
    _announce_keys(planned, environ, paint)
    with workflow_commands_stopped(environ):
        outcome = run_guarded(planned, argv, directory.absolute(), lambda notice: _announce(notice, paint))
        _publish(outcome, environ, paint)
        if planned.policy.approval.environment:
            _show_awaited(outcome, environ)
    if options.json:
        # The agent's own last line may have no end.
        print()
        print(json.dumps(_summary(outcome), sort_keys=True))
    if isinstance(outcome.failure, ApprovalAwaited):
        print(f"waiting: {outcome.failure.cause}\nnext: {outcome.failure.remedy}", file=sys.stderr)
        return outcome.status
    if outcome.failure:
        raise outcome.failure
    return outcome.status


def _approved(text: str) -> tuple[str, ...]:
    """The references that ``--approved`` gives."""
    if not text:
        return ()
    from ciguard.approvals.admission import references

    found = references(text)
    if found is None:
        raise UsageError(
            "--approved takes the output awaiting of another session", "pass it on as it is, and nothing else"
        )
    return found


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="ciguard run",
        usage="ciguard run [options] -- COMMAND [ARGUMENTS]",
        description="Guard a command: start a guard, run the command so that it reaches models only through it, "
        "and record the session.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--policy", default=".ciguard.yml", metavar="F", help="the policy file (default: .ciguard.yml)")
    parser.add_argument(
        "--session-dir",
        type=Path,
        metavar="D",
        help="where to record; must not exist yet (default: printed at the end)",
    )
    parser.add_argument(
        "--identity",
        choices=("auto", "none"),
        default="auto",
        help="auto verifies the CI job that this runs in; none is for outside of CI, and marks the session unverified",
    )
    parser.add_argument(
        "--base-ref", metavar="REF", help="read the policy from this branch of origin, or from this commit"
    )
    parser.add_argument(
        "--refusal-file",
        type=Path,
        metavar="F",
        help="write the error to this new file, too, when it ends before there is a session",
    )
    parser.add_argument(
        "--approved",
        default="",
        metavar="REFS",
        help="what this job was let into the policy's approval.environment for: the output awaiting of another session",
    )
    parser.add_argument("--json", action="store_true", help="print a JSON summary as the last line of standard output")
    parser.add_argument("command", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)
    return parser


def _painter() -> Painter:
    from ciguard.report.paint import coloured, plain

    return coloured if sys.stderr.isatty() and "NO_COLOR" not in os.environ else plain


def _announce_keys(planned: Plan, environ: Mapping[str, str], paint: Painter) -> None:
    """Say which keys will sign, where the agent cannot: in the job's log and summary, before it starts."""
    from ciguard.forge.github_files import add_summary
    from ciguard.report.paint import Span, Tone

    for signer in planned.signers:
        words = f"this session will be signed with {signer}"
        print(paint((Span("ciguard  ", Tone.FAINT), Span(words))), file=sys.stderr)
        if environ.get("GITHUB_ACTIONS") == "true":
            add_summary(environ, f"ciguard: {words}\n")


def _announce(notice: Notice, paint: Painter) -> None:
    """Say on the spot what was held or blocked, and where people are asked: a job's log is watched while it grows."""
    from ciguard.guard.judge import NoticeKind
    from ciguard.report.paint import Span, Tone

    tone = Tone.BAD if notice.kind is NoticeKind.BLOCKED else Tone.WARNING
    line = (Span("ciguard  ", Tone.FAINT), Span(f"{notice.kind}  ", tone), Span(f"{notice.subject}  "))
    now = (Span(f"  {notice.now}", tone),) if notice.now else ()
    print(paint((*line, Span(", ".join(notice.rules), Tone.FAINT), *now)), file=sys.stderr)


def _publish(outcome: Outcome, environ: Mapping[str, str], paint: Painter) -> None:
    from ciguard.report.closing import closing
    from ciguard.session.reading import open_session

    session = open_session(outcome.directory)
    print(file=sys.stderr)
    for line in closing(session):
        print(paint(line), file=sys.stderr)
    if environ.get("GITHUB_ACTIONS") == "true":
        from ciguard.forge.github_files import add_summary, set_outputs
        from ciguard.report.summary import render

        add_summary(environ, render(session))
        set_outputs(environ, {name.replace("_", "-"): str(value) for name, value in _summary(outcome).items()})


def _show_awaited(outcome: Outcome, environ: Mapping[str, str]) -> None:
    """Show reviewers of an environment all of what waits for them."""
    from ciguard.forge.github_files import add_summary
    from ciguard.report.awaited import render
    from ciguard.session.reading import open_session

    if outcome.awaiting and environ.get("GITHUB_ACTIONS") == "true":
        add_summary(environ, render(open_session(outcome.directory)))


def _summary(outcome: Outcome) -> dict[str, str | int]:
    """What ``--json`` prints; the action's outputs have the same names with hyphens."""
    return {
        "session_dir": str(outcome.directory),
        "session_id": outcome.session,
        "outcome": outcome.words,
        "exit_status": outcome.status,
        "isolation_level": outcome.level.value,
        "operations": outcome.counts.operations,
        "masked": outcome.counts.masked,
        "held": outcome.counts.held,
        "blocked": outcome.counts.blocked,
        "awaiting": " ".join(outcome.awaiting),
    }

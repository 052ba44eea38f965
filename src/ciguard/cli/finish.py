"""``ciguard finish``: seal a session whose guard was cut off."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from ciguard.cli.parser import Parser


def main(arguments: Sequence[str]) -> int:
    """Run ``ciguard finish ARGUMENTS`` and return its exit status."""
    options = _parser().parse_args(arguments)
    from ciguard.guard.signing import signers_of
    from ciguard.session.cut_off import is_sealed, refuse_other_policy, seal
    from ciguard.session.reading import open_session

    session = open_session(options.directory)
    if is_sealed(session):
        print(f"{options.directory} is sealed already", file=sys.stderr)
        return 0
    refuse_other_policy(session)
    signers = signers_of(options.directory, dict(os.environ))
    manifest = seal(session, time.time_ns, signers)
    log = manifest["log"]
    head = log["head"] if isinstance(log, dict) else ""
    print(f"sealed {options.directory} as incomplete: log head {head}", file=sys.stderr)
    for signer in signers:
        print(f"signed with {signer}", file=sys.stderr)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="ciguard finish",
        description="Seal a session whose guard was cut off: take off what was half written, say so in the log, and "
        "sign what there is with the identity of the job that runs this. A session that is sealed stays as it is.",
        epilog="example: ciguard finish ciguard-session",
    )
    parser.add_argument("directory", type=Path, metavar="DIR", help="the session directory")
    return parser

"""``ciguard session replay``: a session again, in its own time."""

from __future__ import annotations

import argparse
import os
import select
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ciguard.cli.terminal import painter
from ciguard.errors import UsageError

if TYPE_CHECKING:
    from ciguard.report.transcript import Entry


def add(commands: Any) -> None:
    """Add the command to the subparsers ``commands``."""
    replay = commands.add_parser(
        "replay",
        help="print a session in its own time",
        description="Print a session as a transcript, each entry when its time has come. On a terminal: space pauses "
        "and goes on, s shows the next entry now, q quits. Elsewhere nothing is waited for.",
        epilog="example: ciguard session replay --speed 10 ciguard-session.zip",
    )
    replay.add_argument(
        "directory", type=Path, metavar="PATH", help="a session directory, or an artifact's zip archive"
    )
    replay.add_argument("--speed", type=_speed, default=1.0, metavar="N", help="so many times as fast")
    replay.add_argument("--from", type=int, default=0, dest="first", metavar="SEQ", help="begin at this event")
    replay.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    """Replay the session that ``options`` name."""
    from ciguard.report.transcript import entries
    from ciguard.session.archive import session_directory
    from ciguard.session.reading import open_session

    with session_directory(options.directory) as directory:
        session = open_session(directory)
        chosen = [entry for entry in entries(session) if entry.event.get("seq", options.first) >= options.first]
        if sys.stdin.isatty() and sys.stdout.isatty():
            with _keys():
                _play(chosen, options.speed)
        else:
            for entry in chosen:
                _show(entry)


def _play(chosen: Sequence[Entry], speed: float) -> None:
    from ciguard.report.replay import QUIT, Player, Show, Stop, Wait

    player = Player(_moments(chosen), speed, time.monotonic())
    while True:
        match player.next(time.monotonic()):
            case Show(number):
                _show(chosen[number])
            case Wait(seconds):
                ready, _, _ = select.select([sys.stdin], [], [], seconds)
                if ready:
                    # Not through sys.stdin, which would keep keys that come together from select.
                    player.press(os.read(sys.stdin.fileno(), 1).decode(errors="replace") or QUIT, time.monotonic())
            case Stop():
                return


def _moments(chosen: Sequence[Entry]) -> list[float]:
    """When each entry was; what has no time of its own was there at the end."""
    timed = [entry.event["time"] for entry in chosen if "time" in entry.event]
    last = timed[-1] if timed else "1970-01-01T00:00:00.000Z"
    return [datetime.fromisoformat(entry.event.get("time", last)).timestamp() for entry in chosen]


def _show(entry: Entry) -> None:
    from ciguard.report.transcript import cut

    paint = painter()
    for line in cut(entry):
        print(paint(line))
    print(flush=True)


@contextmanager
def _keys() -> Iterator[None]:
    """Keys come one by one and are not shown, until the end."""
    import termios
    import tty

    before = termios.tcgetattr(sys.stdin)
    tty.setcbreak(sys.stdin)
    try:
        yield
    finally:
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)


def _speed(text: str) -> float:
    try:
        speed = float(text)
    except ValueError:
        speed = 0.0
    if not 0.01 <= speed <= 1_000_000:
        raise UsageError(f"--speed {text!a} is not a number from 0.01 to 1000000", "for example --speed 10")
    return speed

"""The ``ciguard`` command: finds the command's module and runs it, so that a start pays for no other."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence

from ciguard import __version__
from ciguard.errors import CiguardError

COMMANDS = {
    "run": "guard a command: run an agent through the guard and record the session",
    "finish": "seal a session whose guard was cut off",
    "resume": "run a job again whose session waits for approval",
    "policy": "check, test and explain policy files, or print their JSON Schema",
    "doctor": "say what this machine and job offer: isolation, identity, agents",
    "session": "read, verify and export recorded sessions",
    "demo": "watch the whole story on loopback, without any account or key",
}
"""Each command has a module of its name in this package with ``main(arguments) -> exit status``."""


def usage() -> str:
    """The text of ``ciguard --help``."""
    lines = ["usage: ciguard COMMAND [ARGUMENTS]", "", "Guards AI coding agents inside CI jobs.", "", "commands:"]
    lines += [f"  {name:<10} {text}" for name, text in COMMANDS.items()]
    lines += ["", "ciguard COMMAND --help explains a command, with an example.", "ciguard --version prints the version"]
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status; errors are printed as cause and remedy."""
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    match arguments:
        case ["--version"]:
            print(f"ciguard {__version__}")
            return 0
        case [] | ["--help" | "-h", *_]:
            print(usage())
            return 0 if arguments else 64
        case [name, *rest] if name in COMMANDS:
            command = importlib.import_module(f"ciguard.cli.{name}")
        case [name, *_]:
            print(f"error: there is no command {name!r}\nhelp: ciguard --help lists the commands", file=sys.stderr)
            return 64
    try:
        status: int = command.main(rest)
    except CiguardError as error:
        print(error.told, file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        sys.stderr.close()
        return 141
    return status

"""The argument parser of every command."""

from __future__ import annotations

import argparse
from typing import NoReturn

from ciguard.errors import UsageError


class Parser(argparse.ArgumentParser):
    """Raises ``UsageError`` for a mistake, so that it is printed as cause and remedy with ciguard's exit status."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(message, f"{self.prog} --help explains the command, with an example")

"""The agent's process: started, waited for, signalled, and gone at the end with what is left of its group."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ciguard.errors import CommandNotExecutable, CommandNotFound

GRACE = 5.0
"""Seconds between asking the agent to end and killing it."""

FORWARDED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)


@dataclass(frozen=True, slots=True)
class Exit:
    """How the agent ended: ``status`` as a shell reports it, and the name of the signal if one ended it."""

    status: int
    signal: str = ""


class Agent:
    """A running agent.

    It has a process group of its own, so that all of it can be signalled; except on a terminal, where it stays in the
    foreground group to be able to use it, and the terminal itself signals the group.
    """

    def __init__(self, argv: Sequence[str], environ: Mapping[str, str]) -> None:
        """Start ``argv`` on a running event loop. Raises CommandNotFound or CommandNotExecutable.

        From now on until the loop closes, signals that would end the guard go to the agent, so that the guard lives to
        finish the session, also while nothing is left to be signalled.
        """
        self._on_terminal = sys.stdin is not None and sys.stdin.isatty()
        self._over = False
        self._forward_signals()
        try:
            self._process = subprocess.Popen(argv, env=dict(environ), process_group=None if self._on_terminal else 0)
        except FileNotFoundError:
            self._over = True
            raise CommandNotFound(f"the command {argv[0]!r} was not found", "check its spelling and the PATH") from None
        except OSError as error:
            self._over = True
            raise CommandNotExecutable(
                f"the command {argv[0]!r} cannot be executed: {error.strerror}", "name a program that can be executed"
            ) from None

    async def wait(self) -> Exit:
        """Wait for the agent to end, then end whatever of its group it left running."""
        code = await asyncio.get_running_loop().run_in_executor(None, self._process.wait)
        self._signal(signal.SIGKILL)
        self._over = True
        if code < 0:
            return Exit(128 - code, _name(-code))
        return Exit(code)

    def stop(self) -> None:
        """Ask the agent to end, and kill it when it has not after :data:`GRACE`."""
        self._signal(signal.SIGTERM)
        asyncio.get_running_loop().call_later(GRACE, self._signal, signal.SIGKILL)

    def _signal(self, number: int) -> None:
        if self._over:
            return
        try:
            if not self._on_terminal:
                os.killpg(self._process.pid, number)
            elif self._process.returncode is None:
                self._process.send_signal(number)
        except ProcessLookupError:
            return

    def _forward_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number in FORWARDED:
            if self._on_terminal and number is signal.SIGINT:
                loop.add_signal_handler(number, lambda: None)
            else:
                loop.add_signal_handler(number, self._signal, number)


def _name(number: int) -> str:
    """The name of a signal; only the first and the last of the real-time ones have one."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"SIG{number}"

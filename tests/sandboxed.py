"""Starting agents under each isolation level that this machine offers."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

from ciguard.policy.sections.isolation import IsolationLevel, IsolationLimits
from ciguard.sandbox.choosing import open_level
from ciguard.sandbox.command import Command
from ciguard.sandbox.levels import NotOffered, Wanted
from ciguard.sandbox.places import Request
from ciguard.sandbox.process import Agent, Answer, Deciding, Sandbox

ENVIRON = {"PATH": os.environ["PATH"]}
NO_LIMITS = IsolationLimits()
PORT = 4


class Consent:
    """Every command may run."""

    async def decide(self, question: int, command: Command) -> Answer:
        """See :class:`Deciding`."""
        return Answer("")

    def repeated(self, counts: Mapping[int, int]) -> None:
        """See :class:`Deciding`."""


CONSENT = Consent()


class Starter:
    """Starts agents at one level; ``workspace`` below ``folder`` is theirs."""

    def __init__(self, level: IsolationLevel, folder: Path) -> None:
        self.level = level
        self.workspace = folder / "workspace"
        self.scratch = folder / "scratch"
        self.session = folder / "session"
        self.sandboxes: list[Sandbox] = []
        for made in (self.workspace, self.session, self.scratch / "tmp", self.scratch / "home"):
            made.mkdir(parents=True, exist_ok=True)

    def __call__(
        self,
        *argv: str,
        environ: Mapping[str, str] = ENVIRON,
        limits: IsolationLimits = NO_LIMITS,
        port: int = PORT,
        deciding: Deciding = CONSENT,
    ) -> Agent:
        """Start ``argv``."""
        return self.open(limits, port).start(argv, environ, self.workspace, deciding)

    def open(self, limits: IsolationLimits = NO_LIMITS, port: int = PORT) -> Sandbox:
        """A sandbox in which nothing runs yet."""
        request = Request(os.environ, self.workspace, self.scratch, self.session)
        self.sandboxes.append(open_level(self.level, Wanted(request, [port], limits=limits), os.environ))
        return self.sandboxes[-1]

    def close(self) -> None:
        """End all of it."""
        for sandbox in self.sandboxes:
            sandbox.close()


def _offered() -> list[IsolationLevel]:
    found = []
    for level in IsolationLevel:
        with tempfile.TemporaryDirectory() as folder:
            starter = Starter(level, Path(folder))
            try:
                starter.open()
            except NotOffered:
                continue
            starter.close()
            found.append(level)
    return found


OFFERED = _offered()
"""The levels of this machine, for this user; ``none`` is always among them."""
CONFINING = [level for level in OFFERED if level.strength >= IsolationLevel.LANDLOCK.strength]
"""Those that keep the agent from the credential and the network."""

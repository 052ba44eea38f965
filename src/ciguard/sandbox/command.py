"""A command as the supervisor tells the guard of it. Bare standard library: the launcher speaks it too."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple


class Command(NamedTuple):
    """A program that is about to be executed.

    ``path``: the program's file, free of symbolic links. ``argv``: as its caller gave them. ``cwd``: where it runs.
    ``parent``: the file of the program that starts it. ``script``: the text of the shell script that it runs, if it
    runs one. ``files``: the texts of the files that a client of a database is given, by the names that ``argv`` has for
    them, ``-`` for its standard input. ``unread`` says why a script or a standard input is not there. ``flaw``: why
    nobody can say what would run, if nobody can.
    ``launch``: it is the agent itself on its way to start, with the arguments that the job gave it.
    """

    path: str
    argv: tuple[str, ...]
    cwd: str = ""
    parent: str = ""
    script: str = ""
    unread: str = ""
    flaw: str = ""
    launch: bool = False
    files: Mapping[str, str] = MappingProxyType({})

    def message(self) -> dict[str, Any]:
        """As JSON, without what is empty."""
        return {key: value for key, value in self._asdict().items() if value}


def command(message: dict[str, Any]) -> Command:
    """The inverse of :meth:`Command.message`."""
    return Command(**{"path": "", **message, "argv": tuple(message.get("argv", ()))})

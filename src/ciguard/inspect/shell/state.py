"""What is known at a point of a script: variables, functions, directory, files that it wrote, and how far it went."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from ciguard.inspect.shell import expansion
from ciguard.inspect.shell.command import Access, Command, Redirection, Word
from ciguard.inspect.shell.outputs import NOTHING, UNKNOWN
from ciguard.inspect.shell.reading import DEEPEST, TooDeep
from ciguard.inspect.shell.trait import Trait
from ciguard.inspect.shell.tree import Node

MOST_COMMANDS = 3_000
"""Commands of a script that are noted; one with more is too large."""

MOST_WORK = 10_000
"""Steps through a script and what it starts; one that takes more is too large."""

MOST_EXPANDED = 524_288
"""Characters that expansion makes of a script's words; a script that makes more is too large."""

_UNKNOWN_LINE = Word(UNKNOWN, literal=False)


@dataclass(slots=True)
class _Scope:
    """What a part of a script knows: a subshell works on a copy."""

    variables: dict[str, tuple[Word, ...]] = field(default_factory=lambda: {"IFS": (Word(" \t\n"),)})
    functions: dict[str, Node] = field(default_factory=dict)
    parameters: tuple[Word, ...] | None = None
    directory: str | None = ""
    perhaps: bool = False

    def copy(self) -> _Scope:
        return _Scope(dict(self.variables), dict(self.functions), self.parameters, self.directory, self.perhaps)


class Spent(Exception):
    """The script is larger than is followed."""


class State:
    """Where a walk through a script stands. ``_commands`` and ``_traits`` grow as it goes on."""

    def __init__(self) -> None:
        self._commands: dict[Command, None] = {}
        self._traits: set[Trait] = set()
        self._files: dict[str, Word] = {}
        self._scope = _Scope()
        self._via: tuple[str, ...] = ()
        self._depth = 0
        self._work = 0
        self._expanded = 0
        self._stdin: Word | None = None

    def values(self, name: str) -> tuple[Word, ...]:
        """The possible values of a variable or positional parameter."""
        scope = self._scope
        if name.isdigit() and name != "0" and scope.parameters is not None:
            return (scope.parameters[int(name) - 1] if int(name) <= len(scope.parameters) else NOTHING,)
        if name == "PWD" and scope.directory:
            return (Word(scope.directory),)
        return scope.variables.get(name, ())

    def positional(self) -> tuple[Word, ...] | None:
        """What ``$@`` stands for."""
        return self._scope.parameters

    def assign(self, name: str, values: tuple[Word, ...]) -> None:
        """Give a variable its values, besides those that it has where the assignment perhaps does not happen."""
        known = self._scope.variables.get(name, ()) if self._scope.perhaps else ()
        self._scope.variables[name] = tuple(dict.fromkeys((*known, *values)))[: expansion.ALTERNATIVES]

    def spend(self, characters: int) -> None:
        """Count what expansion makes."""
        self._expanded += characters
        if self._expanded > MOST_EXPANDED:
            raise Spent

    # ------------------------------------------------------------ bounds

    @contextmanager
    def _deeper(self) -> Iterator[None]:
        if self._depth >= DEEPEST:
            raise TooDeep
        self._depth += 1
        try:
            yield
        finally:
            self._depth -= 1

    @contextmanager
    def _subshell(self) -> Iterator[None]:
        outer = self._scope
        self._scope = outer.copy()
        try:
            yield
        finally:
            self._scope = outer

    @contextmanager
    def _feeding(self, stdin: Word | None) -> Iterator[None]:
        outer = self._stdin
        self._stdin = stdin
        try:
            yield
        finally:
            self._stdin = outer

    @contextmanager
    def _reached_by(self, program: str) -> Iterator[None]:
        outer = self._via
        self._via = (*outer, program)
        try:
            yield
        finally:
            self._via = outer

    def _step(self) -> None:
        self._work += 1
        if self._work > MOST_WORK:
            raise Spent

    def _note(self, command: Command) -> None:
        self._commands[command] = None
        if len(self._commands) > MOST_COMMANDS:
            raise Spent

    # ------------------------------------------------------------ files that the script itself writes

    def _path(self, word: Word) -> str | None:
        """Where ``word`` points to, as far as the script tells."""
        if self._scope.directory is None:
            return None
        return posixpath.normpath(posixpath.join(self._scope.directory, word.text))

    def _file(self, word: Word) -> Word | None:
        path = self._path(word)
        return None if path is None else self._files.get(path)

    def _write(self, word: Word, content: Word, *, appends: bool = False) -> None:
        path = self._path(word)
        if path is not None and path != "/dev/null":
            before = self._files.get(path)
            self._files[path] = expansion.joined([before, content]) if appends and before is not None else content

    def _kept(self, redirections: Sequence[Redirection], written: Word) -> Word:
        """What is still written where ``redirections`` lead what was ``written`` into files."""
        targets = [item for item in redirections if item.access is not Access.READ]
        for item in targets:
            if item.target.text != "/dev/stderr":
                self._write(item.target, written, appends=item.access is Access.APPEND)
        return (
            written
            if all(item.target.text in ("/dev/null", "/dev/stdout", "/dev/stderr") for item in targets)
            else NOTHING
        )

    # ------------------------------------------------------------ builtins that change it

    def _change_directory(self, words: tuple[Word, ...]) -> None:
        operands = [word for word in words[1:] if not re.fullmatch(r"-[LPe@]+|--", word.text)]
        scope = self._scope
        if not operands:
            scope.directory = "~"
        elif operands[0].literal or operands[0].text.startswith(("$HOME", "${HOME}", "$GITHUB_WORKSPACE")):
            target = operands[0].text
            anchored = target.startswith(("/", "~", "$"))
            if target == "-" or (scope.directory is None and not anchored):
                scope.directory = None
            else:
                path = target if anchored else posixpath.join(scope.directory or "", target)
                scope.directory = posixpath.normpath(path)
        else:
            scope.directory = None

    def _read(self, words: tuple[Word, ...], stdin: Word | None) -> None:
        names = [word.text for word in words[1:] if re.fullmatch(r"[A-Za-z_]\w*", word.text)] or ["REPLY"]
        if stdin is None or not stdin.literal:
            for name in names:
                self.assign(name, (_UNKNOWN_LINE if stdin is None else replace(_UNKNOWN_LINE, origins=stdin.origins),))
            return
        lines = stdin.text.splitlines()[: expansion.ALTERNATIVES] or [""]
        rows = [line.split(None, len(names) - 1) for line in lines]
        for index, name in enumerate(names):
            self.assign(name, tuple(replace(stdin, text=row[index] if index < len(row) else "") for row in rows))

"""What the analysis of a script finds: simple commands with their words, and what could not be known."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from ciguard.inspect.shell.inline_code import InlineCode
from ciguard.inspect.shell.trait import Trait

_KNOWN_NAME = re.compile(r"/([\w.+-]+)\Z")
"""The base name at the end of a path whose folder is not known: ``$VENV/bin/python``."""

NO_ORIGINS: frozenset[Trait] = frozenset()


@dataclass(frozen=True, slots=True)
class Word:
    """One word as the program gets it: quotes undone, variables and substitutions put in where the script tells them.

    ``literal`` is False when a part is not known; such parts stand in ``text`` as the script writes them: ``$HOME/x``.
    ``pattern`` says that the shell replaces ``*``, ``?`` and ``[...]`` of ``text`` by names of files.
    ``origins`` are the traits that a script has when it runs this text as code.
    """

    text: str
    literal: bool = True
    pattern: bool = False
    origins: frozenset[Trait] = NO_ORIGINS


class Access(StrEnum):
    """How a redirection opens its file."""

    READ = "read"
    WRITE = "write"
    APPEND = "append"


@dataclass(frozen=True, slots=True)
class Redirection:
    """A file that the shell opens for a command."""

    access: Access
    target: Word


@dataclass(frozen=True, slots=True)
class Command:
    """One program that a script could start.

    ``words`` begin with the program. ``stdin`` is the text that the script feeds to it (a here-document, a
    here-string, a pipe from ``echo``); None when it feeds nothing. ``directory`` is where it runs, seen from where
    the script starts: ``""`` is there, None unknown. ``via`` are the programs that start it, outermost first:
    ``("sudo", "bash")``.
    """

    words: tuple[Word, ...]
    assignments: tuple[tuple[str, Word], ...] = ()
    redirections: tuple[Redirection, ...] = ()
    stdin: Word | None = None
    directory: str | None = ""
    via: tuple[str, ...] = ()

    @property
    def program(self) -> str:
        """The base name of the program; empty when it is not known or there is none."""
        if not self.words or self.words[0].pattern:
            return ""
        if not self.words[0].literal:
            known = _KNOWN_NAME.search(self.words[0].text)
            return known[1] if known is not None else ""
        return posixpath.basename(self.words[0].text.rstrip("/"))

    @property
    def arguments(self) -> tuple[Word, ...]:
        """The words behind the program."""
        return self.words[1:]

    @property
    def line(self) -> str:
        """The command as one line for people."""
        words = [f"{name}={_shown(word)}" for name, word in self.assignments] + [_shown(word) for word in self.words]
        signs = {Access.READ: "<", Access.WRITE: ">", Access.APPEND: ">>"}
        return " ".join([*words, *(f"{signs[item.access]} {_shown(item.target)}" for item in self.redirections)])


@dataclass(frozen=True, slots=True)
class Script:
    """Everything that a script could run, what is remarkable about it, and what it writes into files itself.

    ``files`` are by their normalised path, seen from where the script starts. ``inline`` are the programs in other
    languages that stand in the script.
    """

    commands: tuple[Command, ...] = ()
    traits: frozenset[Trait] = frozenset()
    files: Mapping[str, Word] = field(default_factory=dict)
    inline: tuple[InlineCode, ...] = ()


def _shown(word: Word) -> str:
    import shlex

    if not word.literal or word.pattern:
        return word.text
    return shlex.quote(word.text)

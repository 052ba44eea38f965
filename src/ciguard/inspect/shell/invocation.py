"""Patterns of commands as policies write them: ``terraform destroy``, ``docker run --privileged``, ``aws * rm-*``."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from ciguard.inspect.shell import starters
from ciguard.inspect.shell.command import Command, Word


@dataclass(frozen=True, slots=True)
class Invocation:
    """A program, the words that follow it in this order, and options that stand anywhere.

    ``a|b`` is one or the other; ``**`` among the words stands for any number of them, ``*`` within one for any
    characters. An option with a value is ``--name=value`` in a pattern, and in any of the usual ways in a command.
    """

    program: re.Pattern[str]
    words: tuple[re.Pattern[str] | None, ...]
    options: tuple[tuple[tuple[str, ...], re.Pattern[str] | None], ...]

    def matches(self, command: Command) -> bool:
        """Whether ``command`` is such an invocation; more words and options than the pattern has are no matter."""
        return self._matches_program(command) and self._has_options(command) and self._has_words(command)

    @property
    def anywhere(self) -> re.Pattern[str] | None:
        """The one word that the pattern asks for behind any others, where it asks for nothing else."""
        return self.words[1] if len(self.words) == 2 and self.words[0] is None and not self.options else None

    def _matches_program(self, command: Command) -> bool:
        name = command.program
        if name:
            return self.program.fullmatch(name) is not None
        first = command.words[0] if command.words else Word("")
        return first.pattern and _fits(self.program, first.text.rpartition("/")[2])

    def _has_options(self, command: Command) -> bool:
        """The options of what ``sudo`` starts are not sudo's own."""
        if not self.options:
            return True
        started = starters.started(command.words)
        own = command.arguments if started is None else command.words[1 : len(command.words) - len(started)]
        return all(
            any(_is_option(own, place, name, value) for name in names for place in range(len(own)))
            for names, value in self.options
        )

    def _has_words(self, command: Command) -> bool:
        """In order from the first; a word right behind an option may be that option's value and so be passed over."""
        places = {0}
        behind_option = False
        for word in command.arguments:
            if _is_dashed(word):
                behind_option = "=" not in word.text and word.text != "--"
                continue
            places = _stepped(self.words, places, word, skips=behind_option)
            behind_option = False
            if not places:
                return False
        return any(all(part is None for part in self.words[place:]) for place in places)


@dataclass(frozen=True, slots=True)
class _Naming:
    """The patterns that name a program: those that ask for one word anywhere, as one, and the others."""

    anywhere: re.Pattern[str] | None
    others: tuple[Invocation, ...]


class Invocations:
    """Several patterns, asked at once: only those are that name the command's program."""

    MOST = 1024
    """How many programs are remembered."""

    def __init__(self, patterns: Sequence[str]) -> None:
        self._all = tuple(map(invocation, patterns))
        self._by_program: dict[str, _Naming] = {}

    def match(self, command: Command) -> bool:
        """Whether any of them matches ``command``."""
        name = command.program
        if not name:
            return any(one.matches(command) for one in self._all)
        naming = self._naming(name)
        return (
            naming.anywhere is not None
            and any(naming.anywhere.fullmatch(word.text) for word in command.arguments if not _is_dashed(word))
        ) or any(one.matches(command) for one in naming.others)

    def _naming(self, program: str) -> _Naming:
        found = self._by_program.get(program)
        if found is None:
            if len(self._by_program) >= self.MOST:
                self._by_program.clear()
            possible = [one for one in self._all if one.program.fullmatch(program)]
            words = [one.anywhere.pattern for one in possible if one.anywhere is not None]
            anywhere = re.compile("|".join(words), re.DOTALL) if words else None
            found = _Naming(anywhere, tuple(one for one in possible if one.anywhere is None))
            self._by_program[program] = found
        return found


@lru_cache(maxsize=4096)
def invocation(pattern: str) -> Invocation:
    """The pattern that a policy writes as ``pattern``, one word behind the other with spaces between them."""
    program, *rest = pattern.split()
    words = tuple(None if part == "**" else _glob(part) for part in rest if not part.startswith("-"))
    options = []
    for part in rest:
        if part.startswith("-"):
            name, equals, value = part.partition("=")
            options.append((tuple(name.split("|")), _glob(value) if equals else None))
    return Invocation(_glob(program), words, tuple(options))


def _glob(text: str) -> re.Pattern[str]:
    choices = (".*".join(map(re.escape, re.split(r"\*+", choice))) for choice in text.split("|"))
    return re.compile("|".join(choices), re.DOTALL)


def _is_dashed(word: Word) -> bool:
    """Whether it is an option, or several."""
    return word.text.startswith("-") and word.text != "-"


def _fits(program: re.Pattern[str], shell_pattern: str) -> bool:
    """Whether the shell's pattern, such as ``r?``, can stand for the program; only for names without ``*``."""
    names = re.sub(r"\\(.)", r"\1", program.pattern).split("|")
    regex = "".join(
        ".*" if piece == "*" else "." if piece[0] in "?[" and piece != "[" else re.escape(piece)
        for piece in re.findall(r"\*|\?|\[[^\]]+\]|.", shell_pattern[:100], re.DOTALL)
    )
    return any(re.fullmatch(regex, name, re.DOTALL) for name in names)


def _stepped(words: tuple[re.Pattern[str] | None, ...], places: set[int], word: Word, *, skips: bool) -> set[int]:
    """How far the pattern may have come behind ``word``; at the end of the pattern anything may follow."""
    found = set()
    pending = list(places)
    while pending:
        place = pending.pop()
        wanted = words[place] if place < len(words) else None
        if skips or wanted is None:
            found.add(place)
        if wanted is None and place < len(words):
            pending.append(place + 1)
        elif wanted is not None and wanted.fullmatch(word.text) is not None:
            found.add(place + 1)
    return found


def _is_option(arguments: Sequence[Word], index: int, name: str, value: re.Pattern[str] | None) -> bool:
    text = arguments[index].text
    if not text.startswith("-"):
        return False
    if value is None:
        return _names_option(text.partition("=")[0], name) or _has_letter(text, name)
    given, equals, rest = text.partition("=")
    if equals and _names_option(given, name):
        return value.fullmatch(rest) is not None
    if _names_option(text, name) or (_has_letter(text, name) and text.endswith(name[1:])):
        following = arguments[index + 1].text if index + 1 < len(arguments) else ""
        return value.fullmatch(following) is not None
    return len(name) == 2 and text.startswith(name) and value.fullmatch(text[2:]) is not None


def _names_option(given: str, name: str) -> bool:
    """``--forc`` is ``--force`` to the programs that take abbreviations; ``-destroy`` may be ``--destroy``."""
    if "*" in name:
        return _glob(name).fullmatch(given) is not None
    if given == name or (len(name) > 2 and given.lstrip("-") == name.lstrip("-")):
        return True
    return name.startswith("--") and len(given) >= 5 and name.startswith(given)


def _has_letter(text: str, name: str) -> bool:
    """``-rf`` holds ``-f``."""
    return len(name) == 2 and re.fullmatch(r"-[A-Za-z0-9]+", text) is not None and name[1] in text[1:]
